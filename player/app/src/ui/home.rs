//! The first page: what the server has, what was watched last, and a field for any address.

use std::{collections::HashMap, sync::Arc};

use egui::{
    Align, Align2, Color32, CornerRadius, Layout, Rect, Response, RichText, ScrollArea, Sense, Stroke,
    TextEdit, TextureHandle, TextureOptions, Ui, accesskit::Role, pos2, vec2,
};
use url::Url;

use super::{
    icons::{self, Icon},
    parts, theme,
    tokens::{self, Colours},
};
use crate::{
    address,
    catalog::{Catalog, Item, ItemState, Listing},
    command::Command,
    settings::{Recent, Settings},
    text,
};

/// Seconds between two looks at the server's list.
const REFRESH: f64 = 3.0;

/// What the page wants of the window.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Wish {
    /// Play this.
    Open(Url, String),
    /// The same as a shortcut.
    Do(Command),
}

/// The first page.
pub(crate) struct HomePage {
    address: String,
    address_error: Option<String>,
    focus_address: bool,
    /// The server's address while it is being changed.
    editing: Option<(String, Option<String>)>,
    asked_at: f64,
    posters: HashMap<Url, TextureHandle>,
    logo: Option<TextureHandle>,
}

impl Default for HomePage {
    fn default() -> Self {
        Self {
            address: String::new(),
            address_error: None,
            focus_address: false,
            editing: None,
            asked_at: f64::NEG_INFINITY,
            posters: HashMap::new(),
            logo: None,
        }
    }
}

impl HomePage {
    /// Puts the cursor into the address field.
    pub(crate) fn focus_address(&mut self) {
        self.focus_address = true;
    }

    /// Says in the page why an address was not taken.
    pub(crate) fn refuse(&mut self, why: String) {
        self.address_error = Some(why);
    }

    /// Asks the server again as soon as the page is drawn.
    pub(crate) fn ask_again(&mut self) {
        self.asked_at = f64::NEG_INFINITY;
    }

    /// Draws the page.
    pub(crate) fn ui(&mut self, ui: &mut Ui, catalog: &Catalog, settings: &mut Settings) -> Option<Wish> {
        let now = ui.input(|input| input.time);
        if now - self.asked_at >= REFRESH {
            self.asked_at = now;
            catalog.refresh(&settings.server());
        }
        // A window that nobody can see is not drawn, and asks nothing.
        ui.ctx().request_repaint_after_secs(REFRESH as f32);
        let colours = theme::colours(ui.ctx());
        ui.painter().rect_filled(ui.max_rect(), 0.0, colours.page);
        let mut wish = None;
        self.header(ui, &mut wish);
        ScrollArea::vertical().auto_shrink([false, false]).show(ui, |ui| {
            let side = ((ui.available_width() - tokens::PAGE_WIDTH) / 2.0).max(tokens::PAGE);
            let width = ui.available_width() - 2.0 * side;
            ui.horizontal(|ui| {
                ui.add_space(side);
                ui.vertical(|ui| {
                    ui.set_width(width);
                    self.recents(ui, settings, &mut wish);
                    self.streams(ui, catalog, settings, &mut wish);
                    ui.add_space(tokens::PAGE);
                });
            });
        });
        wish
    }

