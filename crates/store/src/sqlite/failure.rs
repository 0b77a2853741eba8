//! What SQLite says, in the store's words.

use std::io;
use std::path::{Path, PathBuf};

use rusqlite::ErrorCode;
use rusqlite::types::FromSqlError;

use crate::error::{Mismatch, StoreError};

/// Why a store could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The folder or a file in it cannot be used.
    #[error("cannot open the database {path}: {source}; check that the folder exists and is writable", path = path.display())]
    Io {
        /// The database file.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// Another process has the file open.
    #[error("the database {path} is in use by {holder}: stop it, or give this one a data folder of its own", path = path.display())]
    InUse {
        /// The database file.
        path: PathBuf,
        /// Such as `process 4711`.
        holder: String,
    },
    /// A newer Pollux wrote it.
    #[error(
        "the database {path} has schema version {found}, this Pollux knows versions up to {known}: \
         start the newer Pollux again, or restore the backup made before the upgrade",
        path = path.display()
    )]
    Newer {
        /// The database file.
        path: PathBuf,
        /// The version found.
        found: i64,
        /// The newest version this program knows.
        known: i64,
    },
    /// It is some other program's database, or none.
    #[error("{path} is not a database of Pollux: move it away, or give Pollux another data folder", path = path.display())]
    NotOurs {
        /// The file.
        path: PathBuf,
    },
    /// SQLite refused it.
    #[error("cannot open the database {path}: {message}", path = path.display())]
    Sqlite {
        /// The database file.
        path: PathBuf,
        /// What SQLite says.
        message: String,
    },
}

impl OpenError {
    pub(super) fn from_sqlite(path: &Path, error: &rusqlite::Error) -> Self {
        let path = path.to_owned();
        if error.sqlite_error_code() == Some(ErrorCode::NotADatabase) {
            return Self::NotOurs { path };
        }
        Self::Sqlite { path, message: error.to_string() }
    }
}

/// Why a write was not applied.
#[derive(Debug)]
pub(super) enum Refusal {
    /// Its expectation did not hold.
    Mismatch(Mismatch),
    /// The store failed.
    Store(StoreError),
}

impl From<Mismatch> for Refusal {
    fn from(mismatch: Mismatch) -> Self {
        Self::Mismatch(mismatch)
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<rusqlite::Error> for Refusal {
    fn from(error: rusqlite::Error) -> Self {
        Self::Store(error.into())
    }
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        let corrupt = match &error {
            rusqlite::Error::SqliteFailure(failure, _) => {
                matches!(failure.code, ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase)
            }
            rusqlite::Error::FromSqlConversionFailure(..) | rusqlite::Error::InvalidColumnType(..) => true,
            _ => false,
        };
        if corrupt { Self::Corrupt(error.to_string()) } else { Self::Unavailable(error.to_string()) }
    }
}

impl From<FromSqlError> for StoreError {
    fn from(error: FromSqlError) -> Self {
        Self::Corrupt(error.to_string())
    }
}
