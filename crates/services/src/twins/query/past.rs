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

#[cfg(test)]
mod tests {
    use pollux_model::Etag;
    use pollux_model::digital_twin::{Past as Was, PastVersion};
    use pollux_store::sqlite::{SqliteOptions, SqliteStore};
    use pollux_store::{Batch, Expect, Write};
    use serde_json::json;

    use super::*;

    const fn moment(number: i64) -> Timestamp {
        Timestamp::from_secs(number)
    }

    /// Stood from a moment until another; since then, where there is no other.
    type Life = (usize, i64, Option<i64>);

    fn twin((number, since, _): Life) -> DigitalTwin {
        let (id, model) = (format!("t{number:02}"), "dtmi:m;1".to_owned());
        let etag = Etag::new(&format!("{since}"));
        DigitalTwin { id, model, etag, document: json!({}), updated: moment(since) }
    }

    fn edge((number, since, _): Life) -> Relationship {
        let (id, name) = (format!("e{number:02}"), ["has", "feeds"][number % 2].to_owned());
        let (source, target) = (format!("t{:02}", number % 3), "t99".to_owned());
        let etag = Etag::new(&format!("{since}"));
        Relationship { id, source, target, name, etag, properties: json!({}), updated: moment(since) }
    }

    async fn all<T>(limit: usize, mut page: impl AsyncFnMut(Option<String>) -> Result<Page<T>>) -> Vec<T> {
        let (mut found, mut after) = (Vec::new(), None);
        loop {
            let Page { items, next } = page(after).await.unwrap();
            assert!(items.len() <= 2 * limit);
            found.extend(items);
            if next.is_none() {
                return found;
            }
            after = next;
        }
    }

    #[tokio::test]
    async fn pages_of_every_size_give_what_stood_at_each_moment() {
        let folder = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(&folder.path().join("state.db"), SqliteOptions::default()).unwrap();
        let instance = ResourceName::parse("twins1").unwrap();
        // Some stand still, some were changed, some are gone; runs of each are longer than a page.
        let lives: Vec<Life> = (0..30)
            .flat_map(|number| {
                let began = i64::try_from(number).unwrap() % 7;
                match number / 5 % 3 {
                    0 => vec![(number, began, None)],
                    1 => vec![(number, began, Some(8)), (number, 8, Some(10)), (number, 10, None)],
                    _ => vec![(number, began, Some(9))],
                }
            })
            .collect();
        let ends = (0..3).chain([99]).map(|number| (number, 0, None)).map(twin);
        let mut writes: Vec<Write> = ends
            .map(|twin| Write::PutTwin { twins: instance.clone(), twin: Box::new(twin), expect: Expect::Any })
            .collect();
        for life in &lives {
            let twins = instance.clone();
            let kept = |was| {
                let version = PastVersion { was, until: moment(life.2.unwrap_or_default()), deleted: false };
                Write::PutVersion { twins: twins.clone(), version: Box::new(version) }
            };
            let expect = Expect::Any;
            writes.extend(match life.2 {
                Some(_) => [kept(Was::Twin(twin(*life))), kept(Was::Relationship(edge(*life)))],
                None => [
                    Write::PutTwin {
                        twins: twins.clone(),
                        twin: Box::new(twin(*life)),
                        expect: expect.clone(),
                    },
                    Write::PutRelationship { twins, relationship: Box::new(edge(*life)), expect },
                ],
            });
        }
        store.commit(Batch { writes }).await.unwrap();
        let stood = |at: i64| {
            lives
                .iter()
                .copied()
                .filter(move |(_, since, until)| *since <= at && until.is_none_or(|until| at < until))
        };
        for at in 0..12 {
            let past = Past { store: &store, instance: &instance, at: moment(at) };
            let twins: BTreeMap<String, DigitalTwin> =
                stood(at).map(twin).map(|twin| (twin.id.clone(), twin)).collect();
            let edges: BTreeMap<Place, Relationship> =
                stood(at).map(edge).map(|edge| (place(&edge), edge)).collect();
            let of = |source: &str, name: &str| {
                let wanted = |edge: &&Relationship| edge.source == source && edge.name == name;
                edges.values().filter(wanted).cloned().collect::<Vec<_>>()
            };
            for limit in [1, 2, 3, 7, 100] {
                let found = all(limit, async |after| {
                    past.twins(&TwinFilter::default(), after.as_deref(), limit).await
                });
                let found: Vec<_> = found.await.into_iter().filter(|twin| twin.id != "t99").collect();
                assert!(found.iter().eq(twins.values()), "twins at {at} by {limit}: {found:?}");
                let found =
                    all(limit, async |after| past.relationships(None, &[], after.as_deref(), limit).await);
                assert!(found.await.iter().eq(edges.values()), "relationships at {at} by {limit}");
                let (end, names) = (Some(("t01", Direction::Outgoing)), ["has".to_owned()]);
                let found =
                    all(limit, async |after| past.relationships(end, &names, after.as_deref(), limit).await);
                assert_eq!(found.await, of("t01", "has"), "of one at {at} by {limit}");
            }
            for (place, edge) in &edges {
                assert_eq!(past.relationship(&place.0, &place.1).await.unwrap().as_ref(), Some(edge));
            }
            assert_eq!(past.relationship("t00", "none").await.unwrap(), None);
        }
    }
}
