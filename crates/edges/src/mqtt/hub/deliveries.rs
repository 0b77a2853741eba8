//! A device's cloud-to-device messages over its connection: received while it listens, a few at a time; completed when it
//! acknowledges them (with QoS 0: when they are on their way); abandoned when the connection ends before.
//!
//! A task runs while there is something to do and not otherwise: an idle connection costs nothing. What the device has in its
//! hands for longer than its lock holds is not sent again over the same connection: the lock is renewed.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use pollux_model::message::{LockedBy, QueuedMessage};
use pollux_model::{ErrorCode, Etag, Result, Timestamp};
use pollux_mqtt::PacketId;
use pollux_services::hub::cloud_to_device::{Received, Settle};
use tokio::task::AbortHandle;

use super::{Own, devicebound};
use crate::mqtt::mailbox::Mailbox;
use crate::mqtt::session::{Close, Command, Outbound, Receipt, Sent};

/// Messages that a device may have in its hands.
const WINDOW: usize = 16;
/// Bytes of them, after which no more are received.
const WINDOW_BYTES: usize = 256 * 1024;
/// Messages received at once.
const AT_ONCE: usize = 4;

/// Messages on their way to the device.
#[derive(Debug)]
pub(super) struct Deliveries {
    own: Arc<Own>,
    mailbox: Arc<Mailbox>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    listens: bool,
    /// What earlier connections held was taken back.
    taken_back: bool,
    /// There may be messages.
    look: bool,
    /// A task is at work.
    running: bool,
    ended: bool,
    held: Vec<Held>,
    settled: Vec<(Etag, Settle)>,
    /// Looks again when something that is locked is free.
    timer: Option<AbortHandle>,
}

/// A message in the device's hands.
#[derive(Debug)]
struct Held {
    sequence: i64,
    token: Etag,
    /// The token that it was sent off under: the lock may be renewed before it is on its way.
    receipt: Etag,
    bytes: usize,
    /// Under which the device acknowledges it.
    packet_id: Option<PacketId>,
}

/// What there is to do next.
enum Step {
    Settle(Vec<(Etag, Settle)>),
    Receive { most: usize, take_back: bool },
    Nothing,
}

impl State {
    fn next(&mut self) -> Step {
        if !self.settled.is_empty() {
            return Step::Settle(std::mem::take(&mut self.settled));
        }
        let room = WINDOW.saturating_sub(self.held.len()).min(AT_ONCE);
        let bytes: usize = self.held.iter().map(|held| held.bytes).sum();
        if self.ended || !self.listens || !self.look || room == 0 || bytes >= WINDOW_BYTES {
            self.running = false;
            return Step::Nothing;
        }
        // Whoever says so while it is looked says it anew.
        self.look = false;
        Step::Receive { most: room, take_back: !self.taken_back }
    }

    /// Takes a message in; whether it is to be sent. One that the device has already is not.
    fn hold(&mut self, message: &QueuedMessage, bytes: usize) -> bool {
        if let Some(held) = self.held.iter_mut().find(|held| held.sequence == message.sequence) {
            held.token = message.etag.clone();
            return false;
        }
        let (sequence, token, receipt) = (message.sequence, message.etag.clone(), message.etag.clone());
        self.held.push(Held { sequence, token, receipt, bytes, packet_id: None });
        true
    }

    fn let_go(&mut self, which: impl Fn(&Held) -> bool, settle: Settle) {
        if let Some(at) = self.held.iter().position(which) {
            let held = self.held.swap_remove(at);
            self.settled.push((held.token, settle));
            // There may be room again for what waits.
            self.look = true;
        }
    }

    fn stop_timer(&mut self) {
        if let Some(timer) = self.timer.take() {
            timer.abort();
        }
    }
}

impl Deliveries {
    pub(super) fn new(mailbox: Arc<Mailbox>, own: Arc<Own>) -> Arc<Self> {
        Arc::new(Self { own, mailbox, state: Mutex::default() })
    }

    /// Whether the device listens from now on.
    pub(super) fn listen(self: &Arc<Self>, listens: bool) {
        self.change(|state| {
            state.listens = listens;
            state.look |= listens;
        });
    }

    /// There may be messages.
    pub(super) fn look(self: &Arc<Self>) {
        self.change(|state| state.look = true);
    }

    /// How far a message came.
    pub(super) fn sent(self: &Arc<Self>, receipt: &Receipt, sent: Sent) {
        let this = |held: &Held| held.receipt == *receipt;
        self.change(|state| match sent {
            Sent::Awaits(packet_id) => {
                if let Some(held) = state.held.iter_mut().find(|held| this(held)) {
                    held.packet_id = Some(packet_id);
                }
            }
            Sent::Away => state.let_go(this, Settle::Complete),
            Sent::Unheard => state.let_go(this, Settle::Release),
            // It never will be: whoever sent it may want to know.
            Sent::TooLarge => state.let_go(this, Settle::Reject),
        });
    }

