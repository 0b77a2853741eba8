//! Event hubs: sending, receiving, who may and who must give way; what moves committed events into the event log, and
//! what lets old ones go.
//!
//! ```text
//!   token or key ─▶ access.rs ─▶ Claim ─┐
//!   link's address ─▶ address.rs ───────┴─▶ publish.rs ──▶ event log ◀── relay.rs ◀── outbox
//!                                       └─▶ receivers.rs, receive.rs ◀──────────────┘
//! ```

mod access;
mod address;
mod namespace;
mod payload;
mod publish;
mod receive;
mod receivers;
mod relay;
mod retention;

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use pollux_model::KeyPair;
use pollux_model::resource::EventHub;

use crate::context::Context;
use crate::issuer::Issuer;

/// What readers get, in the log's words.
pub use pollux_eventlog::{PartitionInfo, ReadFrom, ReadLimit, Record};

pub use access::Claim;
pub use address::{Address, Place};
pub use namespace::Namespace;
pub use payload::to_message;
pub use publish::{BATCH_FORMAT, Sent};
pub use receive::Reader;
pub use receivers::{Receiver, Seat, Seated};

/// The event hubs of a deployment.
#[derive(Debug)]
pub struct Events {
    context: Arc<Context>,
    issuer: Arc<Issuer>,
    /// Tried where there is no policy, so that it takes as long.
    nobody: KeyPair,
    receivers: Arc<receivers::Receivers>,
    /// Which partition of an event hub is next, for events without a key.
    turns: Mutex<HashMap<String, u32>>,
}

impl Events {
    /// Makes the service.
    #[must_use]
    pub fn new(context: Arc<Context>, issuer: Arc<Issuer>) -> Arc<Self> {
        let nobody = KeyPair::generate(&*context.random);
        Arc::new(Self { context, issuer, nobody, receivers: Arc::default(), turns: Mutex::default() })
    }

    /// The partition whose turn it is.
    fn next_partition(&self, namespace: &Namespace, hub: &EventHub) -> u32 {
        let mut turns = self.turns.lock();
        let turn = turns.entry(format!("{}/{}", namespace.name, hub.name)).or_default();
        *turn = turn.wrapping_add(1);
        *turn % hub.partitions.max(1)
    }
}
