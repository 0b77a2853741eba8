//! The work of an import: lines in batches, each identity for itself. What a line's device is told of is told in the order of the
//! file; devices of one batch go side by side, for they go to the disk together.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use pollux_model::device::Device;
use pollux_model::job::{Job, JobStatus, RegistryJob};
use pollux_model::resource::{PolicyRight, ResourceKind};
use pollux_model::{DeviceAddress, DeviceId, Error, ErrorCode, Timestamp};

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

/// Lines that may have been carried out before the job was cut off: those of the batch that was under way, whose end nobody wrote
/// down.
struct Again {
    /// Lines that may still be of it.
    left: usize,
    /// Whose lines there were: no batch has a device twice.
    devices: HashSet<String>,
    /// What the batch made was made since.
    since: Timestamp,
}

impl Again {
    /// Takes the next line; says since when what it asks for may be done already.
    fn next(&mut self, wanted: Option<&Wanted>) -> Option<Timestamp> {
        if self.left == 0 {
            return None;
        }
        self.left -= 1;
        let Some(Ok(line)) = wanted else { return None };
        if self.devices.insert(line.device.clone()) {
            return Some(self.since);
        }
        // The batch ended before it.
        self.left = 0;
        None
    }
}

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
        let since = self.job.last_action;
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
        let left = if goes_on { BATCH } else { 0 };
        let again = Again { left, devices: HashSet::new(), since };
        self.import_from(opened, (offset, again), registry, &mut log).await
    }

    async fn import_from(
        &mut self,
        mut input: Input,
        (offset, mut again): (u64, Again),
        registry: &RegistryJob,
        log: &mut Output,
    ) -> Result<(), Ended> {
        let mut lines = Lines::from(offset);
        let most = self.hub.context.limits.job_input;
        loop {
            let part = input.next().await.map_err(at(INPUT))?;
            let mut waiting = match &part {
                Some(bytes) => lines.feed(bytes),
                None => lines.finish().into_iter().collect(),
            };
            while !waiting.is_empty() {
                let (batch, end) = self.batch(&mut waiting, &mut again);
                let errors = self.import_batch(batch, registry).await?;
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

    /// The next lines, no device twice among them and none with its parent, and where they end. With each since when it may be done.
    fn batch(&self, waiting: &mut Vec<Line>, again: &mut Again) -> (Vec<(Wanted, Option<Timestamp>)>, u64) {
        let (mut batch, mut end, mut taken) = (Vec::new(), 0, 0);
        let mut devices = HashSet::<String>::new();
        for line in waiting.iter().take(BATCH) {
            let wanted = match &line.text {
                None => Some(Err((String::new(), Error::new(ErrorCode::TooLarge, "the line is too long")))),
                Some(text) if text.is_empty() => None,
                Some(text) => Some(self.lines.read(text)),
            };
            if let Some(Ok(one)) = &wanted {
                let scopes = match &one.identity {
                    Imported::Device(input) => Some(&input.scopes),
                    Imported::Module(_) => None,
                };
                let below = |head: DeviceId| devices.contains(head.as_str());
                if scopes.is_some_and(|scopes| scopes.heads().any(below))
                    || !devices.insert(one.device.clone())
                {
                    break;
                }
            }
            let done_since = again.next(wanted.as_ref());
            batch.extend(wanted.map(|wanted| (wanted, done_since)));
            (end, taken) = (line.end, taken + 1);
        }
        waiting.drain(..taken);
        (batch, end)
    }

    /// Carries lines out; what failed, each as a line of the log.
    async fn import_batch(
        &self,
        batch: Vec<(Wanted, Option<Timestamp>)>,
        registry: &RegistryJob,
    ) -> Result<Vec<String>, Ended> {
        let caller = self.caller(registry.twins);
        let lines = batch.into_iter().map(|(wanted, since)| self.import_line(&caller, wanted, since));
        let done = join_all(lines).await;
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
        done_since: Option<Timestamp>,
    ) -> Result<(), (String, Error)> {
        let ImportLine { device, mode, mut identity, twin } = wanted?;
        if let Imported::Device(input) = &mut identity {
            let scopes = std::mem::take(&mut input.scopes);
            let scopes = self.hub.scopes_of_now(&self.resource, &input.id, scopes).await;
            input.scopes = scopes.map_err(|error| (device.clone(), error))?;
        }
        let (mut mode, mut begun) = (mode, done_since);
        loop {
            let (wanted, whole) = (mode.clone(), (identity.clone(), twin.clone()));
            match self.hub.import_device(caller, &self.resource, wanted, whole).await {
                Ok(()) => return Ok(()),
                // A tier bounds the hub: the line waits for its turn. Half of it may be done.
                Err(error) if error.code == ErrorCode::Throttled => {
                    begun = begun.or(Some(self.job.last_action));
                    tokio::time::sleep(TURN).await;
                }
                Err(error) if self.was_done(begun, (&mode, &identity), &error).await => {
                    if matches!(mode, ImportMode::Delete(_)) {
                        return Ok(());
                    }
                    // The identity is there; its twin may not have been written.
                    mode = ImportMode::Update(None);
                }
                Err(error) => return Err((device, error)),
            }
        }
    }

    /// Whether a line was carried out before, as far as that can be seen: what it would make was made since, what it would change
    /// under an etag is as it would make it, or what it would delete is gone.
    async fn was_done(
        &self,
        since: Option<Timestamp>,
        (mode, identity): (&ImportMode, &Imported),
        error: &Error,
    ) -> bool {
        use ErrorCode::{DeviceExists, DeviceNotFound, ModuleExists, ModuleNotFound, PreconditionFailed};
        let Some(since) = since else { return false };
        match (mode, error.code) {
            (ImportMode::Delete(_), DeviceNotFound | ModuleNotFound) => true,
            (ImportMode::Create, DeviceExists | ModuleExists) => {
                self.found(identity).await.is_some_and(|found| found.identity.created >= since)
            }
            (ImportMode::Update(Some(_)) | ImportMode::CreateOrUpdateIf(_), PreconditionFailed) => {
                self.found(identity).await.is_some_and(|found| self.is_as_wanted(&found, identity))
            }
            _ => false,
        }
    }

    async fn found(&self, identity: &Imported) -> Option<Device> {
        let address = match identity {
            Imported::Device(input) => DeviceAddress::of(&input.id, None),
            Imported::Module(input) => input.address(),
        };
        self.hub.addressed(&self.resource, &address.ok()?).await.ok()
    }

    /// Whether an identity has all that a line says of it.
    fn is_as_wanted(&self, found: &Device, wanted: &Imported) -> bool {
        let there = &found.identity;
        let (authentication, same) = match wanted {
            Imported::Device(input) => (
                &input.authentication,
                input.status.is_none_or(|status| status == there.status)
                    && input.status_reason == there.status_reason
                    && input.iot_edge == there.iot_edge,
            ),
            Imported::Module(input) => (&input.authentication, input.managed_by == there.managed_by),
        };
        let wanted = self.hub.authentication(authentication.clone(), Some(&there.authentication));
        same && wanted.is_ok_and(|wanted| wanted == there.authentication)
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
