//! Import and export of identities by jobs (Azure article "Import and export IoT Hub device identities in bulk"; REST reference,
//! "Jobs - Create Import Export Job").
//!
//! ```text
//!   create_registry_job ─▶ a record ─▶ the node that has the lease registry-jobs/<hub>, see [`job_work`](crate::job_work)
//!        import: devices.txt, line by line ─▶ import_device, some at once ─▶ what fails: importErrors.log
//!        export: devices and their modules, parents first ─▶ devices.txt, which is there when it is whole
//! ```
//!
//! An import that was cut off goes on behind its last batch; an export begins anew. In which words a line is written the edges know
//! ([`IdentityLines`]).
//!
//! | file | concern |
//! |---|---|
//! | `create_registry_job`, `cancel_registry_job`, `get_registry_job` | the verbs |
//! | `import`, `export` | the work; `lines`: a file in parts |

mod cancel_registry_job;
mod create_registry_job;
mod export;
mod get_registry_job;
mod import;
mod lines;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use pollux_model::device::Device;
use pollux_model::job::{Direction, Job, JobError, JobKind, JobStatus, RegistryJob};
use pollux_model::resource::{FileUpload, Properties, Resource, ResourceKind, Setting};
use pollux_model::{Error, ErrorCode, Result, ids};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{Hub, ImportMode, Imported, TwinInput};
use crate::Context;
use crate::blobs::{BlobError, Container};
use crate::cluster::Fence;
use crate::job_work::{Ended, JobWorker, Record, run_jobs};

pub use create_registry_job::RegistryJobInput;

/// What a line of a file asks for.
#[derive(Debug, Clone)]
pub struct ImportLine {
    /// The device, for the log.
    pub device: String,
    /// What is done with it.
    pub mode: ImportMode,
    /// The identity.
    pub identity: Imported,
    /// Tags and desired properties.
    pub twin: TwinInput,
}

/// What a line shows beside the identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LineParts {
    /// Its keys.
    pub keys: bool,
    /// Its twin: whoever made the job may read twins.
    pub twin: bool,
}

/// Lines of `devices.txt` in the words of the API.
pub trait IdentityLines: Send + Sync {
    /// Reads a line.
    ///
    /// # Errors
    /// What is wrong, with the device's id as far as it can be told.
    fn read(&self, line: &[u8]) -> Result<ImportLine, (String, Error)>;
    /// Writes a device or module, without the line's end.
    fn write(&self, device: &Device, shown: LineParts) -> String;
    /// A line of the log of errors.
    fn error(&self, device: &str, error: &Error) -> String;
}

/// What hubs need for these jobs.
pub(super) struct RegistryJobs {
    lines: OnceLock<Arc<dyn IdentityLines>>,
    /// Changes when a job was added or cancelled here.
    news: watch::Sender<u64>,
    /// Held while a job is added, so that there is one at a time.
    adding: tokio::sync::Mutex<()>,
}

impl Default for RegistryJobs {
    fn default() -> Self {
        let (lines, adding) = Default::default();
        Self { lines, news: watch::Sender::new(0), adding }
    }
}

impl fmt::Debug for RegistryJobs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RegistryJobs").finish_non_exhaustive()
    }
}

impl RegistryJobs {
    fn tell(&self) {
        self.news.send_modify(|count| *count = count.wrapping_add(1));
    }
}

/// How long a storage may be away, and the job come no further, until it fails. Ours: the article names no time.
const PATIENCE: Duration = Duration::from_secs(600);
/// The pause before the storage is asked again; doubled each time, up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// The name of the leases.
const LEASES: &str = "registry-jobs";
/// The kinds of jobs there are here.
const KINDS: &[JobKind] = &[JobKind::Registry];

impl Hub {
    /// Says in which words lines of files are. The first to say so is heard.
    pub fn speak(&self, lines: Arc<dyn IdentityLines>) {
        if self.registry_jobs.lines.set(lines).is_ok() {
            self.registry_jobs.tell();
        }
    }

    /// Works on the jobs of all hubs, as far as this node has their leases, until shutdown.
    pub(crate) async fn run_registry_jobs(self: Arc<Self>, shutdown: CancellationToken) {
        run_jobs(self, ResourceKind::Hub, LEASES, shutdown).await;
    }

