//! Event hubs of a namespace.

use pollux_model::resource::{Properties, Resource, ResourceKind};
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
        let Properties::Events(events) = &mut resource.properties else { return Err(Error::internal()) };
        let Some(at) = events.event_hubs.iter().position(|one| one.name.eq_ignore_ascii_case(name)) else {
            let message = format!("'{namespace}' has no event hub '{}'", pollux_model::ids::shown(name));
            return Err(Error::new(ErrorCode::EventHubNotFound, message));
        };
        let gone = events.event_hubs.remove(at);
        self.check_not_routed_to(namespace, &gone.name)?;
        self.replace(&present, resource).await
    }

    fn check_not_routed_to(&self, namespace: &ResourceName, event_hub: &str) -> Result<()> {
        for one in self.context.table.all().iter() {
            let Properties::Hub(hub) = &one.properties else { continue };
            if hub.endpoints.iter().any(|end| end.leads_to(namespace, event_hub)) {
                let message = format!("the hub '{}' routes to '{namespace}/{event_hub}'", one.name);
                return Err(Error::new(ErrorCode::ResourceInUse, message));
            }
        }
        Ok(())
    }
}
