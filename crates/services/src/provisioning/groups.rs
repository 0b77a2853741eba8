//! The enrollment groups of a provisioning service, at hand.
//!
//! Who a device is may have to be tried with each of them, at each of its connections, and they seldom change. A store that
//! tells of every commit before it is acknowledged keeps what is held here as new as itself; where several nodes write,
//! nothing is held and the store is read. There are at most [`Limits::enrollment_groups`](crate::Limits::enrollment_groups)
//! of each service by certificate, and as many by key.

use std::collections::HashMap;
use std::ops::Deref;
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;
use pollux_model::enrollment::EnrollmentGroup;
use pollux_model::resource::ResourceKind;
use pollux_model::{ResourceName, Result};
use pollux_store::store::DynStore;
use pollux_store::{Observer, Write};
use serde_json::Value;

use super::contract::{self, Keys};

/// Groups read from the store at once.
const PAGE: usize = 100;

/// Groups in the order of their keys, which are their ids in lower case.
pub(super) type All = Arc<[Arc<Group>]>;

/// A group, and what custom allocation is told of it: made once, for that reads its certificates.
#[derive(Debug)]
pub(super) struct Group {
    enrollment: EnrollmentGroup,
    shown: OnceLock<Value>,
}

impl Group {
    const fn new(enrollment: EnrollmentGroup) -> Self {
        Self { enrollment, shown: OnceLock::new() }
    }

    /// As the service API shows it, without keys.
    pub(super) fn shown(&self) -> &Value {
        self.shown.get_or_init(|| contract::group(&self.enrollment, Keys::Hidden))
    }
}

impl Deref for Group {
    type Target = EnrollmentGroup;

    fn deref(&self) -> &EnrollmentGroup {
        &self.enrollment
    }
}

/// The groups of all provisioning services.
#[derive(Debug)]
pub(super) struct Groups {
    store: DynStore,
    held: Arc<Held>,
    /// Whether the store tells of what changes.
    told: bool,
}

#[derive(Debug, Default)]
struct Held(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    of: HashMap<ResourceName, All>,
    /// Counts what was forgotten: what was read before must not be held after.
    changes: u64,
}

impl Groups {
    pub(super) fn new(store: DynStore) -> Self {
        let held = Arc::new(Held::default());
        let observer: Arc<dyn Observer> = Arc::<Held>::clone(&held);
        let told = store.observe(Arc::downgrade(&observer));
        Self { store, held, told }
    }

    /// All groups of a service.
    pub(super) async fn all(&self, dps: &ResourceName) -> Result<All> {
        let changes = {
            let held = self.held.0.lock();
            if let Some(all) = held.of.get(dps) {
                return Ok(Arc::clone(all));
            }
            held.changes
        };
        let (mut all, mut after) = (Vec::new(), None);
        loop {
            let page = self.store.enrollment_groups(dps, after.as_deref(), PAGE).await?;
            all.extend(page.items.into_iter().map(|group| Arc::new(Group::new(group))));
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        let all: All = all.into();
        let mut held = self.held.0.lock();
        if self.told && held.changes == changes {
            held.of.insert(dps.clone(), Arc::clone(&all));
        }
        Ok(all)
    }

    /// One of them.
    pub(super) async fn one(&self, dps: &ResourceName, id: &str) -> Result<Option<Arc<Group>>> {
        if !self.told {
            let found = self.store.enrollment_group(dps, id).await?;
            return Ok(found.map(|group| Arc::new(Group::new(group))));
        }
        let all = self.all(dps).await?;
        Ok(all.iter().find(|group| group.id.eq_ignore_ascii_case(id)).cloned())
    }
}

impl Observer for Held {
    fn committed(&self, writes: &mut dyn Iterator<Item = &Write>) {
        for write in writes {
            let dps = match write {
                Write::PutEnrollmentGroup { dps, .. } | Write::DeleteEnrollmentGroup { dps, .. } => dps,
                Write::DeleteResource { kind: ResourceKind::Dps, name, .. } => name,
                _ => continue,
            };
            let mut inner = self.0.lock();
            inner.changes += 1;
            inner.of.remove(dps);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Caller;
    use crate::fixture::World;
    use crate::provisioning::Expect;

    async fn ids(world: &World) -> Vec<String> {
        let dps = world.resource(ResourceKind::Dps, "dps1").name.clone();
        let groups = &world.services.provisioning.groups;
        groups.all(&dps).await.unwrap().iter().map(|group| group.id.clone()).collect()
    }

    #[tokio::test]
    async fn a_group_that_was_made_or_deleted_is_seen_by_whoever_asks_next() {
        let world = World::new().await;
        let dps = world.resource(ResourceKind::Dps, "dps1");
        assert!(ids(&world).await.is_empty());
        world.group("First").await;
        assert_eq!(ids(&world).await, ["First"]);
        world.group("second").await;
        assert_eq!(ids(&world).await, ["First", "second"]);
        let provisioning = &world.services.provisioning;
        assert!(provisioning.groups.one(&dps.name, "SECOND").await.unwrap().is_some());
        provisioning.delete_enrollment_group(&Caller::admin(), &dps, "first", Expect::Any).await.unwrap();
        assert_eq!(ids(&world).await, ["second"]);
        assert!(provisioning.groups.one(&dps.name, "first").await.unwrap().is_none());
    }
}
