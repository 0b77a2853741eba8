//! Retention: whole segments go, the oldest first.

use std::sync::Arc;

use pollux_model::Timestamp;

use super::file::Segment;
use super::partition::{Partition, View};
use crate::log::{LogError, Retention, Trimmed};

impl Partition {
    /// Removes what the retention no longer covers. Blocks on the disk.
    pub(crate) fn trim(&self, retention: &Retention, now: Timestamp) -> Result<Trimmed, LogError> {
        let horizon = now.minus(retention.time).as_micros();
        self.roll_if_expired(horizon)?;
        let mut trimmed = Trimmed::default();
        let mut gone = Vec::new();
        {
            let mut view = self.view.write();
            let count = count_expired(&view, retention, horizon);
            if count == 0 {
                return Ok(trimmed);
            }
            let (old_sequence, old_offset) = (view.begin(), view.segments[0].header.base_offset);
            gone.extend(view.segments.drain(..count));
            let begin = view.begin();
            view.cache.drop_before(begin);
            trimmed.records = u64::try_from(begin - old_sequence).unwrap_or(0);
            trimmed.bytes = u64::try_from(view.segments[0].header.base_offset - old_offset).unwrap_or(0);
        }
        self.remove(&gone)?;
        Ok(trimmed)
    }

    /// The newest segment cannot be removed, but one whose records have all expired can be closed.
    fn roll_if_expired(&self, horizon: i64) -> Result<(), LogError> {
        let mut writer = self.writer.lock();
        let tip = writer.tip();
        let holds_records = {
            let view = self.view.read();
            view.segments.last().is_some_and(|newest| newest.header.first_sequence < tip.next_sequence)
        };
        if holds_records && tip.last_enqueued < horizon && !writer.is_closed() {
            writer.roll(self)?;
        }
        Ok(())
    }

    /// Oldest first, so that a crash in between leaves no hole.
    fn remove(&self, gone: &[Arc<Segment>]) -> Result<(), LogError> {
        let disk = &self.shared.disk;
        for segment in gone {
            disk.remove(&segment.path).map_err(|error| {
                LogError::Unavailable(format!("cannot remove {}: {error}", segment.path.display()))
            })?;
        }
        disk.sync_dir(&self.folder)
            .map_err(|error| LogError::Unavailable(format!("cannot sync {}: {error}", self.folder.display())))
    }
}

/// How many of the oldest segments go. The newest never does.
fn count_expired(view: &View, retention: &Retention, horizon: i64) -> usize {
    let closed = view.segments.len().saturating_sub(1);
    (0..closed)
        .take_while(|at| {
            let next = &view.segments[at + 1].header;
            let left_behind = u64::try_from(view.tip.next_offset - next.base_offset).unwrap_or(0);
            next.previous_enqueued < horizon || retention.bytes.is_some_and(|bytes| left_behind >= bytes)
        })
        .count()
}
