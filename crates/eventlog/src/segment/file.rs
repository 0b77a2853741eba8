//! One segment file: its name, its header, and the part of its sparse index that is known so far.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

use super::disk::{Disk, DiskFile};
use super::format::{BadHeader, HEADER_LEN, Header};
use super::scan::read_range;
use crate::segment::OpenError;
use crate::span::Start;

/// A segment on disk. Its file is opened when it is read, so that long retention costs no open files.
#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) path: PathBuf,
    pub(crate) header: Header,
    /// Grows as scans and the writer pass over the file, always from the front without a gap.
    index: Mutex<Vec<Mark>>,
    interval: i64,
}

/// One entry of the sparse index: a record begins at `offset`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mark {
    pub(crate) sequence: i64,
    pub(crate) offset: i64,
    pub(crate) enqueued: i64,
}

impl Segment {
    /// A segment whose file exists. `interval`: bytes between index entries.
    pub(crate) fn new(path: PathBuf, header: Header, interval: usize) -> Self {
        Self {
            path,
            header,
            index: Mutex::new(Vec::new()),
            interval: i64::try_from(interval).unwrap_or(i64::MAX),
        }
    }

    /// Makes the file: header written and durable before the name exists, so that no segment is ever without one.
    pub(crate) fn create(
        disk: &dyn Disk,
        folder: &Path,
        header: Header,
        interval: usize,
    ) -> io::Result<(Self, Arc<dyn DiskFile>)> {
        let path = folder.join(format!("{:020}.seg", header.first_sequence));
        let unborn = path.with_extension("new");
        let file = disk.create(&unborn)?;
        file.write_all_at(&header.encode(), 0)?;
        file.sync_data()?;
        disk.rename(&unborn, &path)?;
        disk.sync_dir(folder)?;
        Ok((Self::new(path, header, interval), file))
    }

    /// Reads the header of an existing file.
    pub(crate) fn open(disk: &dyn Disk, path: PathBuf, interval: usize) -> Result<Self, OpenError> {
        let io_error = |source| OpenError::Io { path: path.clone(), source };
        let file = disk.open(&path).map_err(io_error)?;
        let bytes = read_range(&*file, 0, HEADER_LEN as usize).map_err(io_error)?;
        let damaged = |what: &str| OpenError::Corrupt { file: path.clone(), at: 0, what: what.to_owned() };
        let bytes: &[u8; HEADER_LEN as usize] =
            bytes.as_ref().try_into().map_err(|_| damaged("the file is shorter than its header"))?;
        let header = Header::decode(bytes).map_err(|bad| match bad {
            BadHeader::Magic => damaged("this is no segment file"),
            BadHeader::Checksum => damaged("the header's checksum does not match"),
            BadHeader::Version(version) => OpenError::Version { file: path.clone(), version },
        })?;
        if path.file_stem().and_then(|stem| stem.to_str()?.parse().ok()) != Some(header.first_sequence) {
            return Err(damaged("the file's name and its header name different records"));
        }
        Ok(Self::new(path, header, interval))
    }

    /// Where in the file the record with this offset stands.
    pub(crate) fn file_position(&self, offset: i64) -> u64 {
        HEADER_LEN + u64::try_from(offset - self.header.base_offset).unwrap_or(0)
    }

    /// The offset of what stands at this place of the file.
    pub(crate) fn offset_at(&self, position: u64) -> i64 {
        self.header.base_offset + i64::try_from(position.saturating_sub(HEADER_LEN)).unwrap_or(i64::MAX)
    }

    /// Tells the index of a record. Callers pass over the file from a known mark on, so that it stays without gaps.
    pub(crate) fn note(&self, mark: Mark) {
        let mut index = self.index.lock();
        let last = index.last().map_or(self.header.base_offset, |last| last.offset);
        if mark.offset - last >= self.interval {
            index.push(mark);
        }
    }

    /// The offset of a known record at or before the start.
    pub(crate) fn floor(&self, start: Start) -> i64 {
        let index = self.index.lock();
        let at = index.partition_point(|mark| match start {
            Start::Sequence(number) => mark.sequence <= number,
            Start::Offset(offset) => mark.offset <= offset,
            Start::After(moment) => mark.enqueued <= moment.as_micros(),
        });
        match at {
            0 => self.header.base_offset,
            _ => index[at - 1].offset,
        }
    }
}
