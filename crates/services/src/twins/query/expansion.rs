//! All combinations of documents that one root leads to along the query's JOINs, depth first: what is held in memory is
//! one batch of relationships for each JOIN, however many combinations there are.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use pollux_model::{ResourceName, Result};
use pollux_query::twins::{Join, Query};
use pollux_store::Store;
use pollux_store::twins::{Direction, TwinFilter};
use serde_json::Value;

use super::super::{relationship_document, twin_document};
use super::plan::Plan;
use super::refusal;

/// How many relationships are read at once.
const BATCH: usize = 50;

/// A document for each alias, as far as bound.
pub(super) type Bound = Vec<Option<Arc<Value>>>;

pub(super) struct Expansion<'q> {
    joins: &'q [Join],
    /// A query without JOIN has one combination: the root.
    alone: Option<Bound>,
    stack: Vec<Frame>,
}

/// One JOIN of one partial combination.
struct Frame {
    bound: Bound,
    /// Relationship and target.
    found: VecDeque<(Arc<Value>, Arc<Value>)>,
    cursor: Cursor,
}

enum Cursor {
    Start,
    After(String),
    End,
}

impl<'q> Expansion<'q> {
    pub(super) fn new(query: &'q Query, root: Value) -> Self {
        let joins = query.joins();
        let mut bound: Bound = vec![None; query.aliases().len().max(1)];
        bound[0] = Some(Arc::new(root));
        if joins.is_empty() {
            return Self { joins, alone: Some(bound), stack: Vec::new() };
        }
        Self { joins, alone: None, stack: vec![Frame::new(bound)] }
    }

    /// The next combination; adds to `read` the documents read for it.
    pub(super) async fn next(
        &mut self,
        store: &dyn Store,
        instance: &ResourceName,
        plan: &Plan,
        read: &mut u64,
    ) -> Result<Option<Bound>> {
        if let Some(alone) = self.alone.take() {
            return Ok(Some(alone));
        }
        loop {
            let depth = self.stack.len();
            let Some(frame) = self.stack.last_mut() else { return Ok(None) };
            let join = &self.joins[depth - 1];
            if let Some((relationship, target)) = frame.found.pop_front() {
                let mut bound = frame.bound.clone();
                bound[usize::from(join.relationship)] = Some(relationship);
                bound[usize::from(join.target)] = Some(target);
                if depth == self.joins.len() {
                    return Ok(Some(bound));
                }
                self.stack.push(Frame::new(bound));
            } else if matches!(frame.cursor, Cursor::End) {
                self.stack.pop();
            } else {
                *read += frame.load(store, instance, plan, join).await?;
            }
        }
    }
}

impl Frame {
    fn new(bound: Bound) -> Self {
        Self { bound, found: VecDeque::new(), cursor: Cursor::Start }
    }

    /// Reads the next batch; gives the number of documents read.
    async fn load(
        &mut self,
        store: &dyn Store,
        instance: &ResourceName,
        plan: &Plan,
        join: &Join,
    ) -> Result<u64> {
        let source = self.bound[usize::from(join.source)].as_deref();
        let source = source.and_then(|twin| twin.get("$dtId")).and_then(Value::as_str).unwrap_or_default();
        let after = match &self.cursor {
            Cursor::After(key) => Some(key.as_str()),
            Cursor::Start | Cursor::End => None,
        };
        let page = store
            .relationships_of(instance, source, Direction::Outgoing, Some(&join.name), after, BATCH)
            .await;
        let page = page.map_err(refusal::store)?;
        self.cursor = page.next.map_or(Cursor::End, Cursor::After);
        let mut related = page.items;
        let mut read = related.len() as u64;
        related.retain(|relationship| plan.admits(join.target, &relationship.target));
        if related.is_empty() {
            return Ok(read);
        }
        let mut ids: Vec<String> = related.iter().map(|relationship| relationship.target.clone()).collect();
        ids.sort_unstable();
        ids.dedup();
        let limit = ids.len();
        let filter = TwinFilter { ids: Some(ids), models: None };
        let twins = store.twins(instance, &filter, None, limit).await.map_err(refusal::store)?.items;
        read += twins.len() as u64;
        let twins: HashMap<&str, Arc<Value>> =
            twins.iter().map(|twin| (twin.id.as_str(), Arc::new(twin_document(twin)))).collect();
        for relationship in &related {
            // A target that was deleted between the two reads took its relationships with it.
            if let Some(target) = twins.get(relationship.target.as_str()) {
                self.found.push_back((Arc::new(relationship_document(relationship)), Arc::clone(target)));
            }
        }
        Ok(read)
    }
}
