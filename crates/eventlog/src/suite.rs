//! What every event log must do: generic test bodies over [`EventLog`]. A backend's tests iterate [`cases`].
//!
//! A case gets a fresh, empty log. The backend behind it should keep its storage units small (a few KiB), so that
//! retention has something to remove, and hold records of at most [`MAX_RECORD`] bytes.

mod durability;
mod moving;
mod reading;
mod streams;
mod writing;

use std::fmt::Debug;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use crate::log::{
    EventLog, IdempotencyKey, NewRecord, Position, ReadFrom, ReadLimit, Record, Retention, StreamConfig,
    StreamName,
};

/// The largest payload the log under test must be set to take.
pub const MAX_RECORD: usize = 64 * 1024;

/// Opens the log under test.
#[async_trait]
pub trait Backend: Send + Sync + Debug {
    /// Opens the log; the second and later times with everything that was acknowledged before. The suite drops the
    /// log it had before it opens another one.
    async fn open(&self) -> Arc<dyn EventLog>;
}

/// One test. Panics where the backend breaks the contract.
pub type Case = fn(Arc<dyn Backend>) -> Pin<Box<dyn Future<Output = ()> + Send>>;

macro_rules! list {
    ($($module:ident :: $case:ident),* $(,)?) => {
        vec![$((stringify!($case), (|backend| Box::pin($module::$case(backend))) as Case)),*]
    };
}

/// All tests, by name. Each wants a backend of its own.
#[must_use]
pub fn cases() -> Vec<(&'static str, Case)> {
    list![
        writing::numbers_are_dense_and_places_grow,
        writing::concurrent_appenders_keep_their_order,
        writing::pipelined_appends_keep_their_order,
        writing::everything_of_a_record_comes_back,
        writing::limits_are_refused_as_a_whole,
        writing::an_empty_append_stores_nothing,
        writing::a_retry_with_the_same_key_is_answered_with_the_original,
        writing::a_key_twice_in_one_append_is_stored_once,
        writing::keys_count_per_partition,
        durability::a_retry_after_reopening_is_answered_with_the_original,
        durability::reopening_keeps_everything,
        durability::positions_go_on_after_trim_and_reopening,
        durability::retention_by_time_removes_what_is_old,
        durability::retention_by_size_keeps_the_newest,
        reading::every_start_inclusive_and_exclusive,
        reading::starts_outside_the_range,
        reading::limits_of_a_read,
        reading::a_backlog_is_read_in_order_in_small_steps,
        reading::wait_returns_at_once_for_what_is_there,
        reading::wait_wakes_on_append,
        reading::wait_ends_when_the_stream_is_deleted,
        streams::creating_twice_adopts_retention_and_growth,
        streams::bad_configurations_are_refused,
        streams::unknown_streams_and_partitions,
        streams::deleting_removes_everything,
        streams::streams_do_not_mix,
        moving::a_log_that_works_is_healthy,
        moving::imported_records_stay_what_they_were,
        moving::imports_that_do_not_fit_are_refused,
        moving::an_empty_partition_goes_on_elsewhere,
    ]
}

/// The stream most cases use.
fn stream() -> StreamName {
    StreamName::new("suite/events").expect("the name is valid")
}

fn config(partitions: u32) -> StreamConfig {
    StreamConfig { partitions, retention: Retention { time: Duration::from_secs(86_400), bytes: None } }
}

/// Opens the log with [`stream`] in it.
async fn open(backend: &Arc<dyn Backend>, partitions: u32) -> Arc<dyn EventLog> {
    let log = backend.open().await;
    log.create(&stream(), &config(partitions)).await.expect("create");
    log
}

fn record(payload: impl Into<Vec<u8>>) -> NewRecord {
    NewRecord { partition_key: None, payload: Bytes::from(payload.into()), idempotency_key: None }
}

fn keyed(payload: &str, key: u8) -> NewRecord {
    NewRecord { idempotency_key: Some(IdempotencyKey([key; 16])), ..record(payload) }
}

async fn append(log: &Arc<dyn EventLog>, partition: u32, records: Vec<NewRecord>) -> Vec<Position> {
    log.append(&stream(), partition, records).await.expect("append")
}

const ALL: ReadLimit = ReadLimit { records: usize::MAX, bytes: usize::MAX };

/// Everything from `from` on, in as many reads as it takes.
async fn read_all(log: &Arc<dyn EventLog>, partition: u32, from: ReadFrom) -> Vec<Record> {
    let mut out = log.read(&stream(), partition, &from, ALL).await.expect("read");
    while let Some(last) = out.last() {
        let next = ReadFrom::Sequence { number: last.sequence_number, inclusive: false };
        let more = log.read(&stream(), partition, &next, ALL).await.expect("read");
        if more.is_empty() {
            break;
        }
        out.extend(more);
    }
    out
}

fn numbers(records: &[Record]) -> Vec<i64> {
    records.iter().map(|record| record.sequence_number).collect()
}

fn texts(records: &[Record]) -> Vec<String> {
    records.iter().map(|record| String::from_utf8_lossy(&record.payload).into_owned()).collect()
}
