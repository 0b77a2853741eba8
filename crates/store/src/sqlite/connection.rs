//! Connections and their settings.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

/// How long a connection waits where SQLite must exclude others for a moment (recovery, closing).
const BUSY: Duration = Duration::from_secs(5);
/// Prepared statements kept per connection; there are about 60 different ones.
const STATEMENTS: usize = 96;

/// Makes an empty file that only its owner can read, if there is none; SQLite gives the WAL beside it the same mode.
/// The folder's entry is on disk when this returns.
pub(super) fn create_file(path: &Path) -> io::Result<()> {
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Ok(file) => file.sync_all()?,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(()),
        Err(error) => return Err(error),
    }
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => File::open(folder)?.sync_all(),
        _ => File::open(".")?.sync_all(),
    }
}

/// The one connection that writes.
pub(super) fn writer(path: &Path) -> rusqlite::Result<Connection> {
    let connection = open(path)?;
    let mode: String = connection.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))?;
    if mode != "wal" {
        return Err(refused("write-ahead logging is not possible on this file system"));
    }
    // The log is copied by `checkpoint`. Of its file as much is kept as it usually needs: to write over what is there is
    // cheaper than to make a file longer.
    connection.execute_batch(
        "PRAGMA fullfsync = ON; PRAGMA checkpoint_fullfsync = ON; PRAGMA wal_autocheckpoint = 0;
         PRAGMA journal_size_limit = 134217728; PRAGMA cache_size = -65536;",
    )?;
    set_durable(&connection, true)?;
    Ok(connection)
}

/// Whether a commit returns only when it is on disk. Must not be called inside a transaction.
///
/// Turned off for commits whose loss in a power failure does no harm. Those are whole or absent all the same, and the
/// next durable commit makes them durable too, because it syncs the whole log.
pub(super) fn set_durable(connection: &Connection, durable: bool) -> rusqlite::Result<()> {
    connection.execute_batch(if durable {
        "PRAGMA synchronous = FULL"
    } else {
        "PRAGMA synchronous = NORMAL"
    })?;
    let level: i64 = connection.query_row("PRAGMA synchronous", [], |row| row.get(0))?;
    // 1 is NORMAL, 2 is FULL.
    if level == if durable { 2 } else { 1 } {
        return Ok(());
    }
    Err(refused("the setting PRAGMA synchronous was not accepted"))
}

/// The connection that copies the write-ahead log into the database.
pub(super) fn checkpointer(path: &Path) -> rusqlite::Result<Connection> {
    let connection = open(path)?;
    connection.execute_batch(
        "PRAGMA fullfsync = ON; PRAGMA checkpoint_fullfsync = ON; PRAGMA cache_size = -256;",
    )?;
    set_durable(&connection, true)?;
    Ok(connection)
}

/// A connection that only reads.
pub(super) fn reader(path: &Path) -> rusqlite::Result<Connection> {
    let connection = open(path)?;
    connection.execute_batch("PRAGMA query_only = ON; PRAGMA cache_size = -8192;")?;
    Ok(connection)
}

fn open(path: &Path) -> rusqlite::Result<Connection> {
    // Each connection is used by one thread at a time, so SQLite need not guard it.
    let connection = Connection::open_with_flags(
        path,
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )?;
    connection.busy_timeout(BUSY)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    connection.execute_batch("PRAGMA temp_store = MEMORY; PRAGMA trusted_schema = OFF;")?;
    Ok(connection)
}

fn refused(message: &str) -> rusqlite::Error {
    rusqlite::Error::SqliteFailure(
        rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_MISUSE),
        Some(message.to_owned()),
    )
}
