//! Results on disk: JSON for programs, CSV for spreadsheets.

use std::path::Path;

use anyhow::Context as _;

use super::Row;

/// Writes rows as a JSON list.
pub fn write_json(path: &Path, rows: &[Row]) -> anyhow::Result<()> {
    let text = serde_json::to_string_pretty(rows).context("writing results as JSON")?;
    std::fs::write(path, text + "\n").with_context(|| format!("writing {}", path.display()))
}

/// Reads rows that [`write_json`] wrote.
pub fn read_json(path: &Path) -> anyhow::Result<Vec<Row>> {
    let text = std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
    serde_json::from_str(&text).with_context(|| format!("reading {} as results", path.display()))
}

/// Writes rows as a table, one column a figure.
pub fn write_csv(path: &Path, rows: &[Row]) -> anyhow::Result<()> {
    let mut out = String::new();
    for row in rows {
        let serde_json::Value::Object(fields) =
            serde_json::to_value(row).context("writing results as CSV")?
        else {
            continue;
        };
        if out.is_empty() {
            out.push_str(&fields.keys().cloned().collect::<Vec<_>>().join(","));
            out.push('\n');
        }
        let cells: Vec<String> = fields.values().map(cell).collect();
        out.push_str(&cells.join(","));
        out.push('\n');
    }
    std::fs::write(path, out).with_context(|| format!("writing {}", path.display()))
}

/// Quoted as in RFC 4180 where needed.
fn cell(value: &serde_json::Value) -> String {
    match value {
        serde_json::Value::String(text) if text.contains([',', '"', '\n', '\r']) => {
            format!("\"{}\"", text.replace('"', "\"\""))
        }
        serde_json::Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
