//! `pollux admin import`.

use std::path::PathBuf;

use pollux_eventlog::{Position, Record, StreamName};
use pollux_store::Write;
use pollux_store::portable::{Row, Table};
use tokio::sync::mpsc;

use super::error::TransferError;
use super::folder::{Folder, Reading};
use super::manifest::{Manifest, PartitionEntry};
use super::marker::{self, Marker};
use super::opened::Opened;
use super::{Moved, Progress, Unit, events, rows, verify};
use crate::config::Config;

/// Rows and bytes committed at once.
const ROWS: usize = 1000;
const BYTES: usize = 1024 * 1024;

/// Where from, and what.
#[derive(Debug, Clone)]
pub struct Import {
    /// The folder of an export.
    pub from: PathBuf,
    /// Takes the events along, and where consumers stand in them.
    pub events: bool,
}

/// Writes an export into an empty deployment that does not run, or goes on where an import of it was cut off.
///
/// # Errors
/// [`TransferError`]: then the target is as it was, or does not start until the import is run again to its end.
pub async fn import(config: &Config, what: &Import, progress: &dyn Progress) -> Result<Moved, TransferError> {
    let folder = Folder::new(&what.from);
    let (manifest, hash) = verify::manifest(&folder)?;
    if what.events && !manifest.events {
        return Err(TransferError::Refused(
            "the export holds no events: export again with --events, or import without".to_owned(),
        ));
    }
    verify::files(&folder, &manifest, what.events, progress)?;
    let opened = Opened::open(config, progress).await?;
    let importing = Importing { opened: &opened, folder, manifest, hash, events: what.events, progress };
    let moved = importing.run().await;
    opened.close().await;
    moved
}

struct Importing<'a> {
    opened: &'a Opened,
    folder: Folder,
    manifest: Manifest,
    hash: String,
    events: bool,
    progress: &'a dyn Progress,
}

/// Rows that are committed together, and where the next begins in the file.
struct Step {
    rows: Vec<Row>,
    byte: u64,
}

impl Importing<'_> {
    async fn run(&self) -> Result<Moved, TransferError> {
        let mut marker = self.begin().await?;
        while let Some(table) = Table::ALL.get(marker.table).copied() {
            marker = self.table(table, marker).await?;
        }
        if self.events {
            self.streams().await?;
        }
        verify::target(self.opened, &self.manifest, self.events, self.progress).await?;
        self.opened.commit(vec![Marker::remove()]).await?;
        Ok(Moved::of(&self.manifest, &self.folder, &self.hash, self.events))
    }

    /// Where to begin: at the start of an empty target, or where an import of the same export ended.
    async fn begin(&self) -> Result<Marker, TransferError> {
        let start = Marker { manifest: self.hash.clone(), events: self.events, table: 0, rows: 0, byte: 0 };
        match marker::read(self.opened.store()).await? {
            None => {
                self.require_empty().await?;
                self.commit(Vec::new(), &start).await?;
                Ok(start)
            }
            Some(marker) if marker.manifest != self.hash => Err(TransferError::Refused(format!(
                "an import of another export was cut off here (its manifest's SHA-256 is {}): run that one again, or \
                 empty the target",
                marker.manifest
            ))),
            Some(marker) if marker.events != self.events => {
                let how = if marker.events { "with" } else { "without" };
                Err(TransferError::Refused(format!(
                    "the import that was cut off here was begun {how} --events: run it {how} it again"
                )))
            }
            Some(marker) => {
                self.progress.say("going on where the import was cut off");
                Ok(marker)
            }
        }
    }

    async fn require_empty(&self) -> Result<(), TransferError> {
        let mut found = Vec::new();
        for table in Table::ALL {
            let store = self.opened.store();
            let mut count = store.count_rows(table).await?;
            if table == Table::Secrets {
                let own = store.secrets("deployment").await?;
                count -= own.iter().filter(|secret| rows::stays(secret)).count() as u64;
            }
            if count > 0 {
                found.push(format!("{count} {}", table.as_str().replace('_', " ")));
            }
        }
        let log = &self.opened.context.log;
        for (stream, config) in log.streams().await? {
            for partition in 0..config.partitions {
                let last = log.partition(&stream, partition).await?.last_sequence_number;
                if last >= 0 {
                    found.push(format!("events in {stream}"));
                    break;
                }
            }
        }
        if found.is_empty() {
            return self.require_no_other_ca();
        }
        Err(TransferError::Refused(format!(
            "the target is not empty, it holds {}: import into a new data folder or database (and a new events.prefix), \
             into which `pollux serve` was never started. Nothing was written",
            found.join(", ")
        )))
    }

    fn require_no_other_ca(&self) -> Result<(), TransferError> {
        if self.opened.own_ca && rows::ca_of(&self.opened.data)?.is_some() {
            return Err(TransferError::Refused(format!(
                "{} holds a CA of its own (ca.pem, ca.key), and the export brings one: import into a new data folder. \
                 Nothing was written",
                self.opened.data.path().display()
            )));
        }
        Ok(())
    }

    async fn commit(&self, mut writes: Vec<Write>, marker: &Marker) -> Result<(), TransferError> {
        writes.push(marker.put(&*self.opened.context.random)?);
        self.opened.commit(writes).await
    }

    /// Writes a table from where the marker is; gives the marker of the next one.
    async fn table(&self, table: Table, mut marker: Marker) -> Result<Marker, TransferError> {
        let total = self.manifest.tables.get(marker.table).map_or(0, |entry| entry.rows);
        let left_out = table == Table::Checkpoints && !self.events;
        if total > 0 && !left_out {
            self.progress.begin(table.as_str(), Unit::Rows, total);
            self.progress.advance(marker.rows);
            let mut steps =
                steps(Reading::open(self.folder.file(&Folder::table(table)), marker.byte)?, marker.byte);
            while let Some(step) = steps.recv().await {
                let step = step?;
                let count = step.rows.len() as u64;
                (marker.rows, marker.byte) = (marker.rows + count, step.byte);
                let writes = self.writes(table, step.rows)?;
                self.commit(writes, &marker).await?;
                self.progress.advance(count);
            }
            self.progress.end();
        }
        Ok(Marker { table: marker.table + 1, rows: 0, byte: 0, ..marker })
    }

    /// The CA goes to where the target looks for it.
    fn writes(&self, table: Table, rows: Vec<Row>) -> Result<Vec<Write>, TransferError> {
        let mut writes = Vec::with_capacity(rows.len());
        for row in rows {
            match row {
                Row::Secrets { secret } if self.opened.own_ca && rows::is_ca(&secret) => {
                    rows::put_ca(&self.opened.data, &secret)?;
                }
                row if row.table() == table => writes.push(row.into_write()?),
                row => {
                    let (found, table) = (row.table().as_str(), table.as_str());
                    let text = format!("the export has a row of {found} among those of {table}");
                    return Err(TransferError::Damaged(text));
                }
            }
        }
        Ok(writes)
    }

    async fn streams(&self) -> Result<(), TransferError> {
        let log = &self.opened.context.log;
        for stream in &self.manifest.streams {
            let name = stream.name()?;
            log.create(&name, &stream.config()?).await?;
            let total = stream.partitions.iter().map(|partition| partition.records).sum();
            self.progress.begin(name.as_str(), Unit::Events, total);
            for (number, partition) in stream.numbered() {
                self.partition(&name, number, partition).await?;
            }
            self.progress.end();
        }
        Ok(())
    }

    async fn partition(
        &self,
        stream: &StreamName,
        partition: u32,
        entry: &PartitionEntry,
    ) -> Result<(), TransferError> {
        let log = &self.opened.context.log;
        if entry.records == 0 {
            let last = Position {
                sequence_number: entry.next - 1,
                offset: entry.last_offset,
                enqueued_time: entry.last_enqueued_time,
            };
            // Numbers go on from where they were, though no record is left.
            return if entry.next > 0 { Ok(log.begin_after(stream, partition, last).await?) } else { Ok(()) };
        }
        let there = log.partition(stream, partition).await?.last_sequence_number;
        let reading = Reading::open(self.folder.file(&Folder::partition(stream, partition)), 0)?;
        let mut batches = batches(reading, there);
        while let Some(batch) = batches.recv().await {
            let (passed, batch) = batch?;
            let count = batch.len() as u64;
            if !batch.is_empty() {
                log.import(stream, partition, batch).await?;
            }
            self.progress.advance(passed + count);
        }
        Ok(())
    }
}

