//! Small parts that several pages share.

use egui::{
    Align2, Color32, CornerRadius, FontId, Frame, InnerResponse, Margin, Mesh, Rect, Response, Sense, Stroke,
    Ui, pos2, vec2,
};

use super::{
    icons::Icon,
    theme,
    tokens::{self, Colours},
};

/// A filled button for the one thing that a page is about.
pub(crate) fn primary(ui: &mut Ui, text: &str) -> Response {
    let colours = theme::colours(ui.ctx());
    let label = egui::RichText::new(text).font(theme::strong_font(tokens::TEXT)).color(colours.on_accent);
    ui.add(egui::Button::new(label).fill(colours.accent).min_size(vec2(0.0, tokens::TOUCH)))
}

/// A plain button of the same height.
pub(crate) fn secondary(ui: &mut Ui, text: &str) -> Response {
    ui.add(egui::Button::new(text).min_size(vec2(0.0, tokens::TOUCH)))
}

/// Text whose digits all take the same width, so that a running clock stands still.
pub(crate) fn tabular(ui: &mut Ui, text: &str, font: &FontId, colour: Color32) -> Response {
    let digit =
        ui.fonts_mut(|fonts| ('0'..='9').map(|digit| fonts.glyph_width(font, digit)).fold(0.0_f32, f32::max));
    let glyphs: Vec<_> = text
        .chars()
        .map(|c| {
            let galley = ui.painter().layout_no_wrap(c.to_string(), font.clone(), colour);
            let width = if c.is_ascii_digit() { digit } else { galley.size().x };
            (galley, width)
        })
        .collect();
    let height = glyphs.iter().map(|(galley, _)| galley.size().y).fold(0.0, f32::max);
    let width = glyphs.iter().map(|(_, width)| width).sum();
    let (rect, response) = ui.allocate_exact_size(vec2(width, height), Sense::hover());
    response.widget_info(|| egui::WidgetInfo::labeled(egui::accesskit::Role::Label, true, text));
    let mut left = rect.left();
    for (galley, width) in glyphs {
        let x = left + (width - galley.size().x) / 2.0;
        ui.painter().galley(pos2(x, rect.top()), galley, colour);
        left += width;
    }
    response
}

/// A strip that fades from nothing to [`tokens::SHADE`] towards the window's edge.
pub(crate) fn shade(ui: &Ui, rect: Rect, dark_at_bottom: bool) {
    let mut mesh = Mesh::default();
    let (top, bottom) = if dark_at_bottom {
        (Color32::TRANSPARENT, tokens::SHADE)
    } else {
        (tokens::SHADE, Color32::TRANSPARENT)
    };
    mesh.colored_vertex(rect.left_top(), top);
    mesh.colored_vertex(rect.right_top(), top);
    mesh.colored_vertex(rect.left_bottom(), bottom);
    mesh.colored_vertex(rect.right_bottom(), bottom);
    mesh.add_triangle(0, 1, 2);
    mesh.add_triangle(1, 2, 3);
    ui.painter().add(mesh);
}

/// A dark see-through box on the picture.
pub(crate) fn glass<R>(ui: &mut Ui, add: impl FnOnce(&mut Ui) -> R) -> InnerResponse<R> {
    Frame::new()
        .fill(tokens::GLASS)
        .corner_radius(CornerRadius::same(tokens::ROUND + 2))
        .inner_margin(Margin::symmetric(14, 10))
        .show(ui, |ui| {
            theme::over_picture(ui);
            add(ui)
        })
}

/// A short text on a coloured ground, at a corner of `rect`.
pub(crate) fn badge(ui: &Ui, rect: Rect, corner: Align2, text: &str, ground: Color32, ink: Color32) {
    let galley = ui.painter().layout_no_wrap(text.to_owned(), theme::strong_font(tokens::TEXT_SMALL), ink);
    let size = galley.size() + vec2(12.0, 6.0);
    let place = corner.align_size_within_rect(size, rect.shrink(8.0));
    ui.painter().rect_filled(place, tokens::ROUND - 2, ground);
    ui.painter().galley(place.min + vec2(6.0, 3.0), galley, ink);
}

/// A page with one message in its middle: icon, headline, sentences, and what can be done.
pub(crate) fn message(
    ui: &mut Ui,
    icon: Icon,
    tint: Color32,
    headline: &str,
    lines: &[&str],
    actions: impl FnOnce(&mut Ui),
) {
    let colours: Colours = theme::colours(ui.ctx());
    let width = (ui.available_width() - 2.0 * tokens::PAGE).min(560.0);
    // What it takes is known from the frame before; until then a fair guess keeps it near the middle.
    let id = ui.scope_id().with("message height");
    let height = ui.data(|data| data.get_temp::<f32>(id)).unwrap_or(260.0);
    ui.add_space(((ui.available_height() - height) / 2.0).max(tokens::GAP));
    let shown = ui.vertical_centered(|ui| {
        ui.set_max_width(width);
        let (rect, _) = ui.allocate_exact_size(vec2(56.0, 56.0), Sense::hover());
        ui.painter().circle_filled(rect.center(), 28.0, tint.gamma_multiply(0.15));
        icon.paint(ui.painter(), rect.shrink(14.0), tint);
        ui.add_space(tokens::GRID);
        ui.add(egui::Label::new(egui::RichText::new(headline).heading()).wrap());
        for line in lines.iter().filter(|line| !line.is_empty()) {
            ui.add(egui::Label::new(egui::RichText::new(*line).color(colours.weak)).wrap());
        }
        ui.add_space(tokens::GAP);
        centred(ui, actions);
    });
    let taken = shown.response.rect.height();
    if (taken - height).abs() > 1.0 {
        ui.data_mut(|data| data.insert_temp(id, taken));
        ui.ctx().request_discard("the message's height was guessed");
    }
}

/// A row of widgets in the middle of the available width.
pub(crate) fn centred(ui: &mut Ui, add: impl FnOnce(&mut Ui)) {
    let id = ui.scope_id().with("centred width");
    let known = ui.data(|data| data.get_temp::<f32>(id)).unwrap_or(0.0);
    let row = ui.horizontal(|ui| {
        ui.add_space(((ui.available_width() - known) / 2.0).max(0.0));
        let start = ui.cursor().left();
        add(ui);
        ui.min_rect().right() - start
    });
    if (row.inner - known).abs() > 0.5 {
        ui.data_mut(|data| data.insert_temp(id, row.inner));
        ui.ctx().request_discard("the row's width was guessed");
    }
}

/// A thin bar that is filled up to `part`.
pub(crate) fn progress(ui: &Ui, rect: Rect, part: f32, colour: Color32, ground: Color32) {
    ui.painter().rect_filled(rect, rect.height() / 2.0, ground);
    let mut filled = rect;
    filled.set_width(rect.width() * part.clamp(0.0, 1.0));
    ui.painter().rect_filled(filled, rect.height() / 2.0, colour);
}

/// Marks what the keyboard stands on.
pub(crate) fn focus_ring(ui: &Ui, response: &Response, round: u8) {
    if response.has_focus() {
        let stroke = Stroke::new(2.0, theme::colours(ui.ctx()).focus);
        ui.painter().rect_stroke(response.rect.expand(2.0), round + 2, stroke, egui::StrokeKind::Outside);
    }
}
