//! The work of an export: each device in order of id, its modules behind it, one a line. The edge devices above a device are before it,
//! so that whoever imports the file finds them when the device is to have its place.

use std::collections::HashSet;
use std::sync::Arc;

use pollux_model::device::Device;
use pollux_model::job::{Job, JobStatus, RegistryJob};
use pollux_model::{DeviceId, Error};

use super::{Ended, LineParts, Work, at};
use crate::hub::edge_device::parents;

/// Devices that are read at once.
const PAGE: usize = 500;
/// Edge devices above one that are brought forward at most; a ring of them would have no end.
const ABOVE: usize = 64;
const OUTPUT: &str = "OutputBlobNotWritable";

impl Work {
    pub(super) async fn export(&mut self, registry: &RegistryJob) -> Result<(), Ended> {
        let hub = Arc::clone(&self.hub);
        let (uri, name) = (self.job.output.clone(), self.resource.name.clone());
        let container =
            hub.registry_container(&self.resource, registry, ("outputBlobContainerUri", uri.as_ref()));
        let output =
            container.and_then(|container| container.blob(&registry.output_blob)).map_err(at(OUTPUT))?;
        let store = &hub.context.store;
        let (total, _) = store.count_devices(&name).await.map_err(away)?;
        let mut next = Job { status: JobStatus::Running, ..self.record().moved(&self.job) };
        next.registry = Some(RegistryJob { total, ..registry.clone() });
        next.progress.offset = 0;
        self.save(next).await?;
        let mut upload =
            hub.files.blobs.begin(&output, "text/plain; charset=utf-8").await.map_err(at(OUTPUT))?;
        let (mut after, mut forward): (Option<String>, HashSet<DeviceId>) = Default::default();
        loop {
            let page = store.devices(&name, after.as_deref(), PAGE).await.map_err(away)?;
            let (mut text, count) = (String::new(), page.items.len());
            for device in page.items {
                // From here on its id says that it was written.
                if forward.remove(&device.id) {
                    continue;
                }
                for one in self.in_order(device, &mut forward).await? {
                    text.push_str(&self.lines_of(&one, registry).await?);
                }
            }
            upload.write(text.into()).await.map_err(at(OUTPUT))?;
            let mut next = self.record().moved(&self.job);
            next.progress.offset += count as u64;
            self.save(next).await?;
            match page.next {
                Some(next) => after = Some(next),
                None => break,
            }
        }
        upload.finish().await.map_err(at(OUTPUT))
    }

    /// The device behind those above it that were not written yet. `forward`: those that were written before their turn.
    async fn in_order(&self, device: Device, forward: &mut HashSet<DeviceId>) -> Result<Vec<Device>, Ended> {
        let (store, hub, turn) = (&self.hub.context.store, &self.resource.name, device.id.clone());
        let (mut order, mut next) = (vec![device], 0);
        while let Some(one) = order.get(next) {
            for parent in parents(&one.identity, &one.id) {
                // Devices come in order of id.
                let written = parent.as_str() < turn.as_str() || forward.contains(&parent);
                let known = written || order.iter().any(|other| other.id == parent) || order.len() > ABOVE;
                if known {
                    continue;
                }
                if let Some(parent) = store.device(hub, &parent).await.map_err(away)? {
                    forward.insert(parent.id.clone());
                    order.push(parent);
                }
            }
            next += 1;
        }
        order.reverse();
        Ok(order)
    }

    /// A device and its modules.
    async fn lines_of(&self, device: &Device, registry: &RegistryJob) -> Result<String, Ended> {
        let (store, hub) = (&self.hub.context.store, &self.resource.name);
        let shown = LineParts { keys: !registry.exclude_keys, twin: registry.twins };
        let modules = store.modules_of(hub, &device.id).await.map_err(away)?;
        let lines = std::iter::once(device).chain(&modules).map(|one| self.lines.write(one, shown));
        Ok(lines.map(|line| line + "\r\n").collect())
    }
}

fn away(error: pollux_store::StoreError) -> Ended {
    Ended::Interrupted(Error::from(error).message)
}
