//! All services, made once and shared by the edges.

use std::collections::BTreeSet;
use std::sync::Arc;

use pollux_model::resource::ResourceKind;
use pollux_model::{ResourceName, Result, Timestamp};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::authority::Authority;
use crate::context::Context;
use crate::events::Events;
use crate::functions::Functions;
use crate::hub::Hub;
use crate::issuer::{ExternalIssuer, Issuer};
use crate::provisioning::Provisioning;
use crate::resources::{Declared, Resources};
use crate::supervise::supervise;
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
    /// Event hubs: the outbox relay and retention.
    pub events: Arc<Events>,
    /// Device identities, device twins, telemetry, live connections.
    pub hub: Arc<Hub>,
    /// Allocate, ingest, retire.
    pub functions: Arc<Functions>,
    /// Enrollments and registrations.
    pub provisioning: Arc<Provisioning>,
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
        let events = Events::new(Arc::clone(&context));
        let hub = Hub::new(Arc::clone(&context));
        let functions = Functions::new(Arc::clone(&context), Arc::clone(&twins));
        let provisioning = Provisioning::new(Arc::clone(&context), Arc::clone(&hub), Arc::clone(&functions));
        Arc::new(Self { context, resources, authority, issuer, twins, events, hub, functions, provisioning })
    }

    /// Reads what is stored, makes what a first start needs, applies what the configuration declares. To be called
    /// once, before anything else.
    pub async fn load(&self, declared: &[Declared]) -> Result<()> {
        self.resources.load(declared).await?;
        self.authority.load().await?;
        self.issuer.load().await
    }

    /// Starts what runs in the background; it ends with `shutdown` and is tracked by `tasks`. To be called when the
    /// listeners are bound: registrations that a crash interrupted are taken up again and may call webhooks here.
    pub fn start(&self, shutdown: &CancellationToken, tasks: &TaskTracker) {
        self.issuer.start(shutdown.clone(), tasks);
        let (events, stop) = (Arc::clone(&self.events), shutdown.clone());
        tasks.spawn(supervise("relay", move || Arc::clone(&events).run_relay(stop.clone())));
        let (events, stop) = (Arc::clone(&self.events), shutdown.clone());
        tasks.spawn(supervise("retention", move || Arc::clone(&events).run_retention(stop.clone())));
        tasks.spawn(Arc::clone(&self.functions).run(shutdown.clone()));
        tasks.spawn(cut_off_deleted(Arc::clone(&self.resources), Arc::clone(&self.hub), shutdown.clone()));
        let provisioning = Arc::clone(&self.provisioning);
        tasks.spawn(async move {
            match provisioning.resume().await {
                Ok(0) => {}
                Ok(resumed) => tracing::info!(resumed, "took up interrupted registrations"),
                Err(error) => {
                    tracing::warn!(%error, "interrupted registrations wait for their devices to poll")
                }
            }
        });
    }
}

/// Ends the connections of each hub that is deleted.
async fn cut_off_deleted(resources: Arc<Resources>, hub: Arc<Hub>, shutdown: CancellationToken) {
    let mut changes = resources.watch();
    let mut before = hubs(&resources);
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            changed = changes.changed() => if changed.is_err() { return },
        }
        let after = hubs(&resources);
        // With the time it was made: a hub deleted and made again is another.
        for (name, _) in before.difference(&after) {
            hub.connections.close_all(name, "the hub is deleted");
        }
        before = after;
    }
}

fn hubs(resources: &Resources) -> BTreeSet<(ResourceName, Timestamp)> {
    let all = resources.all();
    let hubs = all.iter().filter(|one| one.kind() == ResourceKind::Hub);
    hubs.map(|one| (one.name.clone(), one.created)).collect()
}
