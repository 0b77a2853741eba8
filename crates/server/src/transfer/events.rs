//! Records of the event log as lines of an export.

use std::sync::Arc;

use bytes::Bytes;
use pollux_eventlog::{EventLog, PartitionInfo, ReadFrom, ReadLimit, Record, StreamName};
use pollux_model::Timestamp;
use pollux_store::portable::Base64;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use super::digest::Content;
use super::error::TransferError;

/// Records read or written at once.
pub(super) const LIMIT: ReadLimit = ReadLimit { records: 1000, bytes: 2 * 1024 * 1024 };

/// A record as JSON.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    sequence_number: i64,
    offset: i64,
    /// Microseconds since 1970.
    enqueued_time: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    partition_key: Option<Box<str>>,
    payload: Base64,
}

/// A record as a line.
pub(super) fn line(record: &Record) -> Result<Vec<u8>, TransferError> {
    let line = Line {
        sequence_number: record.sequence_number,
        offset: record.offset,
        enqueued_time: record.enqueued_time.as_micros(),
        partition_key: record.partition_key.clone(),
        payload: Base64(record.payload.to_vec()),
    };
    let mut line = serde_json::to_vec(&line).map_err(|error| TransferError::Failed(error.to_string()))?;
    line.push(b'\n');
    Ok(line)
}

/// The record of a line.
pub(super) fn parse(line: &[u8]) -> Option<Record> {
    let line: Line = serde_json::from_slice(line).ok()?;
    Some(Record {
        sequence_number: line.sequence_number,
        offset: line.offset,
        enqueued_time: Timestamp::from_micros(line.enqueued_time),
        partition_key: line.partition_key,
        payload: Bytes::from(line.payload.0),
    })
}

/// Counts a record in, without its offset: a log may choose that itself.
pub(super) fn add(content: &mut Content, record: &Record) {
    let (number, time) =
        (record.sequence_number.to_le_bytes(), record.enqueued_time.as_micros().to_le_bytes());
    match &record.partition_key {
        Some(key) => content.add_parts(&[&number, &time, &record.payload, key.as_bytes()]),
        None => content.add_parts(&[&number, &time, &record.payload]),
    }
}

/// The records of a partition from this number on, read while those before are worked on.
pub(super) fn batches(
    log: &Arc<dyn EventLog>,
    stream: &StreamName,
    partition: u32,
    from: i64,
    info: PartitionInfo,
) -> mpsc::Receiver<Result<Vec<Record>, TransferError>> {
    let (log, stream) = (Arc::clone(log), stream.clone());
    let (sender, receiver) = mpsc::channel(2);
    tokio::spawn(async move {
        let mut next = from;
        while !info.is_empty && next <= info.last_sequence_number {
            let at = ReadFrom::Sequence { number: next, inclusive: true };
            let batch = match log.read(&stream, partition, &at, LIMIT).await {
                Ok(records) => dense(&stream, partition, next, records),
                Err(error) => Err(error.into()),
            };
            next = batch.as_ref().map_or(i64::MAX, |records| next + records.len() as i64);
            if sender.send(batch).await.is_err() {
                return;
            }
        }
    });
    receiver
}

fn dense(
    stream: &StreamName,
    partition: u32,
    next: i64,
    records: Vec<Record>,
) -> Result<Vec<Record>, TransferError> {
    let dense = (next..).zip(&records).all(|(number, record)| record.sequence_number == number);
    if dense && !records.is_empty() {
        return Ok(records);
    }
    Err(TransferError::Failed(format!(
        "partition {partition} of {stream} has no event {next}, which it had a moment ago: somebody else uses the event log"
    )))
}

/// A whole partition's checksum.
pub(super) async fn content(
    log: &Arc<dyn EventLog>,
    stream: &StreamName,
    partition: u32,
    info: PartitionInfo,
    advance: impl Fn(u64),
) -> Result<Content, TransferError> {
    let mut content = Content::default();
    let mut batches = batches(log, stream, partition, info.begin_sequence_number, info);
    while let Some(batch) = batches.recv().await {
        let batch = batch?;
        batch.iter().for_each(|record| add(&mut content, record));
        advance(batch.len() as u64);
    }
    Ok(content)
}
