//! What is printed: documents as JSON, lists as a table on a terminal and as JSON everywhere else.

use std::io::{self, IsTerminal as _, Write as _};

use anyhow::Result;
use serde_json::Value;

/// A column: its title, and the JSON pointer of its value in a row.
pub(crate) type Column = (&'static str, &'static str);

/// Longest text of a table's cell, in characters.
const CELL: usize = 72;

/// Where results go.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    json: bool,
    tables: bool,
}

impl Output {
    /// Tables only for a terminal, and only when JSON was not asked for.
    pub(crate) fn new(json: bool) -> Self {
        Self { json, tables: !json && io::stdout().is_terminal() }
    }

    /// Whether somebody reads it on a terminal.
    pub(crate) const fn is_for_eyes(self) -> bool {
        self.tables
    }

    /// Prints one document.
    pub(crate) fn document(self, value: &Value) -> Result<()> {
        let text = serde_json::to_string_pretty(value)?;
        Ok(writeln!(io::stdout().lock(), "{text}")?)
    }

    /// Prints a text as it is; quoted where JSON was asked for.
    pub(crate) fn text(self, text: &str) -> Result<()> {
        if self.json { self.document(&Value::from(text)) } else { self.line(text) }
    }

    /// Prints rows.
    pub(crate) fn rows(self, rows: Vec<Value>, columns: &[Column]) -> Result<()> {
        if !self.tables {
            return self.document(&Value::Array(rows));
        }
        if rows.is_empty() {
            return self.note("none");
        }
        let cell = |row: &Value, pointer: &str| row.pointer(pointer).map(text).unwrap_or_default();
        let cells =
            rows.iter().map(|row| columns.iter().map(|(_, pointer)| cell(row, pointer)).collect()).collect();
        let titles: Vec<_> = columns.iter().map(|(title, _)| *title).collect();
        Ok(io::stdout().lock().write_all(table(&titles, cells).as_bytes())?)
    }

    /// Prints one of a stream of events: indented for a terminal, a line each for programs.
    pub(crate) fn event(self, event: &Value) -> Result<()> {
        let text = if self.tables { serde_json::to_string_pretty(event)? } else { event.to_string() };
        let mut out = io::stdout().lock();
        writeln!(out, "{text}")?;
        Ok(out.flush()?)
    }

    /// Says what was done, on standard error.
    #[expect(clippy::unused_self, reason = "what is said goes the same way as what is printed")]
    pub(crate) fn note(self, text: &str) -> Result<()> {
        Ok(writeln!(io::stderr().lock(), "{text}")?)
    }

    /// Prints a line for eyes.
    #[expect(clippy::unused_self, reason = "all that is printed goes through here")]
    pub(crate) fn line(self, text: &str) -> Result<()> {
        Ok(writeln!(io::stdout().lock(), "{text}")?)
    }
}

/// A table with a line of titles; the last column is not padded.
pub(crate) fn table(titles: &[&str], rows: Vec<Vec<String>>) -> String {
    let titles = titles.iter().map(|title| title.to_uppercase()).collect::<Vec<_>>();
    let all: Vec<_> = std::iter::once(titles).chain(rows).collect();
    let columns = all.iter().map(Vec::len).max().unwrap_or(0);
    let width =
        |column: usize| all.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
    let widths: Vec<_> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
    let mut text = String::new();
    for row in &all {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        text.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        text.push('\n');
    }
    text
}

fn text(value: &Value) -> String {
    let text = match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(text_of_item).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    };
    if text.chars().count() <= CELL {
        return text;
    }
    text.chars().take(CELL - 1).chain(['…']).collect()
}

/// Lists of named things are shown by their names.
fn text_of_item(item: &Value) -> String {
    ["hub", "name"].iter().find_map(|key| item[*key].as_str()).map_or_else(|| text(item), str::to_owned)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_table_lines_up() {
        let shown =
            table(&["name", "hosts"], vec![vec!["hübsch".into(), "a".into()], vec!["b".into(), "cd".into()]]);
        assert_eq!(shown, "NAME    HOSTS\nhübsch  a\nb       cd\n");
        assert_eq!(table(&["a"], vec![]), "A\n");
    }

    #[test]
    fn cells_say_what_fits() {
        for (value, expected) in [
            (json!(null), ""),
            (json!("x"), "x"),
            (json!(2.5), "2.5"),
            (json!([{"name": "a", "x": 1}, {"hub": "h"}, 3]), "a, h, 3"),
        ] {
            assert_eq!(text(&value), expected);
        }
        let long = text(&json!("ü".repeat(200)));
        assert_eq!((long.chars().count(), long.ends_with('…')), (CELL, true));
    }
}
