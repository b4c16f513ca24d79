//! Names of media files: unique for ever, so that caches may keep what they name for ever.
//!
//! Every name carries the stream's generation, which differs when a deleted stream is made again under its id.

/// Name of an init segment; `index` 0 is the rendition's first.
pub fn init_name(generation: &str, index: u32) -> String {
    if index == 0 { format!("init-{generation}.mp4") } else { format!("init-{generation}-{index}.mp4") }
}

/// Name of a segment.
pub fn segment_name(number: u32, generation: &str) -> String {
    format!("{number:05}-{generation}.m4s")
}

/// Name of the segment that a manifest says to begin at a tick of its rendition's timescale. Manifests do not count, for behind a
/// segment that a rendition lacks they would count wrong.
pub fn timed_name(start: u64, generation: &str) -> String {
    format!("t{start}-{generation}.m4s")
}

/// [`timed_name`] for every segment of a manifest's template.
pub fn timed_template(generation: &str) -> String {
    format!("t$Time$-{generation}.m4s")
}

/// Name of a part of a segment; parts count from 0.
pub fn part_name(segment: u32, part: u32, generation: &str) -> String {
    format!("{segment:05}.{part}-{generation}.m4s")
}

/// What a media file's name stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MediaName {
    /// An init segment by its index.
    Init(u32),
    /// A segment by its number.
    Segment(u32),
    /// A segment by the tick at which it begins.
    At(u64),
    /// A part by its segment's number and its index in it.
    Part(u32, u32),
}

/// Reads a name back; `None` for one that this generation of the stream would not give out.
pub fn parse_name(name: &str, generation: &str) -> Option<MediaName> {
    let (wanted, written) = if let Some(rest) = name.strip_prefix("init-") {
        let index = match rest.strip_suffix(".mp4")?.rsplit_once('-') {
            Some((_, index)) => index.parse().ok()?,
            None => 0,
        };
        (MediaName::Init(index), init_name(generation, index))
    } else if let Some(rest) = name.strip_prefix('t') {
        let start = rest.split_once('-')?.0.parse().ok()?;
        (MediaName::At(start), timed_name(start, generation))
    } else {
        let number = name.split_once('-')?.0;
        match number.split_once('.') {
            Some((segment, part)) => {
                let (segment, part) = (segment.parse().ok()?, part.parse().ok()?);
                (MediaName::Part(segment, part), part_name(segment, part, generation))
            }
            None => {
                let number = number.parse().ok()?;
                (MediaName::Segment(number), segment_name(number, generation))
            }
        }
    };
    // One spelling a file: "+7", "007" or another generation's name is none of ours.
    (written == name).then_some(wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back() {
        let rows = [
            ("init-k2.mp4", MediaName::Init(0)),
            ("init-k2-3.mp4", MediaName::Init(3)),
            ("00007-k2.m4s", MediaName::Segment(7)),
            ("123456-k2.m4s", MediaName::Segment(123_456)),
            ("t0-k2.m4s", MediaName::At(0)),
            ("t540000-k2.m4s", MediaName::At(540_000)),
            ("00007.0-k2.m4s", MediaName::Part(7, 0)),
            ("00012.11-k2.m4s", MediaName::Part(12, 11)),
        ];
        for (name, meaning) in rows {
            assert_eq!(parse_name(name, "k2"), Some(meaning), "{name}");
        }
        assert_eq!(
            [init_name("k2", 0), init_name("k2", 3), segment_name(7, "k2"), part_name(12, 11, "k2")],
            ["init-k2.mp4", "init-k2-3.mp4", "00007-k2.m4s", "00012.11-k2.m4s"]
        );
        assert_eq!(timed_template("k2").replace("$Time$", "540000"), timed_name(540_000, "k2"));
    }

    #[test]
    fn strangers_are_refused() {
        for name in [
            "7-k2.m4s",
            "00007-k1.m4s",
            "00007-k2.mp4",
            "+0007-k2.m4s",
            "00007.-k2.m4s",
            "00007.01-k2.m4s",
            "00007.+1-k2.m4s",
            "00007.1.2-k2.m4s",
            "99999999999-k2.m4s",
            "t007-k2.m4s",
            "t7-k1.m4s",
            "t-k2.m4s",
            "t7.0-k2.m4s",
            "t99999999999999999999-k2.m4s",
            "init-k2-0.mp4",
            "init-k2-01.mp4",
            "init-k1.mp4",
            "init-.mp4",
            "..",
            "",
            "init.mp4",
            "-1-k2.m4s",
        ] {
            assert_eq!(parse_name(name, "k2"), None, "{name}");
        }
    }
}
