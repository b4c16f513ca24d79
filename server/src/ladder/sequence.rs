//! Files that follow each other on one timeline, decoded as if they were one: what a recording becomes whose coding changes
//! on the way.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::decode::{Decoder, MediaInfo, Next, probe};
use super::log::Voice;
use super::{LadderError, lower_priority};

/// The decoders of a job's files. Pictures and sound may be pulled from different threads.
pub(crate) struct Sequence<'a> {
    paths: &'a [PathBuf],
    nice: i32,
    voice: Voice,
    stop: &'a (dyn Fn() -> bool + Sync),
    /// Those in use, by the place of their file.
    open: Mutex<BTreeMap<usize, Arc<Decoder>>>,
    /// The file that each side has got to.
    pictures: AtomicUsize,
    sound: AtomicUsize,
}

impl<'a> Sequence<'a> {
    /// Opens the first file.
    pub(crate) fn open(
        paths: &'a [PathBuf],
        nice: i32,
        voice: &Voice,
        stop: &'a (dyn Fn() -> bool + Sync),
    ) -> Result<Self, LadderError> {
        let this = Self {
            paths,
            nice,
            voice: voice.clone(),
            stop,
            open: Mutex::default(),
            pictures: AtomicUsize::new(0),
            sound: AtomicUsize::new(0),
        };
        this.decoder(0)?;
        Ok(this)
    }

    /// Continues at `ns` of the files' own time. Of several files none is sought in: decoding starts at the beginning,
    /// and whoever pulls skips.
    pub(crate) fn seek(&self, ns: u64) -> Result<(), LadderError> {
        match self.paths {
            [_] => self.decoder(0)?.seek(ns, self.stop),
            _ => Ok(()),
        }
    }

    /// Throws away sound that nobody pulls. Only where there is one file.
    pub(crate) fn leave_out_sound(&self) -> Result<(), LadderError> {
        self.decoder(0)?.leave_out_sound();
        Ok(())
    }

    /// Lets it run, as fast as its buffers are pulled.
    pub(crate) fn play(&self) -> Result<(), LadderError> {
        self.decoder(0)?.play()
    }

    /// The next picture; waits a fifth of a second at most, and longer where another file begins.
    pub(crate) fn next_video(&self) -> Result<Next, LadderError> {
        self.next(&self.pictures, Decoder::next_video)
    }

    /// The next samples; waits as [`next_video`](Self::next_video) does.
    pub(crate) fn next_audio(&self) -> Result<Next, LadderError> {
        self.next(&self.sound, Decoder::next_audio)
    }

    fn next(
        &self,
        side: &AtomicUsize,
        pull: impl Fn(&Decoder) -> Result<Next, LadderError>,
    ) -> Result<Next, LadderError> {
        loop {
            let at = side.load(Ordering::Acquire);
            let decoder = self.decoder(at)?;
            match pull(&decoder)? {
                Next::End if at + 1 < self.paths.len() => {
                    drop(decoder);
                    let next = self.decoder(at + 1)?;
                    next.play()?;
                    side.store(at + 1, Ordering::Release);
                    self.close_what_is_done();
                }
                other => return Ok(other),
            }
        }
    }

    fn decoder(&self, at: usize) -> Result<Arc<Decoder>, LadderError> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = open.get(&at) {
            return Ok(Arc::clone(known));
        }
        let path = self.paths.get(at).ok_or(LadderError::NothingToPlay)?;
        lower_priority(self.nice);
        let decoder = Arc::new(Decoder::open(path, self.nice, &self.voice, &self.stop)?);
        open.insert(at, Arc::clone(&decoder));
        Ok(decoder)
    }

    fn close_what_is_done(&self) {
        let pictures = self.pictures.load(Ordering::Acquire);
        let done = pictures.min(self.sound.load(Ordering::Acquire));
        // A side that does not exist stays behind; nothing is lost by that but memory, until the job ends.
        self.open.lock().unwrap_or_else(PoisonError::into_inner).retain(|at, _| *at >= done);
    }
}

/// What the files hold together: the largest pictures, and sound where any has it.
pub(crate) fn probe_all(
    paths: &[PathBuf],
    nice: i32,
    voice: &Voice,
    stop: &dyn Fn() -> bool,
) -> Result<MediaInfo, LadderError> {
    let mut all: Option<MediaInfo> = None;
    for path in paths {
        let found = probe(path, nice, voice, stop)?;
        let Some(known) = &mut all else {
            all = Some(found);
            continue;
        };
        if let Some(new) = found.video {
            let video = known.video.get_or_insert(new);
            if u64::from(new.width) * u64::from(new.height) > u64::from(video.width) * u64::from(video.height)
            {
                (video.width, video.height) = (new.width, new.height);
            }
        }
        known.audio = known.audio.or(found.audio);
        known.duration_ns = known.duration_ns.max(found.duration_ns);
    }
    all.ok_or(LadderError::NothingToPlay)
}
