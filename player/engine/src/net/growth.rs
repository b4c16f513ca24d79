//! A segment that is still being made, part by part.

use std::sync::Arc;

use weir_manifest::model::{Parts, Resource, Segment};

/// How far a segment has come, by the newest playlist.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Growth {
    /// Its parts so far.
    pub parts: Arc<Parts>,
    /// No more will come.
    pub complete: bool,
    /// All of it in one, once it is complete.
    pub whole: Option<Resource>,
}

impl Growth {
    /// As the playlist has it.
    pub fn of(segment: &Segment) -> Self {
        let complete = !segment.growing;
        let whole = complete.then(|| segment.media.clone());
        Self { parts: segment.parts.clone().unwrap_or_default(), complete, whole }
    }

    /// It is not listed any more: what came is all that there is.
    pub fn gone(&self) -> Self {
        let next = None;
        let parts = Parts { list: self.parts.list.clone(), next };
        Self { parts: Arc::new(parts), complete: true, whole: None }
    }
}
