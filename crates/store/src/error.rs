//! What can go wrong in a store, and what a caller is told of it when no rule says more.

use pollux_model::{Error, ErrorCode};

/// A read (or a commit) could not be done at all.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// The backend is away or refuses work for now; trying again may help.
    #[error("the store is unavailable: {0}")]
    Unavailable(String),
    /// What is stored cannot be understood; trying again does not help.
    #[error("the store holds what it should not: {0}")]
    Corrupt(String),
}

/// A batch was not applied.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CommitError {
    /// The expectation of the write at `index` did not hold. Nothing was changed.
    #[error("the expectation of write {index} did not hold: {mismatch:?}")]
    Expectation {
        /// Position in the batch.
        index: usize,
        /// What was found instead.
        mismatch: Mismatch,
    },
    /// The store itself failed. If `Unavailable` was given after the batch was sent, it may or may not be applied.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What was found instead of what a write expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mismatch {
    /// The row is there but should not be.
    Exists,
    /// The row is not there but should be.
    Absent,
    /// The row is there with another etag.
    OtherEtag,
    /// A twin still has relationships, outgoing or incoming.
    HasRelationships,
    /// A relationship's source twin is not there.
    NoSource,
    /// A relationship's target twin is not there.
    NoTarget,
    /// A queue has as many messages as it may have.
    QueueFull,
    /// A lease is not its owner's any more, or not in that epoch.
    LeaseLost,
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unavailable(why) => {
                tracing::warn!("the store is unavailable: {why}");
                Self::new(ErrorCode::Unavailable, "the store is unavailable for now; try again")
            }
            StoreError::Corrupt(why) => {
                tracing::error!("the store holds what it should not: {why}");
                Self::internal()
            }
        }
    }
}

impl From<CommitError> for Error {
    /// For commits whose caller has no better word for a failed expectation.
    fn from(error: CommitError) -> Self {
        match error {
            CommitError::Expectation { .. } => Self::new(
                ErrorCode::PreconditionFailed,
                "it was changed by someone else at the same moment; read it again",
            ),
            CommitError::Store(error) => error.into(),
        }
    }
}
