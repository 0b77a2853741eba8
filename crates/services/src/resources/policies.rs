//! Shared access policies: of a provisioning service, a hub, a namespace, or one event hub.

use pollux_model::ids::shown;
use pollux_model::resource::{Policy, Properties, Resource, ResourceKind};
use pollux_model::{Error, ErrorCode, ResourceName, Result};

use super::build::merge_policies;
use super::declared::DeclaredPolicy;
use super::defaults::ROOT_POLICY;
use super::{Resources, administer, check, event_hubs};
use crate::caller::Caller;

/// Whose policies.
#[derive(Debug, Clone, Copy)]
pub struct PolicyHolder<'a> {
    /// The resource's kind.
    pub kind: ResourceKind,
    /// Its name.
    pub resource: &'a ResourceName,
    /// One event hub of the namespace; `None`: the resource itself.
    pub event_hub: Option<&'a str>,
}

impl Resources {
    /// The policies of a resource or an event hub.
    pub fn policies(&self, caller: &Caller, of: PolicyHolder<'_>) -> Result<Vec<Policy>> {
        policies_of(&*self.get(caller, of.kind, of.resource)?, of.event_hub).map(<[Policy]>::to_vec)
    }

    /// One policy. [`ErrorCode::ResourceNotFound`].
    pub fn policy(&self, caller: &Caller, of: PolicyHolder<'_>, name: &str) -> Result<Policy> {
        found(&*self.get(caller, of.kind, of.resource)?, of.event_hub, name)
    }

    /// Makes a policy, or changes what is said of one that is there.
    pub async fn put_policy(
        &self,
        caller: &Caller,
        of: PolicyHolder<'_>,
        declared: DeclaredPolicy,
    ) -> Result<Policy> {
        administer(caller)?;
        let _one = self.change_alone().await?;
        let present = self.context.table.get(of.kind, of.resource)?;
        let mut resource = Resource::clone(&present);
        let policies = policies_mut(&mut resource, of.event_hub)?;
        merge_policies(policies, std::slice::from_ref(&declared), &*self.context.random)?;
        found(&self.replace(&present, resource).await?, of.event_hub, &declared.name)
    }

    /// Deletes a policy: its keys open nothing from then on. As in Azure, a namespace keeps the one it came with.
    pub async fn delete_policy(&self, caller: &Caller, of: PolicyHolder<'_>, name: &str) -> Result<Resource> {
        administer(caller)?;
        let _one = self.change_alone().await?;
        let present = self.context.table.get(of.kind, of.resource)?;
        let gone = found(&present, of.event_hub, name)?;
        let whole_namespace = of.kind == ResourceKind::Events && of.event_hub.is_none();
        if whole_namespace && gone.name.eq_ignore_ascii_case(ROOT_POLICY) {
            let message =
                format!("every namespace has the policy '{ROOT_POLICY}': it stays; regenerate its keys");
            return Err(Error::invalid(message));
        }
        let mut resource = Resource::clone(&present);
        policies_mut(&mut resource, of.event_hub)?.retain(|one| one.name != gone.name);
        self.replace(&present, resource).await
    }
}

/// The policies of a resource, or of one event hub of it.
pub(super) fn policies_of<'r>(resource: &'r Resource, event_hub: Option<&str>) -> Result<&'r [Policy]> {
    if let Some(name) = event_hub {
        let found = check::event_hub(resource, name);
        return found.map(|hub| &*hub.policies).ok_or_else(|| event_hubs::no_event_hub(&resource.name, name));
    }
    match &resource.properties {
        Properties::Dps(dps) => Ok(&dps.policies),
        Properties::Hub(hub) => Ok(&hub.policies),
        Properties::Events(events) => Ok(&events.policies),
        Properties::Twins(_) | Properties::Functions(_) => Err(has_none(resource)),
    }
}

/// The same, to change them.
pub(super) fn policies_mut<'r>(
    resource: &'r mut Resource,
    event_hub: Option<&str>,
) -> Result<&'r mut Vec<Policy>> {
    if let Some(name) = event_hub {
        return event_hubs::event_hub_of(resource, name).map(|hub| &mut hub.policies);
    }
    let none = has_none(resource);
    match &mut resource.properties {
        Properties::Dps(dps) => Ok(&mut dps.policies),
        Properties::Hub(hub) => Ok(&mut hub.policies),
        Properties::Events(events) => Ok(&mut events.policies),
        Properties::Twins(_) | Properties::Functions(_) => Err(none),
    }
}

/// The policy of that name, or what to say when there is none.
pub(super) fn found(resource: &Resource, event_hub: Option<&str>, name: &str) -> Result<Policy> {
    let policies = policies_of(resource, event_hub)?;
    policies.iter().find(|one| one.name.eq_ignore_ascii_case(name)).cloned().ok_or_else(|| {
        let of = match event_hub {
            Some(event_hub) => format!("event hub '{}'", shown(event_hub)),
            None => format!("{} '{}'", resource.kind(), resource.name),
        };
        Error::new(ErrorCode::ResourceNotFound, format!("the {of} has no policy '{}'", shown(name)))
    })
}

fn has_none(resource: &Resource) -> Error {
    Error::invalid(format!("the {} '{}' has no shared access policies", resource.kind(), resource.name))
}

#[cfg(test)]
mod tests;
