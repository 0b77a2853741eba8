//! Adds a job that imports or exports identities.

use pollux_model::job::{Direction, Job, JobKind, RegistryJob};
use pollux_model::resource::{Resource, ResourceKind, Setting};
use pollux_model::{Error, ErrorCode, Result};
use pollux_store::{Batch, Expect, Write};

use super::{Hub, KINDS};
use crate::blobs::{BlobError, check_name};
use crate::caller::{Caller, HubAction, Right};
use crate::job_work::{all_jobs, new_job, oldest_if_full};

/// What a service asks for.
#[derive(Debug, Clone)]
pub struct RegistryJobInput {
    /// Which way.
    pub direction: Direction,
    /// The container with the file to import.
    pub input_container: Option<Setting>,
    /// The container for what is exported, or for the errors of an import.
    pub output_container: Option<Setting>,
    /// The file to import; `devices.txt` when left out.
    pub input_blob: Option<String>,
    /// The file that is exported, or the log of errors; `devices.txt` and `importErrors.log` when left out.
    pub output_blob: Option<String>,
    /// Whether an export leaves keys out.
    pub exclude_keys: bool,
    /// Whether the containers are opened by the hub's own right, and not by signatures in their URLs.
    pub by_identity: bool,
}

impl Hub {
    /// Adds a job; it begins as soon as a node is free. Gives it as it is kept.
    ///
    /// # Errors
    /// [`ErrorCode::InvalidArgument`]: a container may not be reached, or a blob cannot be called so;
    /// [`ErrorCode::JobLimitReached`]: another job is not over ("IoT Hub quotas and throttling": one at a time).
    pub async fn create_registry_job(
        &self,
        caller: &Caller,
        hub: &Resource,
        input: RegistryJobInput,
    ) -> Result<Job> {
        caller.require(ResourceKind::Hub, &hub.name, Right::Hub(HubAction::JobsWrite))?;
        let import = input.direction == Direction::Import;
        let twins = if import { HubAction::TwinsWrite } else { HubAction::TwinsRead };
        let registry = RegistryJob {
            direction: input.direction,
            input_blob: import.then(|| input.input_blob.unwrap_or_else(|| "devices.txt".to_owned())),
            output_blob: input
                .output_blob
                .unwrap_or_else(|| if import { "importErrors.log" } else { "devices.txt" }.to_owned()),
            exclude_keys: input.exclude_keys,
            by_identity: input.by_identity,
            twins: caller.require(ResourceKind::Hub, &hub.name, Right::Hub(twins)).is_ok(),
            total: 0,
        };
        let refused = |error: BlobError| Error::invalid(error.message());
        registry
            .input_blob
            .iter()
            .chain([&registry.output_blob])
            .try_for_each(|name| check_name(name))
            .map_err(refused)?;
        let wanted = import.then_some(("inputBlobContainerUri", &input.input_container));
        for (field, uri) in wanted.into_iter().chain([("outputBlobContainerUri", &input.output_container)]) {
            if uri.is_none() {
                return Err(Error::invalid(format!(
                    "{field} is missing: the URL of a container, with its signature"
                )));
            }
            self.registry_container(hub, &registry, (field, uri.as_ref())).map_err(refused)?;
        }
        let mut job = new_job(&self.context, self.context.random.uuid().to_string(), JobKind::Registry);
        (job.input, job.output) = (input.input_container.filter(|_| import), input.output_container);
        job.registry = Some(registry);
        self.add_registry_job(hub, job).await
    }

    /// Keeps a new job, if there is none that is not over.
    async fn add_registry_job(&self, hub: &Resource, job: Job) -> Result<Job> {
        let _one = self.registry_jobs.adding.lock().await;
        let alone = self.context.cluster.alone(&format!("{}/{}", super::LEASES, hub.name), "add").await?;
        let added = self.add_registry_job_alone(hub, job).await;
        alone.release().await;
        if added.is_ok() {
            self.registry_jobs.tell();
        }
        added
    }

    async fn add_registry_job_alone(&self, hub: &Resource, job: Job) -> Result<Job> {
        let all = all_jobs(&self.context, &hub.name, KINDS).await?;
        if let Some(other) = all.iter().find(|other| !other.status.is_over()) {
            let text = format!(
                "a hub works on one import or export at a time, and the job {} is not over",
                other.id
            );
            return Err(Error::new(ErrorCode::JobLimitReached, text));
        }
        let twins = hub.name.clone();
        let mut batch =
            Batch::from(Write::PutJob { twins, job: Box::new(job.clone()), expect: Expect::Absent });
        if let Some(oldest) = oldest_if_full(&all, job.kind) {
            let (twins, id) = (hub.name.clone(), oldest.id.clone());
            batch = batch.with(Write::DeleteJob { twins, kind: job.kind, id, expect: Expect::Any });
        }
        self.context.store.commit(batch).await?;
        Ok(job)
    }
}
