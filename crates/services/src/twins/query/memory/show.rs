//! How rows of a graph are shown: from the text that is held, where the answer is made of that.

use pollux_query::Value as Cell;
use pollux_query::twins::{Columns as _, Projection, Query, SelectList};

use super::super::super::graph::Graph;
use super::super::plan::Plan;
use super::super::row::Row;
use super::bound::{Bound, Text};

/// What a row is made of.
pub(super) enum Shape<'q> {
    /// The twin of the first alias as it is.
    Twin,
    /// Columns by name, in the form `"name":`.
    Columns(Vec<(String, &'q Projection)>),
    /// Documents that must be read.
    Other,
}

impl<'q> Shape<'q> {
    pub(super) fn of(query: &'q Query) -> Self {
        match query.select() {
            SelectList::All if !query.is_pattern() => Self::Twin,
            SelectList::Items(items) => {
                let names: std::collections::BTreeSet<&str> =
                    items.iter().map(|item| item.name.as_str()).collect();
                if names.len() < items.len() {
                    return Self::Other;
                }
                let title = |name: &str| format!("{}:", quoted(name));
                Self::Columns(items.iter().map(|item| (title(&item.name), item)).collect())
            }
            _ => Self::Other,
        }
    }

    pub(super) fn show(&self, query: &Query, plan: &Plan<'_>, graph: &Graph, bound: &Bound<'_>) -> Row {
        let shown = match self {
            Self::Twin => match bound.view(graph).text(0) {
                Some(Text::Held(text)) => Some(Row::Shared(text)),
                Some(Text::Made(text)) => Some(Row::Text(text)),
                None => None,
            },
            Self::Columns(columns) => row(columns, graph, bound).map(Row::Text),
            Self::Other => None,
        };
        shown.unwrap_or_else(|| Row::Document(bound.project(query, plan, graph)))
    }
}

/// `None` if a document must be read for a column.
fn row(columns: &[(String, &Projection)], graph: &Graph, bound: &Bound<'_>) -> Option<String> {
    let view = bound.view(graph);
    let mut out = String::from("{");
    for (title, item) in columns {
        let before = out.len();
        if before > 1 {
            out.push(',');
        }
        out.push_str(title);
        let shown = if item.path.segments.is_empty() {
            match view.text(item.path.root)? {
                Text::Held(text) => out.push_str(&text),
                Text::Made(text) => out.push_str(&text),
            }
            true
        } else {
            cell(&view.value(&item.path)?, &mut out)?
        };
        if !shown {
            out.truncate(before);
        }
    }
    out.push('}');
    Some(out)
}

/// Writes a value; `false` if there is none, `None` if it cannot be written.
fn cell(value: &Cell<'_>, out: &mut String) -> Option<bool> {
    match value {
        Cell::Undefined => return Some(false),
        Cell::Null => out.push_str("null"),
        Cell::Bool(true) => out.push_str("true"),
        Cell::Bool(false) => out.push_str("false"),
        Cell::Number(number) => out.push_str(&number.to_json()?.to_string()),
        Cell::String(text) => out.push_str(&quoted(text)),
        Cell::Structured(_) => return None,
    }
    Some(true)
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
