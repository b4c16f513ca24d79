//! The list of a rendition's segments, on disk: one line for each thing that happened, appended.
//!
//! ```text
//! 7 24000 4000 51234               segment 7 is finished: start and duration in ticks, bytes
//! 7 24000 4000 51234 0 d 17000     the same of a live stream: init segment, marks or '-', wall clock or '-';
//!                                  marks are d for a discontinuity and n for one that does not begin with a key frame
//! + 8 28000 0 - 21000              segment 8 is begun; its chunks go into 00008.open
//! p 20123 500                      one more chunk of it: bytes, duration
//! - 3 1                            segments below 3 are not listed any more, and had 1 discontinuity
//! ```

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use super::StoreError;
use super::entry::{OpenSegment, SegmentEntry};

/// What a journal tells about a rendition.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Listed {
    /// Segments that can be trusted.
    pub(super) entries: Vec<SegmentEntry>,
    /// Those before them that are not listed any more and whose files are still there.
    pub(super) left: Vec<SegmentEntry>,
    /// Discontinuities of those that went.
    pub(super) discontinuities: u64,
}

#[derive(Debug, Clone, Copy)]
enum Line {
    Finished(SegmentEntry),
    Begun(OpenSegment),
    Chunk { bytes: u64, duration: u64 },
    Gone { first: u32, discontinuities: u64 },
}

fn number<T: std::str::FromStr>(field: Option<&str>) -> Option<T> {
    // `parse` would take "+7".
    field.filter(|text| text.bytes().all(|b| b.is_ascii_digit()))?.parse().ok()
}

/// What lines of live streams end with.
#[derive(Debug, Clone, Copy)]
struct Tail {
    init: u32,
    discontinuity: bool,
    wall_ms: Option<u64>,
    independent: bool,
}

impl Tail {
    fn read<'a>(fields: &mut impl Iterator<Item = &'a str>) -> Option<Self> {
        let init = number(fields.next())?;
        let (discontinuity, independent) = match fields.next()? {
            "-" => (false, true),
            "d" => (true, true),
            "n" => (false, false),
            "dn" => (true, false),
            _ => return None,
        };
        let wall_ms = match fields.next()? {
            "-" => None,
            text => Some(number(Some(text))?),
        };
        Some(Self { init, discontinuity, wall_ms, independent })
    }

    fn write(&self) -> String {
        let Self { init, discontinuity, wall_ms, independent } = self;
        let marks = match (discontinuity, independent) {
            (false, true) => "-",
            (true, true) => "d",
            (false, false) => "n",
            (true, false) => "dn",
        };
        wall_ms.map_or_else(|| format!("{init} {marks} -"), |ms| format!("{init} {marks} {ms}"))
    }
}

impl Line {
    fn parse(line: &str) -> Option<Self> {
        let mut fields = line.split(' ').peekable();
        let parsed = match *fields.peek()? {
            "+" => {
                fields.next();
                let (segment, start) = (number(fields.next())?, number(fields.next())?);
                let Tail { init, discontinuity, wall_ms, independent } = Tail::read(&mut fields)?;
                Self::Begun(OpenSegment { number: segment, start, init, discontinuity, wall_ms, independent })
            }
            "p" => {
                fields.next();
                Self::Chunk { bytes: number(fields.next())?, duration: number(fields.next())? }
            }
            "-" => {
                fields.next();
                Self::Gone { first: number(fields.next())?, discontinuities: number(fields.next())? }
            }
            _ => {
                let mut entry = SegmentEntry::plain(
                    number(fields.next())?,
                    number(fields.next())?,
                    number(fields.next())?,
                    number(fields.next())?,
                );
                if fields.peek().is_some() {
                    let tail = Tail::read(&mut fields)?;
                    (entry.init, entry.discontinuity) = (tail.init, tail.discontinuity);
                    (entry.wall_ms, entry.independent) = (tail.wall_ms, tail.independent);
                }
                Self::Finished(entry)
            }
        };
        fields.next().is_none().then_some(parsed)
    }

    fn write(&self) -> String {
        match *self {
            Self::Finished(entry) => {
                let SegmentEntry {
                    number,
                    start,
                    duration,
                    bytes,
                    init,
                    discontinuity,
                    wall_ms,
                    independent,
                } = entry;
                let plain = format!("{number} {start} {duration} {bytes}");
                if entry == SegmentEntry::plain(number, start, duration, bytes) {
                    return plain + "\n";
                }
                format!("{plain} {}\n", Tail { init, discontinuity, wall_ms, independent }.write())
            }
            Self::Begun(OpenSegment { number, start, init, discontinuity, wall_ms, independent }) => {
                format!("+ {number} {start} {}\n", Tail { init, discontinuity, wall_ms, independent }.write())
            }
            Self::Chunk { bytes, duration } => format!("p {bytes} {duration}\n"),
            Self::Gone { first, discontinuities } => format!("- {first} {discontinuities}\n"),
        }
    }
}

