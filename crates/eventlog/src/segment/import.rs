//! Records and numbers that come from another log. A partition that never had a record gets a first segment that
//! begins elsewhere than at 0:
//!
//! ```text
//! 00…00.seg -> 00…00.old     make N.new     N.new -> N.seg     remove 00…00.old
//!           crash from here on: recovery puts the old name back     from here on: it removes the old file
//! ```

use std::path::Path;
use std::sync::Arc;

use super::file::Segment;
use super::format::Header;
use super::partition::{Partition, Signal, Tip};
use crate::log::{LogError, Position, Record, check_import};

impl Partition {
    /// See [`crate::EventLog::begin_after`]. Blocks on the disk.
    pub(crate) fn begin_after(&self, last: Position) -> Result<(), LogError> {
        let mut writer = self.writer.lock();
        let tip = writer.tip();
        if last_of(&tip) == Some(last) || last.sequence_number < 0 {
            return Ok(());
        }
        self.check_unused(&tip)?;
        self.begin(
            &mut writer,
            Header {
                first_sequence: last.sequence_number + 1,
                base_offset: last.offset + 1,
                previous_enqueued: last.enqueued_time.as_micros(),
                previous_offset: last.offset,
                keyed_before: 0,
            },
        )
    }

    /// See [`crate::EventLog::import`]. Blocks on the disk.
    pub(crate) fn import(&self, records: &[Record]) -> Result<(), LogError> {
        let mut writer = self.writer.lock();
        // The log's own offsets say nothing of those elsewhere.
        let last = last_of(&writer.tip()).map(|last| Position { offset: i64::MIN, ..last });
        let rest = check_import(records, last)?;
        let Some(first) = rest.first() else { return Ok(()) };
        if last.is_none() && (first.sequence_number, first.offset) != (0, 0) {
            let header = Header {
                first_sequence: first.sequence_number,
                base_offset: first.offset.max(0),
                ..Header::FIRST
            };
            self.begin(&mut writer, header)?;
        }
        writer.import(self, rest)
    }

    fn check_unused(&self, tip: &Tip) -> Result<(), LogError> {
        if *tip == Tip::before(&Header::FIRST) {
            return Ok(());
        }
        Err(LogError::InvalidConfig(format!("a partition of stream `{}` has records already", self.stream)))
    }

    fn begin(&self, writer: &mut super::commit::PartitionWriter, header: Header) -> Result<(), LogError> {
        writer.closed()?;
        let old = first_name(&self.folder);
        let aside = old.with_extension("old");
        let disk = &*self.shared.disk;
        let unavailable = |error: std::io::Error| {
            LogError::Unavailable(format!("cannot begin {}: {error}", self.folder.display()))
        };
        disk.rename(&old, &aside).and_then(|()| disk.sync_dir(&self.folder)).map_err(unavailable)?;
        let made = Segment::create(disk, &self.folder, header, self.shared.options.index_interval);
        let (segment, file) = match made {
            Ok(made) => made,
            Err(error) => {
                disk.rename(&aside, &old).map_err(unavailable)?;
                return Err(unavailable(error));
            }
        };
        disk.remove(&aside).map_err(unavailable)?;
        let segment = Arc::new(segment);
        writer.begin(file, Arc::clone(&segment));
        let mut view = self.view.write();
        view.segments = vec![segment];
        view.tip = writer.tip();
        drop(view);
        self.signal.send_replace(Signal::Last(header.first_sequence - 1));
        Ok(())
    }
}

/// A partition that begins at 0 begins with this file.
fn first_name(folder: &Path) -> std::path::PathBuf {
    folder.join(format!("{:020}.seg", 0))
}

/// The newest record there ever was.
fn last_of(tip: &Tip) -> Option<Position> {
    (*tip != Tip::before(&Header::FIRST)).then(|| Position {
        sequence_number: tip.next_sequence - 1,
        offset: tip.last_offset,
        enqueued_time: pollux_model::Timestamp::from_micros(tip.last_enqueued),
    })
}
