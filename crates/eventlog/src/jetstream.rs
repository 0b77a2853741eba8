//! The event log that several nodes share: NATS JetStream, from server 2.9 on.
//!
//! ```text
//! key-value bucket <prefix>-catalog                       which streams there are (`catalog`)
//! one JetStream stream per partition, one subject each    <prefix>.log.<namespace>.<hub>.<incarnation>.<partition>
//!   message = frame = all records of one or several appends (`frame`)
//! <prefix>.notice.…                                       "there is something new", to nodes that wait (`wait`)
//! <prefix>.append.v1.…, <prefix>.appended.v1.…            appends for the node that writes a partition (`handover`)
//! ```
//!
//! A frame is published expecting a certain message to be the partition's last. So writers on all nodes stand in one
//! line, numbers are dense, a frame is stored once or never, and a writer that is up to date knows every key
//! (`lane`, `history`). Where several nodes append to a partition at once, all but one hand their records to that one
//! (`handover`): frames that are refused cost as much as those that are taken. Reading goes by JetStream sequence; what
//! is near the end comes from memory (`read`, `memory`). Retention purges whole frames (`trim`).
//!
//! **How durable.** An append is answered after the stream's leader acknowledged it: with `replicas` 3, two servers
//! have it. A NATS server hands data to the operating system at once and syncs the disk later (2.9: every two minutes,
//! not configurable; later versions: `sync_interval`). So what is acknowledged survives the end of any process; a
//! power failure may take the last moments of a server from it, and records only if it hits a majority at once. With
//! one replica that is one machine: use three where power may fail.
//!
//! **Between nodes** everything is exact but for one thing: a reader that goes on by sequence number where it was may
//! for up to a second be given records from memory that another node has just trimmed or deleted.
//!
//! **Rights** the account needs: publish and subscribe on `<prefix>.>`, `$KV.<prefix>-catalog.>` and `_INBOX.>`,
//! publish on `$JS.API.>`. Set the server's `max_payload` to what an append may be (8 MB suits; the default of 1 MB
//! leaves no room for events of 1 MiB).

mod catalog;
mod connect;
mod frame;
mod handover;
mod history;
mod import;
mod lane;
mod limits;
mod memory;
mod names;
mod partition;
mod partitions;
mod read;
mod tag;
mod trim;
mod turns;
mod wait;
mod wire;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::StreamExt;
use pollux_model::{Clock, Timestamp};
use tokio::sync::oneshot;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use self::catalog::{Catalog, unavailable};
pub use self::connect::OpenError;
use self::handover::exchange::Exchange;
use self::handover::serve::serve;
use self::lane::{Call, Work, ended};
use self::partition::Shared;
use self::partitions::Partitions;
use self::tag::FrameIds;
use crate::log::{
    EventLog, LogError, NewRecord, PartitionInfo, Position, ReadFrom, ReadLimit, Record, StreamConfig,
    StreamName, Trimmed,
};

/// How many of a partition's newest keyed records an idempotency key is compared with.
pub const JETSTREAM_KEYS: usize = 16_384;
/// How long the server may take to say that it is well.
const HEALTHY: Duration = Duration::from_secs(2);

/// Settings and bounds of a [`JetStreamLog`].
#[derive(Clone, Debug)]
pub struct JetStreamOptions {
    /// What all names on the server begin with: 1 to 32 characters of `A-Z a-z 0-9 - _`. Logs with different prefixes
    /// have nothing in common.
    pub prefix: String,
    /// Copies of every stream that this log makes, 1 to 5; as many servers are needed.
    pub replicas: usize,
    /// A `.creds` file.
    pub credentials: Option<PathBuf>,
    /// Certificates (PEM) of the authorities to trust instead of the system's; makes TLS a must.
    pub ca: Option<PathBuf>,
    /// How long a call tries before it is answered [`LogError::Unavailable`].
    pub timeout: Duration,
    /// Largest payload of one record; the server's `max_payload` may allow less.
    pub max_record_bytes: usize,
    /// Newest records kept in memory, bytes per partition in use.
    pub tail_cache_bytes: usize,
    /// Older records kept for readers that come back for more, bytes per partition in use.
    pub read_ahead_bytes: usize,
    /// Appends waiting to be stored, bytes per partition; beyond it they are refused ([`LogError::Busy`]).
    pub queue_bytes: usize,
}

