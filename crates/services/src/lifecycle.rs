//! The saga that ties the services: what stands for a device, and whether its twin may go.

use pollux_model::registration::RegistrationStatus;
use pollux_model::resource::{Properties, Resource, ResourceKind};
use pollux_model::{DeviceAddress, DeviceId, RegistrationId, ResourceName, Result};

use crate::context::Context;

/// What stands for a device id at this moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// No device bears it and none is about to.
    Absent,
    /// A registration is on its way; soon it is one of the other two.
    Assigning,
    /// A device bears it.
    Present,
}

/// What stands for `device` (whose twin is `twin`, usually of the same name) in the hub named `hub` (in every hub when
/// the name is missing or unknown), and in the hubs that the provisioning services linked to it may have moved the device
/// to. A device of the twin's name counts as well: whatever a deleted device's tags say, that twin is in use.
pub async fn standing(context: &Context, hub: Option<&str>, device: &str, twin: &str) -> Result<Standing> {
    let Ok(id) = DeviceId::parse(device) else { return Ok(Standing::Absent) };
    let all = context.table.all();
    let of_kind = |kind| all.iter().filter(move |resource| resource.kind() == kind);
    let asked = hub.and_then(|name| {
        context
            .table
            .serving(ResourceKind::Hub, name)
            .or_else(|| context.table.named(ResourceKind::Hub, name))
    });
    for dps in of_kind(ResourceKind::Dps).filter(|dps| asked.as_ref().is_none_or(|hub| links(dps, &hub.name)))
    {
        if assigning(context, &dps.name, device).await? || assigning(context, &dps.name, twin).await? {
            return Ok(Standing::Assigning);
        }
    }
    let near = |hub: &Resource| {
        asked.as_ref().is_none_or(|asked| hub.name == asked.name || share_dps(&all, &hub.name, &asked.name))
    };
    let namesake = DeviceId::parse(twin).ok().filter(|namesake| *namesake != id);
    for hub in of_kind(ResourceKind::Hub).filter(|hub| near(hub)) {
        for id in std::iter::once(&id).chain(namesake.as_ref()) {
            if context.store.device(&hub.name, id).await?.is_some() {
                return Ok(Standing::Present);
            }
        }
    }
    Ok(Standing::Absent)
}

/// Whether `generation_id` is that of a device (or of a module of one) that bears the id `device` now, in a hub of this
/// deployment. What an earlier device of that id said is not meant for the twin of the present one.
pub async fn is_present_generation(
    context: &Context,
    (device, module): (&str, Option<&str>),
    generation_id: &str,
) -> Result<bool> {
    let Ok(id) = DeviceAddress::of(device, module) else { return Ok(false) };
    for hub in context.table.all().iter().filter(|resource| resource.kind() == ResourceKind::Hub) {
        let found = context.store.addressed(&hub.name, &id).await?;
        if found.is_some_and(|device| device.identity.generation_id == generation_id) {
            return Ok(true);
        }
    }
    Ok(false)
}

async fn assigning(context: &Context, dps: &ResourceName, device: &str) -> Result<bool> {
    let Ok(id) = RegistrationId::parse(device) else { return Ok(false) };
    let record = context.store.registration(dps, &id).await?;
    Ok(record.is_some_and(|record| record.status == RegistrationStatus::Assigning))
}

fn links(dps: &Resource, hub: &ResourceName) -> bool {
    matches!(&dps.properties, Properties::Dps(dps) if dps.linked_hubs.iter().any(|link| link.hub == *hub))
}

fn share_dps(all: &[std::sync::Arc<Resource>], one: &ResourceName, other: &ResourceName) -> bool {
    all.iter().any(|resource| links(resource, one) && links(resource, other))
}
