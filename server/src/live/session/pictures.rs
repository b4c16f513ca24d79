//! The pictures of the running take: what is packed, and what stands in for pictures that do not come.

use bytes::Bytes;

use super::{Boundary, MS, SECOND, Session, Take, push_boundary};
use crate::live::cutter::Cut;
use crate::live::pace::Pace;
use crate::live::track::{Gap, Timed, TrackWriter};
use crate::live::{LiveUnit, SourceUnit};
use crate::store::{StoreError, TrackKind};

/// Pictures further apart than this are not one take.
const FROZEN: u64 = 5 * SECOND;
/// Pictures this much behind the sound do not come any more: the last key frame is shown in their place ...
const STILL: u64 = 3 * SECOND;
/// ... unless the last picture itself can be repeated. That is done for so long: whoever joins waits for a key frame.
const REPEATED: u64 = 30 * SECOND;

/// Parts that lack a picture before it is told.
const LACKING: u32 = 3;
/// Pictures in a row whose times do not go on before it is told.
const BEHIND: u32 = 50;

/// The pictures of a take.
#[derive(Debug)]
pub(super) struct Video {
    pub(super) writer: TrackWriter,
    /// When the newest picture or what stands in for it is decoded.
    last_ns: u64,
    /// When the publisher's newest picture is decoded.
    real_ns: u64,
    /// The newest key frame, to be shown while no pictures come.
    key: Option<Bytes>,
    /// It is shown: what comes back has to begin with a key frame.
    still: bool,
    /// The newest picture cannot be repeated.
    stuck: bool,
    /// Pictures in a row that were not later than what was there.
    behind: u32,
    pace: Pace,
    /// How far the sound has come.
    heard_ns: u64,
    /// When the picture is shown that is shown last of those that came, by the publisher's clock.
    newest_ns: i64,
}

impl Video {
    /// Pictures that begin at `at_ns`, while what else came was `ahead_ns` further.
    pub(super) fn new(writer: TrackWriter, at_ns: u64, part_ms: u32, ahead_ns: u64) -> Self {
        Self {
            writer,
            last_ns: at_ns,
            real_ns: at_ns,
            key: None,
            still: false,
            stuck: false,
            behind: 0,
            pace: Pace::new((u64::from(part_ms) * MS).max(ahead_ns)),
            heard_ns: at_ns,
            newest_ns: i64::MIN,
        }
    }

    /// When the newest picture is decoded.
    pub(super) fn last_ns(&self) -> u64 {
        self.last_ns
    }

    /// When the part in progress is due if nothing comes, by the publisher's decode times: it goes out as it is, or with a
    /// repetition of the last picture where there can be one.
    fn due_ns(&self, reorder_ns: u64) -> Option<u64> {
        let repeated = !self.still && !self.stuck && self.last_ns.saturating_sub(self.real_ns) <= REPEATED;
        let due = self.writer.ripe().or_else(|| self.writer.due(u64::MAX).filter(|_| repeated))?;
        Some(self.writer.ns(due).saturating_sub(reorder_ns))
    }
}

/// What is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// What the publisher sent.
    Fresh,
    /// What repeats it.
    Repeat,
    /// What the publisher sent and is decoded later than was thought; encoders have it already.
    Moved,
}

impl Session {
    /// A picture of the running take.
    pub(super) fn picture(&mut self, unit: LiveUnit, now_ms: u64) -> Result<(), StoreError> {
        let Some(take) = &mut self.take else { return Ok(()) };
        let Some(video) = &mut take.video else {
            // Pictures of a take that had to begin without: they get one as soon as there is a key frame.
            if unit.key {
                self.break_take()?;
                return self.accept(unit, now_ms);
            }
            self.told.dropped += 1;
            return Ok(());
        };
        // A key frame is decoded when it is shown, so that segments last as long as what they show, as those of encoded rungs
        // do, as far as the init segment allows it: what is held back for reordering is longer where pictures are further
        // apart. And a segment's pictures are decoded before its last one is shown, so that the next may begin there.
        let held = unit.pts_ns.saturating_sub(unit.dts_ns);
        let most = video.writer.most_held();
        let reorder = if unit.key && most > 0 { held.clamp(0, most) } else { take.anchor.reorder_ns };
        let newest = video.newest_ns.max(unit.pts_ns);
        let reorder = reorder.min(newest.saturating_sub(unit.dts_ns).max(0));
        let theirs_ns = unit.dts_ns.saturating_add(reorder);
        let Some(dts) = take.anchor.map(theirs_ns) else {
            self.told.dropped += 1;
            return Ok(());
        };
        if dts.saturating_sub(video.last_ns) > FROZEN {
            self.break_take()?;
            return self.accept(unit, now_ms);
        }
        if video.still && (!unit.key || dts <= video.last_ns) {
            self.told.dropped += 1;
            return Ok(());
        }
        let clock = if take.sound.is_some() { Some(video.heard_ns) } else { None };
        let told = dts.saturating_sub(reorder.unsigned_abs());
        video.pace.arrived(told, clock, now_ms.saturating_mul(MS));
        video.real_ns = video.real_ns.max(dts);
        video.newest_ns = newest;
        (video.still, video.stuck) = (false, false);
        if unit.key {
            video.key = Some(unit.data.clone());
        }
        let pts_ns = take.anchor.map_or_start(unit.pts_ns);
        self.show(dts, pts_ns, unit.pts_ns.saturating_sub(theirs_ns), unit.key, unit.data)?;
        if let Some(Take { anchor, video: Some(video), .. }) = &mut self.take {
            anchor.reorder_ns = reorder;
            video.writer.reordered(reorder);
        }
        Ok(())
    }

