//! The schema and its versions.
//!
//! A new version is a new file in `migrations/`, a new line in [`VERSIONS`] and a new golden file in `tests/golden/`.
//! A file that was released never changes.

use std::path::Path;

use rusqlite::{Connection, Transaction, TransactionBehavior};

use super::failure::OpenError;

/// The SQL that leads from each version to the next; the first leads from an empty file to version 1.
const VERSIONS: &[&str] = &[
    include_str!("migrations/0001_first.sql"),
    include_str!("migrations/0002_leases.sql"),
    include_str!("migrations/0003_jobs.sql"),
    include_str!("migrations/0004_twin_history.sql"),
    include_str!("migrations/0005_messages.sql"),
    include_str!("migrations/0006_modules.sql"),
    include_str!("migrations/0007_scheduled_jobs.sql"),
    include_str!("migrations/0008_configurations.sql"),
    include_str!("migrations/0009_device_activity.sql"),
];

/// `PLUX`: tells our databases from others.
const APPLICATION_ID: i64 = 0x504c_5558;

/// Brings the schema up to date, each version in a transaction of its own.
pub(super) fn migrate(path: &Path, connection: &mut Connection) -> Result<(), OpenError> {
    let failed = |error: rusqlite::Error| OpenError::from_sqlite(path, &error);
    let found = check(path, connection)?;
    for (at, sql) in VERSIONS.iter().enumerate().skip(found) {
        let transaction =
            connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?;
        apply(transaction, sql, at + 1).map_err(failed)?;
    }
    Ok(())
}

/// The version found, after making sure that it is ours and that we know it.
fn check(path: &Path, connection: &Connection) -> Result<usize, OpenError> {
    let number = |sql: &str| -> Result<i64, OpenError> {
        connection.query_row(sql, [], |row| row.get(0)).map_err(|error| OpenError::from_sqlite(path, &error))
    };
    let version = number("PRAGMA user_version")?;
    let application = number("PRAGMA application_id")?;
    let empty = number("SELECT count(*) FROM sqlite_schema")? == 0;
    let fresh = empty && version == 0 && application == 0;
    if !fresh && application != APPLICATION_ID {
        return Err(OpenError::NotOurs { path: path.to_owned() });
    }
    match usize::try_from(version) {
        Ok(known) if known <= VERSIONS.len() => Ok(known),
        _ => Err(OpenError::Newer {
            path: path.to_owned(),
            found: version,
            known: i64::try_from(VERSIONS.len()).unwrap_or(i64::MAX),
        }),
    }
}

fn apply(transaction: Transaction<'_>, sql: &str, version: usize) -> rusqlite::Result<()> {
    transaction.execute_batch(sql)?;
    transaction.execute_batch(&format!(
        "PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {version};"
    ))?;
    transaction.commit()
}
