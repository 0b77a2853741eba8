//! Rolling keys over.

use pollux_model::resource::{Policy, Properties, Resource, ResourceKind};
use pollux_model::{Error, Key, KeyPair, Result};
use serde::Deserialize;

use super::policies::{PolicyHolder, found, policies_mut};
use super::{Resources, administer};
use crate::caller::Caller;

/// One of the two keys of a pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WhichKey {
    /// The one connection strings carry.
    Primary,
    /// The one in reserve.
    Secondary,
}

impl Resources {
    /// Makes a new key for a shared access policy, or (without a policy) for a function app. The old one opens nothing
    /// from then on.
    pub async fn regenerate_key(
        &self,
        caller: &Caller,
        of: PolicyHolder<'_>,
        policy: Option<&str>,
        which: WhichKey,
    ) -> Result<Resource> {
        administer(caller)?;
        let _one = self.change_alone().await?;
        let present = self.context.table.get(of.kind, of.resource)?;
        let mut resource = Resource::clone(&present);
        let keys = keys_of(&mut resource, of.event_hub, policy)?;
        let key = Key::generate(&*self.context.random);
        match which {
            WhichKey::Primary => keys.primary = key,
            WhichKey::Secondary => keys.secondary = key,
        }
        self.replace(&present, resource).await
    }

    /// The same for a policy, which is answered with its new key.
    pub async fn regenerate_policy_key(
        &self,
        caller: &Caller,
        of: PolicyHolder<'_>,
        policy: &str,
        which: WhichKey,
    ) -> Result<Policy> {
        let changed = self.regenerate_key(caller, of, Some(policy), which).await?;
        found(&changed, of.event_hub, policy)
    }
}

fn keys_of<'r>(
    resource: &'r mut Resource,
    event_hub: Option<&str>,
    policy: Option<&str>,
) -> Result<&'r mut KeyPair> {
    if resource.kind() == ResourceKind::Twins {
        return Err(Error::invalid("a digital twins instance has no keys"));
    }
    let Some(wanted) = policy else {
        return match &mut resource.properties {
            Properties::Functions(functions) => Ok(&mut functions.keys),
            _ => Err(Error::invalid("name the policy whose key to make anew")),
        };
    };
    let name = found(resource, event_hub, wanted)?.name;
    let mut policies = policies_mut(resource, event_hub)?.iter_mut();
    policies.find(|one| one.name == name).map(|one| &mut one.keys).ok_or_else(Error::internal)
}
