//! Every colour, size and distance of the window. Nothing else in the crate names one.

use egui::Color32;

/// Distances lie on a grid of 4 points.
pub(crate) const GRID: f32 = 4.0;
/// Between things that belong together.
pub(crate) const GAP: f32 = 2.0 * GRID;
/// Between groups, and around pages.
pub(crate) const PAGE: f32 = 6.0 * GRID;
/// Corners of buttons and fields.
pub(crate) const ROUND: u8 = 6;
/// Corners of cards and sheets.
pub(crate) const ROUND_LARGE: u8 = 12;
/// Height of anything that can be clicked.
pub(crate) const TOUCH: f32 = 36.0;
/// Drawn icons.
pub(crate) const ICON: f32 = 20.0;

/// Side notes and labels of plots.
pub(crate) const TEXT_SMALL: f32 = 12.0;
/// Everything else.
pub(crate) const TEXT: f32 = 14.0;
/// Headings.
pub(crate) const TEXT_LARGE: f32 = 21.0;

/// Width of a stream's card, at least.
pub(crate) const CARD: f32 = 232.0;
/// Widest page.
pub(crate) const PAGE_WIDTH: f32 = 1240.0;
/// Height of the scrub bar, resting and touched.
pub(crate) const BAR: (f32, f32) = (4.0, 8.0);
/// Height of the strip with the scrub bar and the buttons under the picture.
pub(crate) const CONTROLS: f32 = 92.0;
/// Height of the strip above the picture.
pub(crate) const HEADER: f32 = 60.0;
/// Width of the statistics.
pub(crate) const STATISTICS: f32 = 400.0;

/// Seconds without a move of the pointer until the controls hide.
pub(crate) const HIDE_AFTER: f64 = 2.5;
/// Seconds that a note about a keypress stays.
pub(crate) const NOTE: f64 = 1.2;
/// Seconds that a message stays.
pub(crate) const TOAST: f64 = 6.0;
/// Seconds of a stall before the window speaks of it.
pub(crate) const PATIENCE: f64 = 0.4;

/// Height of subtitles as a part of the picture's height, and at most of its width.
pub(crate) const CAPTION: (f32, f32) = (0.058, 0.05);
/// Smallest subtitles.
pub(crate) const CAPTION_LEAST: f32 = 13.0;
/// Subtitles keep this part of the picture's size from its edges.
pub(crate) const CAPTION_MARGIN: f32 = 0.04;
/// Width of their outline, as a part of their height.
pub(crate) const CAPTION_OUTLINE: f32 = 0.075;
/// Most of them at a time.
pub(crate) const CAPTIONS: usize = 16;

/// Largest width and height of a small picture above the scrub bar.
pub(crate) const THUMBNAIL: (f32, f32) = (160.0, 110.0);

/// The colours of one theme.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Colours {
    /// Behind everything.
    pub page: Color32,
    /// Cards, sheets and menus.
    pub surface: Color32,
    /// Buttons and fields on a surface.
    pub raised: Color32,
    /// The same under the pointer.
    pub hover: Color32,
    /// Lines.
    pub line: Color32,
    /// Text.
    pub text: Color32,
    /// Text that matters less.
    pub weak: Color32,
    /// Chosen, active, ours.
    pub accent: Color32,
    /// Text on the accent.
    pub on_accent: Color32,
    /// Something is not as it should be.
    pub warning: Color32,
    /// Something failed.
    pub error: Color32,
    /// Around a thing that the keyboard stands on.
    pub focus: Color32,
}

/// Dark theme; also everything that lies over a picture, whatever the theme.
pub(crate) const DARK: Colours = Colours {
    page: Color32::from_rgb(0x0f, 0x14, 0x18),
    surface: Color32::from_rgb(0x18, 0x1f, 0x25),
    raised: Color32::from_rgb(0x23, 0x2d, 0x35),
    hover: Color32::from_rgb(0x2f, 0x3b, 0x45),
    line: Color32::from_rgb(0x33, 0x40, 0x4a),
    text: Color32::from_rgb(0xe8, 0xee, 0xf2),
    weak: Color32::from_rgb(0xa3, 0xb1, 0xbc),
    accent: Color32::from_rgb(0x4c, 0xc3, 0xd4),
    on_accent: Color32::from_rgb(0x06, 0x23, 0x29),
    warning: Color32::from_rgb(0xe9, 0xb4, 0x4c),
    error: Color32::from_rgb(0xf0, 0x7c, 0x6c),
    focus: Color32::from_rgb(0x8f, 0xdd, 0xe8),
};

/// Light theme.
pub(crate) const LIGHT: Colours = Colours {
    page: Color32::from_rgb(0xf4, 0xf7, 0xf9),
    surface: Color32::from_rgb(0xff, 0xff, 0xff),
    raised: Color32::from_rgb(0xe9, 0xee, 0xf2),
    hover: Color32::from_rgb(0xdc, 0xe4, 0xea),
    line: Color32::from_rgb(0xcf, 0xd9, 0xe0),
    text: Color32::from_rgb(0x16, 0x20, 0x28),
    weak: Color32::from_rgb(0x52, 0x62, 0x6e),
    accent: Color32::from_rgb(0x0a, 0x6e, 0x7e),
    on_accent: Color32::from_rgb(0xff, 0xff, 0xff),
    warning: Color32::from_rgb(0x8f, 0x5e, 0x00),
    error: Color32::from_rgb(0xb3, 0x36, 0x28),
    focus: Color32::from_rgb(0x0a, 0x6e, 0x7e),
};

