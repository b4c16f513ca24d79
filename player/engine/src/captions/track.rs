//! Captions of a track of pictures, gathered as the pictures go to the decoder.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use gstreamer as gst;

use super::{
    cea608::Decoder,
    cea708::{Packets, SERVICES, Service, blocks},
    sei::{self, Form},
};
use crate::{
    samples::{SECOND, Sample},
    subtitles::Cue,
};

/// Which of the captions: a place in [`CHANNELS`].
pub(crate) type Channel = usize;

/// How they are called: the channels of CEA-608, then the services of CEA-708.
pub(crate) const CHANNELS: [&str; FIELD_CHANNELS + SERVICES] =
    ["CC1", "CC2", "CC3", "CC4", "SERVICE1", "SERVICE2", "SERVICE3", "SERVICE4", "SERVICE5", "SERVICE6"];

/// So many of them are of CEA-608.
pub(crate) const FIELD_CHANNELS: usize = 4;

/// A caption that nobody takes away goes after so long (CTA-608, C.9).
const FORGOTTEN: i64 = 16 * SECOND;
/// Cues are kept for so long.
const KEPT: i64 = 30 * SECOND;
/// Most cues of a channel, and most pictures that wait for those shown before them.
const MOST_CUES: usize = 4000;
const MOST_WAITING: usize = 64;

/// See the module's page. Shared by the feeder that reads the pictures and the session that shows the cues.
#[derive(Debug, Default)]
pub(crate) struct Captions(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    form: Option<(gst::Caps, Option<Form>)>,
    /// Pairs of pictures that are not shown yet, by their time: they are decoded in another order.
    waiting: BTreeMap<i64, Vec<(u8, u8, u8)>>,
    fields: [Field; 2],
    decoders: [Decoder; FIELD_CHANNELS],
    packets: Packets,
    services: [Service; SERVICES],
    /// Of each channel.
    lines: [Line; CHANNELS.len()],
    /// Channels that had something to say.
    found: [bool; CHANNELS.len()],
}

/// One of the two fields of a picture.
#[derive(Debug, Default)]
struct Field {
    /// The second of its two channels was addressed last.
    second: bool,
    last: Option<(u8, u8)>,
    /// In a packet of data about the programme (XDS).
    data: bool,
}

#[derive(Debug, Default)]
struct Line {
    cues: VecDeque<Arc<Cue>>,
    /// So many of the newest are on screen.
    open: usize,
}

impl Captions {
    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic elsewhere leaves nothing half done that matters.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A picture on its way to the decoder, in decode order.
    pub(crate) fn sample(&self, sample: &Sample) {
        let mut state = self.lock();
        let caps = &sample.payload.caps;
        if state.form.as_ref().is_none_or(|(known, _)| known != caps) {
            state.form = Some((caps.clone(), Form::of(caps)));
        }
        let Some((_, Some(form))) = state.form else { return };
        let Ok(data) = sample.payload.buffer.map_readable() else { return };
        let mut pairs = Vec::new();
        sei::pairs(&data, form, |field, first, second| pairs.push((field, first, second)));
        if !pairs.is_empty() {
            state.waiting.insert(sample.pts, pairs);
        }
        // What is shown before this one is decoded has come.
        while let Some(first) = state.waiting.first_entry()
            && (*first.key() < sample.dts || state.waiting.len() > MOST_WAITING)
        {
            let Some((at, pairs)) = state.waiting.pop_first() else { break };
            state.take(at, &pairs);
        }
    }

    /// What comes next is not what came after what was there.
    pub(crate) fn reset(&self) {
        let mut state = self.lock();
        let found = state.found;
        *state = State { found, ..State::default() };
    }

    /// Channels that had something to say so far.
    pub(crate) fn found(&self) -> [bool; CHANNELS.len()] {
        self.lock().found
    }

    /// What a channel says between two places.
    pub(crate) fn cues(&self, channel: Channel, from: Duration, to: Duration) -> Vec<Arc<Cue>> {
        let state = self.lock();
        let cues = state.lines.get(channel).into_iter().flat_map(|line| &line.cues);
        cues.filter(|cue| cue.start < to && cue.end > from).cloned().collect()
    }
}