    fn header(&mut self, ui: &mut Ui, wish: &mut Option<Wish>) {
        let colours = theme::colours(ui.ctx());
        let frame = egui::Frame::new().inner_margin(egui::Margin::symmetric(24, 14));
        egui::Panel::top("header").frame(frame).show_separator_line(false).show(ui, |ui| {
            ui.horizontal(|ui| {
                ui.set_height(tokens::TOUCH);
                let (logo, _) = ui.allocate_exact_size(vec2(32.0, 32.0), Sense::hover());
                if let Some(texture) = self.logo(ui) {
                    egui::Image::new((texture, logo.size())).paint_at(ui, logo);
                }
                if ui.available_width() > 560.0 {
                    ui.label(RichText::new("Weir").font(theme::strong_font(tokens::TEXT_LARGE)));
                    ui.add_space(tokens::PAGE);
                }
                ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
                    if icons::button(ui, Icon::Help, &Command::Help.tip()).clicked() {
                        *wish = Some(Wish::Do(Command::Help));
                    }
                    if icons::button(ui, Icon::Theme, &Command::Theme.tip()).clicked() {
                        *wish = Some(Wish::Do(Command::Theme));
                    }
                    let open = parts::primary(ui, "Open").on_hover_text("Play this address (Enter)");
                    let field = TextEdit::singleline(&mut self.address)
                        .hint_text("Address of a stream, or drop a playlist here")
                        .desired_width(f32::INFINITY)
                        .margin(egui::Margin::symmetric(12, 9))
                        .min_size(vec2(0.0, tokens::TOUCH));
                    let field = ui.add(field).accessible_name("Address of a stream");
                    if std::mem::take(&mut self.focus_address) {
                        field.request_focus();
                    }
                    if field.changed() {
                        self.address_error = None;
                    }
                    let entered = field.lost_focus() && ui.input(|input| input.key_pressed(egui::Key::Enter));
                    if open.clicked() || entered {
                        match address::parse(&self.address) {
                            Ok(url) => {
                                let title = address::title(&url);
                                self.address.clear();
                                *wish = Some(Wish::Open(url, title));
                            }
                            Err(why) => {
                                self.address_error = Some(why);
                                field.request_focus();
                            }
                        }
                    }
                });
            });
            if let Some(why) = &self.address_error {
                ui.horizontal(|ui| {
                    let (icon, _) = ui.allocate_exact_size(vec2(18.0, 18.0), Sense::hover());
                    Icon::Warning.paint(ui.painter(), icon, colours.warning);
                    ui.add(egui::Label::new(RichText::new(why).color(colours.warning)).wrap());
                });
            }
        });
    }

    fn logo(&mut self, ui: &Ui) -> Option<egui::TextureId> {
        if self.logo.is_none() {
            let icon = super::icon()?;
            let size = [icon.width as usize, icon.height as usize];
            let image = egui::ColorImage::from_rgba_unmultiplied(size, &icon.rgba);
            self.logo = Some(ui.ctx().load_texture("logo", image, TextureOptions::LINEAR));
        }
        self.logo.as_ref().map(TextureHandle::id)
    }

    fn recents(&self, ui: &mut Ui, settings: &mut Settings, wish: &mut Option<Wish>) {
        if settings.recents.is_empty() {
            return;
        }
        ui.add_space(tokens::GAP);
        ui.heading("Continue watching");
        let mut forget = None;
        ScrollArea::horizontal().id_salt("recents").auto_shrink([false, true]).show(ui, |ui| {
            ui.horizontal(|ui| {
                for recent in &settings.recents {
                    match recent_chip(ui, recent) {
                        Chip::Rest => {}
                        Chip::Open => *wish = Some(Wish::Open(recent.url.clone(), recent.title.clone())),
                        Chip::Forget => forget = Some(recent.url.clone()),
                    }
                }
            });
            ui.add_space(tokens::GAP);
        });
        if let Some(url) = forget {
            settings.forget(&url);
        }
        ui.add_space(tokens::GAP);
    }

    fn streams(&mut self, ui: &mut Ui, catalog: &Catalog, settings: &mut Settings, wish: &mut Option<Wish>) {
        self.server_line(ui, settings);
        let colours = theme::colours(ui.ctx());
        let server = settings.server();
        match catalog.listing() {
            Listing::Asking => skeleton(ui, &colours),
            Listing::Streams(items) if items.is_empty() => {
                let create = format!("{server}api/stream/create");
                parts::message(
                    ui,
                    Icon::Film,
                    colours.accent,
                    "No streams yet",
                    &[
                        "The server is there, but nothing has been published on it.",
                        "Add one on the server's page, or with the API:",
                        &create,
                    ],
                    |ui| {
                        if parts::primary(ui, "Open the server's page").clicked() {
                            ui.ctx().open_url(egui::OpenUrl::new_tab(&server));
                        }
                    },
                );
            }
            Listing::Streams(items) => {
                self.load_posters(ui, catalog, &items);
                if let Some(item) = grid(ui, &items, &self.posters, &colours) {
                    *wish = Some(Wish::Open(item.play.clone(), item.title.clone()));
                }
            }
            Listing::Unreachable { why } => {
                let name = format!("No streams from {}", host(&server));
                let why = format!("It could not be asked what it has: {why}.");
                let advice = "Is it running? Start one with weir-server, or choose another server.";
                parts::message(ui, Icon::Offline, colours.warning, &name, &[&why, advice], |ui| {
                    if parts::primary(ui, "Try again").clicked() {
                        self.asked_at = f64::NEG_INFINITY;
                        ui.ctx().request_repaint();
                    }
                    if parts::secondary(ui, "Another server").clicked() {
                        self.editing = Some((server.to_string(), None));
                    }
                });
            }
        }
    }

    /// "Streams on 127.0.0.1:8080", and the way to another server.
    fn server_line(&mut self, ui: &mut Ui, settings: &mut Settings) {
        ui.add_space(tokens::GAP);
        let Some((text, error)) = &mut self.editing else {
            ui.horizontal(|ui| {
                ui.heading(format!("Streams on {}", host(&settings.server())));
                if icons::button(ui, Icon::Edit, "Choose another server").clicked() {
                    self.editing = Some((settings.server().to_string(), None));
                }
            });
            ui.add_space(tokens::GRID);
            return;
        };
        let mut done = false;
        ui.horizontal(|ui| {
            let label = ui.label(RichText::new("Server").heading());
            let field =
                TextEdit::singleline(text).desired_width(300.0).margin(egui::Margin::symmetric(12, 9));
            let field = ui.add(field).labelled_by(label.id);
            if ui.memory(|memory| memory.focused().is_none()) && error.is_none() {
                field.request_focus();
            }
            let entered = field.lost_focus() && ui.input(|input| input.key_pressed(egui::Key::Enter));
            if parts::primary(ui, "Use").clicked() || entered {
                match address::parse_server(text) {
                    Ok(url) => {
                        settings.server = Some(url.to_string());
                        self.asked_at = f64::NEG_INFINITY;
                        done = true;
                    }
                    Err(why) => *error = Some(why),
                }
            }
            let left = ui.input(|input| input.key_pressed(egui::Key::Escape));
            done |= parts::secondary(ui, "Cancel").clicked() || left;
        });
        if let Some(why) = error {
            ui.colored_label(theme::colours(ui.ctx()).warning, why.as_str());
        }
        if done {
            self.editing = None;
            ui.ctx().request_repaint();
        }
    }

    fn load_posters(&mut self, ui: &Ui, catalog: &Catalog, items: &[Item]) {
        for url in items.iter().filter_map(|item| item.poster.as_ref()) {
            if !self.posters.contains_key(url)
                && let Some(image) = catalog.poster(url)
            {
                let image = Arc::unwrap_or_clone(image);
                self.posters
                    .insert(url.clone(), ui.ctx().load_texture(url.as_str(), image, TextureOptions::LINEAR));
            }
        }
        self.posters.retain(|url, _| items.iter().any(|item| item.poster.as_ref() == Some(url)));
    }
}

