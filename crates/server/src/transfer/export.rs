//! `pollux admin export`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use pollux_eventlog::{PartitionInfo, ReadFrom, ReadLimit, Record, StreamConfig, StreamName};
use pollux_store::portable::{Row, Table};
use serde_json::json;

use super::digest::{Content, sha256};
use super::error::TransferError;
use super::folder::{Folder, Found, Lines, MANIFEST, PROGRESS, SUMS};
use super::manifest::{Consumer, FORMAT, FileEntry, Manifest, PartitionEntry, StreamEntry, TableEntry};
use super::opened::Opened;
use super::{Moved, Progress, Unit, events, require_whole, rows};
use crate::config::Config;

/// Where to, and what.
#[derive(Debug, Clone)]
pub struct Export {
    /// The folder: empty, not there, or what an export left.
    pub to: PathBuf,
    /// Takes the events along.
    pub events: bool,
    /// Replaces a finished export.
    pub overwrite: bool,
}

/// Writes a deployment that does not run into a folder.
///
/// # Errors
/// [`TransferError`]: then the folder holds no export that could be imported.
pub async fn export(config: &Config, what: &Export, progress: &dyn Progress) -> Result<Moved, TransferError> {
    require_source(config)?;
    let folder = Folder::new(&what.to);
    let found = folder.look()?;
    if found == Found::Finished && !what.overwrite {
        return Err(TransferError::Refused(format!(
            "{} holds a finished export: choose another folder, or replace it with --overwrite",
            what.to.display()
        )));
    }
    let opened = Opened::open(config, progress).await?;
    let exporting = Exporting { opened: &opened, folder: &folder, events: what.events, progress };
    let moved = exporting.run(config, found).await;
    opened.close().await;
    moved
}

/// An export must not make what it is to read.
fn require_source(config: &Config) -> Result<(), TransferError> {
    let data_dir = &config.server.data_dir;
    if config.state.url.is_some() || data_dir.join("state.db").exists() {
        return Ok(());
    }
    Err(TransferError::NotThere(format!(
        "there is no deployment in {}: name its data folder with --data-dir, or its settings with --config",
        data_dir.display()
    )))
}

struct Exporting<'a> {
    opened: &'a Opened,
    folder: &'a Folder,
    events: bool,
    progress: &'a dyn Progress,
}

/// The newest sequence number a consumer has done with, by partition.
type Places = BTreeMap<Consumer, BTreeMap<u32, i64>>;