    /// Packs a picture at `dts`, shown at `pts_ns`, both on the stream's timeline, and what parts lack before it.
    fn show(
        &mut self,
        dts: u64,
        pts_ns: u64,
        offset_ns: i64,
        key: bool,
        data: Bytes,
    ) -> Result<(), StoreError> {
        let early = self.fill(dts, key)?;
        let offset_ns = offset_ns.saturating_add(i64::try_from(dts.saturating_sub(early)).unwrap_or(0));
        let Some(Take { video: Some(video), .. }) = &self.take else { return Ok(()) };
        let unit =
            Timed { dts: video.writer.ticks(early), offset: video.writer.signed_ticks(offset_ns), key, data };
        self.place(unit, early, pts_ns, Place::Fresh)
    }

    /// Packs what parts lack before a picture at `before`, and tells when that is to be decoded.
    fn fill(&mut self, before: u64, key: bool) -> Result<u64, StoreError> {
        loop {
            let Some(Take { video: Some(video), anchor, .. }) = &mut self.take else { return Ok(before) };
            let reorder = anchor.reorder();
            let writer = &mut video.writer;
            match writer.gap(writer.ticks(before), key) {
                None => return Ok(before),
                Some(Gap::Early(at)) => return Ok(writer.ns(at)),
                Some(Gap::Repeat(unit)) => {
                    let at = writer.ns(unit.dts);
                    self.place(unit, at, at.saturating_sub(reorder), Place::Repeat)?;
                }
                Some(Gap::Moved(unit)) => {
                    let (at, shown) = (writer.ns(unit.dts), writer.ns(unit.pts().max(0).unsigned_abs()));
                    self.place(unit, at, shown, Place::Moved)?;
                }
            }
        }
    }

    fn place(&mut self, unit: Timed, dts: u64, pts_ns: u64, how: Place) -> Result<(), StoreError> {
        let Some(Take { video: Some(video), cutter, boundaries, anchor, rungs, sound, .. }) = &mut self.take
        else {
            return Ok(());
        };
        let key = unit.key;
        let first = !video.writer.is_begun() && dts == anchor.ours_ns;
        video.behind = if dts > video.last_ns || first { 0 } else { video.behind.saturating_add(1) };
        // What stood in for a picture has its place: whatever comes later begins behind it.
        let dts = dts.max(video.last_ns);
        let lacking = video.writer.lacking() >= LACKING;
        let stamps = video.behind >= BEHIND;
        let cut = cutter.picture(dts, pts_ns, key);
        if cut == Cut::Forced {
            let text =
                "key frames are too far apart for the target duration: segments had to begin without one; \
                        set the encoder's key frame interval to 2 s"
                    .to_owned();
            self.told.warn(self.stream.id(), text);
        }
        let mut segment = first.then(|| boundaries.back().map_or(1, |boundary| boundary.number));
        if cut != Cut::No {
            let begins = video.writer.ticks(dts);
            Self::target(&self.stream, cutter)?;
            video.writer.close(Some(begins))?;
            let number = boundaries.back().map_or(1, |boundary| boundary.number.saturating_add(1));
            video.writer.begin(number, false);
            push_boundary(
                boundaries,
                Boundary { number, at_ns: dts, shown_ns: pts_ns, discontinuity: false },
            );
            segment = Some(number);
        }
        video.last_ns = video.last_ns.max(dts);
        self.edge_ns = self.edge_ns.max(dts);
        if let Some(rungs) = rungs.as_mut().filter(|_| how != Place::Moved) {
            rungs.push(SourceUnit { dts_ns: dts, pts_ns, key, segment, data: unit.data.clone() });
        }
        match how {
            Place::Fresh => video.writer.push(unit.dts, unit.offset, key, unit.data)?,
            Place::Repeat | Place::Moved => video.writer.pack(unit)?,
        }
        if let Some(sound) = sound {
            sound.release(dts, anchor.reorder(), boundaries)?;
            if sound.silent {
                let text = "no sound arrives any more: silence is sent in its place".to_owned();
                self.told.warn(self.stream.id(), text);
            }
        }
        if cut != Cut::No {
            self.at_boundary()?;
        }
        if stamps {
            let text = format!(
                "{BEHIND} pictures in a row came with times that were over already: the encoder's clock stands still, or its \
                 sound and its pictures are too far apart"
            );
            self.told.warn(self.stream.id(), text);
        }
        if lacking {
            let codec = self.setup(TrackKind::Video).map_or("these", |(setup, _)| setup.codec.name());
            let text = format!(
                "pictures come unevenly, and {codec} pictures of this kind cannot be repeated: parts of the source are longer or \
                 shorter than LL-HLS has them, so players may stall at the live edge; send a constant frame rate, or \
                 progressive H.264 or AV1"
            );
            self.told.warn(self.stream.id(), text);
        }
        Ok(())
    }

