//! The folder of an export: for its owner only (mode 0700, files 0600), for it holds every key.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, BufWriter, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use pollux_eventlog::StreamName;
use pollux_store::portable::Table;

use super::digest::Running;
use super::error::TransferError;

pub(super) const MANIFEST: &str = "manifest.json";
pub(super) const SUMS: &str = "SHA256SUMS";
/// There while an export is not finished.
pub(super) const PROGRESS: &str = "progress.json";
const EVENTS: &str = "events";
const BUFFER: usize = 256 * 1024;

/// The folder.
#[derive(Debug, Clone)]
pub(super) struct Folder {
    path: PathBuf,
}

/// How far an export into it has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    Nothing,
    Unfinished,
    Finished,
}

impl Folder {
    pub(super) fn new(path: &Path) -> Self {
        Self { path: path.to_owned() }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// What is in it.
    pub(super) fn look(&self) -> Result<Found, TransferError> {
        let failed = |source| failed(&self.path, source);
        let mut entries = match fs::read_dir(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Found::Nothing),
            entries => entries.map_err(failed)?,
        };
        if self.path.join(MANIFEST).exists() {
            return Ok(Found::Finished);
        }
        if self.path.join(PROGRESS).exists() {
            return Ok(Found::Unfinished);
        }
        match entries.next() {
            None => Ok(Found::Nothing),
            Some(_) => Err(TransferError::Refused(format!(
                "{} holds something else than an export: choose a folder that is empty or not there",
                self.path.display()
            ))),
        }
    }

    /// Makes it, or closes it to others.
    pub(super) fn make(&self) -> Result<(), TransferError> {
        make(&self.path)?;
        fs::set_permissions(&self.path, fs::Permissions::from_mode(0o700))
            .map_err(|source| failed(&self.path, source))
    }

    /// Takes away what an export wrote, the manifest first.
    pub(super) fn clear(&self) -> Result<(), TransferError> {
        let tables = Table::ALL.map(|table| format!("{}.ndjson", table.as_str()));
        for name in [MANIFEST, SUMS].into_iter().chain(tables.iter().map(String::as_str)) {
            self.remove(name)?;
        }
        let events = self.path.join(EVENTS);
        match fs::remove_dir_all(&events) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed(&events, error)),
            _ => Ok(()),
        }
    }

    /// A table's file, by its name in the folder.
    pub(super) fn table(table: Table) -> String {
        format!("{}.ndjson", table.as_str())
    }

    /// A partition's file, by its name in the folder.
    pub(super) fn partition(stream: &StreamName, partition: u32) -> String {
        format!("{EVENTS}/{}/{}/{partition:05}.ndjson", stream.namespace(), stream.event_hub())
    }

    /// A file's path.
    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// A small file; `None` if it is not there.
    pub(super) fn read(&self, name: &str) -> Result<Option<Vec<u8>>, TransferError> {
        match fs::read(self.file(name)) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed(&self.file(name), error)),
        }
    }

    /// Writes a small file, whole or not at all.
    pub(super) fn write(&self, name: &str, bytes: &[u8]) -> Result<(), TransferError> {
        let (path, new) = (self.file(name), self.file(&format!("{name}.new")));
        let write = || {
            let mut file = private().create(true).truncate(true).open(&new)?;
            file.write_all(bytes)?;
            file.sync_all()?;
            fs::rename(&new, &path)?;
            File::open(&self.path)?.sync_all()
        };
        write().map_err(|source| failed(&path, source))
    }

    pub(super) fn remove(&self, name: &str) -> Result<(), TransferError> {
        match fs::remove_file(self.file(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed(&self.file(name), error)),
            _ => Ok(()),
        }
    }
}

/// A file of lines as it is written.
pub(super) struct Lines {
    path: PathBuf,
    out: BufWriter<File>,
    sums: Sums,
}

/// What was written.
pub(super) struct Sums {
    pub(super) bytes: u64,
    running: Running,
}

impl Sums {
    fn new() -> Self {
        Self { bytes: 0, running: Running::new() }
    }

