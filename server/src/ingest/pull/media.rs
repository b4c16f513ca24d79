//! Media playlists (RFC 8216bis), line by line: numbered segments, parts, what stands for all that follow carried forward.

use std::collections::HashMap;
use std::sync::Arc;

use url::Url;

use super::PullError;
use super::attributes::{attribute, attributes};
use crate::ingest::fetch::{ByteRange, shown};

/// Segments in one playlist: a day in segments of one second.
const MOST_SEGMENTS: usize = 90_000;
/// Parts in one playlist: those of three target durations are listed, and each is a tenth of a second at least.
const MOST_PARTS: usize = 20_000;

/// A media playlist as it is now.
#[derive(Debug, Clone)]
pub(super) struct Media {
    /// Longest segment in seconds, at least 1.
    pub(super) target_s: u64,
    pub(super) segments: Vec<Segment>,
    /// Number that the segment after the last one will have.
    pub(super) next: u64,
    /// Nothing will be added.
    pub(super) ended: bool,
    /// What is needed to follow its parts; none where it has none, or cannot hold a reload.
    pub(super) low: Option<LowLatency>,
    /// The segment in progress, as far as its parts are listed. Its own address is not known yet.
    pub(super) open: Option<Segment>,
}

/// How parts are followed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct LowLatency {
    /// Longest part in seconds.
    pub(super) part_s: f64,
    /// How far from the end to stay, in seconds.
    pub(super) hold_back_s: f64,
}

/// A segment of a media playlist.
#[derive(Debug, Clone)]
pub(super) struct Segment {
    pub(super) number: u64,
    /// Its discontinuity sequence number: the same in every rendition.
    pub(super) run: u64,
    pub(super) resource: Resource,
    pub(super) seconds: f64,
    pub(super) key: Option<Arc<Key>>,
    pub(super) map: Option<Arc<Map>>,
    /// It is not there and will not be.
    pub(super) gap: bool,
    /// Its parts, where they are listed.
    pub(super) parts: Vec<Part>,
}

impl Segment {
    /// Whether its parts can be used for themselves: those of MP4 say when they are, and encryption reaches over all of
    /// a segment.
    pub(super) fn has_usable_parts(&self) -> bool {
        !self.parts.is_empty() && self.map.is_some() && self.key.is_none()
    }
}

/// A piece of a segment.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Part {
    pub(super) resource: Resource,
    pub(super) seconds: f64,
    /// Decoding can begin with it.
    pub(super) independent: bool,
    /// It is not there and will not be.
    pub(super) gap: bool,
}

/// Something to download.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Resource {
    pub(super) url: Url,
    pub(super) range: Option<ByteRange>,
}

/// How segments are encrypted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Key {
    pub(super) url: Url,
    /// Where none is given the segment's number is it.
    pub(super) iv: Option<[u8; 16]>,
}

/// An init segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Map {
    pub(super) resource: Resource,
    pub(super) key: Option<Arc<Key>>,
}

/// An address of a playlist made absolute.
pub(super) fn join(base: &Url, uri: &str) -> Result<Url, PullError> {
    base.join(uri.trim()).map_err(|error| PullError::Playlist {
        url: shown(base),
        why: format!("it names {:?}, which is no address: {error}", uri.chars().take(80).collect::<String>()),
    })
}

/// What tags said of the segment that comes next.
#[derive(Default)]
struct Coming {
    seconds: Option<f64>,
    range: Option<(u64, Option<u64>)>,
    gap: bool,
    parts: Vec<Part>,
    /// Keys of several systems may stand for one segment: one that can be used is enough.
    key: Option<Result<Option<Arc<Key>>, PullError>>,
}