    /// The device has it.
    pub(super) fn acknowledged(self: &Arc<Self>, packet_id: PacketId) {
        self.change(|state| state.let_go(|held| held.packet_id == Some(packet_id), Settle::Complete));
    }

    /// The connection is over, and what the device has in its hands is settled so: what is left to do, if anything.
    pub(super) fn end(self: &Arc<Self>, settle: Settle) -> Option<BoxFuture<'static, ()>> {
        let left = {
            let mut state = self.state.lock();
            state.ended = true;
            state.stop_timer();
            let held = std::mem::take(&mut state.held);
            let mut left = std::mem::take(&mut state.settled);
            left.extend(held.into_iter().map(|held| (held.token, settle)));
            left
        };
        if left.is_empty() {
            return None;
        }
        let this = Arc::clone(self);
        Some(Box::pin(async move {
            if let Err(error) = this.settle(left).await {
                tracing::warn!(hub = %this.own.hub.name, device = %this.own.id, %error, "messages stay locked for now");
            }
        }))
    }

    /// Changes something, and goes to work if there is some and nobody is at it.
    fn change(self: &Arc<Self>, change: impl FnOnce(&mut State)) {
        let start = {
            let mut state = self.state.lock();
            change(&mut state);
            let work = !state.settled.is_empty() || (state.look && state.listens);
            let start = work && !state.running && !state.ended;
            state.running |= start;
            start
        };
        if start {
            tokio::spawn(Arc::clone(self).work());
        }
    }

    async fn work(self: Arc<Self>) {
        loop {
            // The guard must not live on while it is waited.
            let step = self.state.lock().next();
            let done = match step {
                Step::Nothing => return,
                Step::Settle(settled) => self.settle(settled).await,
                Step::Receive { most, take_back } => self.receive(most, take_back).await,
            };
            if let Err(error) = done {
                // What it holds is taken back when the device is here again.
                self.state.lock().running = false;
                let reason = format!("messages for the device cannot be looked after: {error}");
                return self.mailbox.put(Command::Close(Close::because(reason)));
            }
        }
    }

    async fn receive(self: &Arc<Self>, most: usize, take_back: bool) -> Result<()> {
        let Own { services, caller, hub, id, .. } = &*self.own;
        let id = &id.device;
        if take_back {
            services.hub.take_back_messages(caller, hub, id).await?;
            self.state.lock().taken_back = true;
        }
        let received = services.hub.receive_messages(caller, hub, id, LockedBy::Connection, most).await?;
        let Received { messages, next } = received;
        let mut state = self.state.lock();
        state.stop_timer();
        if messages.is_empty() {
            if let (Some(next), false) = (next, state.ended) {
                state.timer = Some(self.look_at(next));
            }
            return Ok(());
        }
        // Until nothing comes.
        state.look = true;
        for message in messages {
            if state.ended {
                state.settled.push((message.etag, Settle::Release));
                continue;
            }
            let topic = devicebound::topic(id, &message);
            if state.hold(&message, topic.len() + message.payload.len()) {
                let payload = Bytes::from(message.payload);
                self.mailbox.put(Command::Follow(Outbound { topic, payload }, message.etag));
            }
        }
        Ok(())
    }

    fn look_at(self: &Arc<Self>, when: Timestamp) -> AbortHandle {
        let rest = when.since(self.own.services.context.clock.now());
        // Does not keep a connection's state that is over.
        let this = Arc::downgrade(self);
        let timer = tokio::spawn(async move {
            tokio::time::sleep(rest).await;
            if let Some(this) = this.upgrade() {
                this.look();
            }
        });
        timer.abort_handle()
    }

    async fn settle(&self, settled: Vec<(Etag, Settle)>) -> Result<()> {
        let Own { services, caller, hub, id, .. } = &*self.own;
        let id = &id.device;
        for settle in [Settle::Complete, Settle::Reject, Settle::Abandon, Settle::Release] {
            let tokens: Vec<_> =
                settled.iter().filter(|(_, how)| *how == settle).map(|(token, _)| token.clone()).collect();
            for end in services.hub.settle_messages(caller, hub, id, &tokens, settle).await {
                match end {
                    Err(error) if error.code == ErrorCode::MessageLockLost => {
                        tracing::debug!(hub = %hub.name, device = %id, "a message was not held any more");
                    }
                    end => end?,
                }
            }
        }
        Ok(())
    }
}
