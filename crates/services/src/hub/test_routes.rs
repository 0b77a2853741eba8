//! Which routes a message would take, tried before a route is saved or a device sends (ARM reference "Iot Hub Resource - Test Route",
//! "Test All Routes").

use std::sync::Arc;

use pollux_model::resource::{Properties, Resource, RouteSource};
use pollux_model::{DeviceId, Error, Result};

use super::Hub;
use super::hub_event::HubEvent;
use super::routing::matches;
use crate::caller::Caller;
use crate::resources::administer;

/// A message to try.
#[derive(Debug, Clone)]
pub struct TestMessage {
    /// The message; its source says which routes look at it.
    pub event: HubEvent,
    /// The device whose twin conditions see; it must be there.
    pub device: Option<DeviceId>,
}

/// What would become of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tested {
    /// Names of the routes that take it.
    pub routes: Vec<String>,
    /// Whether it goes to the built-in endpoint because none does.
    pub fallback: bool,
}

impl Hub {
    /// Tries all routes that are in force.
    pub async fn test_routes(
        &self,
        caller: &Caller,
        hub: &Arc<Resource>,
        message: TestMessage,
    ) -> Result<Tested> {
        administer(caller)?;
        let Properties::Hub(properties) = &hub.properties else { return Err(Error::internal()) };
        let twin = self.twin_of(hub, &message).await?;
        let mut routes = Vec::new();
        for route in
            properties.routes.iter().filter(|route| route.enabled && route.source == message.event.source)
        {
            // One that no longer parses takes nothing.
            let query = pollux_query::routing::parse(&route.condition).ok();
            if query.is_some_and(|query| matches(&query, &message.event, twin.as_ref())) {
                routes.push(route.name.clone());
            }
        }
        let falls = properties.fallback_route && message.event.source == RouteSource::DeviceMessages;
        Ok(Tested { fallback: falls && routes.is_empty(), routes })
    }

    /// Tries one condition.
    ///
    /// # Errors
    /// [`pollux_model::ErrorCode::InvalidArgument`] with the place where it stops being a condition.
    pub async fn test_condition(
        &self,
        caller: &Caller,
        hub: &Arc<Resource>,
        condition: &str,
        message: TestMessage,
    ) -> Result<bool> {
        administer(caller)?;
        let query = pollux_query::routing::parse(condition)
            .map_err(|error| Error::invalid(format!("the condition does not hold: {error}")))?;
        let twin = self.twin_of(hub, &message).await?;
        Ok(matches(&query, &message.event, twin.as_ref()))
    }

    async fn twin_of(
        &self,
        hub: &Resource,
        message: &TestMessage,
    ) -> Result<Option<pollux_model::device::Device>> {
        match &message.device {
            Some(id) => self.existing(hub, id).await.map(Some),
            None => Ok(None),
        }
    }
}
