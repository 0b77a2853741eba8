//! What a query reads, and what that costs. The only part of a query that knows the store: another source of the graph
//! needs these methods and nothing else.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use pollux_model::digital_twin::{DigitalTwin, Relationship};
use pollux_model::{Clock, Error, ErrorCode, ResourceName, Result, Timestamp};
use pollux_store::twins::{Direction, Related, TwinFilter, after_relationship};
use pollux_store::{Page, Store};
use serde_json::Value;
use tokio::time::Instant;

use super::super::document::shown;
use super::super::graph::Graphs;
use super::super::indexes::{Indexes, Lookup, shown as shown_property};
use super::super::relationship_document;
use super::past::Past;
use super::plan::{Edges, LONGEST_LIST, Roots};
use super::refusal;
use crate::Context;

/// The graph of one instance, as one page of a query reads it.
pub(super) struct Source<'s> {
    store: &'s dyn Store,
    clock: &'s dyn Clock,
    pub(super) graphs: &'s Graphs,
    indexes: &'s Indexes,
    /// How roots may be found by a value; `None`: they may not.
    pub(super) by_value: Option<Lookup>,
    pub(super) instance: &'s ResourceName,
    /// The moment it is read as of; `None`: now.
    past: Option<Past<'s>>,
    pub(super) spent: Spent,
    /// What earlier pages of the same query spent.
    before: u64,
    /// Most work that all pages together may be.
    most: u64,
    /// When this page must end.
    ends: Instant,
}

/// What was looked at.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Spent {
    /// Twins read from the store.
    pub(super) twins: u64,
    /// Relationships read from the store.
    pub(super) relationships: u64,
    /// Combinations of documents that conditions were decided for.
    pub(super) combinations: u64,
}

impl Spent {
    pub(super) fn work(self) -> u64 {
        self.twins + self.relationships + self.combinations
    }

    /// The cost model of docs/operations/queries.md.
    #[expect(clippy::cast_precision_loss, reason = "a charge is approximate")]
    pub(super) fn charge(self) -> f64 {
        1.0 + 0.05 * (self.twins + self.relationships) as f64 + 0.002 * self.combinations as f64
    }
}

/// Candidates to start from.
pub(super) struct RootBatch {
    /// With the key to go on after each.
    pub(super) roots: Vec<(String, Value)>,
    /// The key to go on after all of them; `None` if there are no more.
    pub(super) next: Option<String>,
}

