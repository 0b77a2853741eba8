//! Moving a deployment: all its state, and its events if wanted, into a folder; and from there into an empty deployment,
//! whatever either of them is kept in. Neither runs meanwhile.
//!
//! ```text
//!   <folder>/<table>.ndjson                                        a row a line, as `pollux_store::portable` writes it
//!            events/<namespace>/<event hub>/<partition>.ndjson     a record a line
//!            SHA256SUMS                                            of all files, for `sha256sum --check`
//!            manifest.json                                         what must be there; written last
//!            progress.json                                         only while an export is not finished
//! ```
//!
//! * **Export** reads tables anew when it is run again after it was cut off, for the deployment may have run in between;
//!   events never change, so they go on where they ended.
//! * **Import** checks every file before it writes anything. How far it has come is committed with the rows
//!   ([`marker`]), so that it goes on exactly there. At the end it reads back what the target holds.
//!
//! Not moved: leases, where the events are (`deployment.rs`), a node's certificate, ids of dead letters, and how the
//! event log tells repeated appends apart.

mod digest;
mod error;
mod events;
mod export;
mod folder;
mod import;
mod manifest;
mod marker;
mod opened;
mod rows;
mod verify;

use pollux_store::store::DynStore;
use serde::Serialize;

pub use error::TransferError;
pub use export::{Export, export};
pub use import::{Import, import};

use self::manifest::{Consumer, Manifest};
use crate::error::ServeError;

/// Refuses a deployment whose import was cut off: part of it is not there yet.
pub(crate) async fn require_whole(store: &DynStore) -> Result<(), ServeError> {
    let marker = marker::read(store).await.map_err(|error| ServeError::Stored(error.to_string()))?;
    match marker {
        None => Ok(()),
        Some(_) => Err(ServeError::Stored(
            "an import into this deployment was cut off, and part of it is missing: run the same `pollux admin import` \
             again, it goes on where it was"
                .to_owned(),
        )),
    }
}

/// What is counted in a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Rows of a table.
    Rows,
    /// Records of the event log.
    Events,
    /// Bytes of files.
    Bytes,
}

/// Is told how it goes. One step at a time.
pub trait Progress: Send + Sync {
    /// A step begins, of so many.
    fn begin(&self, step: &str, unit: Unit, total: u64);
    /// So many more are done.
    fn advance(&self, more: u64);
    /// The step is over.
    fn end(&self);
    /// Something worth knowing happens.
    fn say(&self, text: &str);
}

/// What was moved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Moved {
    /// The folder of the export.
    pub folder: String,
    /// SHA-256 of its manifest, by which exports are told apart.
    pub manifest: String,
    /// Rows, by table.
    pub tables: Vec<MovedTable>,
    /// Events that went along.
    pub events: u64,
    /// Events that stayed behind.
    pub events_left_behind: u64,
    /// Of these, what consumers had not done with.
    pub unconsumed: Vec<Unconsumed>,
}

/// A table that was moved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MovedTable {
    /// Its name.
    pub table: String,
    /// How many rows.
    pub rows: u64,
    /// Of the rows, in whatever order: the same for equal rows in any backend.
    pub checksum: String,
}

/// Events that a consumer will not see.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Unconsumed {
    /// Such as `functions/functions1/ingest`.
    pub consumer: String,
    /// `<namespace>/<event hub>`.
    pub event_hub: String,
    /// How many.
    pub events: u64,
}

impl Moved {
    fn of(manifest: &Manifest, folder: &folder::Folder, hash: &str, events: bool) -> Self {
        let moved = |entry: &manifest::TableEntry| MovedTable {
            table: entry.table.clone(),
            rows: entry.rows,
            checksum: entry.content.clone(),
        };
        let unconsumed = |consumer: &Consumer| Unconsumed {
            consumer: consumer.owner.clone(),
            event_hub: format!("{}/{}", consumer.namespace, consumer.event_hub),
            events: consumer.unconsumed,
        };
        let behind = manifest.consumers.iter().filter(|consumer| !events && consumer.unconsumed > 0);
        let records = manifest.records();
        Self {
            folder: folder.path().display().to_string(),
            manifest: hash.to_owned(),
            tables: manifest.tables.iter().map(moved).collect(),
            events: if events { records } else { 0 },
            events_left_behind: if events { 0 } else { records },
            unconsumed: behind.map(unconsumed).collect(),
        }
    }
}
