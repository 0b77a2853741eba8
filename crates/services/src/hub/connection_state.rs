//! A device or module connected, or is gone: what routes of deviceConnectionStateEvents are told.
//!
//! Azure articles "IoT Hub non-telemetry event schemas" (what an event says) and "React to IoT Hub events by using Event Grid",
//! "Limitations for device connected and device disconnected events" (the state is told as of a snapshot each 60 s). Here a
//! connection is told at once, and that it is gone once nobody took its place within that time.
//!
//! ```text
//!   connects   nothing told, or absence ─▶ one commit: notice (connected), deviceConnected
//!              told connected already   ─▶ the notice is of this connection from now on; nothing is told
//!   leaves                              ─▶ its notice runs out in connection_state_seconds
//!   runs out, and it is nowhere         ─▶ one commit: notice (absent), deviceDisconnected
//!   a node is gone                      ─▶ whoever has the lease lets its notices run out in that time
//! ```
//!
//! The notice is a message in a queue of the connection's own, so that it outlives every node, and what has run out is found as
//! other messages are ([`expire.rs`](super::cloud_to_device)). One of absence is kept for a day: clocks of nodes may differ, and
//! sequence numbers must grow. Whether anybody is there is asked of all nodes before a device is said to be gone, so nothing that a
//! crash or a lost message leaves behind tells of an absence that is none.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use pollux_model::device::Device;
use pollux_model::message::{Ack, ConnectionQueue, MessageProperties, MessageQueue, QueuedMessage};
use pollux_model::resource::{Resource, ResourceKind, RouteSource};
use pollux_model::{DeviceAddress, Error, Etag, ResourceName, Result, Timestamp};
use pollux_store::messages::Which;
use pollux_store::{Batch, Expect, Write};
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use super::Hub;
use super::cloud_to_device::{ATTEMPTS, contended, moved};
use super::connections::Departure;
use super::hub_event::connection_state;
use crate::cluster::Holding;

const SOURCE: RouteSource = RouteSource::DeviceConnectionStateEvents;
/// The lease of whoever looks after the notices of nodes that are gone.
const LEASE: &str = "connection-states";
/// When the notice of a connection that stands runs out: in the year 9999.
const STANDS: Timestamp = Timestamp::from_secs(253_370_764_800);
/// How long the notice of an absence is kept.
const REMEMBERED: Duration = Duration::from_secs(24 * 3600);
/// Notices read at once, and written side by side.
const CHUNK: usize = 256;
const SIDE_BY_SIDE: usize = 32;
/// The pause after a failure.
const PAUSE: Duration = Duration::from_secs(1);

/// What was told last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Notice {
    connected: bool,
    /// The node that has, or had, the connection.
    node: String,
    sequence: Sequence,
}

/// The sequence number of what was told; it grows with each event of a device.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Sequence {
    /// Hundreds of nanoseconds since 1601, as in the article's examples.
    ticks: u64,
    /// How many events it was.
    count: u64,
}

impl Sequence {
    fn next(self, now: Timestamp) -> Self {
        const BEFORE_1970: i64 = 11_644_473_600 * 1_000_000;
        let ticks = u64::try_from((now.as_micros() + BEFORE_1970) * 10).unwrap_or_default();
        Self { ticks: ticks.max(self.ticks), count: self.count + 1 }
    }

    /// 256 bits as hexadecimal digits: of two the greater text is the later one.
    fn text(self) -> String {
        let Self { ticks, count } = self;
        format!("{:016X}{ticks:016X}{:08X}{count:024X}", 0, 2)
    }
}

impl Hub {
    /// Tells that the device or module connected, unless that is known. Done before the connection counts: one that is not told
    /// of is none.
    pub(super) async fn tell_connected(&self, hub: &Resource, device: &Device) -> Result<()> {
        if !self.has_routes(hub, SOURCE) {
            return Ok(());
        }
        let id = device.address();
        for _ in 0..ATTEMPTS {
            let (found, now) = (self.notice(&hub.name, &id).await?, self.context.clock.now());
            let last = found.as_ref().map(|(_, notice)| notice);
            let told = last.is_some_and(|notice| notice.connected);
            let sequence = last.map(|notice| notice.sequence).unwrap_or_default();
            let sequence = if told { sequence } else { sequence.next(now) };
            let notice = Notice { connected: true, node: self.node(), sequence };
            let mut batch =
                self.replacing(&hub.name, &id, found.as_ref().map(|(old, _)| old), &notice, STANDS)?;
            if !told {
                let event = connection_state(hub, &id, true, &sequence.text(), now);
                batch.writes.extend(self.outbox(hub, event, Some(device)));
            }
            if !moved(self.context.store.commit(batch).await)? {
                return Ok(());
            }
        }
        Err(contended())
    }

