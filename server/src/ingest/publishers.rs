//! Who publishes now, so that an admin can send a publisher away.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio_util::sync::CancellationToken;

type Open = HashMap<String, Vec<CancellationToken>>;

/// The connections that publish, by stream. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Publishers(Arc<Mutex<Open>>);

/// A connection's entry; dropping it takes the entry away.
#[derive(Debug)]
pub struct Entry {
    publishers: Publishers,
    stream: String,
    token: CancellationToken,
}

impl Publishers {
    /// Enters a connection. It shall end when [`Entry::gone`] does.
    #[must_use]
    pub fn enter(&self, stream: &str) -> Entry {
        let token = CancellationToken::new();
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        open.entry(stream.to_owned()).or_default().push(token.clone());
        Entry { publishers: self.clone(), stream: stream.to_owned(), token }
    }

    /// Sends a stream's publishers away; says how many there were.
    pub fn kick(&self, stream: &str) -> usize {
        let open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let tokens = open.get(stream).map_or(&[][..], Vec::as_slice);
        tokens.iter().for_each(CancellationToken::cancel);
        tokens.len()
    }

    /// Connections that publish now.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).values().map(Vec::len).sum()
    }
}

impl Entry {
    /// Ends when the connection was sent away.
    pub async fn gone(&self) {
        self.token.cancelled().await;
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        // Marks our own among several of one stream.
        self.token.cancel();
        let mut open = self.publishers.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(tokens) = open.get_mut(&self.stream) {
            tokens.retain(|token| !token.is_cancelled());
            if tokens.is_empty() {
                open.remove(&self.stream);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn publishers_are_counted_and_sent_away() {
        let publishers = Publishers::default();
        let (one, two, other) = (publishers.enter("a"), publishers.enter("a"), publishers.enter("b"));
        assert_eq!(publishers.count(), 3);
        drop(two);
        assert_eq!((publishers.count(), publishers.kick("a"), publishers.kick("none")), (2, 1, 0));
        one.gone().await;
        drop(one);
        assert_eq!((publishers.count(), publishers.kick("a")), (1, 0));
        drop(other);
        assert_eq!(publishers.count(), 0);
    }
}