impl Exporting<'_> {
    async fn run(&self, config: &Config, found: Found) -> Result<Moved, TransferError> {
        require_whole(self.opened.store()).await?;
        if self.opened.store().count_rows(Table::Resources).await? == 0 {
            return Err(TransferError::NotThere(
                "this deployment is empty: there is nothing to export".to_owned(),
            ));
        }
        self.folder.make()?;
        if found == Found::Finished {
            self.folder.clear()?;
        }
        let mut places = Places::new();
        let mut tables = Vec::new();
        for table in Table::ALL {
            self.note(&tables)?;
            tables.push(self.table(table, &mut places).await?);
        }
        self.note(&tables)?;
        let mut streams = Vec::new();
        for (stream, stream_config) in self.opened.context.log.streams().await? {
            streams.push(self.stream(&stream, &stream_config).await?);
        }
        self.require_unchanged(&tables).await?;
        let manifest = Manifest {
            format: FORMAT,
            pollux: env!("CARGO_PKG_VERSION").to_owned(),
            created: self.opened.context.clock.now(),
            domain: config.server.domain.clone(),
            events: self.events,
            tables,
            consumers: unconsumed(places, &streams),
            streams,
        };
        let hash = self.finish(&manifest)?;
        Ok(Moved::of(&manifest, self.folder, &hash, self.events))
    }

    /// Says in the folder that it is ours and not whole.
    fn note(&self, tables: &[TableEntry]) -> Result<(), TransferError> {
        let done: Vec<&str> = tables.iter().map(|entry| entry.table.as_str()).collect();
        let text = json!({ "format": FORMAT, "pollux": env!("CARGO_PKG_VERSION"), "tables": done });
        self.folder.write(PROGRESS, text.to_string().as_bytes())
    }

    async fn table(&self, table: Table, places: &mut Places) -> Result<TableEntry, TransferError> {
        let expected = self.opened.store().count_rows(table).await?;
        self.progress.begin(table.as_str(), Unit::Rows, expected);
        let mut lines = Lines::create(self.folder.file(&Folder::table(table)))?;
        let mut content = Content::default();
        let mut pages = rows::pages(self.opened, table)?;
        while let Some(page) = pages.recv().await {
            let page = page?;
            for row in &page {
                let line = rows::line(row)?;
                content.add(&line);
                lines.push(&line)?;
                note_place(row, places);
            }
            self.progress.advance(page.len() as u64);
        }
        self.progress.end();
        let (bytes, sha256) = lines.finish()?;
        let (table, rows) = (table.as_str().to_owned(), content.count());
        Ok(TableEntry { table, rows, bytes, sha256, content: content.text() })
    }

    async fn stream(&self, stream: &StreamName, config: &StreamConfig) -> Result<StreamEntry, TransferError> {
        let log = &self.opened.context.log;
        let mut infos = Vec::new();
        for partition in 0..config.partitions {
            infos.push(log.partition(stream, partition).await?);
        }
        if self.events {
            let total = infos.iter().map(records).sum();
            self.progress.begin(stream.as_str(), Unit::Events, total);
        }
        let mut partitions = Vec::new();
        for (partition, info) in (0..).zip(infos) {
            partitions.push(self.partition(stream, partition, info).await?);
        }
        if self.events {
            self.progress.end();
        }
        Ok(StreamEntry {
            name: stream.to_string(),
            retention_seconds: config.retention.time.as_secs(),
            retention_bytes: config.retention.bytes,
            partitions,
        })
    }

    async fn partition(
        &self,
        stream: &StreamName,
        partition: u32,
        info: PartitionInfo,
    ) -> Result<PartitionEntry, TransferError> {
        let mut entry = PartitionEntry {
            records: records(&info),
            first: info.begin_sequence_number,
            next: info.last_sequence_number + 1,
            last_offset: info.last_offset,
            last_enqueued_time: info.last_enqueued_time,
            file: None,
        };
        if !self.events {
            return Ok(entry);
        }
        let path = self.folder.file(&Folder::partition(stream, partition));
        let mut kept = Kept::default();
        let there = Lines::go_on(&path, |line| kept.add(line))?;
        let mut lines = match there {
            Some(lines) if self.still_holds(stream, partition, &kept, info).await? => lines,
            _ => {
                kept = Kept::default();
                Lines::create(path)?
            }
        };
        self.progress.advance(kept.content.count());
        let next = kept.last.as_ref().map_or(info.begin_sequence_number, |last| last.sequence_number + 1);
        let mut batches = events::batches(&self.opened.context.log, stream, partition, next, info);
        while let Some(batch) = batches.recv().await {
            let batch = batch?;
            for record in &batch {
                lines.push(&events::line(record)?)?;
                events::add(&mut kept.content, record);
            }
            self.progress.advance(batch.len() as u64);
        }
        entry.records = kept.content.count();
        entry.first = entry.next - i64::try_from(entry.records).unwrap_or(i64::MAX);
        let (bytes, sha256) = lines.finish()?;
        entry.file = Some(FileEntry { bytes, sha256, content: kept.content.text() });
        Ok(entry)
    }

    /// Whether what an earlier export kept of a partition is of this log.
    async fn still_holds(
        &self,
        stream: &StreamName,
        partition: u32,
        kept: &Kept,
        info: PartitionInfo,
    ) -> Result<bool, TransferError> {
        let Some(last) = &kept.last else { return Ok(true) };
        if info.is_empty || kept.first.is_none_or(|first| first < info.begin_sequence_number) {
            return Ok(false);
        }
        let at = ReadFrom::Sequence { number: last.sequence_number, inclusive: true };
        let one = ReadLimit { records: 1, bytes: 1 };
        let there = self.opened.context.log.read(stream, partition, &at, one).await?;
        Ok(there.first() == Some(last))
    }

    /// A node that was started meanwhile may have written what is not in the export.
    async fn require_unchanged(&self, tables: &[TableEntry]) -> Result<(), TransferError> {
        self.opened.require_no_nodes().await?;
        for (table, entry) in Table::ALL.into_iter().zip(tables) {
            // Of secrets some stay.
            if table != Table::Secrets && self.opened.store().count_rows(table).await? != entry.rows {
                return Err(TransferError::Failed(format!(
                    "the table {} changed while it was read: somebody uses this deployment",
                    entry.table
                )));
            }
        }
        Ok(())
    }

    fn finish(&self, manifest: &Manifest) -> Result<String, TransferError> {
        let text = serde_json::to_string_pretty(manifest);
        let text = text.map_err(|error| TransferError::Failed(error.to_string()))? + "\n";
        let hash = sha256(text.as_bytes());
        let mut sums = format!("{hash}  {MANIFEST}\n");
        for (table, entry) in manifest.tables() {
            sums += &format!("{}  {}\n", entry.sha256, Folder::table(table));
        }
        for stream in &manifest.streams {
            let name = stream.name()?;
            for (number, partition) in stream.numbered() {
                if let Some(file) = &partition.file {
                    sums += &format!("{}  {}\n", file.sha256, Folder::partition(&name, number));
                }
            }
        }
        self.folder.write(SUMS, sums.as_bytes())?;
        self.folder.write(MANIFEST, text.as_bytes())?;
        self.folder.remove(PROGRESS)?;
        Ok(hash)
    }
}