/// Around the picture.
pub(crate) const LETTERBOX: Color32 = Color32::BLACK;
/// Strips behind the controls fade from nothing to this.
pub(crate) const SHADE: Color32 = Color32::from_black_alpha(210);
/// Subtitles that have no colour of their own.
pub(crate) const CAPTION_TEXT: Color32 = Color32::WHITE;
/// Around subtitles.
pub(crate) const CAPTION_EDGE: Color32 = Color32::from_black_alpha(235);
/// Behind notes and statistics on the picture.
pub(crate) const GLASS: Color32 = Color32::from_rgba_premultiplied(10, 14, 17, 225);
/// The part of the scrub bar that is not loaded.
pub(crate) const BAR_EMPTY: Color32 = Color32::from_rgba_premultiplied(58, 58, 58, 64);
/// Behind sheets.
pub(crate) const BACKDROP: Color32 = Color32::from_black_alpha(150);
/// Live streams.
pub(crate) const LIVE: Color32 = Color32::from_rgb(0xe5, 0x48, 0x4d);
/// Text on [`LIVE`].
pub(crate) const ON_LIVE: Color32 = Color32::WHITE;
/// Text of badges on thumbnails.
pub(crate) const ON_BADGE: Color32 = Color32::WHITE;
/// Shadow under sheets and menus.
pub(crate) const SHADOW: Color32 = Color32::from_black_alpha(96);

/// Measured throughput in plots.
pub(crate) const PLOT_THROUGHPUT: Color32 = Color32::from_rgb(0x6b, 0x7f, 0x8c);
/// Expected throughput in plots.
pub(crate) const PLOT_ESTIMATE: Color32 = Color32::from_rgb(0x4c, 0xc3, 0xd4);
/// Bitrate on screen in plots.
pub(crate) const PLOT_PLAYING: Color32 = Color32::from_rgb(0xe9, 0xb4, 0x4c);
/// Bitrate being fetched in plots.
pub(crate) const PLOT_LOADING: Color32 = Color32::from_rgb(0xb0, 0x8c, 0x4a);
/// Buffer level in plots.
pub(crate) const PLOT_BUFFER: Color32 = Color32::from_rgb(0x6c, 0xc5, 0x8a);
/// Stalls in plots.
pub(crate) const PLOT_STALL: Color32 = Color32::from_rgba_premultiplied(100, 32, 34, 110);

/// Rungs from the lowest to the highest: warm is poor, cool is rich; told apart by lightness, too.
const RUNGS: [[u8; 3]; 6] = [
    [0xd8, 0x5c, 0x4a],
    [0xe0, 0x8e, 0x45],
    [0xd9, 0xc0, 0x55],
    [0x8f, 0xc9, 0x6a],
    [0x56, 0xb8, 0xa8],
    [0x7f, 0xb2, 0xf0],
];

/// The colour of rung `rung` of `rungs`.
pub(crate) fn rung(rung: usize, rungs: usize) -> Color32 {
    let last = RUNGS.len() - 1;
    let place =
        if rungs < 2 { last as f32 } else { rung.min(rungs - 1) as f32 / (rungs - 1) as f32 * last as f32 };
    let below = (place.floor() as usize).min(last);
    let above = (below + 1).min(last);
    let part = place - below as f32;
    let mix = |channel: usize| {
        let (a, b) = (f32::from(RUNGS[below][channel]), f32::from(RUNGS[above][channel]));
        (a + (b - a) * part).round() as u8
    };
    Color32::from_rgb(mix(0), mix(1), mix(2))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn luminance(colour: Color32) -> f64 {
        let channel = |value: u8| {
            let value = f64::from(value) / 255.0;
            if value <= 0.04045 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
        };
        0.2126 * channel(colour.r()) + 0.7152 * channel(colour.g()) + 0.0722 * channel(colour.b())
    }

    /// WCAG 2.2, 1.4.3.
    fn contrast(a: Color32, b: Color32) -> f64 {
        let (a, b) = (luminance(a), luminance(b));
        (a.max(b) + 0.05) / (a.min(b) + 0.05)
    }

    #[test]
    fn text_can_be_read_on_everything_it_stands_on() {
        for (name, colours) in [("dark", DARK), ("light", LIGHT)] {
            for background in [colours.page, colours.surface, colours.raised] {
                for text in [colours.text, colours.weak, colours.accent, colours.warning, colours.error] {
                    let contrast = contrast(text, background);
                    assert!(contrast >= 4.5, "{name}: {text:?} on {background:?} is {contrast:.2}");
                }
            }
            assert!(contrast(colours.text, colours.hover) >= 4.5, "{name}");
            assert!(contrast(colours.on_accent, colours.accent) >= 4.5, "{name}");
        }
    }

    #[test]
    fn rungs_are_told_apart_by_colour_from_the_lowest_to_the_highest() {
        for rungs in 1..=8 {
            let colours: HashSet<_> = (0..rungs).map(|n| rung(n, rungs)).collect();
            assert_eq!(colours.len(), rungs);
        }
        assert_eq!(rung(0, 5), Color32::from_rgb(RUNGS[0][0], RUNGS[0][1], RUNGS[0][2]));
        assert_eq!(rung(99, 5), rung(4, 5));
        assert_eq!(rung(0, 1), rung(4, 5), "the only rung is the best one");
    }
}
