//! Consumer groups of an event hub, and of a hub's built-in endpoint.

use pollux_model::ids::shown;
use pollux_model::resource::{BuiltInEndpoint, Properties, Resource, ResourceKind};
use pollux_model::{Error, ErrorCode, OwnerName, ResourceName, Result};
use pollux_store::Write;

use super::build::{DEFAULT_CONSUMER_GROUP, merge_group};
use super::event_hubs::event_hub_of;
use super::{Resources, administer};
use crate::caller::Caller;

/// Whose consumer groups they are.
#[derive(Debug, Clone, Copy)]
pub enum GroupsOf<'n> {
    /// An event hub's of a namespace.
    EventHub {
        /// The namespace.
        namespace: &'n ResourceName,
        /// The event hub, in any case.
        event_hub: &'n str,
    },
    /// A hub's built-in endpoint's.
    BuiltInEndpoint(&'n ResourceName),
}

impl Resources {
    /// The consumer groups, `$Default` among them.
    pub fn consumer_groups(&self, caller: &Caller, of: GroupsOf<'_>) -> Result<Vec<String>> {
        let (kind, name) = of.resource();
        let mut resource = Resource::clone(&*self.get(caller, kind, name)?);
        Ok(std::mem::take(of.groups(&mut resource)?))
    }

    /// Makes a consumer group; one that is there stays as it is.
    pub async fn put_consumer_group(
        &self,
        caller: &Caller,
        of: GroupsOf<'_>,
        group: &str,
    ) -> Result<Resource> {
        administer(caller)?;
        let _one = self.change_alone().await?;
        let (kind, name) = of.resource();
        let present = self.context.table.get(kind, name)?;
        let mut resource = Resource::clone(&present);
        merge_group(of.groups(&mut resource)?, group);
        self.replace(&present, resource).await
    }

    /// Deletes a consumer group together with where its consumers stand. Every event hub keeps `$Default`.
    pub async fn delete_consumer_group(
        &self,
        caller: &Caller,
        of: GroupsOf<'_>,
        group: &str,
    ) -> Result<Resource> {
        administer(caller)?;
        let _one = self.change_alone().await?;
        if group.eq_ignore_ascii_case(DEFAULT_CONSUMER_GROUP) {
            let message =
                format!("every event hub has the consumer group '{DEFAULT_CONSUMER_GROUP}': it stays");
            return Err(Error::invalid(message));
        }
        let (kind, name) = of.resource();
        let present = self.context.table.get(kind, name)?;
        let mut resource = Resource::clone(&present);
        let (owner, event_hub) = of.stored(&mut resource)?;
        let groups = of.groups(&mut resource)?;
        let Some(at) = groups.iter().position(|one| one.eq_ignore_ascii_case(group)) else {
            let message = format!("the event hub '{event_hub}' has no consumer group '{}'", shown(group));
            return Err(Error::new(ErrorCode::EventHubNotFound, message));
        };
        let gone = groups.remove(at);
        let forgotten = Write::DeleteCheckpoints { namespace: owner, event_hub, consumer_group: Some(gone) };
        self.replace_and(&present, resource, vec![forgotten]).await
    }
}

impl<'n> GroupsOf<'n> {
    fn resource(self) -> (ResourceKind, &'n ResourceName) {
        match self {
            Self::EventHub { namespace, .. } => (ResourceKind::Events, namespace),
            Self::BuiltInEndpoint(hub) => (ResourceKind::Hub, hub),
        }
    }

    fn groups(self, resource: &mut Resource) -> Result<&mut Vec<String>> {
        match self {
            Self::EventHub { event_hub, .. } => Ok(&mut event_hub_of(resource, event_hub)?.consumer_groups),
            Self::BuiltInEndpoint(_) => match &mut resource.properties {
                Properties::Hub(hub) => Ok(&mut hub.events.consumer_groups),
                _ => Err(Error::internal()),
            },
        }
    }

    /// Under which names the places of its consumers are kept.
    fn stored(self, resource: &mut Resource) -> Result<(OwnerName, String)> {
        match self {
            Self::EventHub { namespace, event_hub } => {
                Ok((namespace.clone().into(), event_hub_of(resource, event_hub)?.name.clone()))
            }
            Self::BuiltInEndpoint(hub) => Ok((OwnerName::of_hub(hub), BuiltInEndpoint::name(hub))),
        }
    }
}

#[cfg(test)]
mod tests;
