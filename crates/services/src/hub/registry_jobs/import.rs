//! The work of an import: lines in batches, each identity for itself. What a line's device is told of is told in the order of the
//! file; devices of one batch go side by side, for they go to the disk together.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use pollux_model::job::{Job, JobStatus, RegistryJob};
use pollux_model::resource::{PolicyRight, ResourceKind};
use pollux_model::{DeviceId, Error, ErrorCode};

use super::lines::{Line, Lines};
use super::{Ended, ImportLine, Work, at, failed};
use crate::blobs::{Input, Output};
use crate::caller::{Caller, Identity, Right};
use crate::hub::{ImportMode, Imported};

/// Lines that are worked on at once.
const BATCH: usize = 32;
const INPUT: &str = "InputBlobNotReadable";
const OUTPUT: &str = "OutputBlobNotWritable";

/// A line that is to be worked on.
type Wanted = Result<ImportLine, (String, Error)>;

/// How long a line waits that a tier bounds.
const TURN: Duration = Duration::from_secs(1);

impl Work {
    pub(super) async fn import(&mut self, registry: &RegistryJob) -> Result<(), Ended> {
        let hub = Arc::clone(&self.hub);
        let output = (&registry.output_blob, self.job.output.clone());
        let output_at =
            hub.registry_container(&self.resource, registry, ("outputBlobContainerUri", output.1.as_ref()));
        let log = output_at.and_then(|container| container.blob(output.0)).map_err(at(OUTPUT))?;
        let input_at = hub.registry_container(
            &self.resource,
            registry,
            ("inputBlobContainerUri", self.job.input.as_ref()),
        );
        let name = registry.input_blob.as_deref().unwrap_or_default();
        let input = input_at.and_then(|container| container.blob(name)).map_err(at(INPUT))?;
        let goes_on = self.job.status != JobStatus::NotStarted;
        let progress = &self.job.progress;
        let (offset, etag) = (progress.offset, progress.input_etag.clone());
        let total = hub.files.blobs.state(&input).await.map_err(at(INPUT))?.size;
        let opened = hub.files.blobs.open(&input, offset, etag.as_deref()).await.map_err(at(INPUT))?;
        let mut log = hub.files.blobs.begin_log(&log, goes_on).await.map_err(at(OUTPUT))?;
        if !goes_on {
            let mut next = Job { status: JobStatus::Running, ..self.record().moved(&self.job) };
            next.progress.input_etag.clone_from(&opened.etag);
            next.registry = Some(RegistryJob { total, ..registry.clone() });
            self.save(next).await?;
        }
        self.import_from(opened, (offset, goes_on), registry, &mut log).await
    }

    async fn import_from(
        &mut self,
        mut input: Input,
        (offset, goes_on): (u64, bool),
        registry: &RegistryJob,
        log: &mut Output,
    ) -> Result<(), Ended> {
        let (mut lines, mut repeated) = (Lines::from(offset), goes_on);
        let most = self.hub.context.limits.job_input;
        loop {
            let part = input.next().await.map_err(at(INPUT))?;
            let mut waiting = match &part {
                Some(bytes) => lines.feed(bytes),
                None => lines.finish().into_iter().collect(),
            };
            while !waiting.is_empty() {
                let (batch, end) = self.batch(&mut waiting);
                let errors = self.import_batch(batch, registry, repeated).await?;
                repeated = false;
                self.tell(errors, end, log).await?;
            }
            if part.is_none() {
                return Ok(());
            }
            if self.job.progress.offset > most {
                return Err(failed(INPUT, format!("the file has more than {most} bytes (limits.job_input)")));
            }
        }
    }

    /// The next lines, no device twice among them, and where they end.
    fn batch(&self, waiting: &mut Vec<Line>) -> (Vec<Wanted>, u64) {
        let (mut batch, mut devices, mut end, mut taken) = (Vec::new(), HashSet::new(), 0, 0);
        for line in waiting.iter().take(BATCH) {
            let wanted = match &line.text {
                None => Some(Err((String::new(), Error::new(ErrorCode::TooLarge, "the line is too long")))),
                Some(text) if text.is_empty() => None,
                Some(text) => Some(self.lines.read(text)),
            };
            if let Some(Ok(one)) = &wanted
                && !devices.insert(one.device.clone())
            {
                break;
            }
            batch.extend(wanted);
            (end, taken) = (line.end, taken + 1);
        }
        waiting.drain(..taken);
        (batch, end)
    }