    /// A container of a job.
    fn registry_container(
        &self,
        hub: &Resource,
        job: &RegistryJob,
        (field, uri): (&str, Option<&Setting>),
    ) -> Result<Container, BlobError> {
        let none = Setting(String::new());
        let uri = uri.unwrap_or(&none);
        if !job.by_identity {
            return Container::given(field, uri, self.files.blobs.reach());
        }
        // The hub's own right is that to its storage account.
        let storage = match &hub.properties {
            Properties::Hub(properties) => FileUpload::clone(&properties.file_upload).storage,
            _ => None,
        };
        let storage = storage.ok_or_else(|| {
            BlobError::No(
                "the hub has no storage account, so its identity opens none: use key-based authentication"
                    .to_owned(),
            )
        })?;
        Container::of_account_at(&storage.connection_string, &uri.0)
    }
}

#[async_trait]
impl JobWorker for Hub {
    const KINDS: &'static [JobKind] = KINDS;

    fn context(&self) -> &Arc<Context> {
        &self.context
    }

    fn news(&self) -> &watch::Sender<u64> {
        &self.registry_jobs.news
    }

    async fn work(
        self: Arc<Self>,
        resource: Arc<Resource>,
        fence: Option<Fence>,
        job: Job,
    ) -> Result<(), String> {
        let Some(lines) = self.registry_jobs.lines.get().cloned() else {
            return Err("nobody here knows the words of lines yet".to_owned());
        };
        let (kind, id) = (job.kind, job.id.clone());
        let mut work = Work { hub: Arc::clone(&self), resource, fence, job, lines };
        let watched = work.resource.name.clone();
        let record = Record { context: &self.context, of: &watched, fence: None };
        let (status, error) = record.worked((kind, &id), work.run()).await?;
        work.record().finish(&work.job, status, error).await.map_err(|error| error.message)
    }
}

/// A job under way.
struct Work {
    hub: Arc<Hub>,
    resource: Arc<Resource>,
    fence: Option<Fence>,
    /// As this node last wrote it.
    job: Job,
    lines: Arc<dyn IdentityLines>,
}

impl Work {
    fn record(&self) -> Record<'_> {
        Record { context: &self.hub.context, of: &self.resource.name, fence: self.fence.as_ref() }
    }

    /// Works until the job is over. While its storage is away it tries again, for as long as is borne without coming further.
    async fn run(&mut self) -> Result<(), Ended> {
        let (mut since, mut pause) = (None, FIRST_PAUSE);
        loop {
            let before = self.job.progress.offset;
            let error = match self.attempt().await {
                Err(Ended::Away(error)) => error,
                ended => return ended,
            };
            // An export begins anew each time: how far it came does not last.
            let imports = self.job.registry.as_ref().is_some_and(|job| job.direction == Direction::Import);
            if imports && self.job.progress.offset > before {
                (since, pause) = (None, FIRST_PAUSE);
            }
            let now = self.hub.context.clock.now();
            if now.since(*since.get_or_insert(now)) >= PATIENCE {
                return Err(Ended::Failed(error));
            }
            tracing::warn!(job = %self.job.id, why = error.message, "a job waits for its storage");
            tokio::time::sleep(pause).await;
            pause = pause.saturating_mul(2).min(LONGEST_PAUSE);
        }
    }

    async fn attempt(&mut self) -> Result<(), Ended> {
        if self.job.status == JobStatus::Cancelling {
            return Err(Ended::Cancelled);
        }
        let Some(registry) = self.job.registry.clone() else {
            return Err(failed("InvalidJob", "the job does not say what it is to do".to_owned()));
        };
        match registry.direction {
            Direction::Import => self.import(&registry).await,
            Direction::Export => self.export(&registry).await,
        }
    }

    /// Writes the job.
    async fn save(&mut self, next: Job) -> Result<(), Ended> {
        let (hub, name, fence) = (Arc::clone(&self.hub), self.resource.name.clone(), self.fence.clone());
        let record = Record { context: &hub.context, of: &name, fence: fence.as_ref() };
        record.save(&mut self.job, next, Vec::new()).await
    }
}

fn failed(code: &str, message: String) -> Ended {
    Ended::Failed(JobError { code: code.to_owned(), message })
}

/// Of a place that the job reads or writes: what may come back is waited for.
fn at(code: &'static str) -> impl Fn(BlobError) -> Ended {
    move |error| match error {
        BlobError::Away(message) => Ended::Away(JobError { code: code.to_owned(), message }),
        error => failed(code, error.message()),
    }
}

fn not_found(id: &str) -> Error {
    Error::new(ErrorCode::ImportJobNotFound, format!("there is no job '{}'", ids::shown(id)))
}
