//! The sound of a live stream: packets on a grid of their own, cut where the pictures are cut.

use std::collections::VecDeque;

use bytes::Bytes;

use super::session::Boundary;
use super::track::TrackWriter;
use crate::package::AudioConfig;
use crate::store::StoreError;

/// How far a packet's time stamp may be off the grid that its predecessors make, before it is believed. Publishers
/// round to milliseconds and worse; real drift shows as an offset that grows beyond this.
const TOLERANCE_NS: u64 = 20_000_000;
/// Pictures this much ahead of the sound do not wait for it any longer.
const LATE_NS: u64 = 1_500_000_000;
/// Silence reaches up to this much behind the pictures.
const SILENCE_LAG_NS: u64 = 1_000_000_000;
/// Where nothing was to be had for longer, and there is no silence to put there, a segment ends before the next begins.
const HOLE_NS: u64 = 500_000_000;
/// Packets that may wait for pictures.
const QUEUE: usize = 1024;
const QUEUE_BYTES: usize = 8 << 20;

/// One stream's sound.
#[derive(Debug)]
pub(super) struct Sound {
    pub(super) writer: TrackWriter,
    config: AudioConfig,
    /// A packet of silence, where one is known.
    silence: Option<Bytes>,
    /// Packets that no picture has overtaken yet: a boundary may still come before them.
    queue: VecDeque<(u64, Bytes)>,
    queued: usize,
    /// Where it begins: what lies before belongs to no segment of its.
    from_ns: u64,
    /// Where the next packet is due on the grid.
    due_ns: Option<u64>,
    /// Packets that came too late or were too many.
    pub(super) dropped: u64,
    /// Silence was put in because nothing came.
    pub(super) silent: bool,
}

impl Sound {
    pub(super) fn new(writer: TrackWriter, config: AudioConfig, from_ns: u64) -> Self {
        let queue = VecDeque::new();
        let silence = config.silence();
        Self { writer, config, silence, queue, queued: 0, from_ns, due_ns: None, dropped: 0, silent: false }
    }

    /// Holds a packet back until the pictures have come by.
    pub(super) fn hold(&mut self, at_ns: u64, data: Bytes) {
        self.queued += data.len();
        self.queue.push_back((at_ns, data));
        while self.queue.len() > QUEUE || self.queued > QUEUE_BYTES {
            if let Some((_, data)) = self.queue.pop_front() {
                self.queued -= data.len();
                self.dropped += 1;
            }
        }
    }

    /// Packs what lies before `frontier_ns`, up to which there are pictures, and silence where nothing came for long.
    /// Pictures are `ahead_ns` ahead of what their publisher sent along with them.
    pub(super) fn release(
        &mut self,
        frontier_ns: u64,
        ahead_ns: u64,
        boundaries: &VecDeque<Boundary>,
    ) -> Result<(), StoreError> {
        while self.queue.front().is_some_and(|(at, _)| *at < frontier_ns) {
            if let Some((at, data)) = self.queue.pop_front() {
                self.queued -= data.len();
                self.silent = false;
                self.pack(at, data, boundaries)?;
            }
        }
        let from = self.due_ns.unwrap_or(self.from_ns);
        let sent = frontier_ns.saturating_sub(ahead_ns);
        let reached = sent.saturating_sub(SILENCE_LAG_NS);
        if sent.saturating_sub(from) > LATE_NS
            && self.queue.is_empty()
            && let Some(silence) = self.silence.clone()
        {
            self.silent = true;
            let mut at = from;
            while at < reached {
                self.pack(at, silence.clone(), boundaries)?;
                at = self.due_ns.filter(|due| *due > at).unwrap_or(reached);
            }
        }
        Ok(())
    }

    /// Puts silence where the publisher left packets out, so that no packet seems to last as long as the hole.
    fn bridge(&mut self, until_ns: u64, boundaries: &VecDeque<Boundary>) -> Result<(), StoreError> {
        let Some(silence) = self.silence.clone() else { return Ok(()) };
        let length = self.config.packet_ns(&silence);
        while let Some(due) = self.due_ns.filter(|due| due + length + TOLERANCE_NS <= until_ns) {
            self.place(due, length, silence.clone(), boundaries)?;
        }
        Ok(())
    }

    /// Puts a packet on the grid and into its segment.
    pub(super) fn pack(
        &mut self,
        at_ns: u64,
        data: Bytes,
        boundaries: &VecDeque<Boundary>,
    ) -> Result<(), StoreError> {
        let length = self.config.packet_ns(&data);
        if self.due_ns.is_none() && at_ns + length <= self.from_ns {
            self.dropped += 1;
            return Ok(());
        }
        self.bridge(at_ns, boundaries)?;
        let at_ns = match self.due_ns {
            Some(due) if at_ns.abs_diff(due) <= TOLERANCE_NS => due,
            // What was due then has been packed (as silence, most likely).
            Some(due) if at_ns + length + TOLERANCE_NS <= due => {
                self.dropped += 1;
                return Ok(());
            }
            _ => at_ns,
        };
        self.place(at_ns, length, data, boundaries)
    }

    fn place(
        &mut self,
        at_ns: u64,
        length: u64,
        data: Bytes,
        boundaries: &VecDeque<Boundary>,
    ) -> Result<(), StoreError> {
        let due = self.due_ns.replace(at_ns + length);
        let dts = self.writer.ticks(at_ns);
        let here = self.writer.at().unwrap_or(0);
        let boundary = boundaries.iter().rev().find(|boundary| boundary.at_ns <= at_ns);
        if let Some(boundary) = boundary
            && boundary.number > here
        {
            // Behind a hole that nothing could be put into: what was last lasts no longer than its segment.
            let ended = boundaries.iter().find(|boundary| boundary.number > here).unwrap_or(boundary);
            let ended = ended.at_ns.max(due.unwrap_or(0));
            let end = if at_ns > ended.saturating_add(HOLE_NS) { self.writer.ticks(ended) } else { dts };
            self.writer.close(Some(end))?;
            self.writer.begin(boundary.number, boundary.discontinuity);
        }
        self.writer.push(dts, 0, true, data)
    }

    /// Packs all that is left and closes the segment.
    pub(super) fn finish(&mut self, boundaries: &VecDeque<Boundary>) -> Result<(), StoreError> {
        while let Some((at, data)) = self.queue.pop_front() {
            self.pack(at, data, boundaries)?;
        }
        self.queued = 0;
        self.writer.close(None)?;
        Ok(())
    }

    /// When the next packet is due.
    pub(super) fn due_ns(&self) -> Option<u64> {
        self.due_ns
    }
}
