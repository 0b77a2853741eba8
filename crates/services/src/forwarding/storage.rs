//! Storage containers: what waits in a partition becomes blobs, each of what came within the endpoint's time.
//!
//! ```text
//!   first message ── batch frequency, or the blob is full ──▶ read once more, encoded, uploaded ──▶ named ──▶ checkpoint
//! ```
//!
//! Nothing is held until then but how much there is: the stream keeps the messages. A blob has its name when all of it is there; the
//! name is that of its first message and of the lease under which it is written. So one that is written once more takes its own place,
//! and never that of what another node wrote since with more messages: what a crash or a lease that moves leaves open is there twice,
//! nothing is there no more (at least once, Azure article "Use IoT Hub message routing"). While the storage is away, messages wait in
//! the stream.

use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};
use std::time::Duration;

use bytes::Bytes;
use pollux_eventlog::{ReadLimit, Record};
use pollux_model::event::Checkpoint;
use pollux_model::resource::{BlobsOf, Encoding, EndpointTarget, FirstMessage, Resource, StorageContainer};
use pollux_model::{Error, Result, Timestamp};

use super::Place;
use super::avro;
use super::forwarder::Forwarder;
use super::hub_message::HubMessage;
use super::s3::{self, Bucket, Object};
use crate::blobs::{BlobError, Blobs, Container, Upload};
use crate::cluster::Fence;
use crate::consume::{BATCH, Consumer};
use crate::context::Context;
use crate::hub::files::CONTAINER as UPLOADS;

/// The first message of a blob.
const ONE: ReadLimit = ReadLimit { records: 1, bytes: 1 };
/// How often is looked whether a blob is full, where messages come all the time.
const LOOK: Duration = Duration::from_secs(1);

/// How often a bucket is asked for what was begun and not finished.
const SWEEP: Duration = Duration::from_secs(3600);
/// How old that is at least: whoever began it had the lease before us, or is us before a crash.
const LEFT: Duration = Duration::from_secs(3600);

/// What is known of writing to the endpoint.
#[derive(Debug, Default)]
pub(super) struct Storing {
    /// Failures since the last blob.
    failures: AtomicU32,
    /// When what was not finished was last removed, in seconds; 0: not since this node began.
    swept: AtomicI64,
}

/// What a blob is made of.
struct Batch<'b> {
    keeper: &'b Resource,
    storage: &'b StorageContainer,
    first: &'b Record,
    /// What was read before it.
    after: Option<i64>,
    /// The last message that may be in it.
    until: i64,
    /// Of the lease under which it is written.
    epoch: Option<i64>,
}

impl Forwarder {
    /// Waits until a blob is due, and writes it. Gives what was read last; where the storage is away that is what it was.
    pub(super) async fn write_blob(
        &self,
        consumer: &Consumer,
        fence: Option<&Fence>,
        last: Option<i64>,
    ) -> Result<Option<i64>> {
        let Some(first) = consumer.read(last, ONE).await?.pop() else {
            return consumer.wait_for_more(last).await;
        };
        let Some(until) = self.due(consumer, &first, last).await? else { return Ok(last) };
        // As it is now: the operator may have mended it.
        let Some(keeper) = self.place().keeper(self.context()) else { return Ok(last) };
        let Some(EndpointTarget::Storage(storage)) = self.target(&keeper) else { return Ok(last) };
        let batch = Batch {
            keeper: &keeper,
            storage,
            first: &first,
            after: last,
            until,
            epoch: fence.map(Fence::epoch),
        };
        match self.written(consumer, fence, &batch).await? {
            Ok((checkpoint, count)) => {
                self.storing().failures.store(0, Ordering::Relaxed);
                if count > 0 {
                    self.accepted(count);
                }
                consumer.keep(fence, checkpoint).await?;
                Ok(Some(checkpoint.sequence_number))
            }
            Err(why) => {
                let failures = self.storing().failures.fetch_add(1, Ordering::Relaxed).saturating_add(1);
                self.fails(why, failures, None).await;
                Ok(last)
            }
        }
    }

