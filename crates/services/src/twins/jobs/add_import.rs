//! Adds an import job.

use pollux_model::job::{Job, JobKind};
use pollux_model::resource::Setting;
use pollux_model::{ResourceName, Result};

use super::misplaced;
use crate::blobs::Location;
use crate::twins::rates::Kind;
use crate::twins::{Twins, refusal};
use crate::{Caller, Right};

/// An import to be done.
#[derive(Debug, Clone)]
pub struct AddImport {
    /// Chosen by the caller, unique among the imports of the instance.
    pub id: String,
    /// The graph file: an http(s) URL of a blob with a shared access signature, or a `file:` URL.
    pub input: Setting,
    /// The log, an append blob or file that the job makes.
    pub output: Setting,
}

impl Twins {
    /// Adds an import job; it begins as soon as a node is free. Gives it as it is kept.
    ///
    /// # Errors
    /// [`pollux_model::ErrorCode::ValidationFailed`]: the id is in use, or a URL may not be reached;
    /// [`pollux_model::ErrorCode::JobLimitReached`]: another job is not over.
    pub async fn add_import(&self, caller: &Caller, instance: &ResourceName, add: AddImport) -> Result<Job> {
        self.admit(caller, instance, Right::TwinsWrite, (Kind::Jobs, &[]))?;
        refusal::check_id("job", &add.id)?;
        let reach = self.jobs.blobs.reach();
        Location::read("inputBlobUri", &add.input, reach).map_err(misplaced)?;
        Location::read("outputBlobUri", &add.output, reach).map_err(misplaced)?;
        let mut job = self.new_job(add.id, JobKind::Imports);
        (job.input, job.output) = (Some(add.input), Some(add.output));
        self.add_job(instance, job).await
    }
}