/// A segment that was in progress when the journal ended, as far as its chunks were noted.
#[derive(Debug, Clone, Copy)]
struct Unfinished {
    open: OpenSegment,
    bytes: u64,
    duration: u64,
}

/// Follows the lines as long as they make sense. Returns the list, what was in progress, and the journal's
/// length in bytes up to where it can be trusted.
fn read(folder: &Path, text: &str) -> (Listed, Option<Unfinished>, u64) {
    let mut listed = Listed::default();
    let mut begun: Option<Unfinished> = None;
    // Where each entry's line ends, so that a missing file can cut the list there.
    let mut ends = Vec::new();
    let mut trusted = 0;
    for raw in text.split_inclusive('\n') {
        let Some(line) = raw.strip_suffix('\n').and_then(Line::parse) else { break };
        // A journal may begin anywhere: a rendition can join a live stream late.
        let follows = |number: u32, start: u64| match listed.entries.last() {
            None => number >= 1,
            Some(last) => last.number.checked_add(1) == Some(number) && start >= last.end(),
        };
        match line {
            Line::Finished(entry) => {
                let sane = entry.duration > 0 && entry.start.checked_add(entry.duration).is_some();
                if !sane || !follows(entry.number, entry.start) {
                    break;
                }
                begun = None;
                listed.entries.push(entry);
                ends.push(trusted + raw.len() as u64);
            }
            Line::Begun(open) => {
                if !follows(open.number, open.start) {
                    break;
                }
                begun = Some(Unfinished { open, bytes: 0, duration: 0 });
            }
            Line::Chunk { bytes, duration } => {
                let Some(unfinished) = &mut begun else { break };
                let (Some(bytes), Some(duration)) =
                    (unfinished.bytes.checked_add(bytes), unfinished.duration.checked_add(duration))
                else {
                    break;
                };
                (unfinished.bytes, unfinished.duration) = (bytes, duration);
            }
            Line::Gone { first, discontinuities } => {
                let going = listed.entries.iter().take_while(|entry| entry.number < first).count();
                listed.left.extend(listed.entries.drain(..going));
                ends.drain(..going);
                listed.discontinuities = discontinuities;
            }
        }
        trusted += raw.len() as u64;
    }
    let is_whole = |entry: &SegmentEntry| {
        let on_disk = std::fs::metadata(segment_path(folder, entry.number)).map(|m| m.len());
        entry.is_gap() || on_disk.ok() == Some(entry.bytes)
    };
    let mut next = listed.entries.first().map_or(0, |first| first.number);
    let there = listed.left.iter().rev().take_while(|entry| {
        let follows = entry.number.checked_add(1) == Some(next);
        next = entry.number;
        follows && is_whole(entry)
    });
    let gone = listed.left.len() - there.count();
    listed.left.drain(..gone);
    let whole = listed.entries.iter().take_while(|entry| is_whole(entry)).count();
    if whole < listed.entries.len() {
        // The first file that is not as listed ends the list: it is what was being written when power failed.
        trusted = whole.checked_sub(1).and_then(|last| ends.get(last)).copied().unwrap_or(0);
        listed.entries.truncate(whole);
        if whole == 0 {
            listed.left.clear();
        }
        begun = None;
    }
    (listed, begun, trusted)
}

pub(super) fn segment_path(folder: &Path, number: u32) -> PathBuf {
    folder.join(format!("{number:05}.m4s"))
}

pub(super) fn open_path(folder: &Path, number: u32) -> PathBuf {
    folder.join(format!("{number:05}.open"))
}

/// Lines of segments that are gone which a journal may hold before it is written anew.
const DEAD_LINES: u32 = 20_000;

/// The journal, open for appending.
#[derive(Debug)]
pub(super) struct Journal {
    path: PathBuf,
    /// None: it is not there yet.
    file: Option<File>,
    /// Lines since it was last written anew.
    lines: u32,
    /// Bytes of whole lines.
    length: u64,
    /// A line may have got there in part, as on a disk that is full.
    torn: bool,
}

