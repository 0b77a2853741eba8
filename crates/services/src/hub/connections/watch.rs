//! Looking after connections: what is said between nodes can be lost with a node or while the bus is away, so whoever has a
//! connection compares it with the device's state whenever that may have happened.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use futures_util::StreamExt as _;
use pollux_model::device::Status;
use tokio_util::sync::CancellationToken;

use super::elsewhere::{CONNECTED, Question};
use super::order::PATIENCE;
use super::{Connections, Live};
use crate::cluster::Shared;
use crate::context::Context;

/// On which nodes are asked to look after all their connections.
const LOOK: &str = "look";
/// Connections looked after side by side.
const AT_ONCE: usize = 32;

impl Connections {
    /// Answers other nodes and looks after the connections of this one, until shutdown.
    pub(crate) async fn run(&self, shutdown: CancellationToken) {
        let Some(shared) = self.context.cluster.others() else { return };
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = self.answer_all(shared, &shutdown) => {}
            () = self.look_when_asked(shared, &shutdown) => {}
            () = self.look_when_lost(shared) => {}
        }
    }

    async fn answer_all(&self, shared: &Shared, shutdown: &CancellationToken) {
        let mut asked = shared.listener(CONNECTED, shutdown).await;
        while let Some(heard) = asked.next().await {
            let (Some(reply), Ok(question)) =
                (heard.reply, serde_json::from_slice::<Question>(&heard.payload))
            else {
                continue;
            };
            let answer = serde_json::to_vec(&self.answer(&shared.node, &question)).unwrap_or_default();
            if let Err(error) = shared.bus.publish(&reply, Bytes::from(answer)).await {
                tracing::debug!(%error, "an answer to another node is lost");
            }
        }
    }

    async fn look_when_asked(&self, shared: &Shared, shutdown: &CancellationToken) {
        let mut asked = shared.listener(LOOK, shutdown).await;
        while asked.next().await.is_some() {
            self.look_all().await;
        }
    }

    /// A node that is gone may have changed something and died before it told; so may one that was away.
    async fn look_when_lost(&self, shared: &Shared) {
        let (mut members, mut bus) = (self.context.cluster.members(), shared.bus.connections());
        let mut known = Arc::clone(&members.borrow_and_update());
        let mut connection = *bus.borrow_and_update();
        loop {
            tokio::select! {
                changed = members.changed() => if changed.is_err() { return },
                changed = bus.changed() => if changed.is_err() { return },
            }
            let (now, number) = (Arc::clone(&members.borrow_and_update()), *bus.borrow_and_update());
            let lost = known.iter().any(|node| !now.contains(node));
            let (back, first) = (number != connection, connection == 0);
            (known, connection) = (now, number);
            if back && !first {
                self.say_back(shared).await;
                if self.unsaid.swap(false, Ordering::SeqCst) {
                    shared.hint(LOOK).await;
                }
            }
            if lost || (back && !first) {
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

/// Ends the connection if its device is gone, disabled or another, or if it was not told of a change.
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