impl<'s> Source<'s> {
    pub(super) fn new(
        (context, graphs, indexes): (&'s Context, &'s Graphs, &'s Indexes),
        instance: &'s ResourceName,
        (before, most): (u64, u64),
        ends: Instant,
        as_of: Option<Timestamp>,
    ) -> Self {
        let (store, clock, spent) = (&*context.store, &*context.clock, Spent::default());
        let past = as_of.map(|at| Past { store, instance, at });
        Self { store, clock, graphs, indexes, by_value: None, instance, past, spent, before, most, ends }
    }

    /// Whether this page has taken its time.
    pub(super) fn late(&self) -> bool {
        Instant::now() >= self.ends
    }

    /// All pages so far.
    pub(super) fn work(&self) -> u64 {
        self.before + self.spent.work()
    }

    /// One combination more was looked at.
    pub(super) fn combine(&mut self) -> Result<()> {
        self.spent.combinations += 1;
        self.affordable()
    }

    pub(super) fn affordable(&self) -> Result<()> {
        if self.work() <= self.most {
            return Ok(());
        }
        Err(Error::new(
            ErrorCode::QuotaExceeded,
            format!(
                "The query has looked at more than {} twins, relationships and combinations of them. Narrow it: \
                 give the $dtId of one of its twins, name the relationships to follow, allow fewer hops.",
                self.most
            ),
        ))
    }

    /// How many twins there are of these models, or in all.
    pub(super) async fn count_twins(&mut self, models: Option<&[String]>) -> Result<u64> {
        match self.past {
            Some(past) => self.count_twins_then(past, models).await,
            None => self.estimate_twins(models).await,
        }
    }

    /// The same, for a plan: for which it does not matter whether it is so now or then.
    pub(super) async fn estimate_twins(&self, models: Option<&[String]>) -> Result<u64> {
        if let Some(graph) = self.graphs.read(self.instance) {
            return Ok(graph.count(models) as u64);
        }
        self.store.count_twins(self.instance, models).await.map_err(refusal::store)
    }

    /// They must be looked at one by one.
    async fn count_twins_then(&mut self, past: Past<'_>, models: Option<&[String]>) -> Result<u64> {
        let (mut count, mut after) = (0, None);
        loop {
            let page = past.twins(&TwinFilter::default(), after.as_deref(), LONGEST_LIST).await?;
            self.spent.twins += page.items.len() as u64;
            self.affordable()?;
            let counts = |twin: &&DigitalTwin| models.is_none_or(|models| models.contains(&twin.model));
            count += page.items.iter().filter(counts).count() as u64;
            if page.next.is_none() {
                return Ok(count);
            }
            if self.late() {
                return Err(Error::new(
                    ErrorCode::QueryTimeout,
                    "The twins of that moment could not be counted in time. Narrow the query.",
                ));
            }
            after = page.next;
        }
    }

    /// Candidates in the order of their keys.
    pub(super) async fn roots(
        &mut self,
        roots: &Roots,
        after: Option<&str>,
        limit: usize,
    ) -> Result<RootBatch> {
        match roots {
            Roots::Twins(filter) => {
                let page = match self.twins_by_value(filter, after, limit).await? {
                    Some(page) => page,
                    None => self.twins_by_looking(filter, after, limit).await?,
                };
                self.spent.twins += page.items.len() as u64;
                self.affordable()?;
                let roots = page.items.into_iter().map(|twin| (twin.id.clone(), shown(twin))).collect();
                Ok(RootBatch { roots, next: page.next })
            }
            Roots::Relationships(edges) => {
                let (found, next) = self.edges(edges, after, limit).await?;
                self.spent.relationships += found.len() as u64;
                self.affordable()?;
                let key = |found: &Relationship| after_relationship(&found.source, &found.id);
                let roots = found.iter().map(|found| (key(found), relationship_document(found))).collect();
                Ok(RootBatch { roots, next })
            }
        }
    }

    /// Those that an index finds; `None` if there is none, or it finds too many to be of use.
    async fn twins_by_value(
        &mut self,
        filter: &TwinFilter,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Option<Page<DigitalTwin>>> {
        let Some(Lookup::Index(index, values)) = &self.by_value else { return Ok(None) };
        let models = filter.models.as_deref();
        let found = self.store.twins_by_value(index, values, models, after, limit).await;
        let found = found.map_err(refusal::store)?;
        if found.is_some() {
            self.indexes.used(index, self.clock.now());
        } else {
            self.by_value = None;
            self.indexes.forget().await;
        }
        Ok(found)
    }

    async fn twins_by_looking(
        &mut self,
        filter: &TwinFilter,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Page<DigitalTwin>> {
        let page = self.twins(filter, after, limit).await?;
        if let Some(Lookup::Missing(scan)) = &mut self.by_value {
            self.indexes.scanned(self.instance, scan, &page.items);
        }
        Ok(page)
    }

    /// The property by whose index roots are found.
    pub(super) fn index(&self) -> Option<String> {
        match &self.by_value {
            Some(Lookup::Index(index, _)) => Some(shown_property(&index.property)),
            Some(Lookup::Missing(_)) | None => None,
        }
    }

    /// Relationships in the order of source and id, whichever way they are found.
    async fn edges(
        &self,
        edges: &Edges,
        after: Option<&str>,
        limit: usize,
    ) -> Result<(Vec<Relationship>, Option<String>)> {
        if let Some(past) = self.past {
            return Self::edges_then(past, edges, after, limit).await;
        }
        let (store, instance) = (self.store, self.instance);
        let name = edges.name.as_deref();
        if let (None, Some(target)) = (&edges.sources, &edges.target) {
            let page =
                store.relationships_of(instance, target, Direction::Incoming, name, after, limit).await;
            let page = page.map_err(refusal::store)?;
            return Ok((page.items, page.next));
        }
        let Some(sources) = &edges.sources else {
            let page = store.relationships(instance, after, limit).await.map_err(refusal::store)?;
            return Ok((page.items, page.next));
        };
        let begun: Option<(String, String)> = after.and_then(|after| serde_json::from_str(after).ok());
        let left = sources.iter().filter(|id| begun.as_ref().is_none_or(|(source, _)| *id >= source));
        let ends: Vec<String> = left.take(LONGEST_LIST).cloned().collect();
        // The mark counts only if the first end is the twin it stands at.
        let first = ends.first().filter(|first| begun.as_ref().is_some_and(|(source, _)| source == *first));
        let after = after.filter(|_| first.is_some());
        let names: Vec<String> = edges.name.iter().cloned().collect();
        let found = self.store.related(instance, &ends, Direction::Outgoing, &names, after, limit).await;
        let Related { of, next } = found.map_err(refusal::store)?;
        let reached = of.len();
        let next = next.or_else(|| {
            let last = ends.get(reached.checked_sub(1)?)?;
            let more = sources.iter().any(|id| id > last);
            // Behind all relationships of that twin: no id is greater than this one.
            more.then(|| after_relationship(last, "\u{10ffff}"))
        });
        Ok((of.into_iter().flatten().collect(), next))
    }

    async fn edges_then(
        past: Past<'_>,
        edges: &Edges,
        after: Option<&str>,
        limit: usize,
    ) -> Result<(Vec<Relationship>, Option<String>)> {
        let end = match (&edges.sources, &edges.target) {
            (Some(sources), _) if sources.len() == 1 => {
                sources.first().map(|source| (source.as_str(), Direction::Outgoing))
            }
            (None, Some(target)) => Some((target.as_str(), Direction::Incoming)),
            _ => None,
        };
        let page = past.relationships(end, edges.name.as_slice(), after, limit).await?;
        Ok((page.items, page.next))
    }

    async fn twins(
        &self,
        filter: &TwinFilter,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Page<DigitalTwin>> {
        match self.past {
            Some(past) => past.twins(filter, after, limit).await,
            None => self.store.twins(self.instance, filter, after, limit).await.map_err(refusal::store),
        }
    }

    /// One twin that matches the filter of `roots`, or would but for its properties.
    pub(super) async fn root(&mut self, id: &str) -> Result<Option<Value>> {
        self.spent.twins += 1;
        let twin = match self.past {
            Some(past) => past.twin(id).await?,
            None => self.store.twin(self.instance, id).await.map_err(refusal::store)?,
        };
        Ok(twin.map(shown))
    }

    pub(super) async fn related(
        &mut self,
        ends: &[String],
        direction: Direction,
        names: &[String],
        after: Option<&str>,
        limit: usize,
    ) -> Result<Related> {
        let found = match self.past {
            Some(past) => past.related(ends, direction, names, after, limit).await?,
            None => {
                let found = self.store.related(self.instance, ends, direction, names, after, limit).await;
                found.map_err(refusal::store)?
            }
        };
        self.spent.relationships += found.of.iter().map(|list| list.len() as u64).sum::<u64>();
        self.affordable()?;
        Ok(found)
    }

    pub(super) async fn relationship(&mut self, source: &str, id: &str) -> Result<Option<Relationship>> {
        self.spent.relationships += 1;
        match self.past {
            Some(past) => past.relationship(source, id).await,
            None => self.store.relationship(self.instance, source, id).await.map_err(refusal::store),
        }
    }

    /// The documents of these twins, as far as they are there and, where that is asked, of one of these models.
    pub(super) async fn documents(
        &mut self,
        ids: BTreeSet<String>,
        models: Option<&[String]>,
    ) -> Result<HashMap<String, Arc<Value>>> {
        let ids: Vec<String> = ids.into_iter().collect();
        let mut found = HashMap::new();
        for ids in ids.chunks(LONGEST_LIST) {
            let filter = TwinFilter { ids: Some(ids.to_vec()), models: models.map(<[String]>::to_vec) };
            let page = self.twins(&filter, None, ids.len()).await?;
            self.spent.twins += page.items.len() as u64;
            found.extend(page.items.into_iter().map(|twin| (twin.id.clone(), Arc::new(shown(twin)))));
        }
        self.affordable()?;
        Ok(found)
    }
}