impl State {
    /// The pairs of a picture that is shown `at`.
    fn take(&mut self, at: i64, pairs: &[(u8, u8, u8)]) {
        let mut touched = [false; CHANNELS.len()];
        for &(kind, first, second) in pairs {
            if kind >= 2 {
                self.packet(kind == 3, first, second, &mut touched);
            } else if let Some(channel) = self.pair(usize::from(kind), first, second)
                && let Some(touched) = touched.get_mut(channel)
            {
                *touched = true;
            }
        }
        let (now, end) = (time(at), time(at.saturating_add(FORGOTTEN)));
        for (channel, line) in self.lines.iter_mut().enumerate() {
            if touched.get(channel) != Some(&true) {
                continue;
            }
            let seen = match channel.checked_sub(FIELD_CHANNELS) {
                None => self.decoders.get(channel).map(|decoder| decoder.shown().cues(now, end)),
                Some(service) => self.services.get(service).map(|service| service.cues(now, end)),
            };
            if line.follow(at, seen.unwrap_or_default())
                && let Some(found) = self.found.get_mut(channel)
            {
                *found = true;
            }
        }
    }

    /// Two bytes of CEA-708.
    fn packet(&mut self, begins: bool, first: u8, second: u8, touched: &mut [bool; CHANNELS.len()]) {
        let Some(data) = self.packets.take(begins, first, second) else { return };
        for (number, block) in blocks(&data) {
            let place = number.checked_sub(1);
            let service = place.and_then(|at| self.services.get_mut(at));
            let touched = place.and_then(|at| touched.get_mut(FIELD_CHANNELS + at));
            if let (Some(service), Some(touched)) = (service, touched) {
                service.block(block);
                *touched = true;
            }
        }
    }

    /// One pair; the channel that it changed.
    fn pair(&mut self, at: usize, first: u8, second: u8) -> Option<Channel> {
        let field = self.fields.get_mut(at)?;
        match first {
            0 => None,
            // Field 2 has packets of data between the captions; they end with 0x0F.
            0x01..=0x0F => {
                field.data = first != 0x0F;
                None
            }
            0x10..=0x1F => {
                field.data = false;
                // Commands are sent twice, for one of them may be lost.
                if field.last.take() == Some((first, second)) {
                    return None;
                }
                field.last = Some((first, second));
                field.second = first & 0x08 != 0;
                let channel = at * 2 + usize::from(field.second);
                self.decoders.get_mut(channel)?.control(first & 0x17, second);
                Some(channel)
            }
            _ => {
                field.last = None;
                if field.data {
                    return None;
                }
                let channel = at * 2 + usize::from(field.second);
                let decoder = self.decoders.get_mut(channel)?;
                decoder.character(first);
                decoder.character(second);
                Some(channel)
            }
        }
    }
}

impl Line {
    /// This is seen from now on; `true` when there is something new to see.
    fn follow(&mut self, at: i64, seen: Vec<Cue>) -> bool {
        let first = self.cues.len().saturating_sub(self.open);
        let same = |(old, new): (&Arc<Cue>, &Cue)| old.spans == new.spans && old.place == new.place;
        if seen.len() == self.open && self.cues.iter().skip(first).zip(&seen).all(same) {
            return false;
        }
        let now = time(at);
        for cue in self.cues.iter_mut().skip(first) {
            let end = now.max(cue.start).min(cue.end);
            *cue = Arc::new(Cue { end, ..Cue::clone(cue) });
        }
        self.open = seen.len();
        self.cues.extend(seen.into_iter().map(Arc::new));
        let old = time(at.saturating_sub(KEPT));
        while self.cues.len() > self.open
            && (self.cues.len() > MOST_CUES || self.cues.front().is_some_and(|cue| cue.end < old))
        {
            self.cues.pop_front();
        }
        self.open > 0
    }
}

