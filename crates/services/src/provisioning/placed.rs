//! What the batch at the end of a registration comes to.

use pollux_model::device::Device;
use pollux_model::registration::Registration;
use pollux_model::{DeviceAddress, RegistrationId, ResourceName};
use pollux_store::{Batch, Expect, Write};

/// The record that the batch ends an operation with.
pub(super) fn ended(batch: &Batch, id: &RegistrationId) -> Option<Box<Registration>> {
    batch.writes.iter().find_map(|write| match write {
        Write::PutRegistration { registration, .. } if registration.registration_id == *id => {
            Some(registration.clone())
        }
        _ => None,
    })
}

/// Whether the device is where it was not before.
pub(super) fn is_placed(before: &Registration, done: &Registration) -> bool {
    done.assigned_hub != before.assigned_hub || done.device_id != before.device_id
}

/// The devices that were there before the batch.
pub(super) fn devices_changed(batch: &Batch) -> Vec<(ResourceName, DeviceAddress)> {
    let of = |write: &Write| match write {
        Write::PutDevice { hub, device, identity, .. } if *identity != Expect::Absent => {
            Some((hub.clone(), device.address()))
        }
        Write::DeleteDevice { hub, id, .. } => Some((hub.clone(), id.clone())),
        _ => None,
    };
    batch.writes.iter().filter_map(of).collect()
}

/// The edge devices that the batch puts into their hub: configurations may deploy to their modules.
pub(super) fn edge_devices(batch: &Batch) -> Vec<(ResourceName, Device)> {
    let of = |write: &Write| match write {
        Write::PutDevice { hub, device, .. } if device.identity.iot_edge => {
            Some((hub.clone(), Device::clone(device)))
        }
        _ => None,
    };
    batch.writes.iter().filter_map(of).collect()
}
