//! What a caption decoder has on its screen: 15 rows of 32 characters (CTA-608, 5).

use std::time::Duration;

use crate::subtitles::{Align, Anchor, Cue, Line, Placement, Span};

pub(super) const ROWS: usize = 15;
pub(super) const COLUMNS: usize = 32;

/// The part of the picture that the grid leaves free at each edge.
const MARGIN: f32 = 0.1;

/// How characters look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Look {
    pub(super) italic: bool,
    pub(super) underline: bool,
    /// `None` is white.
    pub(super) colour: Option<[u8; 3]>,
}

/// A memory of the decoder.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Screen {
    cells: [[Option<(char, Look)>; COLUMNS]; ROWS],
}

/// Text in one row: first column, the column after its last one, and what stands there.
struct Row {
    from: usize,
    to: usize,
    spans: Vec<Span>,
}

/// What stands in these cells, by how it looks. Cells without a character look like the one before.
pub(super) fn spans(cells: &[Option<(char, Look)>]) -> Vec<Span> {
    let mut spans: Vec<Span> = Vec::new();
    let mut last = Look::default();
    for cell in cells {
        let (c, look) = cell.unwrap_or((' ', last));
        match spans.last_mut().filter(|_| look == last) {
            Some(span) => span.text.push(c),
            None => spans.push(Span {
                text: c.to_string(),
                italic: look.italic,
                underline: look.underline,
                colour: look.colour,
                ..Span::default()
            }),
        }
        last = look;
    }
    spans
}

/// One cue's text out of its rows.
pub(super) fn lines(rows: impl IntoIterator<Item = Vec<Span>>) -> Vec<Span> {
    let mut spans: Vec<Span> = Vec::new();
    for row in rows {
        if let Some(before) = spans.last_mut() {
            before.text.push('\n');
        }
        spans.extend(row);
    }
    spans
}

impl Screen {
    pub(super) fn put(&mut self, row: usize, column: usize, what: Option<(char, Look)>) {
        if let Some(cell) = self.cells.get_mut(row).and_then(|row| row.get_mut(column)) {
            *cell = what;
        }
    }

    /// Empties a row from `column` on.
    pub(super) fn clear_row(&mut self, row: usize, column: usize) {
        if let Some(cells) = self.cells.get_mut(row).and_then(|row| row.get_mut(column..)) {
            cells.fill(None);
        }
    }

    /// The `count` rows that end with `base` go up by one.
    pub(super) fn roll(&mut self, base: usize, count: usize) {
        let top = (base + 1).saturating_sub(count);
        for row in 0..ROWS {
            let moved = (row >= top && row < base).then(|| self.cells.get(row + 1).copied()).flatten();
            if let Some(cells) = self.cells.get_mut(row) {
                // What stands above and below the rows that roll is none of them.
                *cells = moved.unwrap_or([None; COLUMNS]);
            }
        }
    }

    /// The `count` rows that end with `from` stand so that they end with `to`.
    pub(super) fn shift(&mut self, from: usize, to: usize, count: usize) {
        let mut moved = Self::default();
        for back in 0..count {
            let (Some(old), Some(new)) = (from.checked_sub(back), to.checked_sub(back)) else { break };
            if let (Some(old), Some(new)) = (self.cells.get(old), moved.cells.get_mut(new)) {
                *new = *old;
            }
        }
        *self = moved;
    }

    fn row(&self, row: usize) -> Option<Row> {
        let cells = self.cells.get(row)?;
        let seen = |cell: &Option<(char, Look)>| cell.is_some_and(|(c, _)| c != ' ');
        let from = cells.iter().position(seen)?;
        let to = cells.iter().rposition(seen)? + 1;
        let spans = spans(cells.get(from..to)?);
        Some(Row { from, to, spans })
    }

    /// All that is to be seen, as cues: one for each block of rows.
    pub(super) fn cues(&self, start: Duration, end: Duration) -> Vec<Cue> {
        let mut cues = Vec::new();
        let mut block: Vec<Row> = Vec::new();
        for at in 0..=ROWS {
            match self.row(at) {
                Some(row) => block.push(row),
                None if !block.is_empty() => {
                    let place = place(&block, at);
                    let spans = lines(std::mem::take(&mut block).into_iter().map(|row| row.spans));
                    cues.push(Cue { start, end, spans, place });
                }
                None => {}
            }
        }
        cues
    }
}

/// Where a block stands whose rows end before row `after`.
fn place(block: &[Row], after: usize) -> Placement {
    let cell = (1.0 - 2.0 * MARGIN) / ROWS as f32;
    let first = after.saturating_sub(block.len());
    // By the edge that is nearer: letters are larger here than their cells, and would leave the picture.
    let lower = first + after > ROWS;
    let line = MARGIN + cell * if lower { after as f32 } else { first as f32 };
    let centred = block.iter().all(|row| row.from.abs_diff(COLUMNS - row.to) <= 3);
    let left = block.iter().map(|row| row.from).min().unwrap_or(0);
    let column = MARGIN + (1.0 - 2.0 * MARGIN) * left as f32 / COLUMNS as f32;
    Placement {
        line: Some(Line::Part(line)),
        line_anchor: if lower { Anchor::End } else { Anchor::Start },
        position: Some(if centred { 0.5 } else { column }),
        position_anchor: Some(if centred { Anchor::Center } else { Anchor::Start }),
        size: 1.0,
        align: if centred { Align::Center } else { Align::Left },
        vertical: None,
    }
}
