//! What is shown when, and where.

use std::time::Duration;

/// One stretch of a cue's text in one look.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Span {
    /// Text; lines are separated by `\n`.
    pub text: String,
    /// Slanted.
    pub italic: bool,
    /// Heavy.
    pub bold: bool,
    /// Underlined.
    pub underline: bool,
    /// Red, green, blue; `None` for the window's own.
    pub colour: Option<[u8; 3]>,
    /// Behind the text; `None` for the window's own.
    pub background: Option<[u8; 3]>,
}

/// How the lines of a cue are set against each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Align {
    /// Where the text's own direction begins.
    Start,
    /// In the middle.
    #[default]
    Center,
    /// Where the text's own direction ends.
    End,
    /// Left, whatever the direction.
    Left,
    /// Right, whatever the direction.
    Right,
}

/// Which point of the cue's box stands at the given place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Anchor {
    /// Its left or upper edge.
    Start,
    /// Its middle.
    Center,
    /// Its right or lower edge.
    End,
}

/// How far down a cue stands.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Line {
    /// So many lines of text from the top; negative ones count from the bottom, where -1 is the last one.
    Number(i32),
    /// Part of the picture's height, 0.0 to 1.0.
    Part(f32),
}

/// Which way the columns of vertical text go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Vertical {
    /// The first one on the right, as in Chinese and Japanese.
    RightToLeft,
    /// The first one on the left, as in Mongolian.
    LeftToRight,
}

/// Where in the picture a cue stands (WebVTT, 6.1). Of vertical text `line` is a place across the picture (a number counts
/// columns from the side where the first one is), and `position`, `size` and `align` go from top to bottom.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Placement {
    /// `None`: at the bottom, above the cues that are there.
    pub line: Option<Line>,
    /// What of the box is at `line`.
    pub line_anchor: Anchor,
    /// Part of the picture's width, 0.0 to 1.0; `None` goes by `align`.
    pub position: Option<f32>,
    /// What of the box is at `position`; `None` goes by `align`.
    pub position_anchor: Option<Anchor>,
    /// Widest part of the picture's width, 0.0 to 1.0.
    pub size: f32,
    /// How its lines are set.
    pub align: Align,
    /// Its text runs from top to bottom.
    pub vertical: Option<Vertical>,
}

impl Default for Placement {
    fn default() -> Self {
        Self {
            line: None,
            line_anchor: Anchor::Start,
            position: None,
            position_anchor: None,
            size: 1.0,
            align: Align::Center,
            vertical: None,
        }
    }
}

/// Text that is shown for a while.
#[derive(Clone, Debug, PartialEq)]
pub struct Cue {
    /// From, on the presentation's timeline.
    pub start: Duration,
    /// Up to.
    pub end: Duration,
    /// What is shown; at least one span, and not blank.
    pub spans: Vec<Span>,
    /// Where.
    pub place: Placement,
}

impl Cue {
    /// Whether it is shown at `position`.
    pub fn is_at(&self, position: Duration) -> bool {
        self.start <= position && position < self.end
    }

    /// Its text without any look.
    pub fn text(&self) -> String {
        self.spans.iter().map(|span| span.text.as_str()).collect()
    }
}
