//! Where a ladder's words arrive in the server: units go to the session, pictures to the store, lines to the log.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::handle::Shared;
use super::words::{Still, Stills, Word};
use crate::ladder::log::Voice;
use crate::ladder::newest_sheet;
use crate::live::{Codec, RungEvent, RungSender};
use crate::store::{StoreError, StreamStore, sheet_name};

/// Largest picture that is stored, in bytes.
const LARGEST_STILL: usize = 8 << 20;

/// Takes words.
pub(super) struct Desk {
    pub(super) output: RungSender,
    pub(super) stream: Option<Arc<StreamStore>>,
    pub(super) voice: Voice,
    /// Pictures cannot be stored; that was said.
    pub(super) told: AtomicBool,
}

impl Desk {
    pub(super) fn new(output: RungSender, stream: Option<Arc<StreamStore>>, voice: Voice) -> Self {
        Self { output, stream, voice, told: AtomicBool::new(false) }
    }

    /// Takes a word, waiting while the session is behind. `false` when the session listens no more.
    pub(super) fn take(&self, shared: &Shared, word: Word) -> bool {
        let event = match word {
            Word::Setup { rung, config } => RungEvent::Setup { rung, codec: Codec::Avc, config },
            Word::Unit { rung, time_ns, key, data } => {
                RungEvent::Unit { rung, dts_ns: time_ns, pts_ns: time_ns, key, data }
            }
            Word::Lost { rung, why } => RungEvent::Lost { rung, why },
            Word::Log { level, from, text } => {
                self.voice.named(&from).say(level, text);
                return true;
            }
            Word::Still(still) => {
                self.keep(still);
                return true;
            }
            Word::Alive | Word::Done => return true,
        };
        self.send(shared, event)
    }

    pub(super) fn send(&self, shared: &Shared, event: RungEvent) -> bool {
        !shared.stopped() && self.output.blocking_send(event).is_ok()
    }

    /// The pictures that there are, for a ladder that begins.
    pub(super) fn stills(&self, size: (u32, u32)) -> Option<Stills> {
        let stream = self.stream.as_ref()?;
        let window_ms = stream.live().map(|live| u64::from(live.window_s) * 1000).filter(|ms| *ms > 0);
        let index = stream.thumbnails().map(|index| String::from_utf8_lossy(&index).into_owned());
        let sheet = index.as_deref().and_then(|i| stream.thumbnail_sheet(&sheet_name(newest_sheet(i))));
        Some(Stills { size, window_ms, index, sheet })
    }

    /// A picture that cannot be stored is not worth the stream, and one line in the log is enough.
    fn keep(&self, still: Still) {
        let Some(stream) = &self.stream else { return };
        let stored = match still {
            Still::Poster(jpeg) if jpeg.len() <= LARGEST_STILL => stream.put_poster(&jpeg),
            Still::Sheet { number, jpeg, index } if jpeg.len() <= LARGEST_STILL => {
                stream.put_thumbnail_sheet(number, &jpeg).and_then(|()| stream.put_thumbnails(&index))
            }
            Still::Dropped(number) => stream.drop_thumbnail_sheet(number),
            Still::Poster(_) | Still::Sheet { .. } => {
                Err(StoreError::Mismatch { what: "a picture".to_owned(), why: "it is too large".to_owned() })
            }
        };
        if let Err(error) = stored
            && !self.told.swap(true, Ordering::Relaxed)
        {
            self.voice.warn(format!("no thumbnails: {error}"));
        }
    }
}
