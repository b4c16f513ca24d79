//! A bound on viewers that are made by report alone.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Sessions that one network may report in [`SPAN`] without a signed id and without having fetched media here.
const MOST: u32 = 120;
const SPAN: Duration = Duration::from_secs(60);
/// Networks that are remembered; past it newcomers of further ones wait for the next span.
const MOST_NETWORKS: usize = 16_384;

/// Newcomers by network in the current span: a report costs nothing, so somebody might send many.
#[derive(Debug, Default)]
pub(super) struct Newcomers(Mutex<(Duration, HashMap<Vec<u8>, u32>)>);

impl Newcomers {
    /// Whether one more from `network` is believed.
    pub(super) fn admit(&self, network: Vec<u8>, now: Duration) -> bool {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (since, counts) = &mut *state;
        if now.saturating_sub(*since) >= SPAN {
            *since = now;
            counts.clear();
        }
        if counts.len() >= MOST_NETWORKS && !counts.contains_key(&network) {
            return false;
        }
        let count = counts.entry(network).or_default();
        *count += 1;
        *count <= MOST
    }
}
