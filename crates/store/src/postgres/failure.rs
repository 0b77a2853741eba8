//! What PostgreSQL says, in the store's words. Never with what a row holds: the message alone, without its detail.

use std::error::Error as _;

use deadpool_postgres::{HookError, PoolError, TimeoutType};
use tokio_postgres::Error;
use tokio_postgres::error::SqlState;

use crate::error::StoreError;

impl From<Error> for StoreError {
    fn from(error: Error) -> Self {
        if is_corrupt(&error) { Self::Corrupt(words(&error)) } else { Self::Unavailable(words(&error)) }
    }
}

impl From<PoolError> for StoreError {
    fn from(error: PoolError) -> Self {
        match error {
            PoolError::Backend(error) | PoolError::PostCreateHook(HookError::Backend(error)) => {
                Self::Unavailable(words(&error))
            }
            PoolError::Timeout(TimeoutType::Wait) => Self::Unavailable(
                "all connections to PostgreSQL are busy; it is slow, or more connections are needed"
                    .to_owned(),
            ),
            PoolError::Timeout(TimeoutType::Create | TimeoutType::Recycle) => {
                Self::Unavailable("PostgreSQL did not answer a new connection in time".to_owned())
            }
            PoolError::Closed
            | PoolError::NoRuntimeSpecified
            | PoolError::PostCreateHook(HookError::Message(_)) => Self::Unavailable(error.to_string()),
        }
    }
}

/// The error with its causes on one line, as far as they are safe to show.
pub(super) fn words(error: &Error) -> String {
    if let Some(said) = error.as_db_error() {
        return format!("PostgreSQL says: {} ({})", said.message(), said.code().code());
    }
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        words.push_str(": ");
        words.push_str(&error.to_string());
        cause = error.source();
    }
    words
}

/// Whether what is stored is not what it must be: trying again does not help.
fn is_corrupt(error: &Error) -> bool {
    match error.code() {
        Some(code) => [
            &SqlState::DATA_CORRUPTED,
            &SqlState::INDEX_CORRUPTED,
            &SqlState::UNDEFINED_TABLE,
            &SqlState::UNDEFINED_COLUMN,
            &SqlState::UNDEFINED_FUNCTION,
            &SqlState::DATATYPE_MISMATCH,
        ]
        .contains(&code),
        // A column of another type than it must have.
        None => error.to_string().starts_with("error deserializing column"),
    }
}

/// Whether the transaction was given up in favour of another and can be tried again as it is.
pub(super) fn may_try_again(error: &Error) -> bool {
    let given_up = [&SqlState::T_R_SERIALIZATION_FAILURE, &SqlState::T_R_DEADLOCK_DETECTED];
    error.code().is_some_and(|code| given_up.contains(&code))
}

/// Whether the connection is of no use any more: it is broken, or the server cannot write or is about to end.
pub(super) fn is_lost(error: &Error) -> bool {
    let ending = [
        &SqlState::READ_ONLY_SQL_TRANSACTION,
        &SqlState::ADMIN_SHUTDOWN,
        &SqlState::CRASH_SHUTDOWN,
        &SqlState::CANNOT_CONNECT_NOW,
        &SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT,
    ];
    error.code().is_none_or(|code| ending.contains(&code))
}
