//! Events that are read: a partition from a position on, waiting at its end.

use pollux_eventlog::{PartitionInfo, ReadFrom, ReadLimit, Record, StreamName};
use pollux_model::Result;

use super::Events;
use super::namespace::Namespace;
use super::publish::log_failed;

/// A reader of one partition. Holds nothing but where it stands.
#[derive(Debug, Clone)]
pub struct Reader {
    stream: StreamName,
    partition: u32,
    from: ReadFrom,
}

impl Events {
    /// A reader that begins at this position. The end is looked up now: what comes after this call is read.
    pub async fn reader(
        &self,
        namespace: &Namespace,
        event_hub: &str,
        partition: u32,
        from: ReadFrom,
    ) -> Result<Reader> {
        let stream = namespace.stream(event_hub)?;
        let from = match from {
            ReadFrom::Latest => {
                let now = self.context.log.partition(&stream, partition).await.map_err(log_failed)?;
                ReadFrom::Sequence { number: now.last_sequence_number, inclusive: false }
            }
            from => from,
        };
        Ok(Reader { stream, partition, from })
    }

    /// The next events, at most so many; waits where there are none.
    pub async fn next(&self, reader: &mut Reader, limit: ReadLimit) -> Result<Vec<Record>> {
        let log = &self.context.log;
        loop {
            let records = self.next_now(reader, limit).await?;
            if !records.is_empty() {
                return Ok(records);
            }
            // What was let go before it was read is not to be waited for: the log counts it still.
            let now = log.partition(&reader.stream, reader.partition).await.map_err(log_failed)?;
            let seen = match reader.from {
                ReadFrom::Sequence { number, inclusive } => number - i64::from(inclusive),
                _ => -1,
            };
            let seen =
                seen.max(if now.is_empty { now.last_sequence_number } else { now.begin_sequence_number - 1 });
            let seen = match reader.from {
                // A moment or an offset past the end: whatever is appended next is looked at.
                ReadFrom::Offset { .. } | ReadFrom::Enqueued { .. } => seen.max(now.last_sequence_number),
                _ => seen,
            };
            log.wait(&reader.stream, reader.partition, seen).await.map_err(log_failed)?;
        }
    }

    /// The next events, at most so many; none where there are none.
    pub async fn next_now(&self, reader: &mut Reader, limit: ReadLimit) -> Result<Vec<Record>> {
        let read = self.context.log.read(&reader.stream, reader.partition, &reader.from, limit).await;
        let records = read.map_err(log_failed)?;
        if let Some(last) = records.last() {
            reader.from = ReadFrom::Sequence { number: last.sequence_number, inclusive: false };
        }
        Ok(records)
    }

    /// What there is in the reader's partition now.
    pub async fn newest(&self, reader: &Reader) -> Result<PartitionInfo> {
        self.context.log.partition(&reader.stream, reader.partition).await.map_err(log_failed)
    }

    /// What there is in a partition now.
    pub async fn partition_info(
        &self,
        namespace: &Namespace,
        event_hub: &str,
        partition: u32,
    ) -> Result<PartitionInfo> {
        let stream = namespace.stream(event_hub)?;
        self.context.log.partition(&stream, partition).await.map_err(log_failed)
    }
}
