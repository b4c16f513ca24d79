//! Icons, drawn as lines and shapes in a square of 24 units: no font, sharp at every scale.

use egui::{Color32, Painter, Rect, Response, Sense, Shape, Stroke, Ui, Vec2, accesskit::Role, vec2};

use super::tokens;

/// What can be drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Icon {
    /// Triangle.
    Play,
    /// Two bars.
    Pause,
    /// An arrow in a circle.
    Replay,
    /// Loudspeaker with so many waves; none is muted.
    Volume(u8),
    /// Corners outwards.
    Enlarge,
    /// Corners inwards.
    Shrink,
    /// Arrow to the left.
    Back,
    /// Line of a plot.
    Statistics,
    /// Question mark in a circle.
    Help,
    /// Cross.
    Close,
    /// Tick.
    Tick,
    /// A triangle with an exclamation mark.
    Warning,
    /// A plug pulled out.
    Offline,
    /// Film with a play sign.
    Film,
    /// Sun or moon.
    Theme,
    /// A pen.
    Edit,
    /// Two sheets.
    Copy,
    /// Lines of text in a frame.
    Subtitles,
}

impl Icon {
    /// Draws it into `rect`.
    pub(crate) fn paint(self, painter: &Painter, rect: Rect, colour: Color32) {
        let scale = rect.width().min(rect.height()) / 24.0;
        let at = |x: f32, y: f32| rect.center() + vec2(x - 12.0, y - 12.0) * scale;
        let stroke = Stroke::new(1.8 * scale, colour);
        let line = |points: &[(f32, f32)]| {
            painter.add(Shape::line(points.iter().map(|&(x, y)| at(x, y)).collect(), stroke));
        };
        let fill = |points: &[(f32, f32)]| {
            let points = points.iter().map(|&(x, y)| at(x, y)).collect();
            painter.add(Shape::convex_polygon(points, colour, Stroke::NONE));
        };
        let arc = |centre: (f32, f32), radius: f32, from: f32, to: f32| {
            let steps = 24;
            let points = (0..=steps).map(|n| {
                let angle = (from + (to - from) * n as f32 / steps as f32).to_radians();
                at(centre.0 + radius * angle.cos(), centre.1 + radius * angle.sin())
            });
            painter.add(Shape::line(points.collect(), stroke));
        };
        let dot = |x: f32, y: f32| {
            painter.circle_filled(at(x, y), 1.2 * scale, colour);
        };
        match self {
            Self::Play => fill(&[(7.0, 4.5), (19.5, 12.0), (7.0, 19.5)]),
            Self::Pause => {
                fill(&[(6.5, 5.0), (10.0, 5.0), (10.0, 19.0), (6.5, 19.0)]);
                fill(&[(14.0, 5.0), (17.5, 5.0), (17.5, 19.0), (14.0, 19.0)]);
            }
            Self::Replay => {
                arc((12.0, 12.5), 7.5, -60.0, 210.0);
                fill(&[(12.2, 1.8), (17.8, 5.6), (12.2, 9.4)]);
            }
            Self::Volume(waves) => {
                fill(&[(3.0, 9.0), (7.0, 9.0), (7.0, 15.0), (3.0, 15.0)]);
                fill(&[(7.0, 9.0), (12.0, 4.5), (12.0, 19.5), (7.0, 15.0)]);
                match waves {
                    0 => {
                        line(&[(15.5, 9.5), (20.5, 14.5)]);
                        line(&[(20.5, 9.5), (15.5, 14.5)]);
                    }
                    1 => arc((11.5, 12.0), 4.5, -40.0, 40.0),
                    _ => {
                        arc((11.5, 12.0), 4.5, -40.0, 40.0);
                        arc((11.5, 12.0), 8.5, -45.0, 45.0);
                    }
                }
            }
            Self::Enlarge | Self::Shrink => {
                for (sx, sy) in [(1.0, 1.0), (-1.0, 1.0), (1.0, -1.0), (-1.0, -1.0)] {
                    let corner = |x: f32, y: f32| (12.0 + sx * x, 12.0 + sy * y);
                    if self == Self::Enlarge {
                        line(&[corner(3.0, 7.5), corner(7.5, 7.5), corner(7.5, 3.0)]);
                    } else {
                        line(&[corner(3.0, 8.0), corner(3.0, 3.0), corner(8.0, 3.0)]);
                    }
                }
            }
            Self::Back => {
                line(&[(11.0, 5.0), (4.5, 12.0), (11.0, 19.0)]);
                line(&[(4.8, 12.0), (20.0, 12.0)]);
            }
            Self::Statistics => {
                line(&[(4.0, 4.0), (4.0, 20.0), (20.5, 20.0)]);
                line(&[(7.5, 15.5), (11.0, 10.5), (14.5, 13.0), (19.5, 6.0)]);
            }
            Self::Help => {
                painter.circle_stroke(at(12.0, 12.0), 9.0 * scale, stroke);
                arc((12.0, 9.8), 2.8, -200.0, 60.0);
                line(&[(13.4, 12.2), (12.0, 13.4), (12.0, 14.4)]);
                dot(12.0, 17.0);
            }
            Self::Close => {
                line(&[(6.0, 6.0), (18.0, 18.0)]);
                line(&[(18.0, 6.0), (6.0, 18.0)]);
            }
            Self::Tick => line(&[(5.0, 12.5), (10.0, 17.5), (19.5, 6.5)]),
            Self::Warning => {
                painter.add(Shape::closed_line(vec![at(12.0, 3.5), at(21.5, 20.5), at(2.5, 20.5)], stroke));
                line(&[(12.0, 9.5), (12.0, 14.5)]);
                dot(12.0, 17.4);
            }
            Self::Offline => {
                arc((12.0, 19.0), 13.0, -130.0, -50.0);
                arc((12.0, 19.0), 8.0, -130.0, -50.0);
                dot(12.0, 18.0);
                line(&[(4.0, 20.0), (20.0, 4.0)]);
            }
            Self::Film => {
                painter.rect_stroke(
                    Rect::from_min_max(at(2.5, 5.0), at(21.5, 19.0)),
                    2.5 * scale,
                    stroke,
                    egui::StrokeKind::Middle,
                );
                fill(&[(10.0, 8.7), (15.5, 12.0), (10.0, 15.3)]);
            }
            Self::Theme => {
                painter.circle_stroke(at(12.0, 12.0), 7.5 * scale, stroke);
                let half = (0..=24).map(|n| {
                    let angle = (-90.0 + 180.0 * n as f32 / 24.0_f32).to_radians();
                    at(12.0 + 7.5 * angle.cos(), 12.0 + 7.5 * angle.sin())
                });
                painter.add(Shape::convex_polygon(half.collect(), colour, Stroke::NONE));
            }
            Self::Edit => {
                line(&[
                    (4.5, 19.5),
                    (5.5, 15.5),
                    (16.5, 4.5),
                    (19.5, 7.5),
                    (8.5, 18.5),
                    (4.5, 19.5),
                    (5.5, 15.5),
                ]);
            }
            Self::Subtitles => {
                let frame = Rect::from_min_max(at(2.5, 5.0), at(21.5, 19.0));
                painter.rect_stroke(frame, 2.5 * scale, stroke, egui::StrokeKind::Middle);
                line(&[(6.0, 12.0), (9.5, 12.0)]);
                line(&[(12.0, 12.0), (18.0, 12.0)]);
                line(&[(6.0, 15.5), (13.5, 15.5)]);
                line(&[(16.0, 15.5), (18.0, 15.5)]);
            }
            Self::Copy => {
                let sheet = |x: f32, y: f32| Rect::from_min_max(at(x, y), at(x + 11.0, y + 11.0));
                painter.rect_stroke(sheet(8.5, 8.5), 2.0 * scale, stroke, egui::StrokeKind::Middle);
                line(&[(5.5, 15.5), (4.5, 15.5), (4.5, 4.5), (15.5, 4.5), (15.5, 5.5)]);
            }
        }
    }
}

