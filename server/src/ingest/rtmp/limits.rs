//! What RTMP connections may cost.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Addresses that are remembered for their wrong keys.
const MOST_ADDRESSES: usize = 4096;

/// What RTMP connections may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RtmpLimits {
    /// Connections at the same time.
    pub connections: usize,
    /// From one address (IPv6: one /64).
    pub per_address: usize,
    /// For the handshake.
    pub handshake: Duration,
    /// From the connection to the publish command.
    pub publish: Duration,
    /// Without a byte from the client, or with one that it does not take.
    pub idle: Duration,
    /// Wrong keys that one address may try within the window.
    pub wrong_keys: u32,
    /// The window.
    pub wrong_keys_window: Duration,
}

impl Default for RtmpLimits {
    fn default() -> Self {
        Self {
            connections: 512,
            per_address: 32,
            handshake: Duration::from_secs(10),
            publish: Duration::from_secs(30),
            idle: Duration::from_secs(60),
            wrong_keys: 10,
            wrong_keys_window: Duration::from_secs(60),
        }
    }
}

/// Open connections by address.
#[derive(Debug, Clone, Default)]
pub(super) struct Connections(Arc<Mutex<HashMap<IpAddr, usize>>>);

/// A connection's place; dropping it gives the place back.
#[derive(Debug)]
pub(super) struct Place {
    connections: Connections,
    address: IpAddr,
}

impl Connections {
    /// A place, or none when the server or the address has too many.
    pub(super) fn enter(&self, address: IpAddr, limits: &RtmpLimits) -> Option<Place> {
        let address = network(address);
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (all, own) = (open.values().sum::<usize>(), open.get(&address).copied().unwrap_or(0));
        if all >= limits.connections || own >= limits.per_address {
            return None;
        }
        open.insert(address, own + 1);
        Some(Place { connections: self.clone(), address })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.connections.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = open.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.address);
            }
        }
    }
}

/// Wrong keys by address.
#[derive(Debug)]
pub(super) struct WrongKeys {
    most: u32,
    window: Duration,
    tried: Mutex<HashMap<IpAddr, (u32, Instant)>>,
}

impl WrongKeys {
    /// Forgives `most` within the window.
    pub(super) fn new(most: u32, window: Duration) -> Self {
        Self { most, window, tried: Mutex::default() }
    }

    /// Whether this address has tried too many.
    pub(super) fn are_too_many(&self, address: IpAddr, now: Instant) -> bool {
        let tried = self.tried.lock().unwrap_or_else(PoisonError::into_inner);
        tried.get(&network(address)).is_some_and(|(count, since)| {
            *count >= self.most && now.saturating_duration_since(*since) < self.window
        })
    }

    /// Counts one.
    pub(super) fn count(&self, address: IpAddr, now: Instant) {
        let mut tried = self.tried.lock().unwrap_or_else(PoisonError::into_inner);
        if tried.len() >= MOST_ADDRESSES {
            tried.retain(|_, (_, since)| now.saturating_duration_since(*since) < self.window);
        }
        if tried.len() >= MOST_ADDRESSES && !tried.contains_key(&network(address)) {
            return;
        }
        let entry = tried.entry(network(address)).or_insert((0, now));
        if now.saturating_duration_since(entry.1) >= self.window {
            *entry = (0, now);
        }
        entry.0 = entry.0.saturating_add(1);
    }
}

/// What one customer of a network has: an IPv4 address, or an IPv6 /64.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(six) => IpAddr::V6(Ipv6Addr::from_bits(six.to_bits() & !u128::from(u64::MAX))),
        four => four,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn places_are_counted_by_server_and_by_network() {
        let limits = RtmpLimits { connections: 3, per_address: 2, ..RtmpLimits::default() };
        let connections = Connections::default();
        let one = connections.enter(ip("2001:db8::1"), &limits).unwrap();
        let _two = connections.enter(ip("2001:db8::2"), &limits).unwrap();
        assert!(connections.enter(ip("2001:db8::3"), &limits).is_none(), "the same /64");
        let _three = connections.enter(ip("10.0.0.1"), &limits).unwrap();
        assert!(connections.enter(ip("10.0.0.2"), &limits).is_none(), "the server is full");
        drop(one);
        assert!(connections.enter(ip("::ffff:10.0.0.1"), &limits).is_some());
        assert_eq!(connections.0.lock().unwrap().len(), 2, "nothing is left of those that went");
    }

    #[test]
    fn wrong_keys_are_forgiven_after_a_while() {
        let keys = WrongKeys::new(3, Duration::from_secs(60));
        let mut now = Instant::now();
        for _ in 0..3 {
            assert!(!keys.are_too_many(ip("10.0.0.1"), now));
            keys.count(ip("10.0.0.1"), now);
        }
        assert!(keys.are_too_many(ip("10.0.0.1"), now));
        assert!(!keys.are_too_many(ip("10.0.0.2"), now));
        now += Duration::from_secs(61);
        assert!(!keys.are_too_many(ip("10.0.0.1"), now));
        keys.count(ip("10.0.0.1"), now);
        assert!(!keys.are_too_many(ip("10.0.0.1"), now));
    }

    #[test]
    fn the_memory_of_wrong_keys_is_bounded() {
        let keys = WrongKeys::new(1, Duration::from_secs(60));
        let now = Instant::now();
        for at in 0..10_000_u32 {
            keys.count(IpAddr::V4(std::net::Ipv4Addr::from_bits(at)), now);
        }
        assert_eq!(keys.tried.lock().unwrap().len(), MOST_ADDRESSES);
    }
}
