//! The real world around the brain: downloads, demuxing, sample buffers and decoding, in real time.
//!
//! [`open`] starts a session in threads of its own and gives a [`Player`] to steer it and look at it.
//! Nothing here draws: frames wait in a slot ([`Player::take_frame`]) for whoever shows them.

mod captions;
pub mod demux;
mod log;
pub mod net;
pub mod playback;
mod player;
pub mod samples;
mod session;
pub mod subtitles;

pub use player::{
    BufferedRange, Crop, DecisionView, ErrorView, Options, Player, PlotPoint, QualityView, Snapshot,
    SoundTrackView, SoundsView, State, SubtitleChoice, SubtitleTrackView, SubtitlesView, Thumbnail,
    ThumbnailImage, TrackView, open,
};