/// "127.0.0.1:8080": how people speak of a server.
fn host(server: &Url) -> String {
    let host = server.host_str().unwrap_or_default();
    let path = server.path().trim_end_matches('/');
    match server.port() {
        Some(port) => format!("{host}:{port}{path}"),
        None => format!("{host}{path}"),
    }
}

enum Chip {
    Rest,
    Open,
    Forget,
}

fn recent_chip(ui: &mut Ui, recent: &Recent) -> Chip {
    let colours = theme::colours(ui.ctx());
    let (rect, response) = ui.allocate_exact_size(vec2(208.0, 56.0), Sense::click());
    response
        .widget_info(|| egui::WidgetInfo::labeled(Role::Button, true, format!("Continue {}", recent.title)));
    let fill = if response.hovered() { colours.raised } else { colours.surface };
    ui.painter().rect(
        rect,
        tokens::ROUND + 2,
        fill,
        Stroke::new(1.0, colours.line),
        egui::StrokeKind::Inside,
    );
    parts::focus_ring(ui, &response, tokens::ROUND);
    let inner = rect.shrink2(vec2(12.0, 9.0));
    let close = Rect::from_center_size(pos2(rect.right() - 16.0, rect.top() + 16.0), vec2(20.0, 20.0));
    let text_width = inner.width() - 16.0;
    let title = elided(ui, &recent.title, tokens::TEXT, colours.text, text_width, true);
    ui.painter().galley(inner.min, title, colours.text);
    let (left, duration) = (recent.position_s, recent.duration_s);
    let seconds = |s: f64| std::time::Duration::try_from_secs_f64(s).unwrap_or_default();
    let note = match (left, duration) {
        (Some(left), Some(duration)) => {
            format!("{} of {}", text::clock(seconds(left)), text::clock(seconds(duration)))
        }
        (None, Some(duration)) => text::clock(seconds(duration)),
        _ => recent.url.host_str().unwrap_or("file").to_owned(),
    };
    let note = elided(ui, &note, tokens::TEXT_SMALL, colours.weak, inner.width(), false);
    ui.painter().galley(pos2(inner.left(), inner.top() + 19.0), note, colours.weak);
    if let (Some(left), Some(duration)) = (left, duration)
        && duration > 0.0
    {
        let bar = Rect::from_min_max(
            pos2(rect.left() + 8.0, rect.bottom() - 4.0),
            pos2(rect.right() - 8.0, rect.bottom() - 1.0),
        );
        parts::progress(ui, bar, (left / duration) as f32, colours.accent, colours.line);
    }
    let mut chip = if response.clicked() { Chip::Open } else { Chip::Rest };
    if response.hovered() || response.has_focus() || ui.rect_contains_pointer(close) {
        let cross = ui.interact(close, response.id.with("forget"), Sense::click());
        cross.widget_info(|| {
            egui::WidgetInfo::labeled(Role::Button, true, format!("Forget {}", recent.title))
        });
        let tint = if cross.hovered() { colours.text } else { colours.weak };
        Icon::Close.paint(ui.painter(), close.shrink(3.0), tint);
        if cross.on_hover_text("Take it off this list").clicked() {
            chip = Chip::Forget;
        }
    }
    response.on_hover_text(format!("{}\n{}", recent.title, recent.url));
    chip
}

