//! Records and numbers that come from another log.

use tokio::time::Instant;

use super::frame::{Builder, Tip, imported_len};
use super::lane::Outcome;
use super::partition::{Known, Partition};
use crate::log::{LogError, Position, Record, check_import};

impl Partition {
    /// See [`crate::EventLog::import`]. In the writer's turn.
    pub(crate) async fn import(
        &self,
        records: &[Record],
        deadline: Instant,
    ) -> Result<Vec<Vec<Position>>, LogError> {
        let mut rest = records;
        while !rest.is_empty() {
            let known = self.fresh(Instant::now(), deadline).await?;
            rest = check_import(rest, last_of(&known))?;
            let Some(first) = rest.first() else { break };
            let tip = Tip { next_sequence: first.sequence_number, ..known.tip };
            let mut builder = Builder::imported(tip);
            let (mut bytes, mut count) = (0, 0);
            for record in rest {
                bytes += imported_len(record);
                if count > 0 && bytes > super::limits::frame_limit(self.shared.wire.client.max_payload()) {
                    break;
                }
                builder.push_imported(record);
                count += 1;
            }
            self.carry_on(&known, builder, deadline).await?;
            rest = &rest[count..];
        }
        Ok(vec![Vec::new()])
    }

    /// See [`crate::EventLog::begin_after`]. In the writer's turn.
    pub(crate) async fn begin_after(
        &self,
        last: Position,
        deadline: Instant,
    ) -> Result<Vec<Vec<Position>>, LogError> {
        let known = self.fresh(Instant::now(), deadline).await?;
        if last_of(&known) != Some(last) {
            if known.last != 0 {
                return Err(LogError::InvalidConfig(format!(
                    "partition {} of stream `{}` has records already",
                    self.number, self.stream
                )));
            }
            let tip = Tip {
                next_sequence: last.sequence_number + 1,
                next_offset: last.offset + 1,
                last_offset: last.offset,
                last_enqueued: last.enqueued_time.as_micros(),
                ..Tip::START
            };
            self.carry_on(&known, Builder::new(tip, last.enqueued_time), deadline).await?;
        }
        Ok(vec![Vec::new()])
    }

    async fn carry_on(&self, known: &Known, builder: Builder, deadline: Instant) -> Result<(), LogError> {
        let frame = builder.finish(self.shared.frame_ids.next());
        match self.publish(known, &frame, deadline).await? {
            Outcome::Stored(js) => {
                self.show(known, frame, js);
                Ok(())
            }
            Outcome::Overtaken(_) => Err(LogError::InvalidConfig(format!(
                "partition {} of stream `{}` is written to while it is imported",
                self.number, self.stream
            ))),
        }
    }
}

/// The newest record there ever was.
fn last_of(known: &Known) -> Option<Position> {
    (known.last > 0).then(|| Position {
        sequence_number: known.tip.next_sequence - 1,
        offset: known.tip.last_offset,
        enqueued_time: pollux_model::Timestamp::from_micros(known.tip.last_enqueued),
    })
}
