//! The streams of the event log that resources keep: event hubs, the built-in endpoint of each hub, what is on its way
//! to endpoints elsewhere, of hubs and of digital twins instances, and the audit record of each provisioning service.
//!
//! ```text
//!   events1/deviceevents          an event hub of a namespace
//!   hub1.hub/iothub-ehub-hub1     a hub's built-in endpoint
//!   hub1.hub/to.<endpoint>        waits to be sent to an endpoint elsewhere
//!   twins1.twins/to.<endpoint>    the same
//!   dps1.dps/audit                who was let in or refused, who changed what
//! ```

use std::time::Duration;

use pollux_eventlog::{Retention, StreamConfig, StreamName};
use pollux_model::resource::{EventHub, Hub, Properties, Resource, ResourceKind};
use pollux_model::{Error, OwnerName, ResourceName, Result};

use crate::resources::ResourceTable;

/// Partitions of what waits for an endpoint elsewhere: each is sent on by itself, in order.
const WAITING_PARTITIONS: u32 = 4;
/// How long an event waits for an endpoint elsewhere, in hours.
pub(crate) const WAITING_HOURS: u32 = 24 * 7;

/// The stream of a provisioning service's audit record: one partition, so that all of it is in one order.
pub(crate) const AUDIT: &str = "audit";
/// How long audit records are kept, in hours: 90 days, as long as Azure keeps its activity log ("Azure Monitor activity
/// log").
const AUDIT_HOURS: u32 = 24 * 90;
/// How many bytes of them: some 200,000 records.
const AUDIT_BYTES: u64 = 64 << 20;

/// A stream that a resource keeps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stream {
    /// Who keeps it.
    pub(crate) owner: OwnerName,
    /// Which of the owner's.
    pub(crate) event_hub: String,
    /// How many partitions it has.
    pub(crate) partitions: u32,
    retention_hours: u32,
    retention_bytes: Option<u64>,
}

impl Stream {
    fn of_event_hub(owner: OwnerName, event_hub: &EventHub) -> Self {
        Self {
            owner,
            event_hub: event_hub.name.clone(),
            partitions: event_hub.partitions,
            retention_hours: event_hub.retention_hours,
            retention_bytes: event_hub.retention_bytes,
        }
    }

    /// The built-in endpoint of a hub.
    pub(crate) fn built_in(hub: &ResourceName, properties: &Hub) -> Self {
        Self::of_event_hub(OwnerName::of_hub(hub), &properties.events.event_hub(hub))
    }

    /// What waits for an endpoint elsewhere.
    pub(crate) fn waiting(owner: OwnerName, endpoint: &str) -> Self {
        Self {
            owner,
            event_hub: format!("to.{endpoint}"),
            partitions: WAITING_PARTITIONS,
            retention_hours: WAITING_HOURS,
            retention_bytes: None,
        }
    }

    /// The audit record of a provisioning service.
    fn audit(dps: &ResourceName) -> Self {
        Self {
            owner: OwnerName::of_dps(dps),
            event_hub: AUDIT.to_owned(),
            partitions: 1,
            retention_hours: AUDIT_HOURS,
            retention_bytes: Some(AUDIT_BYTES),
        }
    }

    /// All that a resource keeps.
    pub(crate) fn all_of(resource: &Resource) -> Vec<Self> {
        match &resource.properties {
            Properties::Events(events) => {
                let owner = OwnerName::from(resource.name.clone());
                events.event_hubs.iter().map(|one| Self::of_event_hub(owner.clone(), one)).collect()
            }
            Properties::Hub(hub) => {
                let built_in = Self::built_in(&resource.name, hub);
                std::iter::once(built_in).chain(Self::all_waiting(resource)).collect()
            }
            Properties::Twins(_) => Self::all_waiting(resource).collect(),
            Properties::Dps(_) => vec![Self::audit(&resource.name)],
            Properties::Functions(_) => Vec::new(),
        }
    }

    fn all_waiting(resource: &Resource) -> impl Iterator<Item = Self> {
        let owner = owner_of(resource);
        let elsewhere = resource.endpoints().iter().filter(|one| one.target.is_elsewhere());
        elsewhere.map(move |one| Self::waiting(owner.clone(), &one.name))
    }

    /// The one of this name, as things are now.
    pub(crate) fn find(table: &ResourceTable, owner: &OwnerName, event_hub: &str) -> Option<Self> {
        let keeper = match (owner.hub(), owner.twins(), owner.dps()) {
            (Some(hub), _, _) => table.named(ResourceKind::Hub, hub)?,
            (None, Some(twins), _) => table.named(ResourceKind::Twins, twins)?,
            (None, None, Some(dps)) => table.named(ResourceKind::Dps, dps)?,
            (None, None, None) => table.named(ResourceKind::Events, owner)?,
        };
        Self::all_of(&keeper).into_iter().find(|one| one.event_hub == event_hub)
    }

    /// Its name in the event log.
    pub(crate) fn name(&self) -> Result<StreamName> {
        name(&self.owner, &self.event_hub)
    }

    /// How the event log keeps it.
    pub(crate) fn config(&self) -> StreamConfig {
        let time = Duration::from_secs(u64::from(self.retention_hours) * 3600);
        StreamConfig {
            partitions: self.partitions,
            retention: Retention { time, bytes: self.retention_bytes },
        }
    }
}

/// Under which name a resource keeps streams and dead letters.
pub(crate) fn owner_of(resource: &Resource) -> OwnerName {
    match resource.kind() {
        ResourceKind::Hub => OwnerName::of_hub(&resource.name),
        ResourceKind::Twins => OwnerName::of_twins(&resource.name),
        ResourceKind::Dps => OwnerName::of_dps(&resource.name),
        ResourceKind::Events | ResourceKind::Functions => resource.name.clone().into(),
    }
}

/// The name of an owner's stream in the event log.
pub(crate) fn name(owner: &str, event_hub: &str) -> Result<StreamName> {
    StreamName::new(&format!("{owner}/{event_hub}")).map_err(|error| Error::invalid(error.to_string()))
}
