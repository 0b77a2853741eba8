//! What a failed store means to a caller. The cause goes to the log here, where it is handled.

use pollux_model::{Error, ErrorCode};
use pollux_store::{CommitError, StoreError};

/// A read failed.
pub(crate) fn store_failed(error: StoreError) -> Error {
    match error {
        StoreError::Unavailable(cause) => {
            tracing::warn!(%cause, "the store is unavailable");
            Error::new(ErrorCode::Unavailable, "the store is unavailable; try again")
        }
        StoreError::Corrupt(cause) => {
            tracing::error!(%cause, "the store holds what it should not");
            Error::internal()
        }
    }
}

/// A commit failed whose expectations only another change at the same time can break.
pub(crate) fn commit_failed(error: CommitError) -> Error {
    match error {
        CommitError::Expectation { .. } => Error::new(
            ErrorCode::PreconditionFailed,
            "the state changed while the request was being served; read it again and retry",
        ),
        CommitError::Store(error) => store_failed(error),
    }
}
