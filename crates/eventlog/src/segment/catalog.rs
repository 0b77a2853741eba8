//! Which streams there are: their folders, `stream.json`, creation, growth, deletion.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::RwLock;
use pollux_model::Timestamp;
use serde::{Deserialize, Serialize};

use super::lane::Lane;
use super::partition::{Partition, Shared};
use super::recover::open_partition;
use super::{Inner, OpenError};
use crate::log::{LogError, MAX_PARTITIONS, Retention, StreamConfig, StreamName, Trimmed};

const STREAMS: &str = "streams";
const TRASH: &str = "trash";
const CONFIG: &str = "stream.json";

/// A stream in memory.
#[derive(Debug)]
pub(crate) struct Stream {
    name: StreamName,
    state: RwLock<State>,
}

#[derive(Debug)]
struct State {
    retention: Retention,
    partitions: Vec<Arc<Partition>>,
}

/// `stream.json`, version 1.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    version: u32,
    name: String,
    partitions: u32,
    retention_micros: u64,
    retention_bytes: Option<u64>,
}

impl Stream {
    pub(crate) fn config(&self) -> StreamConfig {
        let state = self.state.read();
        StreamConfig {
            partitions: u32::try_from(state.partitions.len()).unwrap_or(MAX_PARTITIONS),
            retention: state.retention.clone(),
        }
    }

    pub(crate) fn partition(&self, number: u32) -> Result<Arc<Partition>, LogError> {
        let state = self.state.read();
        state.partitions.get(number as usize).map(Arc::clone).ok_or_else(|| LogError::UnknownPartition {
            stream: self.name.clone(),
            partition: number,
            count: u32::try_from(state.partitions.len()).unwrap_or(MAX_PARTITIONS),
        })
    }

    /// Whether every partition can still be written to.
    pub(crate) fn healthy(&self) -> Result<(), LogError> {
        let state = self.state.read();
        // A writer that is at work is well.
        state.partitions.iter().filter_map(|p| p.writer.try_lock()).try_for_each(|writer| writer.closed())
    }

    /// Applies the retention to every partition. Blocks on the disk.
    pub(crate) fn trim(&self, now: Timestamp) -> Result<Trimmed, LogError> {
        let (retention, partitions) = {
            let state = self.state.read();
            (state.retention.clone(), state.partitions.clone())
        };
        let mut total = Trimmed::default();
        for partition in partitions {
            let trimmed = partition.trim(&retention, now)?;
            total.records += trimmed.records;
            total.bytes += trimmed.bytes;
        }
        Ok(total)
    }
}

/// Makes the folder and takes its lock. The operating system frees it when the process ends, however it ends.
pub(crate) fn lock(folder: &Path) -> Result<File, OpenError> {
    let io_error = |source| OpenError::Io { path: folder.to_owned(), source };
    fs::create_dir_all(folder.join(STREAMS)).map_err(io_error)?;
    folder
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty())
        .map_or(Ok(()), sync_folder)
        .map_err(io_error)?;
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(folder.join("lock"))
        .map_err(io_error)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(OpenError::Locked(folder.to_owned())),
        Err(TryLockError::Error(source)) => return Err(io_error(source)),
    }
    // What a crash left half deleted.
    match fs::remove_dir_all(folder.join(TRASH)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(io_error(error)),
        _ => Ok(file),
    }
}

/// Recovers every stream of the folder.
pub(crate) fn open_streams(
    folder: &Path,
    shared: &Arc<Shared>,
    lanes: &[Arc<Lane>],
) -> Result<BTreeMap<StreamName, Arc<Stream>>, OpenError> {
    let mut streams = BTreeMap::new();
    for namespace in folders(&folder.join(STREAMS))? {
        for home in folders(&namespace)? {
            let Some(document) = read_document(&home)? else {
                // A crash cut off the stream's creation: nobody was told that it exists. Creating it again goes on here.
                tracing::warn!(folder = %home.display(), "left aside: there is no {CONFIG} in it");
                continue;
            };
            let path = home.join(CONFIG);
            let name = StreamName::new(&document.name).map_err(|error| OpenError::Corrupt {
                file: path,
                at: 0,
                what: error.to_string(),
            })?;
            let state = RwLock::new(State {
                retention: Retention {
                    time: Duration::from_micros(document.retention_micros),
                    bytes: document.retention_bytes,
                },
                partitions: (0..document.partitions)
                    .map(|number| partition_at(&name, &home, number, shared, lanes, false))
                    .collect::<Result<_, _>>()?,
            });
            streams.insert(name.clone(), Arc::new(Stream { name, state }));
        }
    }
    Ok(streams)
}

fn folders(parent: &Path) -> Result<Vec<PathBuf>, OpenError> {
    let list = || -> io::Result<Vec<PathBuf>> {
        let mut found = Vec::new();
        for entry in fs::read_dir(parent)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                found.push(entry.path());
            }
        }
        Ok(found)
    };
    list().map_err(|source| OpenError::Io { path: parent.to_owned(), source })
}