/// Grey cards while the first answer is on its way.
fn skeleton(ui: &mut Ui, colours: &Colours) {
    let (columns, width) = columns(ui.available_width());
    ui.horizontal(|ui| {
        ui.spacing_mut().item_spacing.x = tokens::GAP * 2.0;
        for _ in 0..columns {
            let (rect, _) = ui.allocate_exact_size(vec2(width, card_height(width)), Sense::hover());
            ui.painter().rect_filled(rect, tokens::ROUND_LARGE, colours.surface);
            let picture = rect.with_max_y(rect.top() + width * 9.0 / 16.0);
            ui.painter().rect_filled(picture, top_corners(), colours.raised);
        }
    });
}

/// How many cards stand side by side in so much width, and how wide each is.
fn columns(available: f32) -> (usize, f32) {
    let gap = tokens::GAP * 2.0;
    let columns = (((available + gap) / (tokens::CARD + gap)).floor() as usize).max(1);
    (columns, ((available - gap * (columns - 1) as f32) / columns as f32).floor())
}

fn card_height(width: f32) -> f32 {
    width * 9.0 / 16.0 + 68.0
}

fn top_corners() -> CornerRadius {
    CornerRadius { nw: tokens::ROUND_LARGE, ne: tokens::ROUND_LARGE, sw: 0, se: 0 }
}

