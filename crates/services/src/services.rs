//! All services, made once and shared by the edges.

use std::sync::Arc;

use crate::context::Context;

/// All services of a deployment.
#[derive(Debug)]
pub struct Services {
    /// What they share.
    pub context: Arc<Context>,
}

impl Services {
    /// Makes the services over their context.
    #[must_use]
    pub fn new(context: Arc<Context>) -> Arc<Self> {
        Arc::new(Self { context })
    }
}
