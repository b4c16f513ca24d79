//! What became of a webhook's deliveries.

use std::collections::VecDeque;

use super::model::{Delivery, DeliveryState};

/// Deliveries that are remembered beside those that wait.
const MOST: usize = 100;

/// The deliveries of one webhook, oldest first.
#[derive(Debug, Default)]
pub(super) struct Log {
    deliveries: VecDeque<Delivery>,
    waiting: usize,
    delivered: u64,
    failed: u64,
}

impl Log {
    /// Enters a delivery; `false` and entered as dropped when `most` wait already.
    pub(super) fn begin(&mut self, id: &str, event: &'static str, created_at: String, most: usize) -> bool {
        let room = self.waiting < most;
        self.deliveries.push_back(Delivery {
            id: id.to_owned(),
            event,
            state: if room { DeliveryState::Waiting } else { DeliveryState::Dropped },
            attempts: 0,
            status: None,
            error: None,
            created_at,
            next_attempt_at: None,
        });
        if room {
            self.waiting += 1;
        } else {
            self.failed += 1;
        }
        while self.deliveries.len() > MOST + self.waiting {
            // The oldest that is settled: what waits is still written to.
            let settled =
                self.deliveries.iter().position(|delivery| delivery.state != DeliveryState::Waiting);
            let Some(at) = settled else { break };
            self.deliveries.remove(at);
        }
        room
    }

    /// Notes an attempt's outcome.
    pub(super) fn note(
        &mut self,
        id: &str,
        state: DeliveryState,
        status: Option<u16>,
        error: Option<String>,
        next_attempt_at: Option<String>,
    ) {
        let Some(delivery) = self.deliveries.iter_mut().rev().find(|delivery| delivery.id == id) else {
            return;
        };
        delivery.attempts += 1;
        (delivery.state, delivery.status, delivery.error) = (state, status, error);
        delivery.next_attempt_at = next_attempt_at;
        match state {
            DeliveryState::Waiting => return,
            DeliveryState::Delivered => self.delivered += 1,
            DeliveryState::Failed | DeliveryState::Dropped => self.failed += 1,
        }
        self.waiting = self.waiting.saturating_sub(1);
    }

    pub(super) fn newest_first(&self) -> Vec<Delivery> {
        self.deliveries.iter().rev().cloned().collect()
    }

    pub(super) fn waiting(&self) -> usize {
        self.waiting
    }

    pub(super) fn delivered(&self) -> u64 {
        self.delivered
    }

    pub(super) fn failed(&self) -> u64 {
        self.failed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_is_bounded_and_so_is_what_is_remembered() {
        let mut log = Log::default();
        for n in 0..300 {
            assert_eq!(log.begin(&n.to_string(), "ping", String::new(), 5), n < 5);
        }
        assert_eq!((log.waiting(), log.failed()), (5, 295));
        assert!(log.newest_first().len() <= MOST + 5);
        // The waiting ones are still there to be settled.
        for n in 0..5 {
            log.note(&n.to_string(), DeliveryState::Delivered, Some(200), None, None);
        }
        assert_eq!((log.waiting(), log.delivered()), (0, 5));
    }
}
