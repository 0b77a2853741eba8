//! Message routing of a hub: endpoints and routes.

use pollux_model::resource::{Hub, Properties, Resource, ResourceKind};
use pollux_model::{Error, ErrorCode, ResourceName, Result};

use super::declared::{Declared, DeclaredEndpoint, DeclaredHub, DeclaredRoute};
use super::{Resources, administer};
use crate::caller::Caller;

impl Resources {
    /// Makes or changes an endpoint. The event hub must exist.
    pub async fn put_endpoint(
        &self,
        caller: &Caller,
        hub: &ResourceName,
        endpoint: DeclaredEndpoint,
    ) -> Result<Resource> {
        let declared = DeclaredHub { name: hub.to_string(), endpoints: vec![endpoint], ..Default::default() };
        self.change(caller, &Declared::Hub(declared), None).await
    }

    /// Makes or changes a route. Its condition must parse and its endpoint exist.
    pub async fn put_route(
        &self,
        caller: &Caller,
        hub: &ResourceName,
        route: DeclaredRoute,
    ) -> Result<Resource> {
        let declared = DeclaredHub { name: hub.to_string(), routes: vec![route], ..Default::default() };
        self.change(caller, &Declared::Hub(declared), None).await
    }

    /// Removes an endpoint that no route leads to.
    pub async fn delete_endpoint(&self, caller: &Caller, hub: &ResourceName, name: &str) -> Result<Resource> {
        self.change_hub(caller, hub, "routing endpoint", name, |hub| {
            if let Some(route) = hub.routes.iter().find(|route| route.endpoint == name) {
                let message =
                    format!("the route '{}' leads to the endpoint '{name}': delete it first", route.name);
                return Err(Error::new(ErrorCode::ResourceInUse, message));
            }
            hub.endpoints.retain(|one| one.name != name);
            Ok(())
        })
        .await
    }

    /// Removes a route.
    pub async fn delete_route(&self, caller: &Caller, hub: &ResourceName, name: &str) -> Result<Resource> {
        self.change_hub(caller, hub, "route", name, |hub| {
            hub.routes.retain(|one| one.name != name);
            Ok(())
        })
        .await
    }

    async fn change_hub(
        &self,
        caller: &Caller,
        name: &ResourceName,
        what: &str,
        item: &str,
        change: impl FnOnce(&mut Hub) -> Result<()> + Send,
    ) -> Result<Resource> {
        administer(caller)?;
        let _one = self.change_alone().await?;
        let present = self.context.table.get(ResourceKind::Hub, name)?;
        let mut resource = Resource::clone(&present);
        let Properties::Hub(hub) = &mut resource.properties else { return Err(Error::internal()) };
        change(hub)?;
        if resource == *present {
            let message = format!("the hub '{name}' has no {what} '{}'", pollux_model::ids::shown(item));
            return Err(Error::new(ErrorCode::ResourceNotFound, message));
        }
        self.replace(&present, resource).await
    }
}
