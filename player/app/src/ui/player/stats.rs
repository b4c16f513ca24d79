//! The statistics: what is played and why, with two plots on one time axis.

use std::time::Duration;

use egui::{Align, Color32, Grid, Layout, Rect, ScrollArea, Ui, UiBuilder, Vec2b, vec2};
use egui_plot::{GridMark, HoverPosition, Line, Plot, PlotPoints, Span};
use weir_engine::{PlotPoint, Snapshot, State, TrackView};

use crate::{
    text,
    ui::{icons, parts, theme, tokens},
    video::Shown,
};

/// What the window itself knows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Local<'a> {
    /// Size of the picture on screen in physical pixels.
    pub place: (u32, u32),
    /// How pictures are painted.
    pub painter: &'a str,
    /// Pictures that the window showed and missed.
    pub shown: Shown,
}

/// One line: what, how much, and what that means.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Row {
    /// Its name.
    pub name: &'static str,
    /// Its value.
    pub value: String,
    /// What it means, in a sentence or two.
    pub tip: &'static str,
}

/// The lines for a snapshot; one without a value is left out.
pub(crate) fn rows(snapshot: &Snapshot, local: &Local<'_>) -> Vec<Row> {
    let mut rows = Vec::new();
    let mut add = |name, value: Option<String>, tip| {
        if let Some(value) = value {
            rows.push(Row { name, value, tip });
        }
    };
    let rung = |track: &TrackView, rung: Option<usize>| {
        let view = track.rungs.get(rung?)?;
        // A rung without a height is called by its bitrate already.
        Some(match view.height {
            Some(_) => format!("{}, {}", view.label, text::bitrate(view.bitrate)),
            None => text::bitrate(view.bitrate),
        })
    };
    add("State", Some(state(snapshot.state).to_owned()), "What playback is doing.");
    add(
        "Picture",
        snapshot.picture.map(|(width, height)| {
            format!("{width} × {height}, shown at {} × {}", local.place.0, local.place.1)
        }),
        "Size of the decoded picture, and how many pixels of the screen it fills.",
    );
    add(
        "Playing",
        rung(&snapshot.video, snapshot.video.showing),
        "Quality of the picture on screen, and its average bitrate.",
    );
    let loading = snapshot.video.loading.filter(|loading| Some(*loading) != snapshot.video.showing);
    add(
        "Loading",
        rung(&snapshot.video, loading),
        "Quality that is being downloaded now; it reaches the screen when the buffer before it was played.",
    );
    add(
        "Sound",
        snapshot.audio.as_ref().and_then(|audio| rung(audio, audio.showing.or(audio.loading))),
        "Quality of the sound that is downloaded apart from the picture.",
    );
    add(
        "Buffer",
        Some(text::span(snapshot.buffer)),
        "How long playback could go on if the network went away now.",
    );
    add(
        "Throughput",
        snapshot.estimate.map(text::bitrate),
        "What Weir expects the network to carry, from the downloads so far.",
    );
    add(
        "Behind live",
        snapshot.live_window.map(|(_, edge)| {
            let behind = snapshot.latency.unwrap_or_else(|| edge.saturating_sub(snapshot.position));
            match snapshot.live_target {
                Some(target) => format!("{} (edge − {} wanted)", text::span(behind), text::span(target)),
                None => text::span(behind),
            }
        }),
        "How long ago what is shown was made, and how far from the newest media playback keeps.",
    );
    let (shown, late) = snapshot.frames;
    add(
        "Dropped frames",
        (shown + late > 0)
            .then(|| format!("{late} of {} ({})", shown + late, text::percent(late, shown + late))),
        "Pictures that were decoded too late to be shown. Many of them mean that this computer is too slow for the quality.",
    );
    add(
        "Missed by the window",
        (local.shown.overtaken > 0).then(|| {
            let all = local.shown.shown + local.shown.overtaken;
            format!("{} of {all} ({})", local.shown.overtaken, text::percent(local.shown.overtaken, all))
        }),
        "Pictures that were ready in time, but that the window was too busy to draw.",
    );
    let (stalls, time) = snapshot.stalls;
    add(
        "Stalls",
        Some(if stalls == 0 { "none".to_owned() } else { format!("{stalls}, {} in all", text::span(time)) }),
        "How often playback had to stop because the buffer was empty.",
    );
    add("Switches", Some(snapshot.switches.to_string()), "How often the quality on screen changed.");
    add(
        "Limit",
        match (snapshot.caps.bitrate, snapshot.caps.height) {
            (None, None) => None,
            (Some(rate), None) => Some(text::bitrate(rate)),
            (None, Some(height)) => Some(format!("{height} lines (window)")),
            (Some(rate), Some(height)) => Some(format!("{}, {height} lines (window)", text::bitrate(rate))),
        },
        "Automatic quality stays below this. Change it in the quality menu.",
    );
    add(
        "Speed",
        (snapshot.rate > 0.0 && (snapshot.rate - 1.0).abs() > 0.001).then(|| text::rate(snapshot.rate)),
        "Playback rate; the pitch of the sound stays.",
    );
    add(
        "Codecs",
        (!snapshot.codecs.is_empty()).then(|| snapshot.codecs.clone()),
        "How picture and sound are encoded (RFC 6381).",
    );
    add(
        "Pathway",
        snapshot.pathway.clone(),
        "From which of its servers the stream is fetched, as its publisher steers it.",
    );
    add(
        "Painter",
        Some(local.painter.to_owned()),
        "How pictures get to the screen: by the graphics card, or converted by the processor.",
    );
    rows
}

