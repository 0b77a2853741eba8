//! Why a store could not be opened, and what to do about it. Never with a password.

use std::error::Error as _;
use std::path::PathBuf;

use deadpool_postgres::{HookError, PoolError, TimeoutType};
use tokio_postgres::Error;
use tokio_postgres::error::SqlState;

use super::failure::words;

/// Why a store could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The address is none.
    #[error(
        "the address of the database is not understood: {reason}; it looks like postgres://user:password@host:5432/database?sslmode=verify-full"
    )]
    Address {
        /// What is wrong with it, without the address itself.
        reason: String,
    },
    /// The certificates to trust cannot be read.
    #[error("cannot read the certificates to trust from {path}: {reason}", path = path.display())]
    Certificates {
        /// The file.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// No connection.
    #[error(
        "cannot connect to PostgreSQL at {place}: {reason}; check that it runs, that the address is right and that no firewall is between"
    )]
    Connect {
        /// Host, port and database.
        place: String,
        /// What was met.
        reason: String,
    },
    /// No encrypted connection.
    #[error(
        "cannot connect to PostgreSQL at {place} with TLS: {reason}; name the certificates to trust, or choose another sslmode (verify-full, verify-ca, require: encrypted but not verified, disable)"
    )]
    Tls {
        /// Host, port and database.
        place: String,
        /// What was met.
        reason: String,
    },
    /// The server does not let us in.
    #[error(
        "PostgreSQL at {place} refuses us: {reason}; check user and password, and the server's pg_hba.conf"
    )]
    Authentication {
        /// Host, port and database.
        place: String,
        /// What it says.
        reason: String,
    },
    /// There is no such database.
    #[error("PostgreSQL has no database at {place}; make it with: CREATE DATABASE … ENCODING 'UTF8' OWNER …")]
    NoDatabase {
        /// Host, port and database.
        place: String,
    },
    /// It only reads.
    #[error(
        "PostgreSQL at {place} only reads (a standby, or default_transaction_read_only is on): name the primary"
    )]
    ReadOnly {
        /// Host, port and database.
        place: String,
    },
    /// The server is too old.
    #[error("PostgreSQL at {place} has version {found}; at least version 13 is needed")]
    TooOld {
        /// Host, port and database.
        place: String,
        /// Its version.
        found: String,
    },
    /// The database cannot hold all text.
    #[error("the database at {place} has encoding {found}; make one with ENCODING 'UTF8'")]
    Encoding {
        /// Host, port and database.
        place: String,
        /// Its encoding.
        found: String,
    },
    /// Rights are missing.
    #[error(
        "the user {user} may not use the database at {place}: {reason}; an administrator grants it with: {grant}"
    )]
    Rights {
        /// Host, port and database.
        place: String,
        /// The user.
        user: String,
        /// What the server says.
        reason: String,
        /// The statement that helps.
        grant: String,
    },
    /// A newer Pollux made its tables.
    #[error(
        "the database at {place} has schema version {found}, this Pollux knows versions up to {known}: \
         start the newer Pollux again, or restore the backup made before the upgrade"
    )]
    Newer {
        /// Host, port and database.
        place: String,
        /// The version found.
        found: i64,
        /// The newest version this program knows.
        known: i64,
    },
    /// It holds tables of our names that we did not make.
    #[error(
        "the database at {place} holds a table {table:?} that is not Pollux's: give Pollux a database, or a schema, of its own"
    )]
    NotOurs {
        /// Host, port and database.
        place: String,
        /// One of them.
        table: String,
    },
    /// The server refused something else.
    #[error("cannot use the database at {place}: {reason}")]
    Refused {
        /// Host, port and database.
        place: String,
        /// What was met.
        reason: String,
    },
}

impl OpenError {
    /// What met us while connecting.
    pub(super) fn of_pool(place: &str, error: PoolError) -> Self {
        let place = place.to_owned();
        match error {
            PoolError::Backend(error) | PoolError::PostCreateHook(HookError::Backend(error)) => {
                Self::of_connecting(place, &error)
            }
            PoolError::Timeout(TimeoutType::Create) => {
                Self::Connect { place, reason: "it did not answer in time".to_owned() }
            }
            other => Self::Refused { place, reason: other.to_string() },
        }
    }

    fn of_connecting(place: String, error: &Error) -> Self {
        let reason = words(error);
        let Some(code) = error.code() else { return Self::without_code(place, error, reason) };
        let authentication =
            [&SqlState::INVALID_PASSWORD, &SqlState::INVALID_AUTHORIZATION_SPECIFICATION].contains(&code);
        if authentication {
            Self::Authentication { place, reason }
        } else if *code == SqlState::INVALID_CATALOG_NAME {
            Self::NoDatabase { place }
        } else {
            Self::Refused { place, reason }
        }
    }

    /// The crate tells its kinds of errors by their words alone.
    fn without_code(place: String, error: &Error, reason: String) -> Self {
        let kind = error.to_string();
        if kind.contains("TLS") || is_tls(error) {
            Self::Tls { place, reason }
        } else if kind == "authentication error" || reason.ends_with("password missing") {
            Self::Authentication { place, reason }
        } else if reason.ends_with("database does not allow writes") {
            Self::ReadOnly { place }
        } else {
            Self::Connect { place, reason }
        }
    }

    /// What met us in a statement.
    pub(super) fn of_statement(place: &str, error: &Error) -> Self {
        let reason = words(error);
        let place = place.to_owned();
        match error.code() {
            Some(code) if *code == SqlState::READ_ONLY_SQL_TRANSACTION => Self::ReadOnly { place },
            Some(_) => Self::Refused { place, reason },
            None => Self::Connect { place, reason },
        }
    }
}

fn is_tls(error: &Error) -> bool {
    let mut cause = error.source();
    while let Some(error) = cause {
        let within = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        if error.is::<rustls::Error>() || within.is_some_and(|error| error.is::<rustls::Error>()) {
            return true;
        }
        cause = error.source();
    }
    false
}
