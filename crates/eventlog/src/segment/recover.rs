//! Opening a partition: which segments there are, where the last durable record ends, which keys are known.
//!
//! Only the newest segment can have a torn tail, and only in its last batch: every earlier byte was synced before
//! anything after it was written. So whatever else is wrong is damage, and opening refuses it by name and place.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::OpenError;
use super::commit::{PartitionWriter, max_frame};
use super::file::{Mark, Segment};
use super::format::{Frame, HEADER_LEN, Header};
use super::lane::Lane;
use super::partition::{Partition, Shared, Tip};
use super::scan::{Scanner, Step, Tail, inspect_tail};
use crate::keys::KeyWindow;
use crate::log::{IdempotencyKey, Position, StreamName};

/// Opens the partition in a folder; `create`: makes folder and first segment where there are none.
pub(crate) fn open_partition(
    stream: StreamName,
    folder: &Path,
    shared: Arc<Shared>,
    lane: Arc<Lane>,
    create: bool,
) -> Result<Partition, OpenError> {
    let io_error = |source| OpenError::Io { path: folder.to_owned(), source };
    if create {
        std::fs::create_dir_all(folder).map_err(io_error)?;
    }
    let paths = segment_paths(folder).map_err(io_error)?;
    let interval = shared.options.index_interval;
    let mut segments = Vec::with_capacity(paths.len().max(1));
    for path in paths {
        segments.push(Arc::new(Segment::open(&*shared.disk, path, interval)?));
    }
    let writer = match segments.last() {
        Some(newest) => {
            check_chain(&shared, &segments)?;
            recover_newest(&shared, &segments, newest)?
        }
        None if create => {
            let (segment, file) =
                Segment::create(&*shared.disk, folder, Header::FIRST, interval).map_err(io_error)?;
            segments.push(Arc::new(segment));
            let keys = KeyWindow::new(shared.options.idempotency_window);
            PartitionWriter::new(
                file,
                Arc::clone(&segments[0]),
                Tip::before(&Header::FIRST),
                keys,
                HEADER_LEN,
            )
        }
        None => {
            let what = "the partition has no segment files".to_owned();
            return Err(OpenError::Corrupt { file: folder.to_owned(), at: 0, what });
        }
    };
    Ok(Partition::new(stream, folder, shared, lane, segments, writer))
}

/// The segment files of a folder, oldest first. Half-made ones hold nothing and are removed.
fn segment_paths(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    let mut aside = None;
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("seg") => paths.push(path),
            Some("new") => std::fs::remove_file(&path)?,
            Some("old") => aside = Some(path),
            _ => {}
        }
    }
    // An import that was cut off (see `import`): the empty segment it put aside is put back, or not needed any more.
    if let Some(old) = aside {
        if paths.is_empty() {
            let path = old.with_extension("seg");
            std::fs::rename(&old, &path)?;
            paths.push(path);
        } else {
            std::fs::remove_file(&old)?;
        }
    }
    // The names are numbers of equal width.
    paths.sort();
    Ok(paths)
}

/// Each closed segment must be exactly as long as its successor's header says.
fn check_chain(shared: &Shared, segments: &[Arc<Segment>]) -> Result<(), OpenError> {
    for pair in segments.windows(2) {
        let (segment, next) = (&pair[0], &pair[1]);
        let expected = segment.file_position(next.header.base_offset);
        let length = shared
            .disk
            .open(&segment.path)
            .and_then(|file| file.length())
            .map_err(|source| OpenError::Io { path: segment.path.clone(), source })?;
        if length != expected || next.header.base_offset <= segment.header.base_offset {
            return Err(OpenError::Corrupt {
                file: segment.path.clone(),
                at: length.min(expected),
                what: format!("the file has {length} bytes; the segment after it says {expected}"),
            });
        }
    }
    Ok(())
}

