//! What becomes of the rows of a walk: shown as they come, counted, put in order, or grouped.
//!
//! Rows in order and groups need all of the walk for each page. A page then begins behind the last row of the page
//! before, by the values it was ordered by: what changed meanwhile moves no other row from one page to another.

use std::collections::BTreeMap;

use pollux_model::{Error, ErrorCode, Result};
use pollux_query::twins::{Bindings, Query, SortKey, Totals};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// About what a group's totals take, or a row's place in a map.
const OVERHEAD: usize = 128;

/// Where an ordered answer goes on: behind the row with this key; of rows with equal keys, behind the one with this
/// identity.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Behind {
    key: Value,
    row: Vec<String>,
}

/// Rows that need all of the walk.
pub(super) struct Ordered<'q> {
    query: &'q Query,
    behind: Option<(SortKey, Vec<String>)>,
    /// How many rows are kept, those to be passed over too.
    keep: usize,
    pass_over: usize,
    rows: BTreeMap<(SortKey, Vec<String>), (Value, usize)>,
    groups: BTreeMap<SortKey, Totals>,
    bytes: usize,
    /// Most bytes that may be held.
    most: usize,
    more: bool,
    /// Rows that are no groups.
    taken: u64,
}

impl<'q> Ordered<'q> {
    /// Whether a query needs this.
    pub(super) fn wants(query: &Query) -> bool {
        query.is_grouped() || !query.order().is_empty()
    }

    /// At most `limit` rows, behind those of the page before; on the first page, behind `pass_over` more.
    pub(super) fn new(
        query: &'q Query,
        behind: Option<Behind>,
        limit: usize,
        pass_over: u64,
        most: usize,
    ) -> Result<Self> {
        let behind = match behind {
            None => None,
            Some(Behind { key, row }) => Some((query.read_key(&key).ok_or_else(Error::internal)?, row)),
        };
        let pass_over = if behind.is_some() { 0 } else { usize::try_from(pass_over).unwrap_or(usize::MAX) };
        let mut groups = BTreeMap::new();
        if query.is_one_group() {
            groups.insert(query.group_key(&Bindings::default()), query.totals());
        }
        let keep = limit.saturating_add(pass_over);
        Ok(Self {
            query,
            behind,
            keep,
            pass_over,
            rows: BTreeMap::new(),
            groups,
            bytes: 0,
            most,
            more: false,
            taken: 0,
        })
    }

    /// Takes a row: its documents, and what tells it from the others.
    pub(super) fn take(
        &mut self,
        bindings: &Bindings<'_>,
        identity: impl FnOnce() -> Vec<String>,
    ) -> Result<()> {
        if !self.query.is_grouped() {
            self.taken += 1;
            let key = (self.query.order_key(bindings), identity());
            return self.keep(key, |query| query.project(bindings));
        }
        let key = self.query.group_key(bindings);
        if let Some(totals) = self.groups.get_mut(&key) {
            let grown = self.query.add(totals, bindings);
            return self.hold(grown);
        }
        let mut totals = self.query.totals();
        let grown = self.query.add(&mut totals, bindings);
        self.hold(key.size() + OVERHEAD + grown)?;
        self.groups.insert(key, totals);
        Ok(())
    }

    /// Keeps a row if it is among those that are shown first.
    fn keep(&mut self, key: (SortKey, Vec<String>), show: impl FnOnce(&Query) -> Value) -> Result<()> {
        if self.behind.as_ref().is_some_and(|behind| key <= *behind) {
            return Ok(());
        }
        let last = || self.rows.last_key_value().is_some_and(|(last, _)| key > *last);
        if self.rows.len() >= self.keep && (self.keep == 0 || last()) {
            self.more = true;
            return Ok(());
        }
        let row = show(self.query);
        let names: usize = key.1.iter().map(String::len).sum();
        let size = serde_json::to_vec(&row).map_or(0, |bytes| bytes.len()) + key.0.size() + names + OVERHEAD;
        self.hold(size)?;
        self.rows.insert(key, (row, size));
        if self.rows.len() > self.keep {
            self.more = true;
            if let Some((_, (_, size))) = self.rows.pop_last() {
                self.bytes -= size;
            }
        }
        Ok(())
    }

    fn hold(&mut self, size: usize) -> Result<()> {
        self.bytes += size;
        if self.bytes <= self.most {
            return Ok(());
        }
        Err(Error::new(
            ErrorCode::QuotaExceeded,
            format!(
                "The query needs more than {} bytes of memory for its rows in order or its groups. Ask for \
                 smaller pages or a smaller OFFSET, show fewer columns, or group by something with fewer values.",
                self.most
            ),
        ))
    }

    /// How many rows the answer has; for rows that are no groups, how many were taken.
    pub(super) fn seen(&self) -> u64 {
        self.taken.max(self.groups.len() as u64)
    }

    /// The rows of the page, and where the answer goes on.
    pub(super) fn finish(mut self) -> Result<(Vec<Value>, Option<Behind>)> {
        for (key, totals) in std::mem::take(&mut self.groups) {
            let order = self.query.group_order_key(&key, &totals);
            self.keep((order, Vec::new()), |query| query.group_row(&key, &totals))?;
        }
        let last =
            self.rows.last_key_value().map(|((key, row), _)| Behind { key: key.to_json(), row: row.clone() });
        let next = last.filter(|_| self.more);
        Ok((self.rows.into_values().skip(self.pass_over).map(|(row, _)| row).collect(), next))
    }
}
