//! Which rungs a source gets.

use serde::{Deserialize, Serialize};

/// One rung as a profile names it: a picture's short side and the bitrate that suits it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RungSpec {
    /// Lines of the picture (of the short side, for upright pictures). The rung's name is this and "p".
    pub lines: u32,
    /// Video bitrate in kbit/s.
    pub kbps: u32,
}

/// How hard the video encoder tries: the slower, the better the picture at the same bitrate.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Speed {
    /// For tests and weak machines.
    Ultrafast,
    /// Between the two.
    Superfast,
    /// The default; pictures above 720 lines are encoded `superfast`.
    #[default]
    Veryfast,
}

/// Whether the source's own pictures become the top rung, named "source", as they are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Passthrough {
    /// Where its codec, its shape and the distances of its key frames allow it.
    #[default]
    Auto,
    /// In any case: a file that does not allow it fails with the reason.
    Always,
    /// Everything is encoded.
    Never,
}

/// How a source becomes an adaptive stream. `Default` is the product's ladder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Profile {
    /// The rungs to choose from, in any order.
    pub rungs: Vec<RungSpec>,
    /// No rung above this many lines; `None` is no limit but the source's own size.
    pub max_lines: Option<u32>,
    /// Segment length in milliseconds, 1000 to 10 000.
    pub segment_ms: u32,
    /// Distance of key frames in milliseconds; divides `segment_ms`.
    pub gop_ms: u32,
    /// AAC bitrate in kbit/s, 32 to 320.
    pub audio_kbps: u32,
    /// Encoder effort.
    pub speed: Speed,
    /// Whether the source passes through. A live source always does.
    pub passthrough: Passthrough,
}

impl Default for Profile {
    fn default() -> Self {
        let rungs =
            [(240, 300), (360, 750), (480, 1200), (720, 2800), (1080, 5000), (1440, 9000), (2160, 16_000)];
        Self {
            rungs: rungs.into_iter().map(|(lines, kbps)| RungSpec { lines, kbps }).collect(),
            max_lines: None,
            segment_ms: 4000,
            gop_ms: 2000,
            audio_kbps: 128,
            speed: Speed::default(),
            passthrough: Passthrough::default(),
        }
    }
}

/// A rung of one concrete stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rung {
    /// "720p".
    pub name: String,
    /// Even, in square pixels.
    pub width: u32,
    /// Even.
    pub height: u32,
    /// kbit/s.
    pub kbps: u32,
}

impl Profile {
    /// Checks the ranges that the fields' documentation gives.
    ///
    /// # Errors
    /// One sentence that names the field and what it may be.
    pub fn check(&self) -> Result<(), String> {
        if self.rungs.is_empty() || self.rungs.len() > 15 {
            return Err("profile.rungs: give 1 to 15 rungs".to_owned());
        }
        for rung in &self.rungs {
            if !(16..=4320).contains(&rung.lines) || !(20..=200_000).contains(&rung.kbps) {
                return Err(format!(
                    "profile.rungs: {} lines at {} kbit/s is out of range (16 to 4320 lines, 20 to 200000 kbit/s)",
                    rung.lines, rung.kbps
                ));
            }
        }
        if self.max_lines.is_some_and(|lines| lines < 16) {
            return Err("profile.max_lines: at least 16".to_owned());
        }
        if !(1000..=10_000).contains(&self.segment_ms) {
            return Err("profile.segment_ms: 1000 to 10000".to_owned());
        }
        if self.gop_ms < 500 || !self.segment_ms.is_multiple_of(self.gop_ms) {
            return Err("profile.gop_ms: at least 500, and segment_ms must be a multiple of it".to_owned());
        }
        if !(32..=320).contains(&self.audio_kbps) {
            return Err("profile.audio_kbps: 32 to 320".to_owned());
        }
        Ok(())
    }

    /// The rungs for a source of `width` x `height` square pixels, lowest first.
    ///
    /// Never above the source's size or [`max_lines`](Self::max_lines). A source between two rungs gets the
    /// lower ones and itself, with a bitrate between its neighbours'; where it is within 10 % of the highest
    /// rung below it, it takes that rung's place.
    #[must_use]
    pub fn ladder_for(&self, width: u32, height: u32) -> Vec<Rung> {
        let (width, height) = (width.max(2), height.max(2));
        let own_lines = width.min(height);
        let top = own_lines.min(self.max_lines.unwrap_or(u32::MAX));
        let mut specs = self.rungs.clone();
        specs.sort_by_key(|rung| rung.lines);
        specs.dedup_by_key(|rung| rung.lines);
        let mut chosen: Vec<RungSpec> = specs.iter().copied().filter(|rung| rung.lines <= top).collect();
        if chosen.last().is_none_or(|rung| rung.lines < top) {
            if let Some(near) = chosen.last().copied()
                && top * 10 < near.lines * 11
            {
                chosen.pop();
                chosen.push(RungSpec { lines: top, kbps: near.kbps });
            } else {
                chosen.push(RungSpec { lines: top, kbps: interpolate(&specs, top) });
            }
        }
        chosen.iter().map(|rung| scaled(*rung, width, height)).collect()
    }
}

