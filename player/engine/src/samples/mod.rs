//! Encoded samples of one track on the presentation timeline.