/// Finds the end of the newest segment, cuts off a torn tail, gathers the idempotency keys.
fn recover_newest(
    shared: &Shared,
    segments: &[Arc<Segment>],
    newest: &Arc<Segment>,
) -> Result<PartitionWriter, OpenError> {
    let io_error = |source| OpenError::Io { path: newest.path.clone(), source };
    let file = shared.disk.open(&newest.path).map_err(io_error)?;
    let length = file.length().map_err(io_error)?;
    let limit = max_frame(shared.options.max_record_bytes);
    let mut walk = Walk::new(newest);
    let mut scanner = Scanner::new(&*file, HEADER_LEN, length, limit);
    loop {
        let at = scanner.at();
        match scanner.step().map_err(io_error)? {
            Step::Frame(frame) if walk.follows(&frame) => walk.take(&frame),
            Step::End => break,
            Step::Frame(_) | Step::Blank | Step::Bad(_) => {
                match inspect_tail(&*file, at, walk.seen.next_sequence, limit).map_err(io_error)? {
                    Tail::Clean => {}
                    Tail::Torn(bytes) => {
                        let file = newest.path.display();
                        tracing::warn!(%file, at, bytes, "cut off a batch that was never synced");
                    }
                    Tail::Damaged => {
                        let what = "a record is damaged, but later ones are not".to_owned();
                        return Err(OpenError::Corrupt { file: newest.path.clone(), at, what });
                    }
                }
                break;
            }
        }
    }
    // Also drops the zeroes written ahead and the beginning of an append whose end is missing. Without this, old
    // bytes could stand behind a later, shorter batch and be taken for its records.
    let end = newest.file_position(walk.whole.next_offset);
    if end != length {
        file.set_len(end).and_then(|()| file.sync_data()).map_err(io_error)?;
    }
    let tip = walk.whole;
    let keys = gather_keys(shared, segments, walk.keys)?;
    Ok(PartitionWriter::new(file, Arc::clone(newest), tip, keys, end))
}

/// The walk over the newest segment: what was seen, and how much of it is whole appends.
struct Walk<'a> {
    segment: &'a Segment,
    seen: Tip,
    whole: Tip,
    keys: Vec<(IdempotencyKey, Position)>,
    pending_keys: Vec<(IdempotencyKey, Position)>,
    pending_marks: Vec<Mark>,
}

impl<'a> Walk<'a> {
    fn new(segment: &'a Segment) -> Self {
        let tip = Tip::before(&segment.header);
        Self {
            segment,
            seen: tip,
            whole: tip,
            keys: Vec::new(),
            pending_keys: Vec::new(),
            pending_marks: Vec::new(),
        }
    }

    fn follows(&self, frame: &Frame) -> bool {
        frame.sequence == self.seen.next_sequence && frame.enqueued > self.seen.last_enqueued
    }

    fn take(&mut self, frame: &Frame) {
        let offset = self.seen.next_offset;
        self.pending_marks.push(Mark { sequence: frame.sequence, offset, enqueued: frame.enqueued });
        self.seen.next_sequence += 1;
        self.seen.next_offset += i64::try_from(frame.length).unwrap_or(i64::MAX);
        self.seen.last_offset = offset;
        self.seen.last_enqueued = frame.enqueued;
        if let Some(key) = frame.idempotency_key {
            self.seen.keyed += 1;
            self.pending_keys.push((key, frame.position(offset)));
        }
        if frame.call_remaining == 0 {
            self.whole = self.seen;
            self.keys.append(&mut self.pending_keys);
            for mark in self.pending_marks.drain(..) {
                self.segment.note(mark);
            }
        }
    }
}

/// Fills the key window from older segments, newest first, as far as it reaches.
fn gather_keys(
    shared: &Shared,
    segments: &[Arc<Segment>],
    newest: Vec<(IdempotencyKey, Position)>,
) -> Result<KeyWindow, OpenError> {
    let window = shared.options.idempotency_window;
    let mut found = newest.len();
    let mut runs = vec![newest];
    for pair in segments.windows(2).rev() {
        if found >= window {
            break;
        }
        let keyed = pair[1].header.keyed_before - pair[0].header.keyed_before;
        if keyed > 0 {
            let run = keys_of(shared, &pair[0], pair[1].header.base_offset)?;
            found += run.len();
            runs.push(run);
        }
    }
    let mut keys = KeyWindow::new(window);
    for (key, position) in runs.into_iter().rev().flatten() {
        keys.stage(key, position);
        keys.settle([key]);
    }
    Ok(keys)
}

fn keys_of(
    shared: &Shared,
    segment: &Segment,
    end: i64,
) -> Result<Vec<(IdempotencyKey, Position)>, OpenError> {
    let io_error = |source| OpenError::Io { path: segment.path.clone(), source };
    let file = shared.disk.open(&segment.path).map_err(io_error)?;
    let limit = max_frame(shared.options.max_record_bytes);
    let mut scanner = Scanner::new(&*file, HEADER_LEN, segment.file_position(end), limit);
    let mut keys = Vec::new();
    loop {
        let at = scanner.at();
        let what = match scanner.step().map_err(io_error)? {
            Step::Frame(frame) => {
                if let Some(key) = frame.idempotency_key {
                    keys.push((key, frame.position(segment.offset_at(at))));
                }
                continue;
            }
            Step::End => return Ok(keys),
            Step::Blank => "zeroes where a record should be",
            Step::Bad(what) => what,
        };
        return Err(OpenError::Corrupt { file: segment.path.clone(), at, what: what.to_owned() });
    }
}