/// A state in a word.
pub(crate) fn state(state: State) -> &'static str {
    match state {
        State::Loading => "loading",
        State::Starting => "starting",
        State::Playing => "playing",
        State::Paused => "paused",
        State::Stalled => "buffering",
        State::Seeking => "seeking",
        State::Ended => "ended",
        State::Failed => "failed",
    }
}

/// The lines as text, for a bug report.
pub(crate) fn as_text(rows: &[Row], snapshot: &Snapshot) -> String {
    let mut out: String = rows.iter().map(|row| format!("{}: {}\n", row.name, row.value)).collect();
    if let Some(decision) = &snapshot.decision {
        out.push_str(&format!("Last decision ({}): {}\n", decision.rule, decision.reason));
    }
    out
}

/// Draws the box into `area`, with the plots in a box of their own where there is room beside it; `true` when it was
/// closed.
pub(crate) fn show(ui: &mut Ui, area: Rect, snapshot: &Snapshot, local: &Local<'_>) -> bool {
    let mut close = false;
    let rows = rows(snapshot, local);
    let gap = tokens::GAP + tokens::GRID;
    let beside = area.width() >= 2.0 * tokens::STATISTICS + gap;
    let width = tokens::STATISTICS.min(area.width());
    let first = area.with_max_x(area.left() + width);
    let has_plots = snapshot.plot.len() > 1;
    boxed(ui, first, |ui| {
        ui.horizontal(|ui| {
            ui.label(egui::RichText::new("Statistics").font(theme::strong_font(tokens::TEXT)));
            ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
                close = icons::button(ui, icons::Icon::Close, "Close the statistics").clicked();
                if icons::button(ui, icons::Icon::Copy, "Copy as text").clicked() {
                    ui.ctx().copy_text(as_text(&rows, snapshot));
                }
            });
        });
        ScrollArea::vertical().max_height((area.height() - 68.0).max(40.0)).show(ui, |ui| {
            table(ui, &rows);
            if let Some(decision) = &snapshot.decision {
                ui.add_space(tokens::GRID);
                ui.label(egui::RichText::new("Last decision").small().color(tokens::DARK.weak))
                    .on_hover_text("Why the quality of the newest download was chosen.");
                ui.add(egui::Label::new(&decision.reason).wrap()).on_hover_text(format!(
                    "Rule: {}, at {}",
                    decision.rule,
                    text::clock(decision.at)
                ));
            }
            if has_plots && !beside {
                plots(ui, snapshot);
            }
        });
    });
    if has_plots && beside {
        let second = first.translate(vec2(width + gap, 0.0));
        boxed(ui, second, |ui| plots(ui, snapshot));
    }
    close
}

