//! Groups of rows: what they have in common, and what is computed over them.

use serde_json::{Map, Value as Json};

use super::{
    Query,
    ast::{GroupColumn, OrderBy, SelectList},
    row::Bindings,
};
use crate::{
    eval,
    expr::Path,
    order::{SortKey, SortPart},
    totals::{Aggregate, Total},
};

/// What is known of a group's rows so far, one for each function of the select list.
#[derive(Debug, Clone)]
pub struct Totals(Vec<Total>);

impl Query {
    /// Whether the answer has a row for each group of matches, or one for all of them, other than a mere count.
    pub fn is_grouped(&self) -> bool {
        matches!(self.select, SelectList::Groups(_))
    }

    /// Whether all matches are one group: then there is one row even without a match.
    pub fn is_one_group(&self) -> bool {
        self.is_grouped() && self.group_by.is_empty()
    }

    /// What the group of a row has in common.
    pub fn group_key(&self, bindings: &Bindings<'_>) -> SortKey {
        SortKey::ascending(self.group_by.iter().map(|path| at(path, bindings).cloned()).collect())
    }

    /// A group without rows.
    pub fn totals(&self) -> Totals {
        Totals(self.aggregates().map(Total::of).collect())
    }

    /// Adds a row to its group; by how many bytes that has grown.
    pub fn add(&self, totals: &mut Totals, bindings: &Bindings<'_>) -> usize {
        let added = self.aggregates().zip(&mut totals.0);
        added.map(|(aggregate, total)| total.add(aggregate.path().and_then(|path| at(path, bindings)))).sum()
    }

    /// The row of a group. What is undefined, such as the average of nothing, is left out.
    pub fn group_row(&self, key: &SortKey, totals: &Totals) -> Json {
        let mut row = Map::new();
        for (name, value) in self.names().zip(self.columns(key, totals)) {
            if let Some(value) = value {
                row.insert(name.to_owned(), value);
            }
        }
        Json::Object(row)
    }

    /// What a row is ordered by. Of rows that are equal in this the executor has its own order.
    pub fn order_key(&self, bindings: &Bindings<'_>) -> SortKey {
        let parts = self.order.iter().map(|item| {
            let value = match &item.by {
                OrderBy::Path(path) => at(path, bindings).cloned(),
                OrderBy::Column(_) => None,
            };
            SortPart { value, descending: item.descending }
        });
        SortKey { parts: parts.collect() }
    }

    /// What the row of a group is ordered by: the terms of `ORDER BY`, then what the group has in common.
    pub fn group_order_key(&self, key: &SortKey, totals: &Totals) -> SortKey {
        let columns = self.columns(key, totals);
        let terms = self.order.iter().map(|item| {
            let value = match &item.by {
                OrderBy::Column(column) => columns.get(*column).cloned().flatten(),
                OrderBy::Path(_) => None,
            };
            SortPart { value, descending: item.descending }
        });
        SortKey { parts: terms.chain(key.parts.iter().cloned()).collect() }
    }

    /// A key of this query, from what [`SortKey::to_json`] gave.
    pub fn read_key(&self, json: &Json) -> Option<SortKey> {
        let groups = if self.is_grouped() { self.group_by.len() } else { 0 };
        let terms = self.order.iter().map(|item| item.descending);
        SortKey::from_json(json, terms.chain(std::iter::repeat_n(false, groups)))
    }

    fn columns(&self, key: &SortKey, totals: &Totals) -> Vec<Option<Json>> {
        let SelectList::Groups(items) = &self.select else { return Vec::new() };
        let mut totals = totals.0.iter();
        items
            .iter()
            .map(|item| match &item.what {
                GroupColumn::Key(at) => key.parts.get(*at).and_then(|part| part.value.clone()),
                GroupColumn::Aggregate(_) => totals.next()?.value(),
            })
            .collect()
    }

    fn names(&self) -> impl Iterator<Item = &str> {
        let items = match &self.select {
            SelectList::Groups(items) => items.as_slice(),
            SelectList::All | SelectList::Count { .. } | SelectList::Items(_) => &[],
        };
        items.iter().map(|item| item.name.as_str())
    }

    fn aggregates(&self) -> impl Iterator<Item = &Aggregate> {
        let items = match &self.select {
            SelectList::Groups(items) => items.as_slice(),
            SelectList::All | SelectList::Count { .. } | SelectList::Items(_) => &[],
        };
        items.iter().filter_map(|item| match &item.what {
            GroupColumn::Aggregate(aggregate) => Some(aggregate),
            GroupColumn::Key(_) => None,
        })
    }
}

fn at<'a>(path: &Path, bindings: &Bindings<'a>) -> Option<&'a Json> {
    bindings.get(path.root).and_then(|document| eval::walk(document, &path.segments, false))
}
