//! The bar under the picture: where playback is, what is buffered and how good it is, and where a click leads.

use std::time::Duration;

use egui::{Color32, Rect, Response, Sense, Stroke, Ui, accesskit::Role, pos2, vec2};
use weir_engine::{BufferedRange, Snapshot};

use super::{thumbs::Thumbs, tokens};
use crate::text;

/// The stretch of time that a bar shows, and where on screen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Bar {
    /// Left end, in points.
    pub left: f32,
    /// Width, in points.
    pub width: f32,
    /// Time at the left end.
    pub from: Duration,
    /// Time at the right end.
    pub to: Duration,
}

impl Bar {
    /// The bar of a snapshot; `None` while there is nothing to show on one.
    pub(crate) fn of(snapshot: &Snapshot, left: f32, width: f32) -> Option<Self> {
        let (from, to) =
            snapshot.live_window.or_else(|| snapshot.duration.map(|duration| (Duration::ZERO, duration)))?;
        (to > from && width > 0.0).then_some(Self { left, width, from, to })
    }

    /// Where a time is; times off the bar are at its ends.
    pub(crate) fn x(&self, time: Duration) -> f32 {
        let span = (self.to - self.from).as_secs_f64();
        let part = (time.saturating_sub(self.from).as_secs_f64() / span).clamp(0.0, 1.0);
        self.left + (part * f64::from(self.width)) as f32
    }

    /// The time at a place; places off the bar mean its ends.
    pub(crate) fn time(&self, x: f32) -> Duration {
        let part = f64::from((x - self.left) / self.width).clamp(0.0, 1.0);
        self.from + (self.to - self.from).mul_f64(part)
    }

    /// Buffered ranges as places: from, to, rung. What is off the bar is cut; what nobody could see is left out.
    pub(crate) fn stretches<'a>(
        &'a self,
        ranges: &'a [BufferedRange],
    ) -> impl Iterator<Item = (f32, f32, usize)> + 'a {
        ranges
            .iter()
            .filter(|range| range.end > self.from && range.start < self.to)
            .map(|range| (self.x(range.start), self.x(range.end), range.rung))
            .filter(|(from, to, _)| to - from > 0.05)
    }

    /// The rung that is buffered at a time.
    pub(crate) fn rung_at(ranges: &[BufferedRange], time: Duration) -> Option<usize> {
        ranges.iter().find(|range| range.start <= time && time < range.end).map(|range| range.rung)
    }
}

/// What the viewer did with the bar.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Scrubbed {
    /// Still holding it.
    Dragging(Duration),
    /// Let go, or clicked.
    To(Duration),
}

/// Draws the bar over the whole width and says what was done with it. `dragged` is where the viewer holds it.
pub(crate) fn show(
    ui: &mut Ui,
    snapshot: &Snapshot,
    dragged: Option<Duration>,
    thumbs: &mut Thumbs,
) -> (Response, Option<Scrubbed>) {
    let (touch, response) = ui.allocate_exact_size(vec2(ui.available_width(), 24.0), Sense::click_and_drag());
    // Room for the knob at both ends.
    let bar = Bar::of(snapshot, touch.left() + 7.0, touch.width() - 14.0);
    let position = dragged.unwrap_or(snapshot.position);
    response.widget_info(|| {
        let mut info = egui::WidgetInfo::slider(bar.is_some(), position.as_secs_f64(), "Position");
        info.role = Role::Slider;
        info
    });
    let Some(bar) = bar else {
        let rest = Rect::from_center_size(touch.center(), vec2(touch.width() - 14.0, tokens::BAR.0));
        ui.painter().rect_filled(rest, 2.0, tokens::BAR_EMPTY);
        thumbs.pointed(None);
        return (response, None);
    };
    let touched = response.hovered() || response.dragged() || response.has_focus();
    let grown = ui.ctx().animate_bool(response.id, touched);
    let height = tokens::BAR.0 + (tokens::BAR.1 - tokens::BAR.0) * grown;
    paint(ui, &bar, snapshot, position, touch.center().y, height, grown);

    let pointer = response
        .hover_pos()
        .or_else(|| response.dragged().then(|| response.interact_pointer_pos()).flatten());
    thumbs.pointed(pointer.map(|pointer| bar.time(pointer.x)));
    if let Some(pointer) = pointer {
        hint(ui, &bar, snapshot, pointer.x, touch.top(), thumbs);
    }
    let scrubbed = response.interact_pointer_pos().and_then(|pointer| {
        let time = bar.time(pointer.x);
        if response.drag_stopped() || response.clicked() {
            Some(Scrubbed::To(time))
        } else {
            response.dragged().then_some(Scrubbed::Dragging(time))
        }
    });
    (response.on_hover_cursor(egui::CursorIcon::PointingHand), scrubbed)
}

