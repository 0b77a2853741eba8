//! The graph as it stood at a moment: what stands now where that had begun then, and versions that ended since.
//!
//! What stands now is read first. A change in between then shows in both, as the same; the other way round it would show
//! in neither.

use std::collections::BTreeMap;

use pollux_model::digital_twin::{DigitalTwin, Relationship};
use pollux_model::{ResourceName, Result, Timestamp};
use pollux_store::history::Span;
use pollux_store::twins::{Direction, Related, TwinFilter, after_relationship};
use pollux_store::{Page, Store};

use super::refusal;

/// Reads the graph of one instance as of one moment.
#[derive(Clone, Copy)]
pub(super) struct Past<'s> {
    pub(super) store: &'s dyn Store,
    pub(super) instance: &'s ResourceName,
    pub(super) at: Timestamp,
}

/// Where a relationship is in the order of the store.
type Place = (String, String);

impl Past<'_> {
    /// Twins in order of id, after `after`: about `limit`, and at most twice as many. As from the store, more than the
    /// filter asks for may come.
    pub(super) async fn twins(
        self,
        filter: &TwinFilter,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Page<DigitalTwin>> {
        let (store, instance, at) = (self.store, self.instance, self.at);
        // Its model may have been another: the filter by model is for what stands now.
        let by_ids = TwinFilter { models: None, ..filter.clone() };
        let now = store.twins(instance, &by_ids, after, limit).await.map_err(refusal::store)?;
        let span = Span { after, last: now.next.as_deref() };
        let then = store.twins_at(instance, at, filter.ids.as_deref(), span, limit).await;
        let then = then.map_err(refusal::store)?;
        let next = earlier(now.next, then.next);
        let standing = now.items.into_iter().filter(|twin| twin.updated <= at);
        let merged: BTreeMap<String, DigitalTwin> =
            standing.chain(then.items).map(|twin| (twin.id.clone(), twin)).collect();
        let whole = |twin: &DigitalTwin| next.as_ref().is_none_or(|next| twin.id <= *next);
        Ok(Page { items: merged.into_values().filter(whole).collect(), next })
    }

    /// One twin.
    pub(super) async fn twin(self, id: &str) -> Result<Option<DigitalTwin>> {
        let filter = TwinFilter { ids: Some(vec![id.to_owned()]), models: None };
        Ok(self.twins(&filter, None, 1).await?.items.pop())
    }

    /// Relationships (of one twin, if it is given) of one of these names (of any if there are none), in order of (source,
    /// id), after `after`.
    pub(super) async fn relationships(
        self,
        end: Option<(&str, Direction)>,
        names: &[String],
        after: Option<&str>,
        limit: usize,
    ) -> Result<Page<Relationship>> {
        let (store, instance, at) = (self.store, self.instance, self.at);
        let now = match end {
            Some((twin, direction)) => {
                store.relationships_of(instance, twin, direction, None, after, limit).await
            }
            None => store.relationships(instance, after, limit).await,
        };
        let now = now.map_err(refusal::store)?;
        let span = Span { after, last: now.next.as_deref() };
        let then = store.relationships_at(instance, at, end, span, limit).await.map_err(refusal::store)?;
        let last = |page: &Page<Relationship>| page.next.as_ref().and_then(|_| page.items.last().map(place));
        let bound = earlier(last(&now), last(&then));
        let standing = now.items.into_iter().filter(|relationship| relationship.updated <= at);
        let merged: BTreeMap<Place, Relationship> =
            standing.chain(then.items).map(|relationship| (place(&relationship), relationship)).collect();
        let next = bound.as_ref().map(|(source, id)| after_relationship(source, id));
        let whole = merged.into_iter().filter(|(place, _)| bound.as_ref().is_none_or(|bound| place <= bound));
        let named = whole
            .map(|(_, relationship)| relationship)
            .filter(|relationship| names.is_empty() || names.contains(&relationship.name));
        Ok(Page { items: named.collect(), next })
    }

    /// As [`Twins::related`](pollux_store::twins::Twins::related), twin by twin.
    pub(super) async fn related(
        self,
        ends: &[String],
        direction: Direction,
        names: &[String],
        after: Option<&str>,
        limit: usize,
    ) -> Result<Related> {
        let (mut found, mut left) = (Related::default(), limit.max(1));
        for (at, end) in ends.iter().enumerate() {
            let after = after.filter(|_| at == 0);
            let page = self.relationships(Some((end, direction)), names, after, left).await?;
            left = left.saturating_sub(page.items.len().max(1));
            found.of.push(page.items);
            found.next = page.next;
            if left == 0 || found.next.is_some() {
                break;
            }
        }
        Ok(found)
    }

    /// One relationship.
    pub(super) async fn relationship(self, source: &str, id: &str) -> Result<Option<Relationship>> {
        let mut after = None;
        loop {
            let end = Some((source, Direction::Outgoing));
            let page = self.relationships(end, &[], after.as_deref(), PAGE).await?;
            if let Some(found) = page.items.into_iter().find(|relationship| relationship.id == id) {
                return Ok(Some(found));
            }
            if page.next.is_none() {
                return Ok(None);
            }
            after = page.next;
        }
    }
}

/// Relationships that are read at once to find one.
const PAGE: usize = 1000;

fn place(relationship: &Relationship) -> Place {
    (relationship.source.clone(), relationship.id.clone())
}

/// The end that comes first; `None` is behind all.
fn earlier<T: Ord>(one: Option<T>, other: Option<T>) -> Option<T> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}