type Channel<T> = mpsc::Receiver<Result<T, TransferError>>;

/// Reads a table's file on a thread of its own, ahead of who writes.
fn steps(mut reading: Reading, from: u64) -> Channel<Step> {
    let (sender, receiver) = mpsc::channel(2);
    tokio::task::spawn_blocking(move || {
        let mut byte = from;
        loop {
            let step = next_step(&mut reading, &mut byte);
            let failed = step.is_err();
            if step.as_ref().is_ok_and(|step| step.rows.is_empty()) {
                return;
            }
            // Nobody listens any more where the import ended early.
            if sender.blocking_send(step).is_err() || failed {
                return;
            }
        }
    });
    receiver
}

fn next_step(reading: &mut Reading, byte: &mut u64) -> Result<Step, TransferError> {
    let begin = *byte;
    let mut rows = Vec::new();
    while rows.len() < ROWS && *byte - begin < BYTES as u64 {
        let Some(line) = reading.next()? else { break };
        *byte += line.len() as u64;
        // The error would quote what may be a key.
        let Ok(row) = serde_json::from_slice(line) else { return Err(unreadable(reading, *byte)) };
        rows.push(row);
    }
    Ok(Step { rows, byte: *byte })
}

/// Reads a partition's file, without what is there already: how many those were, and the next records.
fn batches(mut reading: Reading, there: i64) -> Channel<(u64, Vec<Record>)> {
    let (sender, receiver) = mpsc::channel(2);
    tokio::task::spawn_blocking(move || {
        loop {
            let batch = next_batch(&mut reading, there);
            let last = batch.as_ref().map_or(true, |(passed, records)| *passed == 0 && records.is_empty());
            if sender.blocking_send(batch).is_err() || last {
                return;
            }
        }
    });
    receiver
}

fn next_batch(reading: &mut Reading, there: i64) -> Result<(u64, Vec<Record>), TransferError> {
    let (mut passed, mut records, mut bytes) = (0, Vec::new(), 0);
    while records.len() < events::LIMIT.records && bytes < events::LIMIT.bytes && passed < 100_000 {
        let Some(line) = reading.next()? else { break };
        let Some(record) = events::parse(line) else { return Err(unreadable(reading, 0)) };
        if record.sequence_number <= there {
            passed += 1;
        } else {
            bytes += record.payload.len();
            records.push(record);
        }
    }
    Ok((passed, records))
}

fn unreadable(reading: &Reading, byte: u64) -> TransferError {
    TransferError::Damaged(format!(
        "{}: the line that ends at byte {byte} is not what this version writes; use the version that wrote the export",
        reading.path().display()
    ))
}
