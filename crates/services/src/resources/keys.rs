//! Rolling keys over.

use pollux_model::ids::shown;
use pollux_model::resource::{Properties, Resource, ResourceKind};
use pollux_model::{Error, ErrorCode, Key, KeyPair, ResourceName, Result};
use serde::Deserialize;

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
        kind: ResourceKind,
        name: &ResourceName,
        policy: Option<&str>,
        which: WhichKey,
    ) -> Result<Resource> {
        administer(caller)?;
        let _one = self.change_alone().await?;
        let present = self.context.table.get(kind, name)?;
        let mut resource = Resource::clone(&present);
        let keys = keys_of(&mut resource, policy)?;
        let key = Key::generate(&*self.context.random);
        match which {
            WhichKey::Primary => keys.primary = key,
            WhichKey::Secondary => keys.secondary = key,
        }
        self.replace(&present, resource).await
    }
}

fn keys_of<'r>(resource: &'r mut Resource, policy: Option<&str>) -> Result<&'r mut KeyPair> {
    let (kind, name) = (resource.kind(), resource.name.clone());
    let policies = match &mut resource.properties {
        Properties::Dps(dps) => &mut dps.policies,
        Properties::Hub(hub) => &mut hub.policies,
        Properties::Events(events) => &mut events.policies,
        Properties::Functions(functions) => return Ok(&mut functions.keys),
        Properties::Twins(_) => return Err(Error::invalid("a digital twins instance has no keys")),
    };
    let Some(wanted) = policy else { return Err(Error::invalid("name the policy whose key to make anew")) };
    policies.iter_mut().find(|one| one.name.eq_ignore_ascii_case(wanted)).map(|one| &mut one.keys).ok_or_else(
        || {
            Error::new(
                ErrorCode::ResourceNotFound,
                format!("the {kind} '{name}' has no policy '{}'", shown(wanted)),
            )
        },
    )
}