    /// Carries lines out; what failed, each as a line of the log.
    async fn import_batch(
        &self,
        batch: Vec<Wanted>,
        registry: &RegistryJob,
        repeated: bool,
    ) -> Result<Vec<String>, Ended> {
        let caller = self.caller(registry.twins);
        let done =
            join_all(batch.into_iter().map(|wanted| self.import_line(&caller, wanted, repeated))).await;
        let mut errors = Vec::new();
        for one in done {
            match one {
                Ok(()) => {}
                Err((_, error)) if error.code == ErrorCode::Unavailable => {
                    return Err(Ended::Interrupted(error.message));
                }
                Err((device, error)) => errors.push(self.lines.error(&device, &error)),
            }
        }
        Ok(errors)
    }

    async fn import_line(
        &self,
        caller: &Caller,
        wanted: Wanted,
        repeated: bool,
    ) -> Result<(), (String, Error)> {
        let ImportLine { device, mode, identity, twin } = wanted?;
        let (mut mode, mut begun) = (mode, repeated);
        loop {
            let (wanted, whole) = (mode.clone(), (identity.clone(), twin.clone()));
            match self.hub.import_device(caller, &self.resource, wanted, whole).await {
                Ok(()) => return Ok(()),
                // A tier bounds the hub: the line waits for its turn. Half of it may be done.
                Err(error) if error.code == ErrorCode::Throttled => {
                    begun = true;
                    tokio::time::sleep(TURN).await;
                }
                Err(error) if begun && self.was_done(&mode, &identity, &error).await => {
                    if mode != ImportMode::Create {
                        return Ok(());
                    }
                    // The identity is there; its twin may not have been written.
                    mode = ImportMode::Update(None);
                }
                Err(error) => return Err((device, error)),
            }
        }
    }

    /// Whether a line of the batch that was cut off was carried out then: what it would make is there since, or what it would
    /// delete is gone.
    async fn was_done(&self, mode: &ImportMode, identity: &Imported, error: &Error) -> bool {
        let gone = matches!(error.code, ErrorCode::DeviceNotFound | ErrorCode::ModuleNotFound);
        match (mode, identity) {
            (ImportMode::Delete(_), _) => gone,
            (ImportMode::Create, Imported::Device(input)) if error.code == ErrorCode::DeviceExists => {
                let Ok(id) = DeviceId::parse(&input.id) else { return false };
                let found = self.hub.existing(&self.resource, &id).await;
                found.is_ok_and(|device| device.identity.status_updated >= self.job.last_action)
            }
            (ImportMode::Create, Imported::Module(_)) => error.code == ErrorCode::ModuleExists,
            _ => false,
        }
    }

    /// Who the job acts for: with the rights that its creator had.
    fn caller(&self, twins: bool) -> Caller {
        let (kind, resource) = (ResourceKind::Hub, self.resource.name.clone());
        let mut rights =
            vec![Right::Policy(PolicyRight::RegistryWrite), Right::Policy(PolicyRight::RegistryRead)];
        if twins {
            rights.push(Right::Policy(PolicyRight::ServiceConnect));
        }
        let identity =
            Identity::Policy { kind, resource: resource.clone(), policy: format!("job {}", self.job.id) };
        Caller::on(identity, kind, resource, rights)
    }

    /// Writes what failed to the log, then how far the job has come.
    async fn tell(&mut self, errors: Vec<String>, end: u64, log: &mut Output) -> Result<(), Ended> {
        let mut next = self.record().moved(&self.job);
        next.progress.offset = end;
        next.progress.failed += errors.len() as u64;
        if !errors.is_empty() {
            let text = errors.iter().map(|line| format!("{line}\n")).collect::<String>();
            self.hub.files.blobs.append(log, text.into()).await.map_err(at(OUTPUT))?;
        }
        self.save(next).await
    }
}