fn partition_at(
    name: &StreamName,
    home: &Path,
    number: u32,
    shared: &Arc<Shared>,
    lanes: &[Arc<Lane>],
    create: bool,
) -> Result<Arc<Partition>, OpenError> {
    // Neighbouring partitions go to different lanes, and streams do not all begin with the same one.
    let spread = crc32c::crc32c(name.as_str().as_bytes()) as usize + number as usize;
    let lane = Arc::clone(&lanes[spread % lanes.len()]);
    let folder = home.join(format!("{number:05}"));
    open_partition(name.clone(), &folder, Arc::clone(shared), lane, create).map(Arc::new)
}

fn read_document(home: &Path) -> Result<Option<Document>, OpenError> {
    let path = home.join(CONFIG);
    let text = match fs::read(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(OpenError::Io { path, source }),
    };
    let document: Document = serde_json::from_slice(&text).map_err(|error| OpenError::Corrupt {
        file: path.clone(),
        at: 0,
        what: error.to_string(),
    })?;
    match document.version {
        1 => Ok(Some(document)),
        version => Err(OpenError::Version { file: path, version }),
    }
}

/// Replaces `stream.json` so that a crash leaves either the old or the new one.
fn write_document(home: &Path, name: &StreamName, config: &StreamConfig) -> io::Result<()> {
    let document = Document {
        version: 1,
        name: name.as_str().to_owned(),
        partitions: config.partitions,
        retention_micros: u64::try_from(config.retention.time.as_micros()).unwrap_or(u64::MAX),
        retention_bytes: config.retention.bytes,
    };
    let unborn = home.join("stream.new");
    let mut file = File::create(&unborn)?;
    file.write_all(&serde_json::to_vec_pretty(&document)?)?;
    file.sync_all()?;
    fs::rename(&unborn, home.join(CONFIG))?;
    sync_folder(home)
}

fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

impl Inner {
    fn home(&self, name: &StreamName) -> PathBuf {
        self.folder.join(STREAMS).join(name.namespace()).join(name.event_hub())
    }

    /// See [`crate::EventLog::create`].
    pub(crate) fn create(&self, name: &StreamName, config: &StreamConfig) -> Result<(), LogError> {
        let _one_at_a_time = self.changes.lock();
        let existing = self.streams.read().get(name).map(Arc::clone);
        let have = existing.as_ref().map_or(0, |stream| stream.config().partitions);
        check_config(name, config, have)?;
        if existing.as_ref().is_some_and(|stream| stream.config() == *config) {
            return Ok(());
        }
        let home = self.home(name);
        let mut added = Vec::new();
        for number in have..config.partitions {
            let made = partition_at(name, &home, number, &self.shared, &self.lanes, true);
            added.push(made.map_err(|error| unavailable(&home, &error))?);
        }
        self.make_durable(&home)
            .and_then(|()| write_document(&home, name, config))
            .map_err(|error| unavailable(&home, &error))?;
        match existing {
            Some(stream) => {
                let mut state = stream.state.write();
                state.retention = config.retention.clone();
                state.partitions.append(&mut added);
            }
            None => {
                let state = RwLock::new(State { retention: config.retention.clone(), partitions: added });
                self.streams.write().insert(name.clone(), Arc::new(Stream { name: name.clone(), state }));
            }
        }
        Ok(())
    }

    /// The names of the stream's folder and of the folders above it.
    fn make_durable(&self, home: &Path) -> io::Result<()> {
        let streams = self.folder.join(STREAMS);
        sync_folder(home)?;
        home.parent().map_or(Ok(()), sync_folder)?;
        sync_folder(&streams)?;
        sync_folder(&self.folder)
    }

    /// See [`crate::EventLog::delete`].
    pub(crate) fn delete(&self, name: &StreamName) -> Result<(), LogError> {
        let _one_at_a_time = self.changes.lock();
        let Some(stream) = self.streams.read().get(name).map(Arc::clone) else { return Ok(()) };
        let home = self.home(name);
        let trash = self.folder.join(TRASH);
        // One rename takes the whole stream away; a crash leaves all of it or nothing.
        let grave = (0_u64..).map(|number| trash.join(number.to_string())).find(|path| !path.exists());
        let moved = fs::create_dir_all(&trash)
            .and_then(|()| fs::rename(&home, grave.as_ref().unwrap_or(&trash)))
            .and_then(|()| home.parent().map_or(Ok(()), sync_folder));
        moved.map_err(|error| unavailable(&home, &error))?;
        self.streams.write().remove(name);
        for partition in &stream.state.read().partitions {
            partition.retire();
        }
        if let Err(error) = fs::remove_dir_all(&trash) {
            tracing::warn!(folder = %trash.display(), %error, "a deleted stream still takes space until the next start");
        }
        Ok(())
    }
}

fn check_config(name: &StreamName, config: &StreamConfig, have: u32) -> Result<(), LogError> {
    let wanted = config.partitions;
    if !(1..=MAX_PARTITIONS).contains(&wanted) {
        return Err(LogError::InvalidConfig(format!(
            "stream `{name}` cannot have {wanted} partitions: 1 to {MAX_PARTITIONS} are possible"
        )));
    }
    if wanted < have {
        return Err(LogError::InvalidConfig(format!(
            "stream `{name}` has {have} partitions and cannot shrink to {wanted}"
        )));
    }
    Ok(())
}

fn unavailable(path: &Path, error: &dyn std::error::Error) -> LogError {
    let cause = error.source().map_or_else(String::new, |source| format!(": {source}"));
    LogError::Unavailable(format!("{}: {error}{cause}", path.display()))
}
