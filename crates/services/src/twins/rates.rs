//! How much an instance may be asked a second ("Azure Digital Twins service limits", "Rate limits").
//!
//! Off by default; `limits.twin_rates` turns it on, to see how clients take being told to wait. Counted by each node for itself
//! ([`crate::rates`]): a deployment of several lets through as much on each of them. A request that is refused does not count. What
//! a query costs is known when it was answered, so the query that empties the bucket of units is the last one until it has some again.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use pollux_model::ids::shown;
use pollux_model::resource::Resource;
use pollux_model::{Error, ErrorCode, ResourceName, Result};

use super::Twins;
use crate::rates::{Buckets, Rate};
use crate::{Caller, Right};

/// The limits are of a second.
const SECOND: Duration = Duration::from_secs(1);
/// Query units that must be left for a query: its own charge is not known yet.
const SOME: f64 = 0.001;

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

/// What was asked lately.
#[derive(Debug, Default)]
pub(super) struct Rates(Mutex<Counted>);

#[derive(Debug, Default)]
struct Counted {
    requests: Buckets<(ResourceName, Kind)>,
    changes: Buckets<(ResourceName, String)>,
    /// In query units.
    units: Buckets<ResourceName>,
}

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
        let now = self.context.clock.now();
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
        let units = Rate::of(limits.query_units, SECOND);
        if kind == Kind::Query && !counted.units.wait(instance, units, SOME, now).is_zero() {
            return Err(throttled(limits.query_units, "query units"));
        }
        let (rate, key) = (Rate::of(most, SECOND), (instance.clone(), kind));
        if !counted.requests.wait(&key, rate, 1.0, now).is_zero() {
            return Err(throttled(most, noun));
        }
        let keys = changed.iter().map(|twin| (instance.clone(), (*twin).to_owned()));
        let keys: Vec<(ResourceName, String)> = keys.collect();
        let (most, of_twin) = (limits.changes_of_a_twin, Rate::of(limits.changes_of_a_twin, SECOND));
        if let Some((_, twin)) =
            keys.iter().find(|key| !counted.changes.wait(key, of_twin, 1.0, now).is_zero())
        {
            return Err(throttled(most, &format!("changes of '{}' and its relationships", shown(twin))));
        }
        counted.requests.take(key, rate, 1.0, now);
        for key in keys {
            counted.changes.take(key, of_twin, 1.0, now);
        }
        Ok(resource)
    }

    /// What a query cost.
    pub(super) fn spend(&self, instance: &ResourceName, charge: f64) {
        if !self.context.limits.twin_rates {
            return;
        }
        let rate = Rate::of(self.context.limits.query_units, SECOND);
        self.rates.0.lock().units.take(instance.clone(), rate, charge, self.context.clock.now());
    }
}

fn throttled(most: u32, noun: &str) -> Error {
    let message = format!("There may be {most} {noun} a second. Wait a second, then try again.");
    Error::new(ErrorCode::Throttled, message)
}
