//! What the metrics of configurations come to: one pass over the hub's twins answers all of them.

use std::collections::BTreeMap;

use pollux_model::configuration::{Configuration, ConfigurationStatus};
use pollux_model::device::Device;
use pollux_model::resource::Resource;
use pollux_model::{Error, ErrorCode, Result};
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
    /// Rows of the operator's queries, by name.
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
    count: u64,
    aggregator: Option<Aggregator<'c>>,
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
                let mut bytes = 0;
                let small = document(twin);
                let whole = presence.map(|presence: Presence| twin_document(twin, presence));
                for one in counting.iter_mut() {
                    one.look_at(twin, &small);
                    bytes += whole.as_ref().map_or(0, |whole| one.query(collection, whole));
                }
                if bytes > self.context.limits.query_memory {
                    let message = "the metrics have more groups than there is room for";
                    return Err(Error::new(ErrorCode::QueryInvalid, message));
                }
            }
            after = page.next;
            if after.is_none() {
                return Ok(());
            }
        }
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
        let rows = queries.iter().map(|(name, query)| Rows {
            name,
            query,
            count: 0,
            aggregator: query.is_aggregate().then(|| query.aggregator()),
        });
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

    /// Counts; about how many bytes the groups take.
    fn query(&mut self, collection: Collection, document: &serde_json::Value) -> usize {
        let mut bytes = 0;
        for rows in self.queries.iter_mut().filter(|rows| rows.query.collection() == collection) {
            if rows.query.matches(document) {
                rows.count += 1;
                if let Some(aggregator) = &mut rows.aggregator {
                    aggregator.add(document);
                }
            }
            bytes += rows.aggregator.as_ref().map_or(0, Aggregator::bytes);
        }
        bytes
    }

    fn finish(self) -> Measured {
        let counted = self.queries.into_iter().map(|rows| {
            let count = match rows.aggregator {
                Some(aggregator) => u64::try_from(aggregator.finish().len()).unwrap_or(u64::MAX),
                None => rows.count,
            };
            (rows.name.to_owned(), rows.query.top().map_or(count, |top| top.min(count)))
        });
        Measured { metrics: counted.collect(), ..self.measured }
    }
}
