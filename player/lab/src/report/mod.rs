//! One self-contained HTML page for an experiment: nothing is loaded from elsewhere, it opens from disk.

mod data;
mod timeline;

use std::path::Path;

use anyhow::Context as _;

pub use data::Report;
pub use timeline::Timeline;

/// The page, with a place for the data.
const PAGE: &str = include_str!("page.html");
const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// Writes the page.
pub fn write(path: &Path, report: &Report<'_>) -> anyhow::Result<()> {
    let data = serde_json::to_string(report).context("writing the report's data")?;
    std::fs::write(path, page(&data)).with_context(|| format!("writing {}", path.display()))
}

/// The page around `data`, a JSON text.
fn page(data: &str) -> String {
    // Within a script element only this could end it, or begin a comment.
    let data = data.replace('<', "\\u003c").replace('\u{2028}', "\\u2028").replace('\u{2029}', "\\u2029");
    // The data goes in last, so that nothing in it is taken for a place to fill.
    PAGE.replace("/*STYLE*/", STYLE).replace("/*SCRIPT*/", SCRIPT).replacen("/*DATA*/null", &data, 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_the_data_cannot_break_out_of_the_script() {
        let page = page("{\"name\":\"</script><script>alert(1)</script>\"}");
        assert_eq!(page.matches("<script").count(), PAGE.matches("<script").count());
        assert!(page.contains("\\u003c/script>"));
    }

    #[test]
    fn the_page_loads_nothing_from_elsewhere() {
        let page = page("{}");
        for word in ["http://", "https://", "src=", "<link", "@import", "fetch("] {
            // The name space of SVG is a name, not an address that is loaded.
            let rest = page.replace("http://www.w3.org/2000/svg", "");
            assert!(!rest.contains(word), "{word}");
        }
    }
}
