//! The work of an export: each device in order of id, its modules behind it, one a line.

use std::sync::Arc;

use pollux_model::Error;
use pollux_model::job::{Job, JobStatus, RegistryJob};

use super::{Ended, Work, at};

/// Devices that are read at once.
const PAGE: usize = 500;
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
        let mut after: Option<String> = None;
        loop {
            let page = store.devices(&name, after.as_deref(), PAGE).await.map_err(away)?;
            let (mut text, count) = (String::new(), page.items.len());
            for device in page.items {
                let modules = store.modules_of(&name, &device.id).await.map_err(away)?;
                for one in std::iter::once(&device).chain(&modules) {
                    text.push_str(&self.lines.write(one, !registry.exclude_keys));
                    text.push_str("\r\n");
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
}

fn away(error: pollux_store::StoreError) -> Ended {
    Ended::Interrupted(Error::from(error).message)
}