    /// Looks after notices until shutdown: of what leaves this node, and, on one node for all, of what nodes that are gone left.
    pub(crate) async fn run_connection_states(self: Arc<Self>, shutdown: CancellationToken) {
        let work = |holding: Holding| Arc::clone(&self).sweep_connections(holding.stop);
        tokio::join!(
            self.context.cluster.while_held(LEASE, &shutdown, work),
            self.note_departures(&shutdown)
        );
    }

    async fn note_departures(&self, shutdown: &CancellationToken) {
        loop {
            let departed = tokio::select! {
                () = shutdown.cancelled() => return,
                departed = self.connections.departed() => departed,
            };
            let noting = departed.into_iter().map(|one| async { (self.left(&one).await, one) });
            let mut noted = futures_util::stream::iter(noting).buffer_unordered(SIDE_BY_SIDE);
            let mut failed = None;
            while let Some((done, departure)) = noted.next().await {
                if let Err(error) = done {
                    self.connections.departs(departure);
                    failed = Some(error);
                }
            }
            if let Some(error) = failed {
                tracing::warn!(%error, "that devices left cannot be noted: it is tried again");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }

    /// Lets the notice run out. One that was connected before anybody asked has none: it gets one.
    async fn left(&self, Departure { key: (name, id), entered }: &Departure) -> Result<()> {
        let Some(hub) = self.context.table.named(ResourceKind::Hub, name) else { return Ok(()) };
        if !self.has_routes(&hub, SOURCE) {
            return Ok(());
        }
        for _ in 0..ATTEMPTS {
            let until = self.context.clock.now().plus(self.context.limits.connection_state());
            let batch = match self.notice(name, id).await? {
                // Where another node has it, that is for that node to say.
                Some((message, notice)) if notice.connected && notice.node == self.node() => {
                    self.running_out(name, message, until)
                }
                None if *entered => {
                    let notice = Notice { connected: true, node: self.node(), sequence: Sequence::default() };
                    self.replacing(name, id, None, &notice, until)?
                }
                Some(_) | None => return Ok(()),
            };
            if !moved(self.context.store.commit(batch).await)? {
                return Ok(());
            }
        }
        Err(contended())
    }

    /// A notice has run out: the device is gone, or there all the same, or its absence need not be remembered any more. Whether
    /// anything was done.
    pub(super) async fn connection_ran_out(
        &self,
        name: ResourceName,
        message: QueuedMessage,
    ) -> Result<bool> {
        let name = &name;
        let commit = async |batch| Ok(!moved(self.context.store.commit(batch).await)?);
        let hub =
            self.context.table.named(ResourceKind::Hub, name).filter(|hub| self.has_routes(hub, SOURCE));
        let notice = read(&message).filter(|notice| notice.connected);
        let id = match &message.queue {
            MessageQueue::Connection(queue) => queue.address().ok(),
            MessageQueue::Device(_)
            | MessageQueue::Feedback
            | MessageQueue::FileNotifications
            | MessageQueue::Uploads(_) => None,
        };
        let (Some(hub), Some(notice), Some(id)) = (hub, notice, &id) else {
            return commit(forget(name, &message).into()).await;
        };
        // Who does not hear the others cannot say that a device is nowhere.
        if !self.context.cluster.hears() {
            return Ok(false);
        }
        let Ok(since) = self.connections.since_for_certain(name, id).await else { return Ok(false) };
        if since.is_some() {
            return commit(self.running_out(name, message, STANDS)).await;
        }
        let now = self.context.clock.now();
        let sequence = notice.sequence.next(now);
        let absent = Notice { connected: false, sequence, ..notice };
        let mut batch = self.replacing(name, id, Some(&message), &absent, now.plus(REMEMBERED))?;
        let asks_twin = self.needs_twin(&hub, SOURCE);
        let twin = if asks_twin { self.context.store.addressed(name, id).await? } else { None };
        let event = connection_state(&hub, id, false, &sequence.text(), now);
        batch.writes.extend(self.outbox(&hub, event, twin.as_ref()));
        commit(batch).await
    }

    /// Looks whenever nodes, or resources, come and go.
    async fn sweep_connections(self: Arc<Self>, stop: CancellationToken) {
        let (mut members, mut resources) = (self.context.cluster.members(), self.context.table.subscribe());
        let alone = self.context.cluster.others().is_none();
        loop {
            members.mark_unchanged();
            resources.mark_unchanged();
            let again = match self.sweep().await {
                Ok(()) => Duration::MAX,
                Err(error) => {
                    tracing::warn!(%error, "notices of connections cannot be looked after");
                    PAUSE
                }
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(again), if again != Duration::MAX => {}
                changed = members.changed(), if !alone => if changed.is_err() { return },
                changed = resources.changed() => if changed.is_err() { return },
            }
        }
    }

    /// Lets the notices of nodes that are gone run out, and forgets those that nobody asks for any more.
    async fn sweep(&self) -> Result<()> {
        for hub in self.context.table.all().iter().filter(|one| one.kind() == ResourceKind::Hub) {
            let (tells, mut after) = (self.has_routes(hub, SOURCE), None);
            loop {
                let store = &self.context.store;
                let page = store.connection_notices(&hub.name, after.as_deref(), CHUNK).await?;
                let until = self.context.clock.now().plus(self.context.limits.connection_state());
                let batches = page.items.into_iter().filter_map(|message| match read(&message) {
                    Some(notice) if tells => {
                        let left = notice.connected && message.expires == STANDS && !self.lives(&notice.node);
                        left.then(|| self.running_out(&hub.name, message, until))
                    }
                    _ => Some(forget(&hub.name, &message).into()),
                });
                // Where one is not as it was, somebody else sees to it.
                let writing = batches.map(|batch| async { moved(store.commit(batch).await) });
                let mut written = futures_util::stream::iter(writing).buffer_unordered(SIDE_BY_SIDE);
                while let Some(done) = written.next().await {
                    let _moved = done?;
                }
                match page.next {
                    Some(next) => after = Some(next),
                    None => break,
                }
            }
        }
        Ok(())
    }

    async fn notice(
        &self,
        hub: &ResourceName,
        id: &DeviceAddress,
    ) -> Result<Option<(QueuedMessage, Notice)>> {
        let queue = MessageQueue::Connection(ConnectionQueue::of(id));
        let found = self.context.store.messages(hub, &queue, Which::All, 1).await?.pop();
        Ok(found.and_then(|message| read(&message).map(|notice| (message, notice))))
    }

    /// A notice in place of what was there.
    fn replacing(
        &self,
        hub: &ResourceName,
        id: &DeviceAddress,
        old: Option<&QueuedMessage>,
        notice: &Notice,
        expires: Timestamp,
    ) -> Result<Batch> {
        let payload = serde_json::to_vec(notice).map_err(|_| Error::internal())?;
        let message = QueuedMessage {
            queue: MessageQueue::Connection(ConnectionQueue::of(id)),
            sequence: 0,
            etag: Etag::fresh(&*self.context.random),
            enqueued: self.context.clock.now(),
            expires,
            lock: None,
            delivery_count: 0,
            ack: Ack::None,
            generation_id: String::new(),
            system: MessageProperties::default(),
            properties: Vec::new(),
            payload,
        };
        let writes = old.map(|old| forget(hub, old)).into_iter();
        let put = Write::PutMessage { hub: hub.clone(), message: Box::new(message), expect: Expect::Absent };
        Ok(Batch { writes: writes.chain([put]).collect() })
    }

    /// The same notice with another time.
    fn running_out(&self, hub: &ResourceName, message: QueuedMessage, expires: Timestamp) -> Batch {
        let expect = Expect::Etag(message.etag.clone());
        let message = QueuedMessage { etag: Etag::fresh(&*self.context.random), expires, ..message };
        Write::PutMessage { hub: hub.clone(), message: Box::new(message), expect }.into()
    }

    /// This process's name.
    fn node(&self) -> String {
        self.context.cluster.node().unwrap_or(&self.incarnation).to_owned()
    }

    fn lives(&self, node: &str) -> bool {
        match self.context.cluster.node() {
            Some(_) => self.context.cluster.is_live(node),
            None => self.incarnation == node,
        }
    }
}

fn read(message: &QueuedMessage) -> Option<Notice> {
    serde_json::from_slice(&message.payload).ok()
}

fn forget(hub: &ResourceName, message: &QueuedMessage) -> Write {
    Write::DeleteMessage {
        hub: hub.clone(),
        queue: message.queue.clone(),
        sequence: message.sequence,
        expect: Expect::Etag(message.etag.clone()),
    }
}

#[cfg(test)]
mod tests;
