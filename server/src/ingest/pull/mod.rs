//! Another server's HLS as a source: a recording is downloaded into one file, a live stream is played into a session as a
//! publisher would send it.
//!
//! Every playlist, key and segment is asked for under the [`FetchPolicy`], so that what a playlist names is no way to
//! where the server must not go. Everything is bounded in bytes and in time.

mod attributes;
mod define;
mod demux;
#[cfg(test)]
mod fuzz;
mod live;
mod media;
mod playlist;
mod reader;
mod recording;
mod track;
mod vod;

use std::sync::Arc;
use std::time::Duration;

use url::Url;

pub(crate) use live::{End, Session};
pub use live::{PullState, PullStatus};
pub(crate) use playlist::is_playlist;
pub(crate) use recording::numbered;
pub(crate) use vod::download;

use super::fetch::{FetchError, Getter, Limits};
use demux::{Demuxer, Wanted};
use playlist::{Choice, Playlist};
use track::Track;

/// A playlist of a day in segments of a second has about 8 MiB.
const PLAYLIST: Limits = Limits { bytes: 8 << 20, time: Duration::from_secs(20) };
/// Keys, and init segments.
const SMALL: Limits = Limits { bytes: 1 << 20, time: Duration::from_secs(20) };

/// Why a stream cannot be had from where it is.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PullError {
    /// A download failed.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// A playlist that this server cannot use.
    #[error("the playlist {url} cannot be used: {why}")]
    Playlist {
        /// Where it is.
        url: String,
        /// What is wrong with it.
        why: String,
    },
    /// Encryption other than AES-128 with plain keys.
    #[error(
        "{url} is encrypted with {method}; only AES-128 with keys of 16 bytes at plain addresses is read"
    )]
    Encrypted {
        /// The playlist.
        url: String,
        /// What it says.
        method: String,
    },
    /// A segment that this server cannot use.
    #[error("the segment {url} cannot be used: {why}")]
    Segment {
        /// Where it is.
        url: String,
        /// What is wrong with it.
        why: String,
    },
    /// A live playlist where a recording was asked for.
    #[error(
        "{url} is a live stream (its playlist has no EXT-X-ENDLIST): create the stream with \"mode\": \"live\""
    )]
    Live {
        /// The playlist.
        url: String,
    },
    /// The coding changes too often on the way through a recording.
    #[error("the coding of the recording changes more than {most} times, at last in {url}")]
    Changes {
        /// How often it may.
        most: usize,
        /// The segment from which on.
        url: String,
    },
    /// Nothing new has come for too long.
    #[error("{url} has had no new segment for {seconds} s{}", last.as_deref().map(|why| format!("; {why}")).unwrap_or_default())]
    Stalled {
        /// The playlist.
        url: String,
        /// How long.
        seconds: u64,
        /// What went wrong last.
        last: Option<String>,
    },
    /// The file could not be written.
    #[error("cannot write the download to disk: {0}; check free space")]
    Disk(#[from] std::io::Error),
    /// The stream's session takes nobody in now.
    #[error("{0}")]
    Session(String),
    /// Somebody said stop.
    #[error("the download was cancelled")]
    Cancelled,
}

impl PullError {
    /// Trying again soon is of no use: what is there is not what can be used.
    pub(crate) fn lasts(&self) -> bool {
        match self {
            Self::Fetch(error) => matches!(error, FetchError::Forbidden { .. } | FetchError::TooLarge { .. }),
            Self::Playlist { .. } | Self::Encrypted { .. } | Self::Live { .. } | Self::Changes { .. } => true,
            _ => false,
        }
    }
}

/// Looks at what is behind an address, and opens the renditions to be read: pictures first.
async fn open(getter: &Getter, url: &Url) -> Result<(Choice, Vec<Track>), PullError> {
    let (base, body) = getter.get(url, None, PLAYLIST).await?;
    let (playlist, variables) = playlist::parse(&base, &body, None)?;
    let choice = match playlist {
        Playlist::Multivariant(master) => playlist::choose(&base, &master)?,
        Playlist::Media(_) => {
            Choice { variant: url.clone(), sound: None, language: None, bandwidth: 0, resolution: None }
        }
    };
    let variables = Arc::new(variables);
    let track = |url: &Url, pictures, sound| {
        let demuxer = Demuxer::new(Wanted { pictures, sound }).in_language(choice.language.clone());
        Track::new(getter.clone(), url.clone(), demuxer, Arc::clone(&variables))
    };
    let tracks = match &choice.sound {
        // A variant of sound alone names itself as its sound.
        Some(sound) if *sound == choice.variant => vec![track(sound, true, true)],
        Some(sound) => vec![track(&choice.variant, true, false), track(sound, false, true)],
        None => vec![track(&choice.variant, true, true)],
    };
    Ok((choice, tracks))
}
