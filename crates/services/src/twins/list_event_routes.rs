//! The event routes of an instance.

use pollux_model::resource::{EventRoute, Properties, Resource};
use pollux_model::{ResourceName, Result};

use super::Twins;
use super::continuation::{Listing, Paging};
use super::rates::Kind;
use crate::{Caller, Right};

impl Twins {
    /// Event routes, in order of id.
    ///
    /// # Errors
    /// [`pollux_model::ErrorCode::InvalidArgument`] for a token that is none.
    pub async fn event_routes(
        &self,
        caller: &Caller,
        instance: &ResourceName,
        paging: Paging,
    ) -> Result<Listing<EventRoute>> {
        let resource = self.admit(caller, instance, Right::TwinsRead, (Kind::EventRoutes, &[]))?;
        let scope = format!("{instance}/eventroutes");
        let after: Option<String> = match &paging.continuation {
            Some(token) => Some(self.continuation.open(&scope, token).await?),
            None => None,
        };
        let mut routes = of(&resource).to_vec();
        routes.sort_by(|a, b| a.id.cmp(&b.id));
        routes.retain(|route| after.as_ref().is_none_or(|after| route.id > *after));
        let more = routes.len() > paging.limit();
        routes.truncate(paging.limit());
        let continuation = match routes.last().filter(|_| more) {
            Some(last) => Some(self.continuation.seal(&scope, &last.id).await?),
            None => None,
        };
        Ok(Listing { items: routes, continuation })
    }
}

/// In no order.
pub(super) fn of(instance: &Resource) -> &[EventRoute] {
    match &instance.properties {
        Properties::Twins(twins) => &twins.event_routes,
        _ => &[],
    }
}
