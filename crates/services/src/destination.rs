//! Where an endpoint leads: a stream of this deployment, be it an event hub or what waits to be sent elsewhere.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::RwLock;
use pollux_eventlog::StreamName;
use pollux_model::event::OutboxEntry;
use pollux_model::partition_key::partition_of;
use pollux_model::resource::{EndpointTarget, Resource, ResourceKind, RoutingEndpoint};
use pollux_model::{OwnerName, ResourceName};
use pollux_store::Write;

use crate::context::Context;
use crate::streams::Stream;

/// A stream of this deployment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Destination {
    pub(crate) stream: StreamName,
    owner: OwnerName,
    event_hub: String,
    partitions: u32,
}

impl Destination {
    pub(crate) fn of(stream: Stream) -> Option<Self> {
        let name = stream.name().ok()?;
        let Stream { owner, event_hub, partitions, .. } = stream;
        Some(Self { stream: name, owner, event_hub, partitions })
    }

    /// Where an endpoint of `keeper`'s is; one elsewhere has a stream here, from which events are sent on. `None` when the
    /// event hub is gone.
    pub(crate) fn of_endpoint(
        context: &Context,
        keeper: &OwnerName,
        endpoint: &RoutingEndpoint,
    ) -> Option<Self> {
        match &endpoint.target {
            EndpointTarget::EventHub { namespace, event_hub } => {
                Self::of(Stream::find(&context.table, &namespace.clone().into(), event_hub)?)
            }
            EndpointTarget::Storage(_) | EndpointTarget::External { .. } | EndpointTarget::Webhook { .. } => {
                Self::of(Stream::waiting(keeper.clone(), &endpoint.name))
            }
        }
    }

    /// How many partitions it has.
    pub(crate) const fn partitions(&self) -> u32 {
        self.partitions
    }

    /// The partition of a device or twin: the same for all its events.
    pub(crate) fn partition(&self, key: &str) -> u32 {
        partition_of(key, self.partitions)
    }

    /// What makes an event part of a commit.
    pub(crate) fn outbox(self, context: &Context, key: &str, payload: &Bytes) -> Write {
        Write::Outbox(Box::new(OutboxEntry {
            namespace: self.owner,
            event_hub: self.event_hub,
            partition_key: key.to_owned(),
            idempotency_key: *context.random.uuid().as_bytes(),
            payload: payload.to_vec(),
        }))
    }
}

/// Something made of each resource (its routes, parsed), as of one version of the resources.
#[derive(Debug, Default)]
pub(crate) struct PerResource<T>(RwLock<(u64, HashMap<ResourceName, Arc<T>>)>);

impl<T: Default> PerResource<T> {
    /// That of one resource; the default where it is gone.
    pub(crate) fn get(
        &self,
        context: &Context,
        (kind, name): (ResourceKind, &ResourceName),
        make: impl FnOnce(&Resource) -> T,
    ) -> Arc<T> {
        let version = context.table.version();
        {
            let cache = self.0.read();
            if cache.0 == version
                && let Some(made) = cache.1.get(name)
            {
                return Arc::clone(made);
            }
        }
        // The table's own copy: the caller's may be older than `version`.
        let current = context.table.named(kind, name);
        let made = Arc::new(current.map(|resource| make(&resource)).unwrap_or_default());
        let mut cache = self.0.write();
        if cache.0 != version {
            *cache = (version, HashMap::new());
        }
        cache.1.insert(name.clone(), Arc::clone(&made));
        made
    }
}
