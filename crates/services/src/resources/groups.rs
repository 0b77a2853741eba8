//! Resource groups: what is in one, and deleting it whole.

use std::collections::BTreeSet;
use std::sync::Arc;

use pollux_model::ids::shown;
use pollux_model::resource::{Resource, ResourceKind};
use pollux_model::{Error, ErrorCode, Result};

use super::{Resources, administer, store_failed};
use crate::caller::Caller;

/// What a group holds, and so what deleting it would delete.
#[derive(Debug, Clone)]
pub struct GroupContents {
    /// Its resources in the order they are deleted, each with how many devices, enrollment records or twins it holds.
    pub resources: Vec<(Arc<Resource>, u64)>,
}

impl Resources {
    /// The names of all groups.
    pub fn groups(&self, caller: &Caller) -> Result<Vec<String>> {
        administer(caller)?;
        let names: BTreeSet<_> = self.context.table.all().iter().map(|one| one.group.clone()).collect();
        Ok(names.into_iter().collect())
    }

    /// What a group holds.
    pub async fn group(&self, caller: &Caller, group: &str) -> Result<GroupContents> {
        administer(caller)?;
        let mut resources = Vec::new();
        for one in self.members(group)? {
            let count = self.count(&one).await?;
            resources.push((one, count));
        }
        Ok(GroupContents { resources })
    }

    /// Deletes a group with everything in it. [`ErrorCode::ResourceInUse`] while a resource of another group refers to
    /// one in it.
    pub async fn delete_group(&self, caller: &Caller, group: &str) -> Result<Vec<Arc<Resource>>> {
        administer(caller)?;
        let _one = self.change_alone().await?;
        let members = self.members(group)?;
        self.remove(&members).await?;
        Ok(members)
    }

    fn members(&self, group: &str) -> Result<Vec<Arc<Resource>>> {
        let all = self.context.table.all();
        let mut members: Vec<_> =
            all.iter().filter(|one| one.group.eq_ignore_ascii_case(group)).cloned().collect();
        if members.is_empty() {
            let message = format!("there is no resource group '{}'", shown(group));
            return Err(Error::new(ErrorCode::ResourceNotFound, message));
        }
        members.sort_by_key(|one| ResourceKind::ALL.iter().position(|kind| *kind == one.kind()));
        Ok(members)
    }

    async fn count(&self, resource: &Resource) -> Result<u64> {
        let (store, name) = (&self.context.store, &resource.name);
        match resource.kind() {
            ResourceKind::Dps => store.count_registrations(name).await.map_err(store_failed),
            ResourceKind::Hub => Ok(store.count_devices(name).await.map_err(store_failed)?.0),
            ResourceKind::Twins => store.count_twins(name, None).await.map_err(store_failed),
            ResourceKind::Events | ResourceKind::Functions => Ok(0),
        }
    }
}
