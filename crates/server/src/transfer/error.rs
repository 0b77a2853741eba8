//! Why an export or import does not come to its end.

use std::io;
use std::path::PathBuf;

use pollux_eventlog::LogError;
use pollux_store::{CommitError, Mismatch, StoreError};

use crate::error::ServeError;

/// Why an export or import does not come to its end.
#[derive(Debug, thiserror::Error)]
pub enum TransferError {
    /// The deployment cannot be opened.
    #[error(transparent)]
    Open(#[from] ServeError),
    /// There is no such deployment, or no such export.
    #[error("{0}")]
    NotThere(String),
    /// It would do harm; the text says what to do instead.
    #[error("{0}")]
    Refused(String),
    /// The export's files are not what was written.
    #[error("{0}")]
    Damaged(String),
    /// A file cannot be read or written.
    #[error("cannot use {}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The store or the event log failed on the way. Running the command again goes on.
    #[error("{0}; run the same command again to go on")]
    Failed(String),
}

impl From<StoreError> for TransferError {
    fn from(error: StoreError) -> Self {
        Self::Failed(error.to_string())
    }
}

impl From<CommitError> for TransferError {
    fn from(error: CommitError) -> Self {
        match error {
            CommitError::Store(error) => error.into(),
            CommitError::Expectation { mismatch: Mismatch::LeaseLost, .. } => Self::Failed(
                "another export or import took this deployment over, for this one paused too long".to_owned(),
            ),
            CommitError::Expectation { mismatch, .. } => Self::Damaged(format!(
                "the store refuses a row of the export ({mismatch:?}): it does not go with the rows before it"
            )),
        }
    }
}

impl From<LogError> for TransferError {
    fn from(error: LogError) -> Self {
        match error {
            LogError::TooLarge { what, bytes, limit } => Self::Refused(format!(
                "{what} has {bytes} bytes, and the event log takes {limit} at most; with NATS raise max_payload in its \
                 configuration, then run the same command again to go on"
            )),
            LogError::InvalidConfig(why) => {
                Self::Refused(format!("the event log of the target does not take the events: {why}"))
            }
            LogError::Corrupt { .. } => Self::Damaged(error.to_string()),
            LogError::UnknownStream(_)
            | LogError::UnknownPartition { .. }
            | LogError::Busy
            | LogError::Unavailable(_) => Self::Failed(error.to_string()),
        }
    }
}
