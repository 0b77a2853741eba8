//! Checking an export's files before anything is written, and what the target holds when all is.

use std::path::Path;

use pollux_store::portable::Table;

use super::digest::{Running, sha256};
use super::error::TransferError;
use super::folder::{Folder, MANIFEST, Reading, SUMS};
use super::manifest::Manifest;
use super::opened::Opened;
use super::{Progress, Unit, events, rows};

/// Reads the manifest and gives it with its hash.
pub(super) fn manifest(folder: &Folder) -> Result<(Manifest, String), TransferError> {
    let path = folder.path().display();
    let Some(text) = folder.read(MANIFEST)? else {
        let unfinished = folder.file(super::folder::PROGRESS).exists();
        return Err(TransferError::NotThere(if unfinished {
            format!("the export in {path} is not finished: run `pollux admin export` again, then import it")
        } else {
            format!("there is no export in {path}: {MANIFEST} is missing")
        }));
    };
    let hash = sha256(&text);
    let sums = folder.read(SUMS)?.unwrap_or_default();
    let line = format!("{hash}  {MANIFEST}");
    if !String::from_utf8_lossy(&sums).lines().any(|one| one == line) {
        return Err(damaged(&folder.file(MANIFEST), &format!("its checksum is not the one in {SUMS}")));
    }
    Ok((Manifest::parse(&text)?, hash))
}

/// Compares all files with the manifest. Those of the events only where they are wanted.
pub(super) fn files(
    folder: &Folder,
    manifest: &Manifest,
    events: bool,
    progress: &dyn Progress,
) -> Result<(), TransferError> {
    let mut files: Vec<(String, u64, &str)> = Vec::new();
    for (table, entry) in manifest.tables() {
        files.push((Folder::table(table), entry.bytes, &entry.sha256));
    }
    for stream in manifest.streams.iter().filter(|_| events) {
        let name = stream.name()?;
        for (number, partition) in stream.numbered() {
            let Some(file) = &partition.file else {
                return Err(TransferError::Damaged(format!("{MANIFEST} has no file for {name}/{number}")));
            };
            files.push((Folder::partition(&name, number), file.bytes, &file.sha256));
        }
    }
    progress.begin("check the files", Unit::Bytes, files.iter().map(|file| file.1).sum());
    for (name, bytes, sha256) in files {
        file(&folder.file(&name), bytes, sha256, progress)?;
    }
    progress.end();
    Ok(())
}

fn file(path: &Path, bytes: u64, sha256: &str, progress: &dyn Progress) -> Result<(), TransferError> {
    let mut reading = Reading::open(path.to_owned(), 0)?;
    let (mut running, mut read) = (Running::new(), 0);
    while let Some(part) = reading.part()? {
        running.update(part);
        read += part.len() as u64;
        progress.advance(part.len() as u64);
    }
    if read != bytes {
        return Err(damaged(path, &format!("it has {read} bytes and must have {bytes}")));
    }
    if running.finish() != sha256 {
        return Err(damaged(path, "its checksum is not the one in the manifest"));
    }
    Ok(())
}

fn damaged(path: &Path, what: &str) -> TransferError {
    TransferError::Damaged(format!(
        "{} is damaged: {what}. Nothing was written. Copy the export again, or export again",
        path.display()
    ))
}

/// Reads back what the target holds: counts first, which are cheap.
pub(super) async fn target(
    opened: &Opened,
    manifest: &Manifest,
    with_events: bool,
    progress: &dyn Progress,
) -> Result<(), TransferError> {
    let wanted = |table: Table, rows: u64| if table == Table::Checkpoints && !with_events { 0 } else { rows };
    for (table, entry) in manifest.tables().filter(|(table, _)| *table != Table::Secrets) {
        let (found, wanted) = (opened.store().count_rows(table).await?, wanted(table, entry.rows));
        if found != wanted {
            return Err(differs(&format!(
                "the table {} has {found} rows and must have {wanted}",
                entry.table
            )));
        }
    }
    for (table, entry) in manifest.tables().filter(|(table, entry)| wanted(*table, entry.rows) > 0) {
        let content = rows::content(opened, table, progress, entry.rows).await?;
        if content.text() != entry.content {
            let found = content.count();
            let text = format!("the rows of {} are not those of the export ({found} were read)", entry.table);
            return Err(differs(&text));
        }
    }
    if with_events { streams(opened, manifest, progress).await } else { Ok(()) }
}

async fn streams(opened: &Opened, manifest: &Manifest, progress: &dyn Progress) -> Result<(), TransferError> {
    let log = &opened.context.log;
    for stream in &manifest.streams {
        let name = stream.name()?;
        let total = stream.partitions.iter().map(|partition| partition.records).sum();
        progress.begin(&format!("read back {name}"), Unit::Events, total);
        for (number, partition) in stream.numbered() {
            let info = log.partition(&name, number).await?;
            let at = (info.begin_sequence_number, info.last_sequence_number + 1);
            if at != (partition.first, partition.next) {
                let (first, next) = (partition.first, partition.next);
                return Err(differs(&format!(
                    "partition {number} of {name} goes from {} up to {} and must go from {first} up to {next}",
                    at.0, at.1
                )));
            }
            let content = events::content(log, &name, number, info, |more| progress.advance(more)).await?;
            if partition.file.as_ref().is_none_or(|file| file.content != content.text()) {
                return Err(differs(&format!(
                    "the events in partition {number} of {name} are not those of the export"
                )));
            }
        }
        progress.end();
    }
    Ok(())
}

fn differs(what: &str) -> TransferError {
    TransferError::Damaged(format!(
        "the target is not what the export is: {what}. It must not be used: empty it and import again"
    ))
}
