//! Configurations (automatic device management): what all devices or modules that a condition matches are to desire. Azure
//! article "Automatic device and module management using the Azure portal".
//!
//! ```text
//!   a device changes ──▶ the configurations that match it now, in the same commit (follow)
//!   a configuration changes ──▶ its record says "pending", all nodes read it anew
//!        └─▶ the node that has the lease configurations/<hub> goes through all twins (settle), and then once more:
//!            what was under way while nodes did not know yet is seen by then; after that nothing is pending
//! ```
//!
//! Nothing else needs to be kept: twins that follow already are not written, so a pass that a crash ended begins anew. A
//! configuration that is deleted stays, unseen, until no twin follows it.
//!
//! | file | concern |
//! |---|---|
//! | `put_configuration`, `delete_configuration`, `get_configurations`, `test_configuration`, `apply_content` | the verbs |
//! | `input` | what a configuration may be |
//! | `compile` | conditions and settings, ready to be tried |
//! | `overlay` | what configurations make of a twin; pure |
//! | `follow` | a twin brought in line |
//! | `settle` | all twins brought in line, in the background |
//! | `deploy` | what edge deployments make of modules |
//! | `measure` | metrics |

mod apply_content;
mod compile;
mod delete_configuration;
mod deploy;
mod follow;
mod get_configurations;
mod input;
mod measure;
mod overlay;
mod put_configuration;
mod settle;
mod test_configuration;

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use pollux_model::configuration::Configuration;
use pollux_model::resource::{Resource, ResourceKind};
use pollux_model::{Error, ErrorCode, ResourceName, Result, Timestamp, ids};
use tokio::sync::watch;

use super::Hub;
use crate::caller::{Caller, HubAction, Right};
use crate::cluster::Change;
use compile::Set;

pub use input::ConfigurationInput;
pub use measure::Measured;
pub use put_configuration::ConfigurationCondition;
pub use test_configuration::TestedQueries;

/// Configurations read from the store at once.
const PAGE: usize = 25;

/// The configurations of all hubs, compiled.
#[derive(Debug)]
pub(super) struct Configurations {
    held: Mutex<Held>,
    /// Changes when some configuration may have changed.
    news: watch::Sender<u64>,
    /// One at a time is put on this node; nodes take turns under a lease.
    adding: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct Held {
    /// With the time the hub was made: one of the same name made later is another.
    of: HashMap<ResourceName, (Timestamp, Arc<Set>)>,
    /// Counts what was forgotten: what was read before must not be held after.
    changes: u64,
}

impl Default for Configurations {
    fn default() -> Self {
        Self { held: Mutex::default(), news: watch::Sender::new(0), adding: tokio::sync::Mutex::default() }
    }
}

impl Configurations {
    fn forget(&self, hub: Option<&ResourceName>) {
        let mut held = self.held.lock();
        held.changes += 1;
        match hub {
            Some(hub) => drop(held.of.remove(hub)),
            None => held.of.clear(),
        }
    }
}

impl Hub {
    /// Those of a hub. A node that does not hear the others trusts nothing it holds.
    async fn compiled_configurations(&self, hub: &Resource) -> Result<Arc<Set>> {
        let context = &self.context;
        let changes = {
            let held = self.configurations.held.lock();
            if let Some((created, set)) = held.of.get(&hub.name)
                && *created == hub.created
                && context.cluster.hears()
            {
                return Ok(Arc::clone(set));
            }
            held.changes
        };
        let set = Arc::new(Set::of(&self.all_configurations(hub).await?));
        let mut held = self.configurations.held.lock();
        if held.changes == changes && context.cluster.hears() {
            held.of.retain(|name, _| context.table.named(ResourceKind::Hub, name).is_some());
            held.of.insert(hub.name.clone(), (hub.created, Arc::clone(&set)));
        }
        Ok(set)
    }

    /// Reads the configurations of a hub, or of all, anew before they are used again.
    pub(crate) fn forget_configurations(&self, hub: Option<&ResourceName>) {
        self.configurations.forget(hub);
        self.configurations.news.send_modify(|count| *count = count.wrapping_add(1));
    }

    /// All of a hub, those that are deleted too. There are few.
    async fn all_configurations(&self, hub: &Resource) -> Result<Vec<Configuration>> {
        let (mut all, mut after) = (Vec::new(), None);
        loop {
            let page = self.context.store.configurations(&hub.name, after.as_deref(), PAGE).await?;
            all.extend(page.items);
            after = page.next;
            if after.is_none() {
                return Ok(all);
            }
        }
    }

    /// One that must be there.
    async fn existing_configuration(&self, hub: &Resource, id: &str) -> Result<Configuration> {
        let found = self.context.store.configuration(&hub.name, id).await?;
        found.filter(|found| !found.deleted).ok_or_else(|| no_configuration(id))
    }

    /// Makes a change known here and to all other nodes.
    async fn configurations_changed(&self, hub: &Resource) {
        self.forget_configurations(Some(&hub.name));
        self.context.cluster.announce(Change::Configurations(hub.name.clone())).await;
        // Whoever settles began, perhaps, before all nodes knew.
        self.configurations.news.send_modify(|count| *count = count.wrapping_add(1));
    }
}

fn may(action: HubAction, caller: &Caller, hub: &Resource) -> Result<()> {
    caller.require(ResourceKind::Hub, &hub.name, Right::Hub(action))
}

fn no_configuration(id: &str) -> Error {
    let message = format!("there is no configuration '{}'", ids::shown(id));
    Error::new(ErrorCode::ConfigurationNotFound, message)
}
