//! Messages that come and go: notes about a keypress, and warnings that playback survives.

use egui::{Align2, Area, Id, Order, Ui, vec2};

use super::{icons::Icon, parts, theme, tokens};

/// How much a message matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Weight {
    /// Good to know.
    Note,
    /// Something is not as it should be.
    Warning,
}

#[derive(Clone, Debug, PartialEq)]
struct Toast {
    text: String,
    /// What it is about: something new on that takes its place.
    about: Option<String>,
    weight: Weight,
    until: f64,
}

/// What is being said.
#[derive(Debug, Default)]
pub(crate) struct Toasts {
    toasts: Vec<Toast>,
    note: Option<(String, f64)>,
}

/// More than this at once nobody reads.
const MOST: usize = 4;

impl Toasts {
    /// A message in the corner. One that is on screen already stays longer instead of coming twice.
    pub(crate) fn say(&mut self, now: f64, weight: Weight, text: impl Into<String>) {
        let text = text.into();
        let until = now + tokens::TOAST;
        match self.toasts.iter_mut().find(|toast| toast.text == text) {
            Some(toast) => toast.until = until,
            None => self.toasts.push(Toast { text, about: None, weight, until }),
        }
        if self.toasts.len() > MOST {
            self.toasts.remove(0);
        }
    }

    /// A warning that takes the place of the one before on the same matter.
    pub(crate) fn warn(&mut self, now: f64, about: &str, text: impl Into<String>) {
        let text = text.into();
        self.toasts.retain(|toast| toast.about.as_deref() != Some(about) || toast.text == text);
        self.say(now, Weight::Warning, text);
        if let Some(last) = self.toasts.last_mut() {
            last.about = Some(about.to_owned());
        }
    }

    /// Forgets warnings: a page says what is the matter now.
    pub(crate) fn settle(&mut self) {
        self.toasts.retain(|toast| toast.weight != Weight::Warning);
    }

    /// What a keypress did, in the middle of the upper half; the next one takes its place.
    pub(crate) fn note(&mut self, now: f64, text: impl Into<String>) {
        self.note = Some((text.into(), now + tokens::NOTE));
    }

    /// Forgets what is over; says how long until the next one is.
    fn expire(&mut self, now: f64) -> Option<f64> {
        self.toasts.retain(|toast| toast.until > now);
        self.note = self.note.take().filter(|(_, until)| *until > now);
        let ends =
            self.toasts.iter().map(|toast| toast.until).chain(self.note.as_ref().map(|(_, until)| *until));
        ends.map(|until| until - now).reduce(f64::min)
    }

    /// Draws them over everything.
    pub(crate) fn show(&mut self, ui: &Ui) {
        let ctx = ui.ctx();
        let now = ctx.input(|input| input.time);
        if let Some(rest) = self.expire(now) {
            ctx.request_repaint_after_secs(rest as f32 + 0.01);
        }
        if let Some((text, _)) = &self.note {
            let area = Area::new(Id::unique("note")).order(Order::Foreground).interactable(false);
            area.anchor(Align2::CENTER_TOP, vec2(0.0, 72.0)).show(ctx, |ui| {
                parts::glass(ui, |ui| {
                    ui.label(egui::RichText::new(text).font(theme::strong_font(tokens::TEXT)));
                });
            });
        }
        if self.toasts.is_empty() {
            return;
        }
        let width = (ctx.content_rect().width() - 2.0 * tokens::PAGE).min(380.0);
        let area = Area::new(Id::unique("toasts")).order(Order::Foreground);
        let mut gone = None;
        area.anchor(Align2::RIGHT_TOP, vec2(-16.0, 68.0)).show(ctx, |ui| {
            ui.set_width(width);
            for (index, toast) in self.toasts.iter().enumerate() {
                parts::glass(ui, |ui| {
                    ui.set_width(width - 28.0);
                    ui.horizontal_top(|ui| {
                        let (rect, _) = ui.allocate_exact_size(vec2(18.0, 18.0), egui::Sense::hover());
                        let (icon, tint) = match toast.weight {
                            Weight::Note => (Icon::Tick, tokens::DARK.accent),
                            Weight::Warning => (Icon::Warning, tokens::DARK.warning),
                        };
                        icon.paint(ui.painter(), rect, tint);
                        ui.add(egui::Label::new(&toast.text).wrap());
                    });
                })
                .response
                .interact(egui::Sense::click())
                .clicked()
                .then(|| gone = Some(index));
            }
        });
        if let Some(index) = gone {
            self.toasts.remove(index);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_not_said_twice_and_goes_away() {
        let mut toasts = Toasts::default();
        toasts.say(0.0, Weight::Warning, "slow");
        toasts.say(3.0, Weight::Warning, "slow");
        assert_eq!(toasts.toasts.len(), 1);
        assert_eq!(toasts.expire(4.0), Some(tokens::TOAST - 1.0));
        assert_eq!(toasts.expire(3.0 + tokens::TOAST), None);
        assert!(toasts.toasts.is_empty());
    }

    #[test]
    fn a_flood_of_messages_stays_readable() {
        let mut toasts = Toasts::default();
        for n in 0..50 {
            toasts.say(0.0, Weight::Note, format!("message {n}"));
        }
        assert_eq!(toasts.toasts.len(), MOST);
        assert_eq!(toasts.toasts.last().unwrap().text, "message 49");
    }

    #[test]
    fn the_newest_note_replaces_the_one_before() {
        let mut toasts = Toasts::default();
        toasts.note(0.0, "Volume 50 %");
        toasts.note(0.1, "Volume 55 %");
        assert_eq!(toasts.note.as_ref().unwrap().0, "Volume 55 %");
        toasts.expire(5.0);
        assert!(toasts.note.is_none());
    }
}
