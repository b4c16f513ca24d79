//! The bitrates that playlists and manifests announce.

use crate::store::RenditionInfo;

/// Head room of the announced peak over the encoder's target while nothing is measured, in per cent.
const NOMINAL_PEAK_PERCENT: u64 = 130;
/// Head room over the highest measured so far of a stream that goes on, in per cent.
const LIVE_HEAD_ROOM_PERCENT: u64 = 110;
/// First rate of the ladder on which a live stream's rates are rounded up, in bit/s.
const LEAST_STEP: u64 = 16_000;

/// Announced rates in bit/s.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Rates {
    /// `BANDWIDTH`, `@bandwidth`: the highest of any segment.
    pub peak: u64,
    /// `AVERAGE-BANDWIDTH`.
    pub average: u64,
}

impl Rates {
    /// What was asked of the encoder: before anything is measured, and for a file that is being packaged.
    pub fn nominal(info: &RenditionInfo) -> Self {
        Self { peak: info.bandwidth * NOMINAL_PEAK_PERCENT / 100, average: info.bandwidth }
    }

    /// What a complete stream came to.
    pub fn measured(info: &RenditionInfo, peak: Option<u64>, average: Option<u64>) -> Self {
        match (peak, average) {
            (Some(peak), Some(average)) => Self { peak, average },
            _ => Self::nominal(info),
        }
    }

    /// What a live stream announces: above what was measured by some head room, and on a coarse scale, so that players see the
    /// same figure for a long time. `encoded`: never below what was asked of the encoder, which may come to need it; what a
    /// publisher sends is what it sends.
    pub fn live(info: &RenditionInfo, encoded: bool, peak: Option<u64>, average: Option<u64>) -> Self {
        let nominal = Self::nominal(info);
        let (Some(peak), Some(average)) = (peak, average) else { return nominal };
        let room = |rate: u64| coarse(rate.saturating_mul(LIVE_HEAD_ROOM_PERCENT) / 100);
        let least = if encoded { nominal } else { Self { peak: 0, average: 0 } };
        let peak = least.peak.max(room(peak));
        Self { peak, average: least.average.max(room(average)).min(peak) }
    }
}

/// Rounds up on a scale whose steps are a quarter apart; 0 stays 0.
fn coarse(rate: u64) -> u64 {
    if rate == 0 {
        return 0;
    }
    let mut step = LEAST_STEP;
    while step < rate {
        step = step.saturating_add(step / 4);
    }
    step
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::TrackKind;

    fn info(bandwidth: u64) -> RenditionInfo {
        RenditionInfo {
            language: None,
            name: "source".into(),
            kind: TrackKind::Video,
            codecs: "avc1.64001f".into(),
            width: 1280,
            height: 720,
            frame_rate: (25, 1),
            sample_rate: 0,
            channels: 0,
            bandwidth,
            timescale: 90_000,
        }
    }

    #[test]
    fn a_live_rate_covers_what_was_measured_and_stays_where_it_is_while_that_moves_a_little() {
        let at = |peak, average| Rates::live(&info(9_000_000), false, Some(peak), Some(average));
        let first = at(2_500_000, 2_400_000);
        assert!(first.peak >= 2_750_000 && first.peak <= 3_500_000, "{first:?}");
        assert_eq!(at(2_550_000, 2_300_000).peak, first.peak);
        assert!(at(2_000_000_000, 1).peak >= 2_200_000_000);
        let nominal = Rates { peak: 1_300_000, average: 1_000_000 };
        assert_eq!(Rates::live(&info(1_000_000), true, Some(500_000), Some(400_000)), nominal);
        assert_eq!(Rates::live(&info(1_000_000), false, None, None), nominal, "nothing is measured yet");
        let steps: Vec<_> = (1..100).map(|i| coarse(i * 100_000)).collect();
        assert!(steps.windows(2).all(|w| w[0] <= w[1]));
        assert!((1..100).all(|i| coarse(i * 100_000) < i * 125_100 + LEAST_STEP));
    }

    #[test]
    fn an_average_is_never_above_the_peak() {
        for (peak, average) in [(100_000, 100_000), (20_000, 19_999), (1, 1)] {
            let rates = Rates::live(&info(9_000_000), false, Some(peak), Some(average));
            assert!(rates.average <= rates.peak, "{rates:?}");
        }
    }
}
