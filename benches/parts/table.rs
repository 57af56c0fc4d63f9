//! From Criterion's files to a Markdown table, so that what the README shows is what ran.

use std::fmt::Write as _;
use std::path::Path;
use std::time::SystemTime;

use super::brief::folder;

/// A Markdown table of medians in nanoseconds, of what was measured since `began`; nothing if nothing was. Each
/// column has a name and the cases that stand side by side in its cells.
pub(crate) fn table(
    group: &str,
    rows: &[&str],
    columns: &[(String, Vec<String>)],
    began: SystemTime,
) -> String {
    let names: Vec<&str> = columns.iter().map(|(name, _)| name.as_str()).collect();
    let mut text = format!(
        "\n| {group}, ns | {} |\n|---|{}\n",
        names.join(" | "),
        "---:|".repeat(columns.len())
    );
    let mut any = false;
    for row in rows {
        let _ = write!(text, "| `{row}` |");
        for (_, cases) in columns {
            let cells: Vec<String> = cases
                .iter()
                .map(|case| {
                    let place = folder().join(group).join(row).join(case);
                    let time = median(&place.join("new/estimates.json"), began);
                    any |= time.is_some();
                    time.map_or_else(|| "–".to_owned(), in_nanoseconds)
                })
                .collect();
            let _ = write!(text, " {} |", cells.join(" / "));
        }
        text.push('\n');
    }
    if any { text } else { String::new() }
}

fn median(file: &Path, began: SystemTime) -> Option<f64> {
    if std::fs::metadata(file).ok()?.modified().ok()? < began {
        return None;
    }
    let estimates: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(file).ok()?).ok()?;
    estimates["median"]["point_estimate"].as_f64()
}

fn in_nanoseconds(time: f64) -> String {
    if time < 100.0 {
        format!("{time:.1}")
    } else {
        format!("{time:.0}")
    }
}