fn boxed(ui: &mut Ui, area: Rect, add: impl FnOnce(&mut Ui)) {
    let mut inside = ui.new_child(UiBuilder::new().id_salt(area.left() as i32).max_rect(area));
    parts::glass(&mut inside, |ui| {
        ui.set_width(area.width() - 28.0);
        add(ui);
    });
}

fn table(ui: &mut Ui, rows: &[Row]) {
    Grid::new("statistics").num_columns(2).spacing(vec2(tokens::GAP * 2.0, 3.0)).min_row_height(18.0).show(
        ui,
        |ui| {
            for row in rows {
                let small = |text: &str| egui::RichText::new(text).size(tokens::TEXT_SMALL + 1.0);
                ui.label(small(row.name).color(tokens::DARK.weak)).on_hover_text(row.tip);
                let value = egui::Label::new(small(&row.value)).truncate();
                ui.add(value).on_hover_text(row.tip);
                ui.end_row();
            }
        },
    );
}

/// Least points from one line of a plot to the next: nearer ones lose their labels.
const MARK: f32 = 26.0;

/// Seconds before now that the plots show.
const WINDOW: f64 = 60.0;

/// The plot of rates goes up to so many times the highest rate of the media.
const MOST_OVER: f64 = 4.0;

fn plots(ui: &mut Ui, snapshot: &Snapshot) {
    let points: Vec<PlotPoint> = snapshot.plot.iter().copied().collect();
    let now = points.last().map_or(0.0, |point| point.at.as_secs_f64());
    let recent = |point: &&PlotPoint| now - point.at.as_secs_f64() <= WINDOW + 1.0;
    let points: Vec<PlotPoint> = points.iter().filter(recent).copied().collect();
    let series = |value: &dyn Fn(&PlotPoint) -> Option<f64>| -> Vec<[f64; 2]> {
        points.iter().filter_map(|point| Some([point.at.as_secs_f64() - now, value(point)?])).collect()
    };
    let mbps = |rate: weir_abr::Bitrate| rate.bps() as f64 / 1e6;

    let rates = [
        ("measured", series(&|p| Some(mbps(p.throughput))), tokens::PLOT_THROUGHPUT, 1.0),
        ("expected", series(&|p| p.estimate.map(mbps)), tokens::PLOT_ESTIMATE, 1.8),
        ("loading", series(&|p| p.loading.map(mbps)), tokens::PLOT_LOADING, 1.2),
        ("on screen", series(&|p| p.playing.map(mbps)), tokens::PLOT_PLAYING, 2.2),
    ];
    legend(ui, "Mbit/s", rates.iter().map(|(name, _, colour, _)| (*name, *colour)));
    let top = rate_top(&points);
    let stalls = stalls(&points, now);
    plot(ui, "throughput", 110.0, top * 1.1, " Mbit/s", &stalls, rates.into());

    let buffer = series(&|p| Some(p.buffer.as_secs_f64()));
    legend(ui, "Buffer in seconds", [("stall", tokens::PLOT_STALL)].into_iter());
    let top = buffer.iter().map(|p| p[1]).fold(5.0, f64::max);
    plot(ui, "buffer", 70.0, top * 1.1, " s", &stalls, vec![("buffer", buffer, tokens::PLOT_BUFFER, 1.8)]);
}

/// Top of the plot of rates, in Mbit/s: all of what was played and loaded, and of the network as much as leaves that to
/// be seen. A fast line would press everything else onto the axis.
fn rate_top(points: &[PlotPoint]) -> f64 {
    let mbps = |rate: weir_abr::Bitrate| rate.bps() as f64 / 1e6;
    let highest =
        |value: &dyn Fn(&PlotPoint) -> Option<f64>| points.iter().filter_map(value).fold(0.0, f64::max);
    let media = highest(&|p| p.playing.max(p.loading).map(mbps));
    let network = highest(&|p| Some(p.estimate.map_or(0.0, mbps).max(mbps(p.throughput))));
    if media > 0.0 { media.max(network.min(media * MOST_OVER)).max(0.5) } else { network.max(0.5) }
}

