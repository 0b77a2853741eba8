//! Consumer groups of an event hub.

use pollux_model::ids::shown;
use pollux_model::resource::{Resource, ResourceKind};
use pollux_model::{Error, ErrorCode, ResourceName, Result};
use pollux_store::Write;

use super::build::{DEFAULT_CONSUMER_GROUP, merge_group};
use super::event_hubs::event_hub_of;
use super::{Resources, administer};
use crate::caller::Caller;

impl Resources {
    /// Makes a consumer group; one that is there stays as it is.
    pub async fn put_consumer_group(
        &self,
        caller: &Caller,
        namespace: &ResourceName,
        event_hub: &str,
        group: &str,
    ) -> Result<Resource> {
        administer(caller)?;
        let _one = self.change_alone().await?;
        let present = self.context.table.get(ResourceKind::Events, namespace)?;
        let mut resource = Resource::clone(&present);
        merge_group(&mut event_hub_of(&mut resource, event_hub)?.consumer_groups, group);
        self.replace(&present, resource).await
    }

    /// Deletes a consumer group together with where its consumers stand. Every event hub keeps `$Default`.
    pub async fn delete_consumer_group(
        &self,
        caller: &Caller,
        namespace: &ResourceName,
        event_hub: &str,
        group: &str,
    ) -> Result<Resource> {
        administer(caller)?;
        let _one = self.change_alone().await?;
        if group.eq_ignore_ascii_case(DEFAULT_CONSUMER_GROUP) {
            let message =
                format!("every event hub has the consumer group '{DEFAULT_CONSUMER_GROUP}': it stays");
            return Err(Error::invalid(message));
        }
        let present = self.context.table.get(ResourceKind::Events, namespace)?;
        let mut resource = Resource::clone(&present);
        let of = event_hub_of(&mut resource, event_hub)?;
        let Some(at) = of.consumer_groups.iter().position(|one| one.eq_ignore_ascii_case(group)) else {
            let message = format!("the event hub '{}' has no consumer group '{}'", of.name, shown(group));
            return Err(Error::new(ErrorCode::EventHubNotFound, message));
        };
        let gone = of.consumer_groups.remove(at);
        let forgotten = Write::DeleteCheckpoints {
            namespace: namespace.clone().into(),
            event_hub: of.name.clone(),
            consumer_group: Some(gone),
        };
        self.replace_and(&present, resource, Some(forgotten)).await
    }
}

#[cfg(test)]
mod tests;
