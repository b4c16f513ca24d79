//! HLS playlists and DASH manifests in, one [`Presentation`](model::Presentation) model out.
//! No I/O and no clock: text and the URL it came from are arguments, the caller loads what is asked for.

pub mod model;
