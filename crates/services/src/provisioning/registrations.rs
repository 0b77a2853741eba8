//! Registration records read.

use pollux_model::registration::Registration;
use pollux_model::resource::{PolicyRight, Resource, ResourceKind};
use pollux_model::{Error, ErrorCode, RegistrationId, Result};
use pollux_store::Page;

use super::Provisioning;
use crate::caller::{Caller, Right};

const READ: Right = Right::Policy(PolicyRight::RegistrationStatusRead);

impl Provisioning {
    /// One record.
    pub async fn registration(&self, caller: &Caller, dps: &Resource, id: &str) -> Result<Registration> {
        caller.require(ResourceKind::Dps, &dps.name, READ)?;
        let id = RegistrationId::parse(id)?;
        self.context.store.registration(&dps.name, &id).await?.ok_or_else(|| {
            Error::new(ErrorCode::RegistrationNotFound, format!("there is no registration record '{id}'"))
        })
    }

    /// A device's own record.
    pub async fn own_registration(
        &self,
        caller: &Caller,
        dps: &Resource,
        id: &RegistrationId,
    ) -> Result<Registration> {
        caller.require_registration(&dps.name, id)?;
        self.context.store.registration(&dps.name, id).await?.ok_or_else(|| {
            Error::new(ErrorCode::RegistrationNotFound, format!("'{id}' has not registered yet"))
        })
    }

    /// The records of a group in order of registration id; they outlive the group.
    pub async fn registrations_of_group(
        &self,
        caller: &Caller,
        dps: &Resource,
        group: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Page<Registration>> {
        caller.require(ResourceKind::Dps, &dps.name, READ)?;
        Ok(self.context.store.registrations_of_group(&dps.name, group, after, limit).await?)
    }
}
