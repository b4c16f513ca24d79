//! From tokens to egui's style: fonts, both themes, spacing.

use std::sync::Arc;

use egui::{
    Color32, CornerRadius, FontData, FontDefinitions, FontFamily, FontId, Margin, Shadow, Stroke, Style,
    TextStyle, Theme, Visuals,
    style::{Selection, WidgetVisuals},
    vec2,
};

use super::tokens::{self, Colours};

/// The family of headings and of what is chosen.
pub(crate) fn strong() -> FontFamily {
    FontFamily::Name("strong".into())
}

/// A strong font of this size.
pub(crate) fn strong_font(size: f32) -> FontId {
    FontId::new(size, strong())
}

/// The colours of the theme that is shown now.
pub(crate) fn colours(ctx: &egui::Context) -> Colours {
    of(ctx.theme())
}

fn of(theme: Theme) -> Colours {
    match theme {
        Theme::Dark => tokens::DARK,
        Theme::Light => tokens::LIGHT,
    }
}

/// Fonts and styles of both themes.
pub(crate) fn install(ctx: &egui::Context) {
    let mut fonts = FontDefinitions::default();
    for (name, bytes) in [
        ("Inter", &include_bytes!("../../../../assets/fonts/Inter-Regular.otf")[..]),
        ("Inter SemiBold", &include_bytes!("../../../../assets/fonts/Inter-SemiBold.otf")[..]),
    ] {
        fonts.font_data.insert(name.to_owned(), Arc::new(FontData::from_static(bytes)));
    }
    let fallback = fonts.families.get(&FontFamily::Proportional).cloned().unwrap_or_default();
    let family = |first: &str| std::iter::once(first.to_owned()).chain(fallback.clone()).collect::<Vec<_>>();
    fonts.families.insert(strong(), family("Inter SemiBold"));
    fonts.families.insert(FontFamily::Proportional, family("Inter"));
    ctx.set_fonts(fonts);
    for theme in [Theme::Dark, Theme::Light] {
        ctx.style_mut_of(theme, |style| apply(style, theme));
    }
}

/// The dark style for what lies over a picture, whatever the theme.
pub(crate) fn over_picture(ui: &mut egui::Ui) {
    let style = ui.ctx().style_of(Theme::Dark);
    ui.set_style(style);
}

fn apply(style: &mut Style, theme: Theme) {
    let colours = of(theme);
    style.text_styles = [
        (TextStyle::Small, FontId::proportional(tokens::TEXT_SMALL)),
        (TextStyle::Body, FontId::proportional(tokens::TEXT)),
        (TextStyle::Button, FontId::proportional(tokens::TEXT)),
        (TextStyle::Monospace, FontId::monospace(tokens::TEXT)),
        (TextStyle::Heading, strong_font(tokens::TEXT_LARGE)),
    ]
    .into();
    let spacing = &mut style.spacing;
    spacing.item_spacing = vec2(tokens::GAP, tokens::GAP);
    spacing.button_padding = vec2(3.0 * tokens::GRID, 1.5 * tokens::GRID);
    spacing.interact_size.y = tokens::TOUCH - tokens::GRID;
    spacing.menu_margin = Margin::same(6);
    spacing.window_margin = Margin::same(16);
    spacing.tooltip_width = 320.0;
    // Sheets may be as high as the window: each says how much of it it takes.
    spacing.default_area_size = vec2(600.0, 4000.0);
    style.interaction.selectable_labels = false;
    style.interaction.tooltip_delay = 0.4;
    style.animation_time = 0.12;
    style.visuals = visuals(theme, &colours);
}

fn visuals(theme: Theme, colours: &Colours) -> Visuals {
    let mut visuals = match theme {
        Theme::Dark => Visuals::dark(),
        Theme::Light => Visuals::light(),
    };
    let round = CornerRadius::same(tokens::ROUND);
    let widget = |fill: Color32, line: Color32, text: Color32| WidgetVisuals {
        bg_fill: fill,
        weak_bg_fill: fill,
        bg_stroke: Stroke::new(1.0, line),
        corner_radius: round,
        fg_stroke: Stroke::new(1.0, text),
        expansion: 0.0,
    };
    let none = Color32::TRANSPARENT;
    visuals.widgets.noninteractive = widget(colours.surface, colours.line, colours.text);
    visuals.widgets.inactive = widget(colours.raised, none, colours.text);
    visuals.widgets.hovered = widget(colours.hover, colours.line, colours.text);
    visuals.widgets.active = widget(colours.hover, colours.accent, colours.text);
    visuals.widgets.open = widget(colours.hover, colours.line, colours.text);
    visuals.selection =
        Selection { bg_fill: colours.accent.gamma_multiply(0.35), stroke: Stroke::new(1.0, colours.text) };
    visuals.weak_text_color = Some(colours.weak);
    visuals.hyperlink_color = colours.accent;
    visuals.warn_fg_color = colours.warning;
    visuals.error_fg_color = colours.error;
    visuals.panel_fill = colours.page;
    visuals.window_fill = colours.surface;
    visuals.window_stroke = Stroke::new(1.0, colours.line);
    visuals.window_corner_radius = CornerRadius::same(tokens::ROUND_LARGE);
    visuals.menu_corner_radius = CornerRadius::same(tokens::ROUND + 4);
    visuals.extreme_bg_color = colours.raised;
    visuals.faint_bg_color = colours.raised;
    visuals.text_edit_bg_color = Some(colours.raised);
    visuals.text_cursor.stroke.color = colours.accent;
    visuals.slider_trailing_fill = true;
    let shadow = Shadow { offset: [0, 6], blur: 20, spread: 0, color: tokens::SHADOW };
    visuals.popup_shadow = shadow;
    visuals.window_shadow = shadow;
    visuals
}
