//! Which event routes a notification takes, and where they lead. A notification that takes several routes to one endpoint
//! goes there once.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::try_join_all;
use pollux_eventlog::{LogError, NewRecord};
use pollux_model::resource::{Properties, Resource, ResourceKind};
use pollux_model::{Error, ErrorCode, OwnerName, Result};
use pollux_query::notifications::{self, Filter};
use pollux_store::Write;

use super::Twins;
use super::change::Change;
use super::notification::Notification;
use crate::destination::Destination;
use crate::{Caller, Context};

/// Event routes ready to be tried.
#[derive(Debug, Default)]
pub(super) struct Compiled {
    routes: Vec<(Filter, Destination)>,
}

impl Compiled {
    fn destinations(&self, notification: &Notification) -> Vec<Destination> {
        let mut found: Vec<Destination> = Vec::new();
        for (filter, destination) in &self.routes {
            if !found.contains(destination) && filter.matches(notification) {
                found.push(destination.clone());
            }
        }
        found
    }
}

impl Twins {
    /// The outbox entries that tell of a caller's changes, to be committed with them.
    pub(super) fn told(&self, caller: &Caller, instance: &Resource, changes: &[Change]) -> Vec<Write> {
        let compiled = self.compiled(instance);
        if compiled.routes.is_empty() {
            return Vec::new();
        }
        let (context, mut entries) = (&*self.context, Vec::new());
        let (now, trace) = (context.clock.now(), (caller.trace.as_deref(), &*context.random));
        for change in changes {
            let notification = Notification::of_change(change, &instance.host_name, now, trace);
            let destinations = compiled.destinations(&notification);
            if destinations.is_empty() {
                continue;
            }
            let payload = notification.encode();
            let entry = |destination: Destination| destination.outbox(context, &notification.twin, &payload);
            entries.extend(destinations.into_iter().map(entry));
        }
        entries
    }

    /// Whether there is anybody to tell.
    pub(super) fn has_event_routes(&self, instance: &Resource) -> bool {
        !self.compiled(instance).routes.is_empty()
    }

    /// Appends a notification that tells of no change; it is durable when this returns.
    pub(super) async fn append(&self, instance: &Resource, notification: &Notification) -> Result<()> {
        let destinations = self.compiled(instance).destinations(notification);
        if destinations.is_empty() {
            return Ok(());
        }
        let payload = notification.encode();
        let appends = destinations.into_iter().map(|destination| {
            let partition = destination.partition(&notification.twin);
            let record = record(&notification.twin, payload.clone());
            async move { self.context.log.append(&destination.stream, partition, vec![record]).await }
        });
        try_join_all(appends).await.map(drop).map_err(not_kept)
    }

    fn compiled(&self, instance: &Resource) -> Arc<Compiled> {
        let which = (ResourceKind::Twins, &instance.name);
        self.event_routes.get(&self.context, which, |instance| compile(&self.context, instance))
    }
}

fn compile(context: &Context, instance: &Resource) -> Compiled {
    let Properties::Twins(properties) = &instance.properties else { return Compiled::default() };
    let owner = OwnerName::of_twins(&instance.name);
    let routes = properties.event_routes.iter().filter_map(|route| {
        let endpoint = properties.endpoints.iter().find(|one| one.name == route.endpoint);
        let destination = endpoint.and_then(|one| Destination::of_endpoint(context, &owner, one));
        match (notifications::parse(&route.filter), destination) {
            (Ok(filter), Some(destination)) => Some((filter, destination)),
            _ => {
                tracing::warn!(twins = %instance.name, route = route.id, "the event route leads nowhere: its endpoint or filter is gone");
                None
            }
        }
    });
    Compiled { routes: routes.collect() }
}

fn record(twin: &str, payload: Bytes) -> NewRecord {
    NewRecord { partition_key: Some(twin.into()), payload, idempotency_key: None }
}

fn not_kept(error: LogError) -> Error {
    match error {
        LogError::TooLarge { .. } => Error::new(ErrorCode::TooLarge, "The message is too large."),
        error => {
            tracing::warn!(%error, "telemetry cannot be appended");
            Error::new(ErrorCode::Unavailable, "The message cannot be kept for now. Please try again.")
        }
    }
}
