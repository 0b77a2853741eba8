//! How much an instance may be asked a second ("Azure Digital Twins service limits", "Rate limits").
//!
//! Off by default; `limits.twin_rates` turns it on, to see how clients take being told to wait. Counted by whole seconds of the
//! clock, in memory, by each node for itself: a deployment of several lets through as much on each of them. A request that
//! is refused does not count. What a query costs is known when it was answered, so the query that passes the units of its
//! second is the last one that is answered in it.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

use parking_lot::Mutex;
use pollux_model::ids::shown;
use pollux_model::resource::Resource;
use pollux_model::{Error, ErrorCode, ResourceName, Result};

use super::Twins;
use crate::{Caller, Right};

/// Instances and twins that are counted; beyond that, counting starts over.
const COUNTED: usize = 100_000;
/// Parts of a unit: charges are fractions.
const MILLI: f64 = 1000.0;

/// What a request is counted as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    Models,
    /// Of a twin, its component, its relationships or what they were.
    Read,
    /// Of a twin, component or relationship.
    Patch,
    /// A twin or relationship is made, replaced or deleted.
    PutOrDelete,
    Query,
    EventRoutes,
    Jobs,
}

/// What was asked in this second.
#[derive(Debug, Default)]
pub(super) struct Rates(Mutex<Counted>);

#[derive(Debug, Default)]
struct Counted {
    requests: HashMap<(ResourceName, Kind), Second>,
    changes: HashMap<(ResourceName, String), Second>,
    /// In thousandths of a query unit.
    units: HashMap<ResourceName, Second>,
}

/// A second, and how much there was in it.
type Second = (i64, u64);

impl Twins {
    /// The instance, if it exists, the caller has the right on it, and there may be one more request of this kind now that
    /// changes these twins.
    ///
    /// # Errors
    /// As of [`Twins::authorize`], then [`ErrorCode::Throttled`].
    pub(super) fn admit(
        &self,
        caller: &Caller,
        instance: &ResourceName,
        right: Right,
        (kind, changed): (Kind, &[&str]),
    ) -> Result<Arc<Resource>> {
        let resource = self.authorize(caller, instance, right)?;
        let limits = &self.context.limits;
        if !limits.twin_rates {
            return Ok(resource);
        }
        let second = self.context.clock.now().as_micros().div_euclid(1_000_000);
        let (most, noun) = match kind {
            Kind::Models => (limits.model_requests, "requests about models"),
            Kind::Read => (limits.twin_reads, "reads of twins"),
            Kind::Patch => (limits.twin_patches, "patches of twins"),
            Kind::PutOrDelete => (limits.twin_puts_and_deletes, "twins and relationships made or deleted"),
            Kind::Query => (limits.twin_queries, "queries"),
            Kind::EventRoutes => (limits.event_route_requests, "requests about event routes"),
            Kind::Jobs => (limits.job_requests, "requests about jobs"),
        };
        let mut counted = self.rates.0.lock();
        let units =
            counted.units.get(instance).filter(|(at, _)| *at == second).map_or(0, |(_, units)| *units);
        if kind == Kind::Query && units >= u64::from(limits.query_units) * 1000 {
            return Err(throttled(limits.query_units, "query units"));
        }
        if !fits(&counted.requests, &(instance.clone(), kind), second, most) {
            return Err(throttled(most, noun));
        }
        let keys = changed.iter().map(|twin| (instance.clone(), (*twin).to_owned()));
        let keys: Vec<(ResourceName, String)> = keys.collect();
        let most = limits.changes_of_a_twin;
        if let Some((_, twin)) = keys.iter().find(|key| !fits(&counted.changes, key, second, most)) {
            return Err(throttled(most, &format!("changes of '{}' and its relationships", shown(twin))));
        }
        count(&mut counted.requests, (instance.clone(), kind), second, 1);
        for key in keys {
            count(&mut counted.changes, key, second, 1);
        }
        Ok(resource)
    }

    /// What a query cost.
    pub(super) fn spend(&self, instance: &ResourceName, charge: f64) {
        if !self.context.limits.twin_rates {
            return;
        }
        let second = self.context.clock.now().as_micros().div_euclid(1_000_000);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a charge is small and positive"
        )]
        let units = (charge * MILLI) as u64;
        count(&mut self.rates.0.lock().units, instance.clone(), second, units);
    }
}

fn fits<K: Eq + Hash>(counted: &HashMap<K, Second>, key: &K, second: i64, most: u32) -> bool {
    let there = counted.get(key).filter(|(at, _)| *at == second).map_or(0, |(_, there)| *there);
    there < u64::from(most)
}

fn count<K: Eq + Hash>(counted: &mut HashMap<K, Second>, key: K, second: i64, more: u64) {
    if counted.len() >= COUNTED {
        counted.clear();
    }
    let there = counted.entry(key).or_insert((second, 0));
    if there.0 != second {
        *there = (second, 0);
    }
    there.1 = there.1.saturating_add(more);
}

fn throttled(most: u32, noun: &str) -> Error {
    let message = format!("There may be {most} {noun} a second. Wait a second, then try again.");
    Error::new(ErrorCode::Throttled, message)
}
