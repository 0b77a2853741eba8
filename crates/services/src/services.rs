//! All services, made once and shared by the edges.

use std::sync::Arc;

use pollux_model::Result;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::authority::Authority;
use crate::context::Context;
use crate::issuer::{ExternalIssuer, Issuer};
use crate::resources::{Declared, Resources};
use crate::twins::Twins;

/// What the configuration says to services, limits apart (those are in the context).
#[derive(Debug, Clone)]
pub struct Settings {
    /// What host names of new resources end with.
    pub domain: String,
    /// OpenID Connect issuers trusted beside the built-in one.
    pub issuers: Vec<ExternalIssuer>,
}

impl Default for Settings {
    fn default() -> Self {
        Self { domain: "localhost".to_owned(), issuers: Vec::new() }
    }
}

/// All services of a deployment.
#[derive(Debug)]
pub struct Services {
    /// What they share.
    pub context: Arc<Context>,
    /// The instances of each service.
    pub resources: Arc<Resources>,
    /// Credentials to callers.
    pub authority: Arc<Authority>,
    /// Tokens.
    pub issuer: Arc<Issuer>,
    /// Digital twins.
    pub twins: Arc<Twins>,
}

impl Services {
    /// Makes the services over their context, with default settings.
    #[must_use]
    pub fn new(context: Arc<Context>) -> Arc<Self> {
        Self::with(context, Settings::default())
    }

    /// Makes the services over their context.
    #[must_use]
    pub fn with(context: Arc<Context>, settings: Settings) -> Arc<Self> {
        let resources = Arc::new(Resources::new(Arc::clone(&context), &settings.domain));
        let issuer = Arc::new(Issuer::new(Arc::clone(&context), settings.issuers));
        let authority = Arc::new(Authority::new(Arc::clone(&context), Arc::clone(&issuer)));
        let twins = Arc::new(Twins::new(Arc::clone(&context)));
        Arc::new(Self { context, resources, authority, issuer, twins })
    }

    /// Reads what is stored, makes what a first start needs, applies what the configuration declares. To be called
    /// once, before anything else.
    pub async fn load(&self, declared: &[Declared]) -> Result<()> {
        self.resources.load(declared).await?;
        self.authority.load().await?;
        self.issuer.load().await
    }

    /// Starts what runs in the background; it ends with `shutdown` and is tracked by `tasks`.
    pub fn start(&self, shutdown: &CancellationToken, tasks: &TaskTracker) {
        self.issuer.start(shutdown.clone(), tasks);
    }
}