fn time(nanoseconds: i64) -> Duration {
    Duration::from_nanos(nanoseconds.max(0).unsigned_abs())
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: i64 = 1_000_000;

    fn state(script: &[(i64, u8, (u8, u8))]) -> State {
        let mut state = State::default();
        for &(ms, field, (first, second)) in script {
            state.take(ms * MS, &[(field, first, second)]);
        }
        state
    }

    fn told(state: &State, channel: Channel) -> Vec<(String, u128, u128)> {
        let cues = &state.lines[channel].cues;
        cues.iter().map(|cue| (cue.text(), cue.start.as_millis(), cue.end.as_millis())).collect()
    }

    fn pop_on(ms: i64, field: u8, channel: u8, text: &str) -> Vec<(i64, u8, (u8, u8))> {
        let bit = channel << 3;
        let mut script = vec![(ms, field, (0x14 | bit, 0x20)), (ms, field, (0x14 | bit, 0x2E))];
        script.push((ms, field, (0x14 | bit, 0x70)));
        let padded = text.as_bytes().chunks(2).map(|two| (ms, field, (two[0], *two.get(1).unwrap_or(&0))));
        script.extend(padded);
        script.push((ms + 500, field, (0x14 | bit, 0x2F)));
        script
    }

    #[test]
    fn a_caption_is_shown_from_its_command_to_the_next_one_or_for_sixteen_seconds() {
        let mut script = pop_on(0, 0, 0, "first");
        script.extend(pop_on(1000, 0, 0, "second"));
        let state = state(&script);
        assert_eq!(told(&state, 0), [("first".into(), 500, 1500), ("second".into(), 1500, 17_500)]);
        assert_eq!(state.found.iter().position(|found| *found), Some(0));
        assert_eq!(state.found.iter().filter(|found| **found).count(), 1);
    }

    #[test]
    fn channels_of_both_fields_and_data_about_the_programme_do_not_mix() {
        let mut script = pop_on(0, 1, 1, "four");
        script.extend(pop_on(10, 0, 1, "two"));
        // A packet in the middle, then text for the channel before it.
        script.extend([(600, 1, (0x01, 0x03)), (610, 1, (b'x', b'x')), (620, 1, (0x0F, 0x1D))]);
        script.extend(pop_on(700, 1, 0, "three"));
        let state = state(&script);
        assert_eq!(told(&state, 3)[0].0, "four");
        assert_eq!(told(&state, 1)[0].0, "two");
        assert_eq!(told(&state, 2)[0].0, "three");
        assert_eq!(state.found[..4], [false, true, true, true]);
    }

    #[test]
    fn a_service_of_the_newer_kind_is_found_beside_the_channels() {
        let block = [&[0x98, 0x20, 0x80 | 90, 50, 7 << 4, 31, 9][..], b"new", &[0x8A, 1]].concat();
        let packet = |block: &[u8]| {
            let mut bytes = vec![0, 2 << 5 | block.len() as u8];
            bytes.extend(block);
            bytes.resize(bytes.len().next_multiple_of(2), 0);
            bytes[0] = bytes.len() as u8 / 2;
            let kind = |at| if at == 0 { 3 } else { 2 };
            bytes.chunks(2).enumerate().map(|(at, two)| (kind(at), two[0], two[1])).collect::<Vec<_>>()
        };
        let mut state = State::default();
        state.take(1000 * MS, &packet(&block[..10]));
        // In two pictures.
        let end = packet(&block[10..]);
        state.take(2500 * MS, &end[..1]);
        state.take(2600 * MS, &end[1..]);
        let service = CHANNELS.iter().position(|name| *name == "SERVICE2").unwrap();
        assert_eq!(told(&state, service), [("new".into(), 1000, 2600)]);
        assert_eq!(state.found.iter().position(|found| *found), Some(service));
    }

    #[test]
    fn a_command_that_comes_twice_counts_once() {
        let roll = [(0x14, 0x25), (0x14, 0x25), (0x14, 0x2D), (0x14, 0x2D), (b'a', b'b'), (0x14, 0x2D)];
        let script: Vec<_> = roll.iter().enumerate().map(|(at, pair)| (at as i64, 0, *pair)).collect();
        let mut state = state(&script);
        state.take(10 * MS, &[(0, b'c', b'd')]);
        assert_eq!(told(&state, 0).last().unwrap().0, "ab\ncd");
    }
}