struct Reader<'a> {
    base: &'a Url,
    target_s: f64,
    number: u64,
    run: u64,
    ended: bool,
    key: Option<Arc<Key>>,
    map: Option<Arc<Map>>,
    coming: Coming,
    /// Where a byte range without an offset goes on.
    ends: HashMap<Url, u64>,
    part_ends: HashMap<Url, u64>,
    segments: Vec<Segment>,
    parts: usize,
    part_s: Option<f64>,
    hold_back_s: Option<f64>,
    blocks: bool,
}

/// Reads a media playlist that came from `base`.
pub(super) fn read(base: &Url, text: &str) -> Result<Media, PullError> {
    let mut reader = Reader {
        base,
        target_s: 1.0,
        number: 0,
        run: 0,
        ended: false,
        key: None,
        map: None,
        coming: Coming::default(),
        ends: HashMap::new(),
        part_ends: HashMap::new(),
        segments: Vec::new(),
        parts: 0,
        part_s: None,
        hold_back_s: None,
        blocks: false,
    };
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        if line.starts_with('#') {
            reader.tag(line)?;
        } else {
            reader.uri(line)?;
        }
    }
    reader.finish()
}

impl Reader<'_> {
    fn wrong(&self, why: String) -> PullError {
        PullError::Playlist { url: shown(self.base), why }
    }

    fn tag(&mut self, line: &str) -> Result<(), PullError> {
        let (tag, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.trim();
        match tag {
            "#EXT-X-TARGETDURATION" => {
                self.target_s = value.parse().ok().filter(|s: &f64| s.is_finite()).unwrap_or(1.0);
            }
            // Numbers count from what the playlist says; tags behind the first segment come too late.
            "#EXT-X-MEDIA-SEQUENCE" if self.segments.is_empty() => self.number = value.parse().unwrap_or(0),
            "#EXT-X-DISCONTINUITY-SEQUENCE" if self.segments.is_empty() => {
                self.run = value.parse().unwrap_or(0);
            }
            "#EXTINF" => {
                let seconds = value.split(',').next().unwrap_or_default().trim();
                self.coming.seconds = seconds.parse().ok().filter(|s: &f64| s.is_finite());
            }
            "#EXT-X-BYTERANGE" => self.coming.range = range(value),
            "#EXT-X-DISCONTINUITY" => self.run = self.run.saturating_add(1),
            "#EXT-X-GAP" => self.coming.gap = true,
            "#EXT-X-KEY" => {
                let new = read_key(self.base, value);
                let usable = matches!(self.coming.key, Some(Ok(Some(_))));
                if !usable || new.is_ok() {
                    self.coming.key = Some(new);
                }
            }
            "#EXT-X-MAP" => self.set_map(value)?,
            "#EXT-X-PART" => self.part(value)?,
            "#EXT-X-PART-INF" => {
                let part_s = attribute(value, "PART-TARGET").and_then(|s| s.parse::<f64>().ok());
                self.part_s = part_s.filter(|s| (0.01..=60.0).contains(s));
            }
            "#EXT-X-SERVER-CONTROL" => {
                self.blocks = attribute(value, "CAN-BLOCK-RELOAD") == Some("YES");
                let hold_back = attribute(value, "PART-HOLD-BACK").and_then(|s| s.parse::<f64>().ok());
                self.hold_back_s = hold_back.filter(|s| (0.01..=600.0).contains(s));
            }
            "#EXT-X-ENDLIST" => self.ended = true,
            "#EXT-X-I-FRAMES-ONLY" => {
                return Err(self.wrong(
                    "it lists key frames only; give the address of the multivariant playlist".to_owned(),
                ));
            }
            _ => {}
        }
        Ok(())
    }

    fn set_map(&mut self, value: &str) -> Result<(), PullError> {
        let Some(uri) = attribute(value, "URI") else {
            return Err(self.wrong("an EXT-X-MAP has no URI".to_owned()));
        };
        let range = match attribute(value, "BYTERANGE") {
            None => None,
            Some(text) => {
                let (length, offset) = range(text)
                    .filter(|(length, _)| *length > 0)
                    .ok_or_else(|| self.wrong("an EXT-X-MAP has a byte range that is none".to_owned()))?;
                Some(ByteRange { offset: offset.unwrap_or(0), length })
            }
        };
        self.take_key()?;
        let resource = Resource { url: join(self.base, uri)?, range };
        if self.map.as_ref().is_none_or(|known| known.resource != resource) {
            self.map = Some(Arc::new(Map { resource, key: self.key.clone() }));
        }
        Ok(())
    }

    /// The key that was told last stands from here on.
    fn take_key(&mut self) -> Result<(), PullError> {
        if let Some(key) = self.coming.key.take() {
            self.key = key?;
        }
        Ok(())
    }

    fn part(&mut self, value: &str) -> Result<(), PullError> {
        let found: HashMap<&str, &str> = attributes(value).collect();
        let Some(uri) = found.get("URI") else {
            return Err(self.wrong("an EXT-X-PART has no URI".to_owned()));
        };
        self.parts += 1;
        if self.parts > MOST_PARTS {
            return Err(self.wrong(format!("it lists more than {MOST_PARTS} parts")));
        }
        let url = join(self.base, uri)?;
        let range = match found.get("BYTERANGE").map(|text| range(text)) {
            None => None,
            Some(Some((length, offset))) if length > 0 => {
                Some(follow(&mut self.part_ends, &url, length, offset))
            }
            Some(_) => return Err(self.wrong("a part has a byte range that is none".to_owned())),
        };
        let seconds = found.get("DURATION").and_then(|s| s.parse::<f64>().ok()).filter(|s| s.is_finite());
        self.coming.parts.push(Part {
            resource: Resource { url, range },
            seconds: seconds.unwrap_or(0.0).clamp(0.0, 3600.0),
            independent: found.get("INDEPENDENT") == Some(&"YES"),
            gap: found.get("GAP") == Some(&"YES"),
        });
        Ok(())
    }

    fn uri(&mut self, uri: &str) -> Result<(), PullError> {
        if self.segments.len() >= MOST_SEGMENTS {
            return Err(self.wrong(format!("it lists more than {MOST_SEGMENTS} segments")));
        }
        let url = join(self.base, uri)?;
        let range = self.coming.range.take();
        let range = range.map(|(length, offset)| follow(&mut self.ends, &url, length, offset));
        if range.is_some_and(|range| range.length == 0) {
            return Err(self.wrong("a segment has a byte range of no bytes".to_owned()));
        }
        let segment = self.segment(Resource { url, range })?;
        self.segments.push(segment);
        self.number = self.number.saturating_add(1);
        Ok(())
    }

    fn segment(&mut self, resource: Resource) -> Result<Segment, PullError> {
        self.take_key()?;
        let Coming { seconds, gap, parts, .. } = std::mem::take(&mut self.coming);
        Ok(Segment {
            number: self.number,
            run: self.run,
            resource,
            seconds: seconds.unwrap_or(self.target_s).clamp(0.0, 3600.0),
            key: self.key.clone(),
            map: self.map.clone(),
            gap,
            parts,
        })
    }

    fn finish(mut self) -> Result<Media, PullError> {
        let next = self.number;
        let open = if self.coming.parts.is_empty() || self.ended {
            None
        } else {
            let seconds = self.coming.parts.iter().map(|part| part.seconds).sum();
            let open = self.segment(Resource { url: self.base.clone(), range: None })?;
            Some(Segment { seconds, ..open })
        };
        let low = self.part_s.filter(|_| self.blocks).map(|part_s| LowLatency {
            part_s,
            // RFC 8216bis, 4.4.3.8: at least twice the longest part; three times is advised.
            hold_back_s: self.hold_back_s.unwrap_or(part_s * 3.0).max(part_s * 2.0),
        });
        Ok(Media {
            target_s: self.target_s.clamp(1.0, 86_400.0).ceil() as u64,
            segments: self.segments,
            next,
            ended: self.ended,
            low,
            open,
        })
    }
}