fn grid<'a>(
    ui: &mut Ui,
    items: &'a [Item],
    posters: &HashMap<Url, TextureHandle>,
    colours: &Colours,
) -> Option<&'a Item> {
    let (columns, width) = columns(ui.available_width());
    let mut chosen = None;
    for row in items.chunks(columns) {
        ui.horizontal(|ui| {
            ui.spacing_mut().item_spacing.x = tokens::GAP * 2.0;
            for item in row {
                let poster = item.poster.as_ref().and_then(|url| posters.get(url));
                if card(ui, item, poster, width, colours).clicked() && item.playable {
                    chosen = Some(item);
                }
            }
        });
        ui.add_space(tokens::GAP);
    }
    chosen
}

fn card(ui: &mut Ui, item: &Item, poster: Option<&TextureHandle>, width: f32, colours: &Colours) -> Response {
    let sense = if item.playable { Sense::click() } else { Sense::hover() };
    let (rect, response) = ui.allocate_exact_size(vec2(width, card_height(width)), sense);
    response.widget_info(|| {
        egui::WidgetInfo::labeled(Role::Button, item.playable, format!("Play {}", item.title))
    });
    if !ui.is_rect_visible(rect) {
        return response;
    }
    let hot = item.playable && (response.hovered() || response.has_focus());
    let line = if hot { colours.accent } else { colours.line };
    ui.painter().rect_filled(rect, tokens::ROUND_LARGE, colours.surface);
    let picture = rect.with_max_y(rect.top() + (width * 9.0 / 16.0).round());
    thumbnail(ui, item, poster, picture, colours, hot);
    badges(ui, item, picture);
    ui.painter().rect_stroke(
        rect,
        tokens::ROUND_LARGE,
        Stroke::new(if hot { 1.5 } else { 1.0 }, line),
        egui::StrokeKind::Inside,
    );
    parts::focus_ring(ui, &response, tokens::ROUND_LARGE);

    let inner = Rect::from_min_max(
        pos2(rect.left() + 12.0, picture.bottom() + 10.0),
        pos2(rect.right() - 12.0, rect.bottom() - 8.0),
    );
    let title = elided(ui, &item.title, tokens::TEXT, colours.text, inner.width(), true);
    let cut = title.elided;
    ui.painter().galley(inner.min, title, colours.text);
    let (note, tint) = note(item, colours);
    let note = elided(ui, &note, tokens::TEXT_SMALL, tint, inner.width(), false);
    ui.painter().galley(pos2(inner.left(), inner.top() + 24.0), note, tint);
    let response =
        if item.playable { response.on_hover_cursor(egui::CursorIcon::PointingHand) } else { response };
    match (&item.error, item.state) {
        (Some(error), ItemState::Failed) => response.on_hover_text(format!("{}\n{error}", item.title)),
        (_, ItemState::Queued) => response.on_hover_text("It waits for its turn and can be watched soon."),
        _ if cut => response.on_hover_text(&item.title),
        _ => response,
    }
}

fn thumbnail(
    ui: &Ui,
    item: &Item,
    poster: Option<&TextureHandle>,
    picture: Rect,
    colours: &Colours,
    hot: bool,
) {
    let painter = ui.painter();
    painter.rect_filled(picture, top_corners(), colours.raised);
    match poster {
        Some(texture) => {
            let [w, h] = texture.size();
            // Fills the card: what sticks out is cut, as covers do.
            let (have, want) = (w as f32 / h.max(1) as f32, picture.width() / picture.height());
            let (across, down) = if have > want { (want / have, 1.0) } else { (1.0, have / want) };
            let uv = Rect::from_center_size(pos2(0.5, 0.5), vec2(across, down));
            egui::Image::new((texture.id(), picture.size()))
                .uv(uv)
                .corner_radius(top_corners())
                .paint_at(ui, picture);
        }
        None => Icon::Film.paint(
            painter,
            Rect::from_center_size(picture.center(), vec2(40.0, 40.0)),
            colours.weak.gamma_multiply(0.6),
        ),
    }
    if let ItemState::Packaging(part) = item.state {
        let bar = Rect::from_min_max(pos2(picture.left(), picture.bottom() - 4.0), picture.right_bottom());
        parts::progress(ui, bar, part, tokens::DARK.accent, tokens::SHADE);
    }
    if hot {
        painter.circle_filled(picture.center(), 24.0, tokens::GLASS);
        Icon::Play.paint(
            painter,
            Rect::from_center_size(picture.center() + vec2(1.0, 0.0), vec2(26.0, 26.0)),
            tokens::DARK.text,
        );
    }
}

