//! Message routing: endpoints of hubs and digital twins instances, routes of hubs.

use pollux_model::resource::{Properties, Resource, ResourceKind};
use pollux_model::{Error, ErrorCode, ResourceName, Result};

use super::declared::{
    Declared, DeclaredEndpoint, DeclaredEnrichment, DeclaredHub, DeclaredRoute, DeclaredTwins,
};
use super::{Resources, administer};
use crate::caller::Caller;
use crate::forwarding;

impl Resources {
    /// Makes or changes an endpoint of a hub or digital twins instance. The event hub must exist; a webhook must say that
    /// it wants events.
    pub async fn put_endpoint(
        &self,
        caller: &Caller,
        (kind, name): (ResourceKind, &ResourceName),
        endpoint: DeclaredEndpoint,
    ) -> Result<Resource> {
        let (name, endpoints) = (name.to_string(), vec![endpoint]);
        let declared = match kind {
            ResourceKind::Twins => Declared::Twins(DeclaredTwins { name, endpoints, ..Default::default() }),
            _ => Declared::Hub(DeclaredHub { name, endpoints, ..Default::default() }),
        };
        self.change(caller, &declared, None).await
    }

    /// Asks the webhooks that a declaration makes or changes whether they want events. Those of the configuration are asked
    /// before the first event instead: they may not be up yet.
    pub(super) async fn ask_webhooks(&self, declared: &Declared) -> Result<()> {
        let name = ResourceName::parse(declared.name())?;
        let present = self.context.table.named(declared.kind(), &name);
        let default = || self.default_host_name(declared.kind(), &name);
        let host = declared.common().1.map(str::to_owned);
        let host = host.or_else(|| present.map(|one| one.host_name.clone())).unwrap_or_else(default);
        for url in declared.endpoints().iter().filter_map(|endpoint| endpoint.webhook.as_ref()) {
            let asked = forwarding::ask(&self.context, &forwarding::webhook_url(url)?, &host).await;
            asked.map_err(Error::invalid)?;
        }
        Ok(())
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

    /// Makes or changes what messages get on their way to endpoints.
    pub async fn put_enrichment(
        &self,
        caller: &Caller,
        hub: &ResourceName,
        enrichment: DeclaredEnrichment,
    ) -> Result<Resource> {
        let enrichments = vec![enrichment];
        let declared = DeclaredHub { name: hub.to_string(), enrichments, ..Default::default() };
        self.change(caller, &Declared::Hub(declared), None).await
    }

    /// Removes an enrichment of a hub.
    pub async fn delete_enrichment(
        &self,
        caller: &Caller,
        hub: &ResourceName,
        key: &str,
    ) -> Result<Resource> {
        self.change_routing(caller, (ResourceKind::Hub, hub), ("enrichment", key), |properties| {
            let Properties::Hub(hub) = properties else { return Err(Error::internal()) };
            hub.enrichments.retain(|one| one.key != key);
            Ok(())
        })
        .await
    }

    /// Removes an endpoint that no route leads to.
    pub async fn delete_endpoint(
        &self,
        caller: &Caller,
        holder: (ResourceKind, &ResourceName),
        name: &str,
    ) -> Result<Resource> {
        self.change_routing(caller, holder, ("routing endpoint", name), |properties| {
            let (endpoints, route) = match properties {
                Properties::Hub(hub) => {
                    // What was to be added on the way there goes with it.
                    for one in &mut hub.enrichments {
                        one.endpoints.retain(|endpoint| endpoint != name);
                    }
                    hub.enrichments.retain(|one| !one.endpoints.is_empty());
                    let route = hub.routes.iter().find(|route| route.endpoint == name);
                    (&mut hub.endpoints, route.map(|route| &route.name))
                }
                Properties::Twins(twins) => {
                    let route = twins.event_routes.iter().find(|route| route.endpoint == name);
                    (&mut twins.endpoints, route.map(|route| &route.id))
                }
                Properties::Dps(_) | Properties::Events(_) | Properties::Functions(_) => {
                    return Err(Error::internal());
                }
            };
            if let Some(route) = route {
                let message = format!("the route '{route}' leads to the endpoint '{name}': delete it first");
                return Err(Error::new(ErrorCode::ResourceInUse, message));
            }
            endpoints.retain(|one| one.name != name);
            Ok(())
        })
        .await
    }

    /// Removes a route of a hub.
    pub async fn delete_route(&self, caller: &Caller, hub: &ResourceName, name: &str) -> Result<Resource> {
        self.change_routing(caller, (ResourceKind::Hub, hub), ("route", name), |properties| {
            let Properties::Hub(hub) = properties else { return Err(Error::internal()) };
            hub.routes.retain(|one| one.name != name);
            Ok(())
        })
        .await
    }

    async fn change_routing(
        &self,
        caller: &Caller,
        (kind, name): (ResourceKind, &ResourceName),
        (what, item): (&str, &str),
        change: impl FnOnce(&mut Properties) -> Result<()> + Send,
    ) -> Result<Resource> {
        administer(caller)?;
        let _one = self.change_alone().await?;
        let present = self.context.table.get(kind, name)?;
        let mut resource = Resource::clone(&present);
        change(&mut resource.properties)?;
        if resource == *present {
            let message = format!("the {kind} '{name}' has no {what} '{}'", pollux_model::ids::shown(item));
            return Err(Error::new(ErrorCode::ResourceNotFound, message));
        }
        self.replace(&present, resource).await
    }
}
