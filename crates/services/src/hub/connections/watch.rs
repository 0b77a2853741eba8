//! Looking after connections: what is said between nodes can be lost with a node or while the bus is away, so whoever has a
//! connection compares it with the device's state whenever that may have happened.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use pollux_model::device::Status;
use tokio_util::sync::CancellationToken;

use super::elsewhere::{CONNECTED, Question};
use super::order::PATIENCE;
use super::{Connections, DeviceCommand, Key, Live};
use crate::cluster::Shared;
use crate::context::Context;

/// On which nodes are asked to look after all their connections.
const LOOK: &str = "look";
/// How soon what was not said is made up for.
const MAKE_UP: Duration = Duration::from_secs(1);
/// So many devices are remembered one by one; of more, all connections are looked after.
const REMEMBERED: usize = 1024;
/// Connections looked after side by side.
const AT_ONCE: usize = 32;

/// Devices of which other nodes may not have been told something.
#[derive(Debug, Default)]
pub(super) struct Unsaid {
    keys: BTreeSet<Key>,
    /// More than can be remembered.
    all: bool,
}

impl Unsaid {
    pub(super) fn add(&mut self, key: Key) {
        self.put_back(Self { keys: BTreeSet::from([key]), all: false });
    }

    fn put_back(&mut self, other: Self) {
        self.keys.extend(other.keys);
        self.all |= other.all || self.keys.len() > REMEMBERED;
        if self.all {
            self.keys.clear();
        }
    }

    fn is_empty(&self) -> bool {
        self.keys.is_empty() && !self.all
    }
}

impl Connections {
    /// Answers other nodes and looks after the connections of this one, until shutdown.
    pub(crate) async fn run(&self, shutdown: CancellationToken) {
        let Some(shared) = self.context.cluster.others() else { return };
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = self.answer_all(shared, &shutdown) => {}
            () = self.look_when_asked(shared, &shutdown) => {}
            () = self.look_when_lost(shared) => {}
            () = self.make_up(shared) => {}
        }
    }

    async fn answer_all(&self, shared: &Shared, shutdown: &CancellationToken) {
        let answer = |payload: &Bytes| {
            let question = serde_json::from_slice::<Question>(payload).ok()?;
            serde_json::to_vec(&self.answer(&shared.node, &question)).ok().map(Bytes::from)
        };
        shared.answer(CONNECTED, shutdown, answer).await;
    }

    async fn look_when_asked(&self, shared: &Shared, shutdown: &CancellationToken) {
        let mut asked = shared.listener(LOOK, shutdown).await;
        while let Some(heard) = asked.next().await {
            // The answer says that it is known here; the looking goes on.
            if let Some(reply) = &heard.reply
                && let Err(error) =
                    shared.bus.publish(reply, Bytes::copy_from_slice(shared.node.as_bytes())).await
            {
                tracing::debug!(%error, "an answer to another node is lost");
            }
            match serde_json::from_slice::<Option<Vec<Key>>>(&heard.payload) {
                Ok(Some(keys)) => {
                    for live in keys.iter().filter_map(|key| self.here(key)) {
                        self.look(&live).await;
                    }
                }
                Ok(None) => self.look_all().await,
                Err(error) => tracing::warn!(%error, "a node asked for what this one does not understand"),
            }
        }
    }

    /// Asks all others to look after what they may not have been told, until all of them know.
    async fn make_up(&self, shared: &Shared) {
        loop {
            tokio::time::sleep(MAKE_UP).await;
            let unsaid = std::mem::take(&mut *self.unsaid.lock());
            if unsaid.is_empty() {
                continue;
            }
            let keys = (!unsaid.all).then_some(&unsaid.keys);
            let Ok(text) = serde_json::to_vec(&keys) else { continue };
            if !shared.ask_all_members(LOOK, text.into()).await {
                self.unsaid.lock().put_back(unsaid);
            }
        }
    }

    /// A node that is gone may have changed something and died before it told; so may one that was away.
    async fn look_when_lost(&self, shared: &Shared) {
        let (mut members, mut returns) = (self.context.cluster.members(), shared.returns());
        let mut known = Arc::clone(&members.borrow_and_update());
        loop {
            let returned = tokio::select! {
                changed = members.changed() => if changed.is_err() { return } else { false },
                changed = returns.changed() => if changed.is_err() { return } else { true },
            };
            let now = Arc::clone(&members.borrow_and_update());
            let lost = known.iter().any(|node| !now.contains(node));
            known = now;
            if returned {
                self.say_back(shared).await;
            }
            if lost || returned {
                self.look_all().await;
            }
        }
    }

    async fn look_all(&self) {
        let all: Vec<Arc<Live>> = self.live.iter().map(|entry| Arc::clone(entry.value())).collect();
        let looks = all.into_iter().map(|live| look(Arc::clone(&self.context), live));
        futures_util::stream::iter(looks).buffer_unordered(AT_ONCE).for_each(async |()| {}).await;
    }

    pub(super) async fn look(&self, live: &Arc<Live>) {
        look(Arc::clone(&self.context), Arc::clone(live)).await;
    }

    /// Looks after a connection beside what goes on.
    pub(super) fn looker(&self) -> Arc<dyn Fn(Arc<Live>) + Send + Sync> {
        let context = Arc::clone(&self.context);
        Arc::new(move |live| drop(tokio::spawn(look(Arc::clone(&context), live))))
    }
}

/// Ends the connection if its device is gone, disabled or another, or if it was not told of a change. Whether messages wait for
/// the device its link has to see.
async fn look(context: Arc<Context>, live: Arc<Live>) {
    let (hub, id) = &live.key;
    let device = match context.store.device(hub, id).await {
        Ok(device) => device,
        // Whether it may stay cannot be known: it comes back when the store is.
        Err(error) => {
            tracing::warn!(%hub, device = %id, %error, "a connection cannot be looked after");
            return live.close("its device cannot be looked up");
        }
    };
    let Some(device) = device.filter(|device| device.identity.generation_id == live.generation) else {
        return live.close("the device was deleted or replaced");
    };
    if device.identity.status == Status::Disabled {
        return live.close("the device was disabled");
    }
    live.link.deliver(DeviceCommand::MessageWaiting);
    let version = device.twin.desired.version;
    let behind = move |live: &Live| live.known().is_some_and(|known| known < version);
    if behind(&live) {
        // What tells of it may be on its way.
        tokio::spawn(async move {
            tokio::time::sleep(PATIENCE).await;
            if behind(&live) {
                live.close("it missed a change of its desired properties");
            }
        });
    }
}