fn badges(ui: &Ui, item: &Item, picture: Rect) {
    let above = picture
        .with_max_y(picture.bottom() - if matches!(item.state, ItemState::Packaging(_)) { 4.0 } else { 0.0 });
    if item.live {
        parts::badge(ui, above, Align2::LEFT_TOP, "LIVE", tokens::LIVE, tokens::ON_LIVE);
    } else if let Some(duration) = item.duration.filter(|duration| !duration.is_zero()) {
        parts::badge(
            ui,
            above,
            Align2::RIGHT_BOTTOM,
            &text::clock(duration),
            tokens::GLASS,
            tokens::ON_BADGE,
        );
    }
    if item.viewers > 0 {
        let watching = format!("{} watching", item.viewers);
        parts::badge(ui, above, Align2::RIGHT_TOP, &watching, tokens::GLASS, tokens::ON_BADGE);
    }
}

fn note(item: &Item, colours: &Colours) -> (String, Color32) {
    let quality = item.height.map(|height| format!("{height}p"));
    match item.state {
        ItemState::Queued => ("Waiting to be packaged".to_owned(), colours.weak),
        ItemState::Packaging(part) if item.playable => {
            (format!("Packaging {:.0} %, can be watched already", part * 100.0), colours.weak)
        }
        ItemState::Packaging(_) => ("Packaging starts".to_owned(), colours.weak),
        ItemState::Failed => {
            (item.error.clone().unwrap_or_else(|| "Packaging failed".to_owned()), colours.error)
        }
        ItemState::Ready if !item.playable => {
            let status = text::sentence(item.status.as_deref().unwrap_or("not on air"));
            (status.trim_end_matches('.').to_owned(), colours.weak)
        }
        ItemState::Ready => {
            let parts = [
                quality.map(|quality| format!("Up to {quality}")),
                Some(text::count(item.viewers, "viewer", "viewers")).filter(|_| item.viewers > 0),
            ];
            (parts.into_iter().flatten().collect::<Vec<_>>().join("  ·  "), colours.weak)
        }
    }
}

/// One line that ends in an ellipsis where it is too long.
fn elided(ui: &Ui, text: &str, size: f32, colour: Color32, width: f32, strong: bool) -> Arc<egui::Galley> {
    let font = if strong { theme::strong_font(size) } else { egui::FontId::proportional(size) };
    let mut job = egui::text::LayoutJob::simple_singleline(text.to_owned(), font, colour);
    job.wrap = egui::text::TextWrapping::truncate_at_width(width);
    ui.painter().layout_job(job)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cards_fill_the_width_and_are_never_narrower_than_the_least() {
        for width in [200.0, 300.0, 592.0, 800.0, 1192.0, 1240.0] {
            let (columns, card) = columns(width);
            let taken = card * columns as f32 + tokens::GAP * 2.0 * (columns - 1) as f32;
            assert!(taken <= width && width - taken < columns as f32 + 1.0, "{columns} of {card} in {width}");
            assert!(columns == 1 || card >= tokens::CARD - 1.0, "{columns} of {card} in {width}");
        }
    }

    #[test]
    fn a_server_is_called_by_its_host() {
        let name = |text: &str| host(&Url::parse(text).unwrap());
        assert_eq!(name("http://127.0.0.1:8080/"), "127.0.0.1:8080");
        assert_eq!(name("https://tv.example.org/weir/"), "tv.example.org/weir");
    }
}