/// A square button with an icon; `name` is its tooltip and its accessible name.
pub(crate) fn button(ui: &mut Ui, icon: Icon, name: &str) -> Response {
    toggle(ui, icon, name, false)
}

/// The same, shown as switched on when `on`.
pub(crate) fn toggle(ui: &mut Ui, icon: Icon, name: &str, on: bool) -> Response {
    let (rect, response) = ui.allocate_exact_size(Vec2::splat(tokens::TOUCH), Sense::click());
    response.widget_info(|| egui::WidgetInfo::selected(Role::Button, ui.is_enabled(), on, name));
    if ui.is_rect_visible(rect) {
        let visuals = ui.visuals();
        let fill = if response.is_pointer_button_down_on() {
            visuals.widgets.active.bg_fill
        } else if response.hovered() || response.has_focus() {
            visuals.widgets.hovered.bg_fill
        } else {
            Color32::TRANSPARENT
        };
        let colour = if on { visuals.hyperlink_color } else { visuals.text_color() };
        ui.painter().rect_filled(rect.shrink(1.0), tokens::ROUND, fill);
        if response.has_focus() {
            let stroke = Stroke::new(2.0, visuals.hyperlink_color);
            ui.painter().rect_stroke(rect.shrink(1.0), tokens::ROUND, stroke, egui::StrokeKind::Inside);
        }
        icon.paint(ui.painter(), Rect::from_center_size(rect.center(), Vec2::splat(tokens::ICON)), colour);
    }
    response.on_hover_text(name)
}
