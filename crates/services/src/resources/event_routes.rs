//! Event routes of a digital twins instance. Whoever may write twins may change them, as in Azure (its role "Azure Digital
//! Twins Data Owner"); endpoints are the operator's.

use pollux_model::ids::shown;
use pollux_model::resource::{EventRoute, Properties, Resource, ResourceKind, RoutingEndpoint, Twins};
use pollux_model::{Error, ErrorCode, ResourceName, Result};
use pollux_query::notifications;

use super::{Resources, build};
use crate::caller::{Caller, Right};
use crate::twins::refusal;

/// Characters of an event route's id. Ours: Azure names no bound.
const LONGEST_ID: usize = 128;

impl Resources {
    /// Makes or replaces an event route.
    ///
    /// # Errors
    /// [`ErrorCode::EventRouteIdInvalid`], [`ErrorCode::EventRouteEndpointInvalid`],
    /// [`ErrorCode::EventRouteFilterInvalid`] with line and position, [`ErrorCode::QuotaExceeded`].
    pub async fn put_event_route(
        &self,
        caller: &Caller,
        instance: &ResourceName,
        route: EventRoute,
    ) -> Result<()> {
        self.change_event_routes(caller, instance, |twins| {
            build::put(&mut twins.event_routes, route, |a, b| a.id == b.id);
            Ok(())
        })
        .await
    }

    /// Deletes an event route. What took it already is delivered all the same.
    ///
    /// # Errors
    /// [`ErrorCode::EventRouteNotFound`].
    pub async fn delete_event_route(&self, caller: &Caller, instance: &ResourceName, id: &str) -> Result<()> {
        self.change_event_routes(caller, instance, |twins| {
            let before = twins.event_routes.len();
            twins.event_routes.retain(|route| route.id != id);
            match before == twins.event_routes.len() {
                true => Err(refusal::event_route_not_found()),
                false => Ok(()),
            }
        })
        .await
    }

    async fn change_event_routes(
        &self,
        caller: &Caller,
        instance: &ResourceName,
        change: impl FnOnce(&mut Twins) -> Result<()> + Send,
    ) -> Result<()> {
        caller.require(ResourceKind::Twins, instance, Right::TwinsWrite)?;
        let _one = self.change_alone().await?;
        let present = self.context.table.get(ResourceKind::Twins, instance)?;
        let mut resource = Resource::clone(&present);
        let Properties::Twins(twins) = &mut resource.properties else { return Err(Error::internal()) };
        change(twins)?;
        self.replace(&present, resource).await.map(drop)
    }
}

/// What must hold of an event route, in the words of ADT (recording `test_create_event_route_no_endpoint`).
pub(super) fn check(route: &EventRoute, endpoints: &[RoutingEndpoint]) -> Result<()> {
    let good = |c: char| c.is_ascii_alphanumeric() || "-._~".contains(c);
    if !(1..=LONGEST_ID).contains(&route.id.len()) || !route.id.chars().all(good) {
        let message = format!(
            "The event route id '{}' is invalid. Use 1 to {LONGEST_ID} letters, digits and - . _ ~.",
            shown(&route.id)
        );
        return Err(Error::new(ErrorCode::EventRouteIdInvalid, message));
    }
    if !endpoints.iter().any(|one| one.name == route.endpoint) {
        return Err(Error::new(
            ErrorCode::EventRouteEndpointInvalid,
            "The endpoint provided does not exist or is not active. Check that your endpoint is provisioned correctly. See \
             event route documentation (http://aka.ms/ADTv2Routes).",
        ));
    }
    notifications::parse(&route.filter).map(drop).map_err(|error| {
        let message = format!(
            "The event route filter is invalid: Line={}, Position={}, Message={}. See event route documentation \
             (http://aka.ms/ADTv2Routes).",
            error.line,
            error.column.saturating_sub(1),
            error.message
        );
        Error::new(ErrorCode::EventRouteFilterInvalid, message)
    })
}
