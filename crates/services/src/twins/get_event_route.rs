//! One event route.

use pollux_model::resource::EventRoute;
use pollux_model::{ResourceName, Result};

use super::rates::Kind;
use super::{Twins, list_event_routes, refusal};
use crate::{Caller, Right};

impl Twins {
    /// An event route.
    ///
    /// # Errors
    /// [`pollux_model::ErrorCode::EventRouteNotFound`].
    pub fn event_route(&self, caller: &Caller, instance: &ResourceName, id: &str) -> Result<EventRoute> {
        let resource = self.admit(caller, instance, Right::TwinsRead, (Kind::EventRoutes, &[]))?;
        let found = list_event_routes::of(&resource).iter().find(|route| route.id == id);
        found.cloned().ok_or_else(refusal::event_route_not_found)
    }
}
