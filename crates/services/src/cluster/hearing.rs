//! Whether this node can speak to the others. The connection may be lost long before either side notices, so a node asks
//! itself over the bus: what comes back went there and back again.
//!
//! One that does not hear itself leaves: it gives its membership and its leases up, though it could renew them in the
//! store, for it can do nothing of what they are for. It takes nothing from memory that others may have changed.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::Shared;
use pollux_bus::BusError;

/// How long an answer to oneself may take.
const ANSWER: Duration = Duration::from_secs(1);
/// Without an answer for so long, the node does not hear.
const DEAF: Duration = Duration::from_secs(3);

/// What is known of it.
#[derive(Debug)]
pub(super) struct Hearing {
    last: Mutex<Instant>,
    deaf: AtomicBool,
    /// Grows when what others said may have been lost, and can be heard again.
    returns: watch::Sender<u64>,
}

impl Default for Hearing {
    fn default() -> Self {
        Self {
            last: Mutex::new(Instant::now()),
            deaf: AtomicBool::new(false),
            returns: watch::Sender::default(),
        }
    }
}

impl Shared {
    /// Whether others can be spoken to, as far as is known.
    pub(super) fn hears(&self) -> bool {
        self.healthy().is_ok()
    }

    /// Whether others can be spoken to, and why not.
    pub(super) fn healthy(&self) -> Result<(), BusError> {
        self.bus.healthy()?;
        if self.hearing.deaf.load(Ordering::SeqCst) { Err(BusError::NoAnswer) } else { Ok(()) }
    }

    /// Grows when what others said may have been lost, and can be heard again.
    pub(crate) fn returns(&self) -> watch::Receiver<u64> {
        self.hearing.returns.subscribe()
    }

    /// Asks itself. The first value: whether it answered; the second: whether the node is to go on as one of the others.
    pub(super) async fn ask_itself(&self) -> (bool, bool) {
        let heard = matches!(self.bus.request(&self.own(), Bytes::new(), ANSWER).await, Ok(Some(_)));
        let now = Instant::now();
        let deaf = {
            let mut last = self.hearing.last.lock();
            if heard {
                *last = now;
            }
            now.duration_since(*last) > DEAF
        };
        let before = self.hearing.deaf.swap(deaf, Ordering::SeqCst);
        if deaf && !before {
            tracing::warn!("this node does not hear itself over the bus: it leaves the others until it does");
        }
        if before && !deaf {
            tracing::info!("this node hears itself again");
            self.hearing.returns.send_modify(|number| *number += 1);
        }
        (heard, !deaf)
    }

    /// Answers itself, and notes connections that were made anew.
    pub(super) async fn answer_itself(&self, shutdown: &CancellationToken) {
        let mut asked = self.listener(&self.own(), shutdown).await;
        let mut connections = self.bus.connections();
        let mut connection = *connections.borrow_and_update();
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                heard = asked.next() => match heard.map(|heard| heard.reply) {
                    Some(Some(reply)) => if let Err(error) = self.bus.publish(&reply, Bytes::from_static(b"1")).await {
                        tracing::debug!(%error, "an answer to itself is lost");
                    },
                    Some(None) => {}
                    None => asked = self.listener(&self.own(), shutdown).await,
                },
                changed = connections.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    let now = *connections.borrow_and_update();
                    // The first one is told late by some; nothing was missed before it.
                    if connection != 0 {
                        self.hearing.returns.send_modify(|number| *number += 1);
                    }
                    connection = now;
                }
            }
        }
    }

    fn own(&self) -> String {
        format!("alive.{}", self.node.replace('.', "-"))
    }
}