fn paint(ui: &Ui, bar: &Bar, snapshot: &Snapshot, position: Duration, y: f32, height: f32, grown: f32) {
    let painter = ui.painter();
    let colours = tokens::DARK;
    let round = height / 2.0;
    let stretch =
        |from: f32, to: f32| Rect::from_min_max(pos2(from, y - height / 2.0), pos2(to, y + height / 2.0));
    painter.rect_filled(stretch(bar.left, bar.left + bar.width), round, tokens::BAR_EMPTY);
    let rungs = snapshot.video.rungs.len();
    for (from, to, rung) in bar.stretches(&snapshot.video.buffered) {
        painter.rect_filled(stretch(from, to), 0.0, tokens::rung(rung, rungs).gamma_multiply(0.75));
    }
    let here = bar.x(position);
    painter.rect_filled(stretch(bar.left, here.max(bar.left)), round, colours.accent);
    painter.circle_filled(pos2(here, y), 5.0 + 2.0 * grown, colours.accent);
    painter.circle_stroke(
        pos2(here, y),
        5.0 + 2.0 * grown,
        Stroke::new(2.0, colours.on_accent.gamma_multiply(0.5)),
    );
}

/// The time under the pointer, what is buffered there, and its small picture.
fn hint(ui: &Ui, bar: &Bar, snapshot: &Snapshot, x: f32, top: f32, thumbs: &mut Thumbs) {
    let time = bar.time(x);
    let mut line = match snapshot.live_window {
        Some((_, edge)) => format!("−{}", text::clock(edge.saturating_sub(time))),
        None => text::clock_like(time, bar.to),
    };
    let rung = Bar::rung_at(&snapshot.video.buffered, time);
    if let Some(view) = rung.and_then(|rung| snapshot.video.rungs.get(rung)) {
        line = format!("{line}  ·  {} loaded", view.label);
    }
    let font = egui::FontId::proportional(tokens::TEXT_SMALL);
    let galley = ui.painter().layout_no_wrap(line, font, tokens::DARK.text);
    let size = galley.size() + vec2(16.0, 8.0);
    let area = ui.clip_rect().shrink(4.0);
    let left = (x - size.x / 2.0).clamp(area.left(), (area.right() - size.x).max(area.left()));
    let place = Rect::from_min_size(pos2(left, top - size.y - 2.0), size);
    ui.painter().rect_filled(place, tokens::ROUND, tokens::GLASS);
    ui.painter().galley(place.min + vec2(8.0, 4.0), galley, Color32::PLACEHOLDER);
    // Not one of somewhere else: better none for a moment.
    if let Some(thumbnail) = snapshot.thumbnail.as_ref().filter(|thumbnail| thumbnail.start <= time) {
        thumbs.paint(ui, thumbnail, x, place.top() - tokens::GRID);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: fn(u64) -> Duration = Duration::from_secs;

    fn bar() -> Bar {
        Bar { left: 10.0, width: 200.0, from: S(0), to: S(100) }
    }

    fn range(start: u64, end: u64, rung: usize) -> BufferedRange {
        BufferedRange { start: S(start), end: S(end), rung }
    }

    #[test]
    fn times_and_places_are_inverse() {
        let bar = bar();
        assert_eq!(bar.x(S(0)), 10.0);
        assert_eq!(bar.x(S(50)), 110.0);
        assert_eq!(bar.x(S(100)), 210.0);
        for x in [10.0, 47.0, 110.5, 210.0] {
            assert!((bar.x(bar.time(x)) - x).abs() < 0.01);
        }
    }

    #[test]
    fn what_is_off_the_bar_means_its_ends() {
        let bar = Bar { from: S(60), to: S(120), ..bar() };
        assert_eq!(bar.x(S(0)), 10.0);
        assert_eq!(bar.x(S(500)), 210.0);
        assert_eq!(bar.time(-50.0), S(60));
        assert_eq!(bar.time(9000.0), S(120));
    }

    #[test]
    fn buffered_ranges_are_cut_at_the_ends_and_dust_is_left_out() {
        let bar = Bar { from: S(50), to: S(100), ..bar() };
        let ranges =
            [range(0, 40, 0), range(40, 60, 1), range(60, 60, 2), range(60, 75, 2), range(95, 200, 3)];
        let places: Vec<_> = bar.stretches(&ranges).collect();
        assert_eq!(places, [(10.0, 50.0, 1), (50.0, 110.0, 2), (190.0, 210.0, 3)]);
    }

    #[test]
    fn the_rung_under_the_pointer_is_the_buffered_one() {
        let ranges = [range(0, 4, 0), range(4, 8, 2)];
        assert_eq!(Bar::rung_at(&ranges, S(3)), Some(0));
        assert_eq!(Bar::rung_at(&ranges, S(4)), Some(2));
        assert_eq!(Bar::rung_at(&ranges, S(8)), None);
    }

    #[test]
    fn there_is_a_bar_only_when_there_is_a_length() {
        let mut snapshot = Snapshot::default();
        assert_eq!(Bar::of(&snapshot, 0.0, 100.0), None);
        snapshot.duration = Some(S(0));
        assert_eq!(Bar::of(&snapshot, 0.0, 100.0), None);
        snapshot.duration = Some(S(10));
        assert_eq!(Bar::of(&snapshot, 0.0, 100.0).unwrap().to, S(10));
        assert_eq!(Bar::of(&snapshot, 0.0, 0.0), None, "no width, no bar");
        snapshot.live_window = Some((S(30), S(60)));
        assert_eq!(Bar::of(&snapshot, 0.0, 100.0).unwrap().from, S(30));
    }
}
