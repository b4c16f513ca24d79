//! When dropping pictures is no longer enough.

/// Length of the stretches that are judged, in nanoseconds of the stream's time.
const STRETCH_NS: u64 = 5_000_000_000;
/// Bad stretches in a row after which a rung has to go.
const PATIENCE: u32 = 2;

/// Counts what an encoder was offered and what it had no room for.
#[derive(Debug, Default)]
pub(super) struct Load {
    begun: Option<u64>,
    offered: u32,
    dropped: u32,
    bad: u32,
}

impl Load {
    pub(super) fn offered(&mut self) {
        self.offered += 1;
    }

    pub(super) fn dropped(&mut self, count: u32) {
        self.dropped += count;
    }

    /// Whether more than a fifth was dropped in each of the last two stretches of five seconds.
    pub(super) fn overloaded(&mut self, now_ns: u64) -> bool {
        let begun = *self.begun.get_or_insert(now_ns);
        if now_ns < begun + STRETCH_NS {
            return false;
        }
        self.bad = if self.dropped * 5 > self.offered { self.bad + 1 } else { 0 };
        (self.begun, self.offered, self.dropped) = (Some(now_ns), 0, 0);
        self.bad >= PATIENCE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Seconds until the load is too much, when every `n`th of 25 pictures a second is dropped.
    fn lasts(n: u32, seconds: u64) -> Option<u64> {
        let mut load = Load::default();
        (0..seconds * 25).find_map(|picture| {
            load.offered();
            if picture % u64::from(n) == 0 {
                load.dropped(1);
            }
            load.overloaded(picture * 40_000_000).then_some(picture / 25)
        })
    }

    #[test]
    fn a_few_dropped_pictures_are_borne_and_many_are_not() {
        assert_eq!(lasts(8, 3600), None);
        assert_eq!(lasts(2, 3600), Some(10));
    }

    #[test]
    fn a_short_burst_is_forgiven() {
        let mut load = Load::default();
        for picture in 0..25 * 60_u64 {
            load.offered();
            if picture < 100 {
                load.dropped(1);
            }
            assert!(!load.overloaded(picture * 40_000_000), "picture {picture}");
        }
    }
}