/// "length" or "length@offset".
fn range(text: &str) -> Option<(u64, Option<u64>)> {
    match text.trim().split_once('@') {
        Some((length, offset)) => Some((length.trim().parse().ok()?, Some(offset.trim().parse().ok()?))),
        None => Some((text.trim().parse().ok()?, None)),
    }
}

fn follow(ends: &mut HashMap<Url, u64>, url: &Url, length: u64, offset: Option<u64>) -> ByteRange {
    let offset = offset.unwrap_or_else(|| ends.get(url).copied().unwrap_or(0));
    ends.insert(url.clone(), offset.saturating_add(length));
    ByteRange { offset, length }
}

fn read_key(base: &Url, list: &str) -> Result<Option<Arc<Key>>, PullError> {
    let refused = |method: &str| PullError::Encrypted { url: shown(base), method: method.to_owned() };
    let found: HashMap<&str, &str> = attributes(list).collect();
    match found.get("METHOD").copied() {
        Some("NONE") => return Ok(None),
        Some("AES-128") => {}
        Some(other) => return Err(refused(&other.chars().take(40).collect::<String>())),
        None => return Err(refused("a method that it does not name")),
    }
    if found.get("KEYFORMAT").is_some_and(|format| *format != "identity") {
        return Err(refused("AES-128 with a key system"));
    }
    let uri = found.get("URI").ok_or_else(|| refused("AES-128 without a key's address"))?;
    let iv = found.get("IV").map(|text| {
        let digits = text.trim_start_matches("0x").trim_start_matches("0X");
        let value = u128::from_str_radix(digits, 16).ok().map(u128::to_be_bytes);
        value.ok_or_else(|| refused("AES-128 with an IV that is no 128-bit number"))
    });
    Ok(Some(Arc::new(Key { url: join(base, uri)?, iv: iv.transpose()? })))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn media(text: &str) -> Media {
        read(&Url::parse("http://host/live/a.m3u8?token=1").unwrap(), text).unwrap()
    }

    #[test]
    fn what_stands_for_all_that_follow_is_carried_forward() {
        let list = media(
            "#EXTM3U\n#EXT-X-TARGETDURATION:4.5\n#EXT-X-MEDIA-SEQUENCE:7\n#EXT-X-DISCONTINUITY-SEQUENCE:3\n\
             #EXT-X-KEY:METHOD=AES-128,URI=\"k1\"\n#EXT-X-MAP:URI=\"i.mp4\",BYTERANGE=\"100@0\"\n\
             #EXTINF:4,\n#EXT-X-BYTERANGE:50@100\nm.mp4\n#EXTINF:4.5,a title, with commas\n#EXT-X-BYTERANGE:60\nm.mp4\n\
             #EXT-X-DISCONTINUITY\n#EXT-X-KEY:METHOD=NONE\n#EXTINF:2,\n#EXT-X-GAP\nx.ts\n",
        );
        assert_eq!((list.target_s, list.next, list.ended, list.segments.len()), (5, 10, false, 3));
        let [a, b, c] = &list.segments[..] else { panic!("three") };
        assert_eq!((a.number, a.run, b.run, c.run, c.gap, b.gap), (7, 3, 3, 4, true, false));
        assert_eq!(b.resource.range, Some(ByteRange { offset: 150, length: 60 }));
        assert!(a.key.is_some() && b.key == a.key && c.key.is_none());
        assert!(a.map.is_some() && a.map == b.map && c.map == a.map, "one init segment");
        assert_eq!(a.map.as_ref().unwrap().resource.range, Some(ByteRange { offset: 0, length: 100 }));
        assert!(list.low.is_none() && list.open.is_none());
    }

    #[test]
    fn a_run_keeps_its_number_when_its_beginning_becomes_the_first_segment() {
        let runs = |text: &str| media(text).segments.iter().map(|s| s.run).collect::<Vec<_>>();
        let head = "#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXT-X-DISCONTINUITY-SEQUENCE:3\n";
        assert_eq!(runs(&format!("{head}#EXTINF:4,\na\n#EXT-X-DISCONTINUITY\n#EXTINF:4,\nb\n")), [3, 4]);
        assert_eq!(runs(&format!("{head}#EXT-X-DISCONTINUITY\n#EXTINF:4,\nb\n#EXTINF:4,\nc\n")), [4, 4]);
    }

    #[test]
    fn parts_belong_to_the_segment_behind_them_or_to_the_one_in_progress() {
        let list = media(
            "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK=1.5\n\
             #EXT-X-PART-INF:PART-TARGET=0.5\n#EXT-X-MEDIA-SEQUENCE:7\n#EXT-X-MAP:URI=\"i.mp4\"\n#EXTINF:2,\n7.m4s\n\
             #EXT-X-PART:DURATION=1,URI=\"8.m4s\",BYTERANGE=\"50@0\",INDEPENDENT=YES\n\
             #EXT-X-PART:DURATION=1,URI=\"8.m4s\",BYTERANGE=\"70\"\n#EXTINF:2,\n8.m4s\n\
             #EXT-X-DISCONTINUITY\n#EXT-X-MAP:URI=\"j.mp4\"\n#EXT-X-PART:DURATION=0.5,URI=\"9.0.m4s\",INDEPENDENT=YES\n\
             #EXT-X-PART:DURATION=0.5,URI=\"9.1.m4s\",GAP=YES\n#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"9.2.m4s\"\n",
        );
        assert_eq!(list.low, Some(LowLatency { part_s: 0.5, hold_back_s: 1.5 }));
        let [seven, eight] = &list.segments[..] else { panic!("two") };
        assert!(seven.parts.is_empty() && !seven.has_usable_parts() && eight.has_usable_parts());
        let ranges: Vec<_> = eight.parts.iter().map(|p| p.resource.range.unwrap()).collect();
        assert_eq!(ranges, [ByteRange { offset: 0, length: 50 }, ByteRange { offset: 50, length: 70 }]);
        let open = list.open.unwrap();
        assert_eq!((open.number, list.next, open.run, open.parts.len()), (9, 9, 1, 2));
        assert_eq!((open.seconds, open.parts[1].gap, open.parts[0].independent), (1.0, true, true));
        assert_eq!(open.map.unwrap().resource.url.path(), "/live/j.mp4");
        // Where a reload is not held, parts are of no use; nor are they behind a key.
        let plain = "#EXTM3U\n#EXT-X-PART-INF:PART-TARGET=0.5\n#EXTINF:2,\na\n";
        assert!(media(plain).low.is_none());
        let locked = "#EXTM3U\n#EXT-X-KEY:METHOD=AES-128,URI=\"k\"\n#EXT-X-MAP:URI=\"i\"\n\
                      #EXT-X-PART:DURATION=1,URI=\"p\"\n#EXTINF:2,\na\n";
        assert!(!media(locked).segments[0].has_usable_parts());
    }

    #[test]
    fn one_key_that_can_be_used_is_enough() {
        let system = "#EXT-X-KEY:METHOD=SAMPLE-AES,URI=\"skd://x\",KEYFORMAT=\"com.x\"\n";
        let plain = "#EXT-X-KEY:METHOD=AES-128,URI=\"k\",IV=0x1\n";
        for keys in [format!("{system}{plain}"), format!("{plain}{system}")] {
            let list = media(&format!("#EXTM3U\n{keys}#EXTINF:4,\na\n#EXTINF:4,\nb\n"));
            assert!(list.segments.iter().all(|segment| segment.key.is_some()), "{keys}");
        }
        let base = Url::parse("http://host/a").unwrap();
        assert!(read(&base, &format!("#EXTM3U\n{system}#EXTINF:4,\na\n")).is_err());
    }
}