impl Default for JetStreamOptions {
    fn default() -> Self {
        Self {
            prefix: "pollux".to_owned(),
            replicas: 1,
            credentials: None,
            ca: None,
            timeout: Duration::from_secs(5),
            // Event Hubs' 1 MiB event, with room for annotations added on the way.
            max_record_bytes: 1024 * 1024 + 64 * 1024,
            tail_cache_bytes: 1024 * 1024,
            read_ahead_bytes: 4 * 1024 * 1024,
            queue_bytes: 16 * 1024 * 1024,
        }
    }
}

/// An [`EventLog`] on a NATS server or cluster. Any number of them, in any number of processes, share one log.
#[derive(Debug)]
pub struct JetStreamLog {
    shared: Arc<Shared>,
    partitions: Arc<Partitions>,
    tasks: Vec<AbortHandle>,
    /// Dropped with the log: no more hand-overs are taken.
    _serving: oneshot::Sender<()>,
}

impl JetStreamLog {
    /// Connects to `nats://[user:password@|token@]host[:port]` or `tls://…`, several of them separated by commas, and
    /// makes the log if it is not there.
    ///
    /// # Errors
    /// [`OpenError`], which says what to do.
    pub async fn connect(
        url: &str,
        options: JetStreamOptions,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, OpenError> {
        let wire = connect::connect(url, &options).await?;
        let catalog = Catalog::new(wire.clone(), &options.prefix, options.replicas);
        catalog.prepare().await.map_err(|failure| OpenError::Catalog(failure.to_string()))?;
        let frame_ids = FrameIds::new();
        let exchange = Exchange::new(wire.clone(), &options.prefix, frame_ids.tag());
        let shared = Arc::new(Shared { wire, catalog, options, clock, frame_ids, exchange });
        let partitions = Arc::new(Partitions::new(Arc::clone(&shared)));
        let watching = tokio::spawn(watch(Arc::clone(&shared), Arc::clone(&partitions))).abort_handle();
        let (listening, serving) = join(&shared, &partitions).await;
        let log = Self { shared, partitions, tasks: vec![watching, listening], _serving: serving };
        if log.max_call_bytes() < log.shared.options.max_record_bytes {
            tracing::warn!(
                largest_event = log.max_call_bytes(),
                "the NATS server's max_payload is small: larger events will be refused; set it to 4 MB or more"
            );
        }
        Ok(log)
    }

    /// Whether there is a connection to a server.
    #[must_use]
    pub fn connected(&self) -> bool {
        self.shared.wire.link.borrow().up
    }

    /// The largest append the server takes, all its records together.
    #[must_use]
    pub fn max_call_bytes(&self) -> usize {
        self.shared.max_call_bytes()
    }

    /// How many groups of appends this log has handed to others that write the same partition, and which those stored.
    #[must_use]
    pub fn handed_over(&self) -> u64 {
        self.shared.exchange.handed_over()
    }
}

impl Drop for JetStreamLog {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
        self.shared.exchange.close();
    }
}

/// Listens to changes of the catalog by other nodes, and to the connection coming back.
async fn watch(shared: Arc<Shared>, partitions: Arc<Partitions>) {
    let mut link = shared.wire.link.clone();
    let Ok(mut changes) = shared.wire.client.subscribe(shared.catalog.changes()).await else { return };
    loop {
        let changed = tokio::select! {
            change = changes.next() => match change {
                Some(message) => shared.catalog.changed(&message.subject),
                None => return,
            },
            lost = link.changed() => match lost {
                // Changes may have been missed.
                Ok(()) => { shared.catalog.forget_all(); None }
                Err(_) => return,
            },
        };
        let Some(stream) = changed else { continue };
        partitions.check(&stream).await;
    }
}

