//! Event hubs of a namespace.

use pollux_model::resource::{EventHub, Properties, Resource, ResourceKind};
use pollux_model::{Error, ErrorCode, ResourceName, Result};

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

    /// Deletes an event hub with its events. [`ErrorCode::ResourceInUse`] while an endpoint leads to it.
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
        self.replace(&present, resource).await
    }

    fn check_not_routed_to(&self, namespace: &ResourceName, event_hub: &str) -> Result<()> {
        for one in self.context.table.all().iter() {
            if one.endpoints().iter().any(|end| end.leads_to(namespace, event_hub)) {
                let (kind, name) = (one.kind(), &one.name);
                let message = format!("the {kind} '{name}' routes to '{namespace}/{event_hub}'");
                return Err(Error::new(ErrorCode::ResourceInUse, message));
            }
        }
        Ok(())
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