    fn add(&mut self, line: &[u8]) {
        self.bytes += line.len() as u64;
        self.running.update(line);
    }
}

impl Lines {
    /// A new file, in place of what was there.
    pub(super) fn create(path: PathBuf) -> Result<Self, TransferError> {
        Self::open(path, Sums::new())
    }

    /// Goes on behind the last whole line of a file, if there is one: each goes to `seen`, which may refuse to go on.
    pub(super) fn go_on(
        path: &Path,
        mut seen: impl FnMut(&[u8]) -> bool,
    ) -> Result<Option<Self>, TransferError> {
        let file = match File::open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            file => file.map_err(|source| failed(path, source))?,
        };
        let (mut sums, mut reader) = (Sums::new(), BufReader::with_capacity(BUFFER, file));
        let mut line = Vec::new();
        loop {
            line.clear();
            reader.read_until(b'\n', &mut line).map_err(|source| failed(path, source))?;
            if line.last() != Some(&b'\n') {
                return Self::open(path.to_owned(), sums).map(Some);
            }
            if !seen(&line) {
                return Ok(None);
            }
            sums.add(&line);
        }
    }

    fn open(path: PathBuf, sums: Sums) -> Result<Self, TransferError> {
        if let Some(folder) = path.parent() {
            make(folder)?;
        }
        let open = || {
            let mut file = private().create(true).truncate(false).open(&path)?;
            file.set_permissions(fs::Permissions::from_mode(0o600))?;
            file.set_len(sums.bytes)?;
            file.seek(SeekFrom::End(0))?;
            Ok(file)
        };
        let file = open().map_err(|source| failed(&path, source))?;
        Ok(Self { out: BufWriter::with_capacity(BUFFER, file), path, sums })
    }

    /// Adds a line, which ends with a line feed.
    pub(super) fn push(&mut self, line: &[u8]) -> Result<(), TransferError> {
        self.sums.add(line);
        self.out.write_all(line).map_err(|source| failed(&self.path, source))
    }

    /// Makes it durable: its bytes and their SHA-256.
    pub(super) fn finish(mut self) -> Result<(u64, String), TransferError> {
        let mut end = || {
            self.out.flush()?;
            self.out.get_ref().sync_all()
        };
        end().map_err(|source| failed(&self.path, source))?;
        Ok((self.sums.bytes, self.sums.running.finish()))
    }
}

/// A file of lines as it is read.
pub(super) struct Reading {
    path: PathBuf,
    reader: BufReader<File>,
    line: Vec<u8>,
}

impl Reading {
    /// From this byte on.
    pub(super) fn open(path: PathBuf, from: u64) -> Result<Self, TransferError> {
        let open = || -> io::Result<File> {
            let mut file = File::open(&path)?;
            file.seek(SeekFrom::Start(from))?;
            Ok(file)
        };
        match open().map(|file| BufReader::with_capacity(BUFFER, file)) {
            Ok(reader) => Ok(Self { path, reader, line: Vec::new() }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(TransferError::Damaged(format!(
                "{} is not there: the export is not whole",
                path.display()
            ))),
            Err(source) => Err(failed(&path, source)),
        }
    }

    /// The next line with its line feed.
    pub(super) fn next(&mut self) -> Result<Option<&[u8]>, TransferError> {
        self.line.clear();
        let read = self.reader.read_until(b'\n', &mut self.line);
        match read.map_err(|source| failed(&self.path, source))? {
            0 => Ok(None),
            _ => Ok(Some(&self.line)),
        }
    }

    /// The next bytes, whatever is in them.
    pub(super) fn part(&mut self) -> Result<Option<&[u8]>, TransferError> {
        self.line.resize(BUFFER, 0);
        let read = self.reader.read(&mut self.line).map_err(|source| failed(&self.path, source))?;
        Ok((read > 0).then_some(&self.line[..read]))
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

fn make(path: &Path) -> Result<(), TransferError> {
    DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(|source| failed(path, source))
}

pub(super) fn failed(path: &Path, source: io::Error) -> TransferError {
    TransferError::File { path: path.to_owned(), source }
}

fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true).mode(0o600);
    options
}
