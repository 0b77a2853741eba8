//! What the metrics of configurations come to: one pass over the hub's twins answers all of them.

use std::collections::BTreeMap;

use pollux_model::Result;
use pollux_model::configuration::{Configuration, ConfigurationStatus};
use pollux_model::device::Device;
use pollux_model::resource::Resource;
use pollux_query::devices::{Aggregator, Collection, Query};

use super::super::{Hub, Presence, twin_document};
use super::compile::{Target, document, target};
use super::settle::BREATH;

/// Twins read at once.
const CHUNK: usize = 500;

/// What the metrics of a configuration come to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Measured {
    /// Twins that it is for (`targetedCount`).
    pub targeted: u64,
    /// Twins in which it sets something (`appliedCount`).
    pub applied: u64,
    /// Rows of the operator's queries, by name; one that has more groups than there is room for is left out.
    pub metrics: BTreeMap<String, u64>,
}

/// A configuration while twins go by.
struct Counting<'c> {
    configuration: &'c Configuration,
    target: Target,
    measured: Measured,
    queries: Vec<Rows<'c>>,
}

/// A query whose rows are counted.
struct Rows<'c> {
    name: &'c str,
    query: &'c Query,
    state: State<'c>,
}

/// How far the counting is.
enum State<'c> {
    /// So many rows so far.
    Rows(u64),
    /// These groups so far.
    Groups(Aggregator<'c>),
    /// It has more groups than there is room for: it comes to nothing.
    GivenUp,
}

impl Rows<'_> {
    /// About how many bytes its groups take.
    fn bytes(&self) -> usize {
        match &self.state {
            State::Groups(groups) => groups.bytes(),
            State::Rows(_) | State::GivenUp => 0,
        }
    }
}

impl Hub {
    /// The metrics of each of these configurations.
    pub(super) async fn measure(&self, hub: &Resource, all: &[Configuration]) -> Result<Vec<Measured>> {
        let parsed: Vec<Vec<(&str, Query)>> = all.iter().map(queries).collect();
        let mut counting: Vec<_> =
            all.iter().zip(&parsed).map(|(one, queries)| Counting::of(one, queries)).collect();
        let wanted = |collection: Collection, counting: &[Counting<'_>]| {
            counting.iter().any(|one| one.looks_at(collection))
        };
        for collection in [Collection::Devices, Collection::Modules] {
            if wanted(collection, &counting) {
                self.count_in(hub, collection, &mut counting).await?;
            }
        }
        Ok(counting.into_iter().map(Counting::finish).collect())
    }

    async fn count_in(
        &self,
        hub: &Resource,
        collection: Collection,
        counting: &mut [Counting<'_>],
    ) -> Result<()> {
        let (store, mut after) = (&self.context.store, None::<String>);
        let queried = counting.iter().any(|one| one.queries_of(collection).next().is_some());
        loop {
            let page = match collection {
                Collection::Devices => store.devices(&hub.name, after.as_deref(), CHUNK).await?,
                Collection::Modules => store.modules(&hub.name, after.as_deref(), CHUNK).await?,
                // Refused where a configuration is checked.
                Collection::Jobs => return Ok(()),
            };
            let present = if queried { Some(self.presences(hub, &page.items).await?) } else { None };
            for (number, twin) in page.items.iter().enumerate() {
                if number % BREATH == 0 {
                    tokio::task::yield_now().await;
                }
                let presence = present.as_ref().map(|present| present.of(&twin.address()));
                let small = document(twin);
                let whole = presence.map(|presence: Presence| twin_document(twin, presence));
                for one in counting.iter_mut() {
                    one.look_at(twin, &small);
                    if let Some(whole) = &whole {
                        one.query(collection, whole);
                    }
                }
                give_up_greatest(counting, self.context.limits.query_memory);
            }
            after = page.next;
            if after.is_none() {
                return Ok(());
            }
        }
    }
}

/// Gives up metrics with the most groups until the others have room (`most` bytes): those are answered.
fn give_up_greatest(counting: &mut [Counting<'_>], most: usize) {
    let bytes = |counting: &[Counting<'_>]| {
        counting.iter().flat_map(|one| &one.queries).map(Rows::bytes).sum::<usize>()
    };
    while bytes(counting) > most {
        let all = counting.iter_mut().flat_map(|one| &mut one.queries);
        let Some(greatest) = all.max_by_key(|rows| rows.bytes()) else { return };
        tracing::warn!(metric = greatest.name, "a metric has more groups than there is room for");
        greatest.state = State::GivenUp;
    }
}

/// The operator's queries. They were checked; one that a later version does not take counts nothing.
fn queries(configuration: &Configuration) -> Vec<(&str, Query)> {
    let metrics = configuration.metrics.iter();
    let parsed = metrics.map(|(name, text)| (name.as_str(), pollux_query::devices::parse(text)));
    parsed.filter_map(|(name, query)| Some((name, query.ok()?))).collect()
}

impl<'c> Counting<'c> {
    fn of(configuration: &'c Configuration, queries: &'c [(&'c str, Query)]) -> Self {
        let begun = |query: &'c Query| match query.is_aggregate() {
            true => State::Groups(query.aggregator()),
            false => State::Rows(0),
        };
        let rows = queries.iter().map(|(name, query)| Rows { name, query, state: begun(query) });
        Self {
            configuration,
            target: target(&configuration.target_condition).unwrap_or(Target::Nobody),
            measured: Measured::default(),
            queries: rows.collect(),
        }
    }

    fn looks_at(&self, collection: Collection) -> bool {
        self.target.of_modules() == (collection == Collection::Modules)
            || self.queries_of(collection).next().is_some()
    }

    fn queries_of(&self, collection: Collection) -> impl Iterator<Item = &Rows<'c>> {
        self.queries.iter().filter(move |rows| rows.query.collection() == collection)
    }

    fn look_at(&mut self, twin: &Device, document: &serde_json::Value) {
        let applied = twin.twin.configured.by.get(&self.configuration.id);
        let content = &self.configuration.content;
        let edge_alone = content.device.is_empty() && !content.modules.is_empty();
        let targeted = self.target.matches(twin, document) && (!edge_alone || twin.identity.iot_edge);
        self.measured.targeted += u64::from(targeted);
        self.measured.applied += u64::from(applied == Some(&ConfigurationStatus::Applied));
    }

    fn query(&mut self, collection: Collection, document: &serde_json::Value) {
        let asked = self.queries.iter_mut().filter(|rows| rows.query.collection() == collection);
        for rows in asked.filter(|rows| rows.query.matches(document)) {
            match &mut rows.state {
                State::Rows(count) => *count += 1,
                State::Groups(groups) => groups.add(document),
                State::GivenUp => {}
            }
        }
    }

    fn finish(self) -> Measured {
        let counted = self.queries.into_iter().filter_map(|rows| {
            let count = match rows.state {
                State::Rows(count) => count,
                State::Groups(groups) => u64::try_from(groups.finish().len()).unwrap_or(u64::MAX),
                State::GivenUp => return None,
            };
            Some((rows.name.to_owned(), rows.query.top().map_or(count, |top| top.min(count))))
        });
        Measured { metrics: counted.collect(), ..self.measured }
    }
}