/// Begins to take what other nodes hand over, and their answers; what ends each.
async fn join(shared: &Arc<Shared>, partitions: &Arc<Partitions>) -> (AbortHandle, oneshot::Sender<()>) {
    let (serving, end) = oneshot::channel();
    let client = &shared.wire.client;
    // Before anything is appended: who is overtaken by this node's first frame finds it there.
    match client.subscribe(shared.exchange.requests()).await {
        Ok(requests) => {
            tokio::spawn(serve(Arc::clone(shared), Arc::clone(partitions), requests, end));
        }
        Err(error) => tracing::warn!(%error, "appends of other nodes are not taken"),
    }
    let answers = client.subscribe(shared.exchange.answers()).await;
    let asking = Arc::clone(shared);
    let listening = tokio::spawn(async move {
        match answers {
            Ok(answers) => asking.exchange.listen(answers).await,
            Err(_) => asking.exchange.close(),
        }
    });
    (listening.abort_handle(), serving)
}

#[async_trait]
impl EventLog for JetStreamLog {
    async fn create(&self, stream: &StreamName, config: &StreamConfig) -> Result<(), LogError> {
        self.shared.catalog.create(stream, config).await
    }

    async fn delete(&self, stream: &StreamName) -> Result<(), LogError> {
        let deleted = self.shared.catalog.delete(stream).await;
        self.partitions.check(stream).await;
        self.partitions.forget(stream);
        deleted
    }

    async fn streams(&self) -> Result<Vec<(StreamName, StreamConfig)>, LogError> {
        let entries = self.shared.catalog.list().await?;
        Ok(entries.into_iter().map(|(stream, entry)| (stream, entry.config())).collect())
    }

    async fn append(
        &self,
        stream: &StreamName,
        partition: u32,
        records: Vec<NewRecord>,
    ) -> Result<Vec<Position>, LogError> {
        let bytes = self.shared.check(&records)?;
        let partition = self.partitions.of(stream, partition).await?;
        if records.is_empty() {
            return self.partitions.answer(stream, partition.place().await.map(|_| Vec::new()));
        }
        let (reply, answer) = oneshot::channel();
        let deadline = self.shared.wire.deadline();
        partition.enqueue(Call { work: Work::Append(records), bytes, deadline, reply })?;
        drop(partition);
        self.partitions.answer(stream, answer.await.map_err(|_| ended())?)
    }

    async fn read(
        &self,
        stream: &StreamName,
        partition: u32,
        from: &ReadFrom,
        max: ReadLimit,
    ) -> Result<Vec<Record>, LogError> {
        let read = self.partitions.of(stream, partition).await?.read(from, max).await;
        self.partitions.answer(stream, read)
    }

    async fn wait(&self, stream: &StreamName, partition: u32, after_sequence: i64) -> Result<(), LogError> {
        let waited = self.partitions.of(stream, partition).await?.wait(after_sequence).await;
        self.partitions.answer(stream, waited)
    }

    async fn partition(&self, stream: &StreamName, partition: u32) -> Result<PartitionInfo, LogError> {
        let info = self.partitions.of(stream, partition).await?.info().await;
        self.partitions.answer(stream, info)
    }

    async fn trim(&self, now: Timestamp) -> Result<Trimmed, LogError> {
        let mut total = Trimmed::default();
        for (stream, entry) in self.shared.catalog.sweep().await? {
            let config = entry.config();
            for number in 0..config.partitions {
                let partition = self.partitions.of(&stream, number).await?;
                match partition.trim(&config.retention, now).await {
                    Ok(trimmed) => {
                        total.records += trimmed.records;
                        total.bytes += trimmed.bytes;
                    }
                    // Deleted meanwhile.
                    Err(LogError::UnknownStream(_) | LogError::UnknownPartition { .. }) => break,
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(total)
    }

    async fn healthy(&self) -> Result<(), LogError> {
        if !self.connected() {
            return Err(LogError::Unavailable("there is no connection to NATS".to_owned()));
        }
        let answered = self.shared.wire.account(Instant::now() + HEALTHY).await;
        answered.map_err(|failure| unavailable(&failure))
    }

    async fn begin_after(&self, stream: &StreamName, partition: u32, last: Position) -> Result<(), LogError> {
        let partition = self.partitions.of(stream, partition).await?;
        self.partitions.answer(stream, partition.perform(Work::Begin(last), 0).await)
    }

    async fn import(
        &self,
        stream: &StreamName,
        partition: u32,
        records: Vec<Record>,
    ) -> Result<(), LogError> {
        let bytes = self.shared.check_import(&records)?;
        let partition = self.partitions.of(stream, partition).await?;
        self.partitions.answer(stream, partition.perform(Work::Import(records), bytes).await)
    }
}
