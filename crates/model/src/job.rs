//! Jobs of a digital twins instance or a hub: bulk work that a node does in the background.

use serde::{Deserialize, Serialize};

use crate::resource::Setting;
use crate::{Etag, Timestamp};

/// What a job does. The names are those of the paths (`/jobs/imports`, `/jobs/deletions`) of digital twins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum JobKind {
    /// Imports models, twins and relationships.
    Imports,
    /// Deletes all models, twins and relationships.
    Deletions,
    /// Imports or exports identities of a hub.
    Registry,
}

impl JobKind {
    /// Those of a digital twins instance.
    pub const ALL: [Self; 2] = [Self::Imports, Self::Deletions];

    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Imports => "imports",
            Self::Deletions => "deletions",
            Self::Registry => "registry",
        }
    }
}

/// How it stands with a job (OpenAPI of the data plane 2023-10-31, `ImportJob.status`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum JobStatus {
    /// No node has begun.
    NotStarted,
    /// A node is at work, or will go on.
    Running,
    /// It is to end where it stands.
    Cancelling,
    /// It ended where it stood.
    Cancelled,
    /// Not all was done; `error` says why.
    Failed,
    /// All was done.
    Succeeded,
}

impl JobStatus {
    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotStarted => "notstarted",
            Self::Running => "running",
            Self::Cancelling => "cancelling",
            Self::Cancelled => "cancelled",
            Self::Failed => "failed",
            Self::Succeeded => "succeeded",
        }
    }

    /// Whether nothing will happen any more.
    #[must_use]
    pub const fn is_over(self) -> bool {
        matches!(self, Self::Cancelled | Self::Failed | Self::Succeeded)
    }
}

/// A part of a graph file (article "Azure Digital Twins APIs and SDKs", "Format data"), in the order they must have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Section {
    /// What the file says of itself.
    Header,
    /// Models, one a line.
    Models,
    /// Twins, one a line.
    Twins,
    /// Relationships, one a line.
    Relationships,
}

impl Section {
    /// Its name in files and logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Header => "Header",
            Self::Models => "Models",
            Self::Twins => "Twins",
            Self::Relationships => "Relationships",
        }
    }

    /// The section of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        [Self::Header, Self::Models, Self::Twins, Self::Relationships]
            .into_iter()
            .find(|section| section.as_str() == name)
    }
}

/// A job as it is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// Chosen by whoever asked for it.
    pub id: String,
    /// What it does.
    pub kind: JobKind,
    /// How it stands.
    pub status: JobStatus,
    /// Changes with every change.
    pub etag: Etag,
    /// Where an import reads; may carry a shared access signature.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<Setting>,
    /// Where an import writes its log; may carry a shared access signature.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<Setting>,
    /// When it was asked for.
    pub created: Timestamp,
    /// When something last happened.
    pub last_action: Timestamp,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished: Option<Timestamp>,
    /// When it is forgotten.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub purge: Option<Timestamp>,
    /// When it fails if it has not ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<Timestamp>,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<JobError>,
    /// How far it has come; kept with what it did in the same commit.
    #[serde(default)]
    pub progress: JobProgress,
    /// What is imported or exported of a hub's registry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub registry: Option<RegistryJob>,
}

/// A job of a hub that imports or exports identities. Its progress is in bytes of the file, or in devices.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegistryJob {
    /// Which way.
    pub direction: Direction,
    /// The file that is imported.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input_blob: Option<String>,
    /// The file that is exported, or the log of errors.
    pub output_blob: String,
    /// Whether keys are left out.
    pub exclude_keys: bool,
    /// Whether the containers are opened by the hub's own right.
    pub by_identity: bool,
    /// Whether whoever asked for it may read and change twins.
    pub twins: bool,
    /// Bytes of the file, or devices, in all.
    pub total: u64,
}

/// Which way identities go.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// From a file into the registry.
    #[default]
    Import,
    /// From the registry into a file.
    Export,
}

/// Why a job failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobError {
    /// The service's code for it.
    pub code: String,
    /// For people.
    pub message: String,
}

/// How far a job has come.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct JobProgress {
    /// The section it is in; `None`: at the beginning.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub section: Option<Section>,
    /// Bytes of the input that are done.
    pub offset: u64,
    /// Lines of the input that are done.
    pub line: u64,
    /// The etag of the input, so that one that changed is noticed when the job goes on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input_etag: Option<String>,
    /// Models created or deleted.
    pub models: u64,
    /// Twins created or deleted.
    pub twins: u64,
    /// Relationships created or deleted.
    pub relationships: u64,
    /// Items that were there already, and equal.
    pub unchanged: u64,
    /// Items that failed.
    pub failed: u64,
    /// Of these, in the present section.
    pub failed_in_section: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_api() {
        for status in [JobStatus::NotStarted, JobStatus::Cancelling, JobStatus::Succeeded] {
            assert_eq!(serde_json::to_value(status).unwrap(), status.as_str());
        }
        assert_eq!(Section::named("Relationships"), Some(Section::Relationships));
        assert_eq!(Section::named("relationships"), None);
    }
}