/// What the file of a partition holds already.
#[derive(Default)]
struct Kept {
    first: Option<i64>,
    last: Option<Record>,
    content: Content,
}

impl Kept {
    /// `false` for what is no record that follows the one before.
    fn add(&mut self, line: &[u8]) -> bool {
        let Some(record) = events::parse(line) else { return false };
        if self.last.as_ref().is_some_and(|last| last.sequence_number + 1 != record.sequence_number) {
            return false;
        }
        events::add(&mut self.content, &record);
        self.first.get_or_insert(record.sequence_number);
        self.last = Some(record);
        true
    }
}

fn records(info: &PartitionInfo) -> u64 {
    if info.is_empty {
        return 0;
    }
    u64::try_from(info.last_sequence_number - info.begin_sequence_number + 1).unwrap_or_default()
}

fn note_place(row: &Row, places: &mut Places) {
    let Row::Checkpoints { namespace, event_hub, consumer_group, owner, partition, checkpoint } = row else {
        return;
    };
    let consumer = Consumer {
        owner: owner.clone(),
        namespace: namespace.to_string(),
        event_hub: event_hub.clone(),
        consumer_group: consumer_group.clone(),
        unconsumed: 0,
    };
    places.entry(consumer).or_default().insert(*partition, checkpoint.sequence_number);
}

/// What each consumer has before it. Where it has no checkpoint in a partition, all of it.
fn unconsumed(places: Places, streams: &[StreamEntry]) -> Vec<Consumer> {
    let count = |consumer: &Consumer, places: &BTreeMap<u32, i64>| -> u64 {
        let name = format!("{}/{}", consumer.namespace, consumer.event_hub);
        let stream = streams.iter().find(|stream| stream.name == name);
        let partitions = stream.into_iter().flat_map(StreamEntry::numbered);
        let behind = partitions.map(|(number, partition)| {
            let place = places.get(&number).map_or(partition.first, |last| partition.first.max(last + 1));
            u64::try_from(partition.next - place).unwrap_or_default()
        });
        behind.sum()
    };
    let counted = places.into_iter().map(|(consumer, places)| {
        let unconsumed = count(&consumer, &places);
        Consumer { unconsumed, ..consumer }
    });
    counted.collect()
}