    /// The sound has got to `sound_ns`: pictures that should have come by now do not come in time. Where none come at all,
    /// the last key frame is shown along with the sound in the end, so that playlists go on.
    pub(super) fn heard(&mut self, sound_ns: u64) -> Result<(), StoreError> {
        let Some(live) = self.stream.live() else { return Ok(()) };
        if let Some(Take { video: Some(video), .. }) = &mut self.take {
            video.heard_ns = video.heard_ns.max(sound_ns);
        }
        self.stand_in(sound_ns)?;
        let step = u64::from(live.part_ms.max(1)) * MS;
        loop {
            let Some(Take { video: Some(video), .. }) = &mut self.take else { return Ok(()) };
            let ahead = sound_ns.saturating_sub(video.last_ns);
            let Some(key) = video.key.clone() else { return Ok(()) };
            if ahead < if video.still { step } else { STILL.max(step) } {
                return Ok(());
            }
            if !video.still {
                video.still = true;
                let text =
                    "no pictures arrive any more: the last key frame is shown in their place".to_owned();
                self.told.warn(self.stream.id(), text);
            }
            let at = video.last_ns.saturating_add(step);
            self.show(at, at, 0, true, key)?;
        }
    }

    /// Time has got to `clock_ns` of the stream: parts that are due by then end with a repetition.
    fn stand_in(&mut self, clock_ns: u64) -> Result<(), StoreError> {
        loop {
            let Some(take) = &mut self.take else { return Ok(()) };
            let reorder = take.anchor.reorder();
            let Some(video) = &mut take.video else { return Ok(()) };
            let Some(due) = video.due_ns(reorder).filter(|due| video.pace.is_late(*due, clock_ns)) else {
                return Ok(());
            };
            if video.writer.ripe().is_some() {
                video.writer.settle()?;
                continue;
            }
            let before = video.writer.due(u64::MAX);
            let just_behind =
                video.writer.ns(video.writer.ticks(due.saturating_add(reorder)).saturating_add(1));
            self.fill(just_behind, true)?;
            if let Some(Take { video: Some(video), .. }) = &mut self.take {
                video.stuck = video.writer.due(u64::MAX) == before;
            }
        }
    }

    /// When [`tick`](Self::tick) is to be called, by the wall clock in milliseconds since 1970: a stream without sound has
    /// nothing else to tell it that pictures do not come.
    pub(in crate::live) fn due_ms(&self) -> Option<u64> {
        let take = self.take.as_ref().filter(|take| take.sound.is_none())?;
        let video = take.video.as_ref()?;
        video.pace.due_at(video.due_ns(take.anchor.reorder())?).map(|ns| ns.div_ceil(MS))
    }

    /// Looks at the time: `now_ms` is the wall clock in milliseconds since 1970.
    pub(in crate::live) fn tick(&mut self, now_ms: u64) -> Result<(), StoreError> {
        let Some(take) = self.take.as_ref().filter(|take| take.sound.is_none()) else { return Ok(()) };
        let clock = take.video.as_ref().and_then(|video| video.pace.reading(now_ms.saturating_mul(MS)));
        clock.map_or(Ok(()), |clock| self.stand_in(clock))
    }
}
