//! Event hubs: what moves committed events into the event log, and what lets old ones go.

mod relay;
mod retention;

use std::sync::Arc;

use crate::context::Context;

/// The event hubs of a deployment.
#[derive(Debug)]
pub struct Events {
    context: Arc<Context>,
}

impl Events {
    /// Makes the service.
    #[must_use]
    pub fn new(context: Arc<Context>) -> Arc<Self> {
        Arc::new(Self { context })
    }
}
