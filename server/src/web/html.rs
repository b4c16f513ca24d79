//! The frame around every page, and the one way for text to get into it.

use std::fmt;

/// Text that is written with everything escaped that HTML gives a meaning, in content and in quoted attributes.
pub(super) struct Text<'a>(pub(super) &'a str);

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            match c {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                c => write!(f, "{c}")?,
            }
        }
        Ok(())
    }
}

const LOGO: &str = r#"<svg viewBox="0 0 32 32" fill="none" stroke="currentColor" stroke-width="3" stroke-linecap="round" aria-hidden="true"><path d="M4 9c4-4 8-4 12 0s8 4 12 0M4 16c4-4 8-4 12 0s8 4 12 0"/><path d="M8 24h16"/></svg>"#;

/// A whole page. `body` and `scripts` are markup of ours, `title` and `note` are text.
pub(super) fn frame(title: &str, note: &str, body: &str, scripts: &[&str]) -> String {
    let scripts: String = scripts
        .iter()
        .map(|name| format!("<script src=\"{}\" defer></script>\n", super::assets::url(name)))
        .collect();
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<title>{title}</title>\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <link rel=\"icon\" href=\"{icon}\" type=\"image/svg+xml\">\n<link rel=\"stylesheet\" href=\"{style}\">\n\
         {scripts}</head>\n<body>\n<div class=\"page\">\n<header class=\"top\"><a class=\"brand\" href=\"/\">{LOGO}Weir</a>\
         <nav class=\"nav\" aria-label=\"Site\"><a href=\"/\">Streams</a><a href=\"/admin\">Admin</a><a href=\"/api\">API</a></nav>\
         <span class=\"note\" id=\"note\" aria-live=\"polite\">{note}</span></header>\n<main>\n{body}</main>\n</div>\n\
         </body>\n</html>\n",
        title = Text(title),
        note = Text(note),
        icon = super::assets::url("icon.svg"),
        style = super::assets::url("app.css"),
    )
}

/// Seconds as `1:02:03` or `2:03`.
pub(super) fn length(seconds: f64) -> String {
    let s = seconds.round() as u64;
    let (h, m, s) = (s / 3600, s / 60 % 60, s % 60);
    if h > 0 { format!("{h}:{m:02}:{s:02}") } else { format!("{m}:{s:02}") }
}

/// A number with its noun.
pub(super) fn counted(number: u64, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}