    /// Waits for the time of the blob, or until it is full; gives the last message of it. `None`: the endpoint is another one.
    async fn due(&self, consumer: &Consumer, first: &Record, last: Option<i64>) -> Result<Option<i64>> {
        let (mut seen, mut bytes) = (last, 0_u64);
        loop {
            let Some(keeper) = self.place().keeper(self.context()) else { return Ok(None) };
            let Some(EndpointTarget::Storage(storage)) = self.target(&keeper) else { return Ok(None) };
            let due = first.enqueued_time.plus(storage.batch_frequency());
            let records = consumer.read(seen, BATCH).await?;
            if let Some(newest) = records.last() {
                seen = Some(newest.sequence_number);
                bytes += records.iter().map(|record| record.payload.len() as u64).sum::<u64>();
                if bytes >= storage.max_chunk_bytes || newest.enqueued_time >= due {
                    return Ok(seen);
                }
                continue;
            }
            let now = self.context().clock.now();
            if now >= due {
                return Ok(seen);
            }
            let left = due.since(now);
            tokio::select! {
                () = tokio::time::sleep(left) => {}
                more = consumer.wait(seen.unwrap_or(-1)) => {
                    more?;
                    tokio::time::sleep(LOOK.min(left)).await;
                }
            }
        }
    }

    /// Writes a blob: its last message, and how many it has. What the storage says is the inner error.
    async fn written(
        &self,
        consumer: &Consumer,
        fence: Option<&Fence>,
        batch: &Batch<'_>,
    ) -> Result<Result<(Checkpoint, usize), String>> {
        let (context, blobs) = (self.context(), self.blobs());
        let place = match container(blobs, batch.keeper, batch.storage) {
            Ok(place) => place,
            Err(why) => return Ok(Err(why)),
        };
        if let Home::Bucket(bucket) = &place {
            self.sweep(bucket, batch).await;
        }
        let name = batch.name(self.place());
        let mut upload = match place.begin(context, blobs, &name, batch.content_type()).await {
            Ok(upload) => upload,
            Err(why) => return Ok(Err(why)),
        };
        let mut sync = avro::Sync::default();
        context.random.fill(&mut sync);
        let mut out = batch.header(&sync);
        let (mut size, mut count) = (0, 0);
        let mut end = Checkpoint { sequence_number: batch.first.sequence_number, offset: batch.first.offset };
        let mut at = batch.after;
        while at.is_none_or(|at| at < batch.until) {
            let mut records = consumer.read(at, BATCH).await?;
            records.retain(|record| record.sequence_number <= batch.until);
            let Some(newest) = records.last() else { break };
            let (part, last) = (batch.encoded(&records, &sync), newest.position());
            let (size_with, messages) = (size + part.bytes.len() as u64, part.count);
            if size > 0 && size_with > batch.storage.max_chunk_bytes {
                break;
            }
            for unreadable in part.unreadable {
                let why = "it is no message of a hub".to_owned();
                self.put_aside(unreadable, 1, why, fence).await?;
            }
            for bytes in [std::mem::take(&mut out), part.bytes] {
                if let Err(why) = upload.write(bytes).await {
                    upload.abandon().await;
                    return Ok(Err(why));
                }
            }
            (size, count, at) = (size_with, count + messages, Some(last.sequence_number));
            end = Checkpoint { sequence_number: last.sequence_number, offset: last.offset };
        }
        if count == 0 {
            // All of it was put aside, or the stream kept it no longer: what would be written is no blob of anything.
            upload.abandon().await;
            return Ok(Ok((end, 0)));
        }
        Ok(upload.finish().await.map(|()| (end, count)))
    }

    /// Removes parts of objects of this partition that nobody will finish: they take room that nobody sees. A container of an
    /// account forgets such blocks by itself, and of a folder drafts are swept.
    async fn sweep(&self, bucket: &Bucket, batch: &Batch<'_>) {
        let now = self.context().clock.now();
        let last = Timestamp::from_secs(self.storing().swept.load(Ordering::Relaxed));
        if now.since(last) < SWEEP {
            return;
        }
        self.storing().swept.store(now.as_secs(), Ordering::Relaxed);
        let (of, format) = (batch.of(self.place()), &batch.storage.file_name_format);
        let is_ours = |key: &str| format.names(&of, key, batch.extension());
        let prefix = format.prefix(&of);
        let left = bucket.abandon_left(self.context(), &prefix, now.minus(LEFT), is_ours).await;
        if let Err(why) = left {
            tracing::warn!(why, "parts of objects that were not finished stay in the bucket");
        }
    }
}

/// Some messages of a blob.
struct Part<'r> {
    bytes: Bytes,
    count: usize,
    unreadable: Vec<&'r Record>,
}

