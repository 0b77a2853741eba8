//! Event hubs of a namespace, and their streams in the event log.

use std::sync::Arc;
use std::time::Duration;

use pollux_eventlog::{LogError, Retention, StreamConfig, StreamName};
use pollux_model::resource::{EventHub, Properties, Resource, ResourceKind};
use pollux_model::{Error, ErrorCode, ResourceName, Result};
use pollux_store::{Batch, Write};

use super::declared::{Declared, DeclaredEventHub, DeclaredEvents};
use super::{Resources, administer};
use crate::caller::Caller;

impl Resources {
    /// Makes or changes an event hub.
    pub async fn put_event_hub(
        &self,
        caller: &Caller,
        namespace: &ResourceName,
        event_hub: DeclaredEventHub,
    ) -> Result<Resource> {
        let declared =
            DeclaredEvents { name: namespace.to_string(), event_hubs: vec![event_hub], ..Default::default() };
        self.change(caller, &Declared::Events(declared), None).await
    }

    /// The event hubs of a namespace.
    pub fn event_hubs(&self, caller: &Caller, namespace: &ResourceName) -> Result<Vec<EventHub>> {
        match &self.get(caller, ResourceKind::Events, namespace)?.properties {
            Properties::Events(events) => Ok(events.event_hubs.clone()),
            _ => Err(Error::internal()),
        }
    }

    /// One event hub.
    pub fn event_hub(&self, caller: &Caller, namespace: &ResourceName, name: &str) -> Result<EventHub> {
        let found = self.get(caller, ResourceKind::Events, namespace)?;
        super::check::event_hub(&found, name).cloned().ok_or_else(|| no_event_hub(namespace, name))
    }

    /// Deletes an event hub with its events. [`ErrorCode::ResourceInUse`] while a hub routes to it.
    pub async fn delete_event_hub(
        &self,
        caller: &Caller,
        namespace: &ResourceName,
        name: &str,
    ) -> Result<Resource> {
        administer(caller)?;
        let _one = self.change_alone().await?;
        let present = self.context.table.get(ResourceKind::Events, namespace)?;
        let mut resource = Resource::clone(&present);
        let gone = event_hub_of(&mut resource, name)?.name.clone();
        self.check_not_routed_to(namespace, &gone)?;
        if let Properties::Events(events) = &mut resource.properties {
            events.event_hubs.retain(|one| one.name != gone);
        }
        let resource = self.replace(&present, resource).await?;
        self.forget_events(namespace, &gone).await?;
        Ok(resource)
    }

    /// Deletes an event hub's events and where consumers stood in them.
    async fn forget_events(&self, namespace: &ResourceName, event_hub: &str) -> Result<()> {
        self.context.log.delete(&stream(namespace, event_hub)?).await.map_err(log_failed)?;
        let (namespace, event_hub) = (namespace.clone(), event_hub.to_owned());
        let forgotten = Batch::from(Write::DeleteCheckpoints { namespace, event_hub, consumer_group: None });
        Ok(self.context.store.commit(forgotten).await?)
    }

    fn check_not_routed_to(&self, namespace: &ResourceName, event_hub: &str) -> Result<()> {
        for one in self.context.table.all().iter() {
            let Properties::Hub(hub) = &one.properties else { continue };
            if hub.endpoints.iter().any(|end| end.namespace == *namespace && end.event_hub == event_hub) {
                let message = format!("the hub '{}' routes to '{namespace}/{event_hub}'", one.name);
                return Err(Error::new(ErrorCode::ResourceInUse, message));
            }
        }
        Ok(())
    }

    /// Makes the stream of every event hub that has none; adopts changed retentions.
    pub(super) async fn ensure_streams(&self) -> Result<()> {
        for resource in self.context.table.all().iter() {
            let Properties::Events(events) = &resource.properties else { continue };
            for event_hub in &events.event_hubs {
                self.make_stream(&resource.name, event_hub).await?;
            }
        }
        Ok(())
    }

    /// Makes or changes the streams of a namespace that is about to be stored. What an earlier event hub of the same
    /// name may have left behind goes first.
    pub(super) async fn make_streams(&self, resource: &Resource, before: Option<&Resource>) -> Result<()> {
        let Properties::Events(events) = &resource.properties else { return Ok(()) };
        for event_hub in &events.event_hubs {
            let known = before.and_then(|before| super::check::event_hub(before, &event_hub.name));
            if known.is_none() {
                self.forget_events(&resource.name, &event_hub.name).await?;
            }
            if known != Some(event_hub) {
                self.make_stream(&resource.name, event_hub).await?;
            }
        }
        Ok(())
    }

    /// Deletes the streams of namespaces that are gone.
    pub(super) async fn drop_streams(&self, gone: &[Arc<Resource>]) -> Result<()> {
        for resource in gone {
            let Properties::Events(events) = &resource.properties else { continue };
            for event_hub in &events.event_hubs {
                self.context
                    .log
                    .delete(&stream(&resource.name, &event_hub.name)?)
                    .await
                    .map_err(log_failed)?;
            }
        }
        Ok(())
    }

    async fn make_stream(&self, namespace: &ResourceName, event_hub: &EventHub) -> Result<()> {
        let config = StreamConfig {
            partitions: event_hub.partitions,
            retention: Retention {
                time: Duration::from_secs(u64::from(event_hub.retention_hours) * 3600),
                bytes: event_hub.retention_bytes,
            },
        };
        self.context.log.create(&stream(namespace, &event_hub.name)?, &config).await.map_err(log_failed)
    }
}

/// The event hub of that name in a namespace that is about to be changed. [`ErrorCode::EventHubNotFound`].
pub(super) fn event_hub_of<'r>(namespace: &'r mut Resource, name: &str) -> Result<&'r mut EventHub> {
    let of = namespace.name.clone();
    let Properties::Events(events) = &mut namespace.properties else { return Err(Error::internal()) };
    let found = events.event_hubs.iter_mut().find(|one| one.name.eq_ignore_ascii_case(name));
    found.ok_or_else(|| no_event_hub(&of, name))
}

pub(super) fn no_event_hub(namespace: &ResourceName, name: &str) -> Error {
    let message = format!("'{namespace}' has no event hub '{}'", pollux_model::ids::shown(name));
    Error::new(ErrorCode::EventHubNotFound, message)
}

fn stream(namespace: &ResourceName, event_hub: &str) -> Result<StreamName> {
    StreamName::new(&format!("{namespace}/{event_hub}")).map_err(|error| Error::invalid(error.to_string()))
}

#[expect(clippy::needless_pass_by_value, reason = "made for map_err")]
fn log_failed(error: LogError) -> Error {
    tracing::error!(%error, "the event log refused");
    Error::new(ErrorCode::Unavailable, "the event log is unavailable; try again")
}