/// Bitrate for `lines`, on a straight line between the neighbours' logarithms; below the lowest and above
/// the highest rung in proportion to the number of pixels.
fn interpolate(sorted: &[RungSpec], lines: u32) -> u32 {
    let log = |value: u32| f64::from(value.max(1)).ln();
    let below = sorted.iter().rev().find(|rung| rung.lines <= lines);
    let above = sorted.iter().find(|rung| rung.lines > lines);
    let kbps = match (below, above) {
        (Some(a), Some(b)) => {
            let at = (log(lines) - log(a.lines)) / (log(b.lines) - log(a.lines));
            (log(a.kbps) + at * (log(b.kbps) - log(a.kbps))).exp()
        }
        (Some(only), None) | (None, Some(only)) => {
            f64::from(only.kbps) * (f64::from(lines) / f64::from(only.lines)).powi(2)
        }
        (None, None) => 1000.0,
    };
    (kbps.round() as u32).max(20)
}

fn scaled(rung: RungSpec, width: u32, height: u32) -> Rung {
    let short = width.min(height);
    let scale = |side: u32| {
        let exact = f64::from(side) * f64::from(rung.lines) / f64::from(short);
        ((exact / 2.0).round() as u32 * 2).min(side / 2 * 2).max(16)
    };
    Rung { name: format!("{}p", rung.lines), width: scale(width), height: scale(height), kbps: rung.kbps }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(width: u32, height: u32) -> Vec<String> {
        Profile::default()
            .ladder_for(width, height)
            .iter()
            .map(|r| format!("{} {}x{} {}", r.name, r.width, r.height, r.kbps))
            .collect()
    }

    #[test]
    fn a_1080_line_source_gets_every_rung_up_to_itself() {
        let want = [
            "240p 426x240 300",
            "360p 640x360 750",
            "480p 854x480 1200",
            "720p 1280x720 2800",
            "1080p 1920x1080 5000",
        ];
        assert_eq!(names(1920, 1080), want);
    }

    #[test]
    fn a_source_between_rungs_gets_the_lower_ones_and_itself() {
        let rungs = Profile::default().ladder_for(960, 544);
        let lines: Vec<&str> = rungs.iter().map(|r| r.name.as_str()).collect();
        assert_eq!(lines, ["240p", "360p", "480p", "544p"]);
        assert!((1200..2800).contains(&rungs[3].kbps));
        assert_eq!((rungs[3].width, rungs[3].height), (960, 544));
    }

    #[test]
    fn a_source_close_above_a_rung_takes_its_place() {
        assert_eq!(names(1920, 1088).last().map(String::as_str), Some("1088p 1920x1088 5000"));
    }

    #[test]
    fn a_tiny_source_is_its_own_only_rung_and_sizes_are_even() {
        let rungs = Profile::default().ladder_for(175, 143);
        assert_eq!(rungs.len(), 1);
        assert!(rungs[0].width % 2 == 0 && rungs[0].height % 2 == 0);
        assert!(rungs[0].kbps < 300);
    }

    #[test]
    fn upright_pictures_are_measured_across() {
        let rungs = Profile::default().ladder_for(1080, 1920);
        assert_eq!(rungs.last().map(|r| (r.name.as_str(), r.width, r.height)), Some(("1080p", 1080, 1920)));
        assert_eq!(rungs.first().map(|r| (r.width, r.height)), Some((240, 426)));
    }

    #[test]
    fn the_cap_holds() {
        let profile = Profile { max_lines: Some(720), ..Profile::default() };
        assert_eq!(profile.ladder_for(3840, 2160).last().map(|r| r.height), Some(720));
    }

    #[test]
    fn bad_profiles_are_named() {
        let bad = |change: fn(&mut Profile)| {
            let mut profile = Profile::default();
            change(&mut profile);
            profile.check().unwrap_err()
        };
        assert!(Profile::default().check().is_ok());
        assert!(bad(|p| p.rungs.clear()).contains("rungs"));
        assert!(bad(|p| p.gop_ms = 1500).contains("gop_ms"));
        assert!(bad(|p| p.segment_ms = 50).contains("segment_ms"));
        assert!(bad(|p| p.audio_kbps = 1).contains("audio_kbps"));
    }
}
