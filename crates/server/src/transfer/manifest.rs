//! What an export says of itself: `manifest.json`, written last, and `SHA256SUMS`, by which it and the files are checked.

use pollux_eventlog::{Retention, StreamConfig, StreamName};
use pollux_model::Timestamp;
use pollux_store::portable::Table;
use serde::{Deserialize, Serialize};
use std::time::Duration;

use super::error::TransferError;

/// The version of the format that this program writes, and the newest it reads.
pub(super) const FORMAT: u32 = 2;

/// An export.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Manifest {
    pub(super) format: u32,
    /// The version of Pollux that wrote it.
    pub(super) pollux: String,
    pub(super) created: Timestamp,
    /// The domain of the deployment it is of, for eyes.
    pub(super) domain: String,
    /// Whether the events' files are there.
    pub(super) events: bool,
    /// All of [`Table::ALL`], in that order.
    pub(super) tables: Vec<TableEntry>,
    /// What there was in the event log, whether its records are in the export or not.
    pub(super) streams: Vec<StreamEntry>,
    /// What consumers had not done with.
    pub(super) consumers: Vec<Consumer>,
}

/// A table and its file, `<table>.ndjson`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct TableEntry {
    pub(super) table: String,
    pub(super) rows: u64,
    pub(super) bytes: u64,
    /// Of the file.
    pub(super) sha256: String,
    /// Of the rows in whatever order.
    pub(super) content: String,
}

/// A stream of the event log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct StreamEntry {
    pub(super) name: String,
    pub(super) retention_seconds: u64,
    pub(super) retention_bytes: Option<u64>,
    pub(super) partitions: Vec<PartitionEntry>,
}

/// A partition and its file, `events/<namespace>/<event hub>/<partition>.ndjson`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PartitionEntry {
    pub(super) records: u64,
    /// The sequence number of the oldest record, or what the next will get.
    pub(super) first: i64,
    /// The sequence number the next record gets.
    pub(super) next: i64,
    pub(super) last_offset: i64,
    pub(super) last_enqueued_time: Timestamp,
    /// The file; absent where events are left behind.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) file: Option<FileEntry>,
}

/// A file of records.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct FileEntry {
    pub(super) bytes: u64,
    pub(super) sha256: String,
    /// Of the records without their offsets, which a log may choose itself.
    pub(super) content: String,
}

/// A consumer that has checkpoints, and how many events it had not done with.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Consumer {
    pub(super) owner: String,
    pub(super) namespace: String,
    pub(super) event_hub: String,
    pub(super) consumer_group: String,
    pub(super) unconsumed: u64,
}

/// How many tables the first exports had: all up to the outbox.
const FIRST_TABLES: usize = 12;

impl Manifest {
    /// Reads it, if this program can.
    pub(super) fn parse(text: &[u8]) -> Result<Self, TransferError> {
        #[derive(Deserialize)]
        struct Version {
            format: u32,
            #[serde(default)]
            pollux: String,
        }
        let broken = |error: serde_json::Error| {
            TransferError::Damaged(format!("manifest.json cannot be read: {error}"))
        };
        let version: Version = serde_json::from_slice(text).map_err(broken)?;
        if version.format > FORMAT {
            return Err(TransferError::Refused(format!(
                "the export has format {}, this program reads up to {FORMAT}: import it with Pollux {} or later",
                version.format, version.pollux
            )));
        }
        let manifest: Self = serde_json::from_slice(text).map_err(broken)?;
        let tables = manifest.tables.iter().map(|entry| entry.table.as_str());
        // Tables that came later are at the end: an export of before has none of them.
        let known = Table::ALL.iter().map(|table| table.as_str()).take(manifest.tables.len());
        if manifest.tables.len() < FIRST_TABLES || !tables.eq(known) {
            return Err(TransferError::Damaged(
                "manifest.json does not name the tables it should".to_owned(),
            ));
        }
        for stream in &manifest.streams {
            stream.name()?;
        }
        Ok(manifest)
    }

    /// Each table with its entry.
    pub(super) fn tables(&self) -> impl Iterator<Item = (Table, &TableEntry)> {
        Table::ALL.into_iter().zip(&self.tables)
    }

    /// How many events there were.
    pub(super) fn records(&self) -> u64 {
        self.streams.iter().flat_map(|stream| &stream.partitions).map(|partition| partition.records).sum()
    }
}

impl StreamEntry {
    pub(super) fn name(&self) -> Result<StreamName, TransferError> {
        StreamName::new(&self.name).map_err(|error| TransferError::Damaged(format!("manifest.json: {error}")))
    }

    pub(super) fn config(&self) -> Result<StreamConfig, TransferError> {
        let many = |_| TransferError::Damaged("manifest.json: too many partitions".to_owned());
        let retention =
            Retention { time: Duration::from_secs(self.retention_seconds), bytes: self.retention_bytes };
        Ok(StreamConfig { partitions: u32::try_from(self.partitions.len()).map_err(many)?, retention })
    }

    /// Each partition with its number.
    pub(super) fn numbered(&self) -> impl Iterator<Item = (u32, &PartitionEntry)> {
        (0..).zip(&self.partitions)
    }
}
