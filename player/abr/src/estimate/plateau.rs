//! A level that the link has held for several transfers in a row.
//!
//! Averages over time climb slowly after a step up, all the more when downloads got short: a link that is back after an
//! outage would be distrusted for as long as the outage lasted. Several transfers in a row that agree with each other
//! are better evidence than an average over what came before them.

/// Transfers that must agree.
const COUNT: usize = 4;
/// The fastest of them is at most this many times the slowest.
const SPREAD: f64 = 1.1;

/// The rates of the last transfers.
#[derive(Clone, Debug, Default)]
pub struct Plateau {
    recent: [f64; COUNT],
    seen: usize,
}

impl Plateau {
    /// Takes in the rate of a transfer, in bit/s.
    pub fn add(&mut self, bps: f64) {
        self.recent.rotate_left(1);
        if let Some(last) = self.recent.last_mut() {
            *last = bps;
        }
        self.seen += 1;
    }

    /// The level in bit/s, by the slowest of the transfers; `None` while they disagree or are too few.
    pub fn get(&self) -> Option<f64> {
        let low = self.recent.iter().copied().fold(f64::INFINITY, f64::min);
        let high = self.recent.iter().copied().fold(0.0, f64::max);
        (self.seen >= COUNT && high <= SPREAD * low).then_some(low)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transfers_that_agree_make_a_level_and_one_that_does_not_ends_it() {
        let mut plateau = Plateau::default();
        for bps in [5.0e6, 5.2e6, 4.9e6] {
            plateau.add(bps);
            assert_eq!(plateau.get(), None, "three are too few");
        }
        plateau.add(5.1e6);
        assert_eq!(plateau.get(), Some(4.9e6));
        plateau.add(0.6e6);
        assert_eq!(plateau.get(), None);
    }
}