fn legend(ui: &mut Ui, title: &str, entries: impl Iterator<Item = (&'static str, Color32)>) {
    ui.add_space(tokens::GRID);
    ui.horizontal(|ui| {
        ui.spacing_mut().item_spacing.x = tokens::GRID;
        let small = |text: &str| egui::RichText::new(text).size(tokens::TEXT_SMALL).color(tokens::DARK.weak);
        ui.label(small(title));
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            let entries: Vec<_> = entries.collect();
            for (name, colour) in entries.into_iter().rev() {
                ui.label(small(name));
                let (rect, _) = ui.allocate_exact_size(vec2(10.0, 3.0), egui::Sense::hover());
                ui.painter().rect_filled(rect, 1.0, colour);
                ui.add_space(tokens::GRID);
            }
        });
    });
}

/// Stretches in which playback stood still, as seconds before now.
fn stalls(points: &[PlotPoint], now: f64) -> Vec<[f64; 2]> {
    let mut out: Vec<[f64; 2]> = Vec::new();
    let mut open = false;
    for point in points {
        let at = point.at.as_secs_f64() - now;
        if point.stalled {
            match out.last_mut() {
                Some(last) if open => last[1] = at,
                _ => out.push([at, at + 0.25]),
            }
        }
        open = point.stalled;
    }
    out
}

/// Round values from 0 to `top`, as many as can be told apart at this height.
fn marks(top: f64, height: f32) -> Vec<GridMark> {
    let rough = (top / f64::from(height / MARK)).max(f64::MIN_POSITIVE);
    let power = 10_f64.powf(rough.log10().floor());
    let step =
        [1.0, 2.0, 5.0, 10.0].into_iter().map(|n| n * power).find(|step| *step >= rough).unwrap_or(rough);
    (0..=6)
        .map(|n| GridMark { value: f64::from(n) * step, step_size: step })
        .filter(|mark| mark.value <= top)
        .collect()
}