impl Batch<'_> {
    fn name(&self, place: &Place) -> String {
        let Record { enqueued_time: enqueued, sequence_number, .. } = *self.first;
        let first = FirstMessage { enqueued, sequence_number, epoch: self.epoch };
        self.storage.file_name_format.expand(&self.of(place), &first, self.extension())
    }

    fn of<'o>(&'o self, place: &'o Place) -> BlobsOf<'o> {
        BlobsOf { hub: &self.keeper.name, endpoint: &place.endpoint, partition: place.partition }
    }

    const fn extension(&self) -> &'static str {
        match self.storage.encoding {
            Encoding::Avro => ".avro",
            Encoding::Json => ".json",
        }
    }

    const fn content_type(&self) -> &'static str {
        match self.storage.encoding {
            Encoding::Avro => "application/octet-stream",
            Encoding::Json => "application/json",
        }
    }

    fn header(&self, sync: &avro::Sync) -> Bytes {
        match self.storage.encoding {
            Encoding::Avro => avro::header(sync),
            Encoding::Json => Bytes::new(),
        }
    }

    fn encoded<'r>(&self, records: &'r [Record], sync: &avro::Sync) -> Part<'r> {
        let (mut messages, mut unreadable) = (Vec::new(), Vec::new());
        for record in records {
            match HubMessage::read(record) {
                Some(message) => messages.push(message),
                None => unreadable.push(record),
            }
        }
        let bytes = match self.storage.encoding {
            _ if messages.is_empty() => Bytes::new(),
            Encoding::Avro => avro::block(&messages, sync),
            Encoding::Json => messages.iter().map(HubMessage::json_line).collect::<String>().into(),
        };
        Part { bytes, count: messages.len(), unreadable }
    }
}

/// Where an endpoint's blobs go.
enum Home {
    Container(Container),
    Bucket(Bucket),
}

/// What is being written there.
enum Writing<'w> {
    Blob(Upload<'w>),
    Object(Object<'w>),
}

fn container(blobs: &Blobs, keeper: &Resource, storage: &StorageContainer) -> Result<Home, String> {
    match &storage.connection_string {
        Some(text) if text.0.starts_with(s3::PREFIX) => {
            let bucket = Bucket::read(text, &storage.container);
            bucket.map(Home::Bucket).map_err(|error| error.message)
        }
        Some(text) => {
            Container::of(text, &storage.container).map(Home::Container).map_err(BlobError::message)
        }
        None if storage.container == UPLOADS => {
            Err(format!("the folder '{UPLOADS}' has what devices upload: give the container another name"))
        }
        None => blobs.own(&keeper.name, &storage.container).map(Home::Container).map_err(BlobError::message),
    }
}

impl Home {
    async fn begin<'w>(
        &'w self,
        context: &'w Context,
        blobs: &'w Blobs,
        name: &str,
        content_type: &'static str,
    ) -> Result<Writing<'w>, String> {
        let container = match self {
            Self::Bucket(bucket) => return Ok(Writing::Object(bucket.begin(context, name, content_type))),
            Self::Container(container) => container,
        };
        let begun = async {
            blobs.ensure(container).await?;
            blobs.begin(&container.blob(name)?, content_type).await
        };
        begun.await.map(Writing::Blob).map_err(BlobError::message)
    }
}

impl Writing<'_> {
    async fn write(&mut self, bytes: Bytes) -> Result<(), String> {
        match self {
            Self::Blob(upload) => upload.write(bytes).await.map_err(BlobError::message),
            Self::Object(object) => object.write(bytes).await,
        }
    }

    /// Gives it its name.
    async fn finish(self) -> Result<(), String> {
        match self {
            Self::Blob(upload) => upload.finish().await.map_err(BlobError::message),
            Self::Object(object) => object.finish().await,
        }
    }

    /// What is dropped unfinished has no name; of an object in parts more is left than that.
    async fn abandon(self) {
        if let Self::Object(object) = self {
            object.abandon().await;
        }
    }
}

/// Whether blobs could go there, as far as that can be said without asking.
///
/// # Errors
/// [`ErrorCode::InvalidArgument`](pollux_model::ErrorCode::InvalidArgument), without secrets.
pub(crate) fn check_storage(blobs: &Blobs, keeper: &Resource, storage: &StorageContainer) -> Result<()> {
    storage.check()?;
    container(blobs, keeper, storage).map(drop).map_err(Error::invalid)
}

#[cfg(test)]
mod tests;
