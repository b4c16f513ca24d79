//! What reaches the session from its other threads.

use std::time::Instant;

use bytes::Bytes;
use weir_abr::{RungId, TrackKind, planner::FetchId};
use weir_manifest::{
    Request,
    model::{Resource, Segment},
};

use super::thumbnails::{Pictures, Tile};

use crate::{
    demux::{Batch, DemuxError, Demuxed, InitSegment},
    net::{self, Body, NetError, Progress, SegmentBody},
    subtitles::Document,
};

/// Inputs that may wait. Progress is dropped when there is no room; all else waits for it.
pub(crate) const ROOM: usize = 256;

/// A segment on its way through the demuxer.
#[derive(Clone, Debug)]
pub(crate) struct Job {
    pub(crate) id: FetchId,
    pub(crate) track: TrackKind,
    pub(crate) index: u64,
    pub(crate) rung: RungId,
    pub(crate) segment: Box<Segment>,
    /// Empty, like `media`, where a segment is taken apart while it comes.
    pub(crate) init: Option<InitSegment>,
    pub(crate) media: Bytes,
}

/// News.
#[derive(Debug)]
pub(crate) enum Input {
    /// The address that was opened gave this.
    Manifest(Result<net::Document, NetError>),
    /// A playlist or an index gave this.
    Listed(Request, Result<net::Document, NetError>),
    /// A manifest or a playlist failed and is tried again.
    Retrying(NetError),
    /// This machine's clock is so many seconds ahead of the one that the manifest names.
    Clock(f64),
    /// The steering server answered.
    Steered(Result<Body, NetError>),
    /// A segment is getting on.
    Progress(FetchId, Instant, Progress),
    /// Some of a segment under way was taken apart.
    Appended(FetchId, Box<Batch>),
    /// A segment is complete, or failed.
    Fetched(FetchId, Instant, Result<SegmentBody, NetError>),
    /// A segment of subtitles, asked for under this choice, was read; else why not.
    Subtitles(u64, Box<Segment>, Result<Document, String>),
    /// The index of small pictures, where there is one.
    ThumbnailIndex(Option<Vec<Tile>>),
    /// An image with small pictures, or key frames, where they could be had.
    Thumbnails(Resource, Pictures),
    /// A segment was taken apart, or could not be. Its media are gone by then.
    Demuxed(Box<Job>, Result<Demuxed, DemuxError>),
}