fn plot(
    ui: &mut Ui,
    name: &str,
    height: f32,
    top: f64,
    unit: &'static str,
    stalls: &[[f64; 2]],
    lines: Vec<(&'static str, Vec<[f64; 2]>, Color32, f32)>,
) {
    let group = ui.scope_id().with("plots");
    Plot::new(name)
        .height(height)
        .show_axes(Vec2b::new(false, true))
        .show_grid(Vec2b::new(false, true))
        .show_background(false)
        .y_axis_min_width(30.0)
        .y_grid_spacer(move |_| marks(top, height))
        .y_axis_formatter(|mark: GridMark, _| format!("{}", (mark.value * 100.0).round() / 100.0))
        .allow_drag(false)
        .allow_zoom(false)
        .allow_scroll(false)
        .allow_boxed_zoom(false)
        .set_margin_fraction(vec2(0.0, 0.0))
        .link_axis(group, Vec2b::new(true, false))
        .link_cursor(group, Vec2b::new(true, false))
        .label_formatter(move |hover| match hover {
            HoverPosition::NearDataPoint { plot_name, position, .. } if !plot_name.is_empty() => {
                Some(format!("{plot_name}: {:.2}{unit}\n{:.0} s ago", position.y, -position.x))
            }
            _ => None,
        })
        .include_x(-WINDOW)
        .include_x(0.0)
        .include_y(0.0)
        .include_y(top)
        .show(ui, |plot| {
            for stall in stalls {
                plot.span(Span::new("", stall[0]..=stall[1]).fill(tokens::PLOT_STALL).border_width(0.0));
            }
            for (name, mut points, colour, width) in lines {
                // What is off the scale lies at its edge, and does not move it.
                points.iter_mut().for_each(|point| point[1] = point[1].min(top));
                plot.line(Line::new(name, PlotPoints::from(points)).color(colour).width(width));
            }
        });
}

/// How often the statistics look for news while nothing moves.
pub(crate) const TICK: Duration = Duration::from_millis(250);

#[cfg(test)]
mod tests {
    use weir_abr::Bitrate;
    use weir_engine::QualityView;

    use super::*;

    fn local() -> Local<'static> {
        Local { place: (640, 360), painter: "RGBA texture", shown: Shown::default() }
    }

    #[test]
    fn rows_without_a_value_are_left_out() {
        let rows = rows(&Snapshot::default(), &local());
        let names: Vec<_> = rows.iter().map(|row| row.name).collect();
        assert_eq!(names, ["State", "Buffer", "Stalls", "Switches", "Painter"]);
        assert!(rows.iter().all(|row| !row.value.is_empty() && row.tip.ends_with('.')));
    }

    #[test]
    fn a_full_snapshot_has_a_line_for_everything() {
        let mut snapshot = Snapshot {
            picture: Some((1280, 720)),
            switches: 3,
            codecs: "avc1".into(),
            pathway: Some("cdn-b".into()),
            ..Snapshot::default()
        };
        snapshot.video.rungs = vec![
            QualityView { label: "240p".into(), bitrate: Bitrate::from_kbps(300.0), height: Some(240) },
            QualityView { label: "720p".into(), bitrate: Bitrate::from_kbps(2800.0), height: Some(720) },
        ];
        snapshot.video.showing = Some(0);
        snapshot.video.loading = Some(1);
        snapshot.frames = (399, 1);
        snapshot.stalls = (2, Duration::from_millis(1300));
        snapshot.rate = 1.25;
        let rows = rows(&snapshot, &local());
        let value = |name: &str| rows.iter().find(|row| row.name == name).map(|row| row.value.as_str());
        assert_eq!(value("Picture"), Some("1280 × 720, shown at 640 × 360"));
        assert_eq!(value("Playing"), Some("240p, 300 kbit/s"));
        assert_eq!(value("Loading"), Some("720p, 2.8 Mbit/s"));
        assert_eq!(value("Dropped frames"), Some("1 of 400 (0.2 %)"));
        assert_eq!(value("Stalls"), Some("2, 1.3 s in all"));
        assert_eq!(value("Speed"), Some("1.25×"));
        assert!(as_text(&rows, &snapshot).contains("Switches: 3\n"));
    }

    #[test]
    fn axes_have_a_few_round_marks_at_any_height() {
        for top in [0.6, 1.0, 5.5, 7.3, 33.0, 120.0, 9_000.0] {
            for height in [70.0, 110.0, 400.0] {
                let marks = marks(top, height);
                assert!((2..=7).contains(&marks.len()), "{} marks up to {top}", marks.len());
                assert!(marks.iter().all(|mark| mark.value <= top && mark.step_size > 0.0));
                assert!(
                    marks[0].step_size / top * f64::from(height) >= f64::from(MARK) - 0.01 || height > 300.0,
                    "{top}"
                );
            }
        }
    }

    #[test]
    fn a_fast_network_does_not_press_the_medias_rates_onto_the_axis() {
        let point = |throughput: f64, playing: Option<f64>| PlotPoint {
            at: Duration::ZERO,
            estimate: Some(Bitrate::from_kbps(throughput)),
            throughput: Bitrate::from_kbps(throughput),
            playing: playing.map(Bitrate::from_kbps),
            loading: None,
            buffer: Duration::ZERO,
            stalled: false,
        };
        assert_eq!(rate_top(&[point(900_000.0, Some(2000.0))]), 8.0);
        assert_eq!(rate_top(&[point(3000.0, Some(2000.0))]), 3.0);
        assert_eq!(rate_top(&[point(900.0, Some(2000.0))]), 2.0);
        assert_eq!(rate_top(&[point(900_000.0, None)]), 900.0, "nothing is played yet");
        assert_eq!(rate_top(&[]), 0.5);
    }

    #[test]
    fn stalls_become_stretches() {
        let point = |ms: u64, stalled| PlotPoint {
            at: Duration::from_millis(ms),
            estimate: None,
            throughput: Bitrate::ZERO,
            playing: None,
            loading: None,
            buffer: Duration::ZERO,
            stalled,
        };
        let points =
            [point(0, false), point(250, true), point(500, true), point(750, false), point(1000, true)];
        assert_eq!(stalls(&points, 1.0), [[-0.75, -0.5], [0.0, 0.25]]);
    }
}