impl Journal {
    /// Reads `folder/journal` (none is an empty one), cuts off a torn tail, finishes a segment that was in
    /// progress as far as its chunks are there, and opens the journal for appending.
    pub(super) fn open(folder: &Path) -> Result<(Self, Listed), StoreError> {
        let path = folder.join("journal");
        let raw = match std::fs::read(&path) {
            Ok(raw) => raw,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(StoreError::io("read", &path, error)),
        };
        let text = String::from_utf8_lossy(&raw);
        let (mut listed, unfinished, trusted) = read(folder, &text);
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&path)
            .map_err(|e| StoreError::io("open", &path, e))?;
        if (raw.len() as u64) > trusted {
            tracing::info!(path = %path.display(), kept = listed.entries.len(), "cut a torn tail off the journal");
            file.set_len(trusted).map_err(|e| StoreError::io("shorten", &path, e))?;
        }
        let lines = u32::try_from(text.lines().count()).unwrap_or(u32::MAX);
        let mut journal = Self { path, file: Some(file), lines, length: trusted, torn: false };
        if let Some(entry) = unfinished.and_then(|unfinished| rescue(folder, unfinished)) {
            journal.append(&entry, false)?;
            listed.entries.push(entry);
        }
        Ok((journal, listed))
    }

    /// One that is to be in `folder`, and cannot be made now.
    pub(super) fn absent(folder: &Path) -> Self {
        Self { path: folder.join("journal"), file: None, lines: 0, length: 0, torn: false }
    }

    /// Makes one that was absent. What lies in its place is another's.
    pub(super) fn establish(&mut self) -> Result<(), StoreError> {
        if self.file.is_none() {
            super::atomic::write(&self.path, b"", false)?;
            self.reopen()?;
        }
        Ok(())
    }

    fn reopen(&mut self) -> Result<(), StoreError> {
        let file = OpenOptions::new().append(true).open(&self.path);
        self.file = Some(file.map_err(|e| StoreError::io("open", &self.path, e))?);
        Ok(())
    }

    fn file(&mut self) -> Result<(&mut File, &Path), StoreError> {
        let Self { file, path, .. } = self;
        match file {
            Some(file) => Ok((file, path)),
            None => {
                let why = std::io::Error::new(std::io::ErrorKind::NotFound, "it could not be made yet");
                Err(StoreError::io("append to", path, why))
            }
        }
    }

    /// Notes a finished segment.
    pub(super) fn append(&mut self, entry: &SegmentEntry, fsync: bool) -> Result<(), StoreError> {
        self.line(Line::Finished(*entry))?;
        if fsync {
            let (file, path) = self.file()?;
            file.sync_data().map_err(|e| StoreError::io("flush", path, e))?;
        }
        Ok(())
    }

    /// Notes that a segment is begun.
    pub(super) fn begin(&mut self, open: &OpenSegment) -> Result<(), StoreError> {
        self.line(Line::Begun(*open))
    }

    /// Notes one more chunk of it.
    pub(super) fn chunk(&mut self, bytes: u64, duration: u64) -> Result<(), StoreError> {
        self.line(Line::Chunk { bytes, duration })
    }

    /// Notes that segments below `first` are not listed any more. `left` are those that are, used when it is
    /// time to write the journal anew.
    pub(super) fn gone(
        &mut self,
        first: u32,
        discontinuities: u64,
        left: &[SegmentEntry],
    ) -> Result<(), StoreError> {
        let line = Line::Gone { first, discontinuities };
        if self.lines < DEAD_LINES.max(left.len() as u32 * 2) {
            return self.line(line);
        }
        let lines: String =
            std::iter::once(line.write()).chain(left.iter().map(|e| Line::Finished(*e).write())).collect();
        super::atomic::write(&self.path, lines.as_bytes(), false)?;
        self.reopen()?;
        self.lines = left.len() as u32 + 1;
        (self.length, self.torn) = (lines.len() as u64, false);
        Ok(())
    }

    /// What a disk does that is full in the middle of a line.
    #[cfg(test)]
    pub(super) fn tear(&mut self, half: &[u8]) {
        let _ = self.file().unwrap().0.write_all(half);
        self.torn = true;
    }

    /// Adds one line in one write, after what is left of one that failed was cut off.
    fn line(&mut self, line: Line) -> Result<(), StoreError> {
        let (length, torn) = (self.length, self.torn);
        let (file, path) = self.file()?;
        if torn {
            file.set_len(length).map_err(|e| StoreError::io("shorten", path, e))?;
        }
        let text = line.write();
        let written = file.write_all(text.as_bytes()).map_err(|e| StoreError::io("append to", path, e));
        self.torn = written.is_err();
        written?;
        self.lines = self.lines.saturating_add(1);
        self.length += text.len() as u64;
        Ok(())
    }
}

/// Makes a segment of the chunks that a killed process had written. At most the chunk that it was writing is
/// lost.
fn rescue(folder: &Path, unfinished: Unfinished) -> Option<SegmentEntry> {
    let Unfinished { open, bytes, duration } = unfinished;
    let path = open_path(folder, open.number);
    if bytes == 0 || duration == 0 {
        let _ = std::fs::remove_file(&path);
        return None;
    }
    let done = segment_path(folder, open.number);
    // It may have got its name already, and only the line was still missing.
    let path = if path.exists() { path } else { done.clone() };
    let result = (|| {
        let file = OpenOptions::new().write(true).open(&path)?;
        if file.metadata()?.len() < bytes {
            return Err(std::io::Error::other("it is shorter than noted"));
        }
        file.set_len(bytes)?;
        std::fs::rename(&path, &done)
    })();
    if let Err(error) = result {
        tracing::warn!(path = %path.display(), %error, "cannot keep what there is of an unfinished segment");
        return None;
    }
    let OpenSegment { number, start, init, discontinuity, wall_ms, independent } = open;
    Some(SegmentEntry { number, start, duration, bytes, init, discontinuity, wall_ms, independent })
}
