//! Groups of rows: what they have in common, and what is computed over them.

use std::cmp::Ordering;

use serde_json::{Map, Value as Json};

use super::{
    Query,
    ast::{Aggregate, GroupColumn, OrderBy, SelectList},
    order::{SortKey, SortPart, compare},
    row::Bindings,
};
use crate::{eval, expr::Path, value::Number};

/// What is known of a group's rows so far, one for each function of the select list.
#[derive(Debug, Clone)]
pub struct Totals(Vec<Total>);

#[derive(Debug, Clone)]
enum Total {
    Count(u64),
    /// The least or, `Greater`, the greatest.
    Best(Ordering, Option<Json>),
    Sum(Sum),
    Average(Sum),
}

#[derive(Debug, Clone, Default)]
struct Sum {
    count: u64,
    /// While all are integers and the sum fits.
    exact: Option<i128>,
    near: f64,
}

impl Sum {
    fn add(&mut self, number: Number) {
        let before = if self.count == 0 { Some(0) } else { self.exact };
        self.exact = before.zip(number.as_int()).and_then(|(sum, next)| sum.checked_add(next));
        self.near += number.as_f64();
        self.count += 1;
    }

    fn total(&self) -> Option<Json> {
        let exact = self.exact.and_then(|sum| Number::Int(sum).to_json());
        exact.or_else(|| Number::finite(self.near).filter(|_| self.count > 0)?.to_json())
    }

    fn average(&self) -> Option<Json> {
        #[expect(clippy::cast_precision_loss, reason = "an average is approximate")]
        let mean = self.exact.map_or(self.near, |sum| sum as f64) / self.count as f64;
        Number::finite(mean)?.to_json()
    }
}

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
        Totals(
            self.aggregates()
                .map(|aggregate| match aggregate {
                    Aggregate::Count => Total::Count(0),
                    Aggregate::Min(_) => Total::Best(Ordering::Less, None),
                    Aggregate::Max(_) => Total::Best(Ordering::Greater, None),
                    Aggregate::Sum(_) => Total::Sum(Sum::default()),
                    Aggregate::Avg(_) => Total::Average(Sum::default()),
                })
                .collect(),
        )
    }

    /// Adds a row to its group.
    pub fn add(&self, totals: &mut Totals, bindings: &Bindings<'_>) {
        for (aggregate, total) in self.aggregates().zip(&mut totals.0) {
            let value = aggregate.path().and_then(|path| at(path, bindings));
            match total {
                Total::Count(rows) => *rows += 1,
                Total::Best(wanted, best) => {
                    let value =
                        value.filter(|value| !(value.is_null() || value.is_array() || value.is_object()));
                    let better =
                        |value: &&Json| best.as_ref().is_none_or(|best| compare(value, best) == *wanted);
                    if let Some(value) = value.filter(better) {
                        *best = Some(value.clone());
                    }
                }
                Total::Sum(sum) | Total::Average(sum) => {
                    if let Some(Json::Number(number)) = value {
                        sum.add(Number::from_json(number));
                    }
                }
            }
        }
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
                GroupColumn::Aggregate(_) => match totals.next()? {
                    Total::Count(rows) => Some((*rows).into()),
                    Total::Best(_, best) => best.clone(),
                    Total::Sum(sum) => sum.total(),
                    Total::Average(sum) => sum.average(),
                },
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
