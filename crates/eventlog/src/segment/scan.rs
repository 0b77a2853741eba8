//! Walking over the records of a segment file, and telling a torn tail from damage.

use std::io;

use bytes::{Buf, Bytes, BytesMut};

use super::disk::DiskFile;
use super::format::{Decoded, Frame, decode_record, i64_at, u32_at};

/// How much is read at once: large enough that a reader far behind goes at the disk's speed.
const CHUNK: usize = 256 * 1024;

/// What the walk found at the next position.
#[derive(Debug)]
pub(crate) enum Step {
    Frame(Frame),
    /// The end of the range, exactly after a record.
    End,
    /// Zeroes where a record would begin.
    Blank,
    Bad(&'static str),
}

/// Walks over the records between two positions of a file.
#[derive(Debug)]
pub(crate) struct Scanner<'a> {
    file: &'a dyn DiskFile,
    at: u64,
    end: u64,
    max_frame: usize,
    /// Bytes of the file from `at` on.
    chunk: Bytes,
}

impl<'a> Scanner<'a> {
    /// `at` and `end` are positions in the file; a record stands at `at`.
    pub(crate) fn new(file: &'a dyn DiskFile, at: u64, end: u64, max_frame: usize) -> Self {
        Self { file, at, end, max_frame, chunk: Bytes::new() }
    }

    /// Position in the file of what the next step looks at.
    pub(crate) fn at(&self) -> u64 {
        self.at
    }

    /// Reads the next record. After anything but a record, the walk stays where it is.
    pub(crate) fn step(&mut self) -> io::Result<Step> {
        loop {
            match decode_record(&self.chunk, self.max_frame) {
                Decoded::Frame(frame) => {
                    self.at += frame.length as u64;
                    self.chunk.advance(frame.length);
                    return Ok(Step::Frame(frame));
                }
                Decoded::Blank => return Ok(Step::Blank),
                Decoded::Bad(what) => return Ok(Step::Bad(what)),
                Decoded::Need(_) if self.at >= self.end => return Ok(Step::End),
                Decoded::Need(length) => {
                    if self.at + length as u64 > self.end {
                        return Ok(Step::Bad("the record is cut off"));
                    }
                    self.fill(length)?;
                    if self.chunk.len() < length {
                        return Ok(Step::Bad("the record is cut off"));
                    }
                }
            }
        }
    }

    fn fill(&mut self, length: usize) -> io::Result<()> {
        let rest = usize::try_from(self.end - self.at).unwrap_or(usize::MAX);
        self.chunk = read_range(self.file, self.at, length.max(CHUNK).min(rest))?;
        Ok(())
    }
}

/// Up to `length` bytes at a position; fewer at the end of the file.
pub(crate) fn read_range(file: &dyn DiskFile, at: u64, length: usize) -> io::Result<Bytes> {
    let mut out = BytesMut::zeroed(length);
    let mut filled = 0;
    while filled < length {
        match file.read_at(&mut out[filled..], at + filled as u64) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    out.truncate(filled);
    Ok(out.freeze())
}

/// What follows the first position at which recovery finds no good record.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Tail {
    /// Nothing but zeroes: space written ahead.
    Clean,
    /// So many bytes of a batch whose fdatasync never returned.
    Torn(u64),
    /// A record of a later batch stands after the bad place. The bad place was synced before that one was written:
    /// this is damage, not a torn write.
    Damaged,
}

/// Looks at everything from `at` on, where the record `expected` should begin but does not.
///
/// A crash may leave any of the pages of the last batch and lose any other, so good records after a bad one mean
/// nothing as long as they are of the batch that `expected` would have been of.
pub(crate) fn inspect_tail(
    file: &dyn DiskFile,
    at: u64,
    expected: i64,
    max_frame: usize,
) -> io::Result<Tail> {
    let length = file.length()?.saturating_sub(at);
    let rest = read_range(file, at, usize::try_from(length).unwrap_or(usize::MAX))?;
    let Some(last) = rest.iter().rposition(|byte| *byte != 0) else { return Ok(Tail::Clean) };
    let mut from = 1;
    while from <= last {
        match plausible_frame(&rest, from, expected, max_frame) {
            Some(frame) if frame.sequence - i64::from(frame.batch_index) > expected => {
                return Ok(Tail::Damaged);
            }
            Some(frame) => from += frame.length,
            None => from += 1,
        }
    }
    Ok(Tail::Torn(last as u64 + 1))
}

fn plausible_frame(rest: &Bytes, at: usize, expected: i64, max_frame: usize) -> Option<Frame> {
    // Cheap tests first: this runs at every byte.
    if rest.len() - at < super::format::FRAME_LEN {
        return None;
    }
    let length = u32_at(rest, at + 4) as usize;
    let sequence = i64_at(rest, at + 8);
    if length == 0 || length > max_frame || sequence <= expected || sequence - expected > rest.len() as i64 {
        return None;
    }
    match decode_record(&rest.slice(at..), max_frame) {
        Decoded::Frame(frame) => Some(frame),
        _ => None,
    }
}
