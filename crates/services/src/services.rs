//! All services, made once and shared by the edges.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::Mutex;
use pollux_bus::Listener;
use pollux_model::resource::ResourceKind;
use pollux_model::{ResourceName, Result, Timestamp};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::authority::Authority;
use crate::blobs::Blobs;
use crate::cluster::{self, Follower};
use crate::context::Context;
use crate::events::Events;
use crate::forwarding::Forwarding;
use crate::functions::Functions;
use crate::hub::Hub;
use crate::issuer::{ExternalIssuer, Issuer};
use crate::provisioning::Provisioning;
use crate::resources::{Declared, Resources};
use crate::supervise::supervise;
use crate::twins::{JobSettings, Twins};

/// What the configuration says to services, limits apart (those are in the context).
#[derive(Debug, Clone)]
pub struct Settings {
    /// What host names of new resources end with.
    pub domain: String,
    /// OpenID Connect issuers trusted beside the built-in one.
    pub issuers: Vec<ExternalIssuer>,
    /// What jobs may reach.
    pub jobs: JobSettings,
    /// A folder for files of hubs, the same on each node; `None`: there is none.
    pub files: Option<PathBuf>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            domain: "localhost".to_owned(),
            issuers: Vec::new(),
            jobs: JobSettings::default(),
            files: None,
        }
    }
}

/// All services of a deployment.
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
    /// Event hubs: sending, receiving, the outbox relay, retention.
    pub events: Arc<Events>,
    /// Device identities, device twins, telemetry, live connections.
    pub hub: Arc<Hub>,
    /// What is routed to endpoints elsewhere.
    pub forwarding: Arc<Forwarding>,
    /// Allocate, ingest, retire.
    pub functions: Arc<Functions>,
    /// Enrollments and registrations.
    pub provisioning: Arc<Provisioning>,
    /// What other nodes change, heard since before anything was read.
    changes: Mutex<Option<Listener>>,
}

impl std::fmt::Debug for Services {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Services").field("context", &self.context).finish_non_exhaustive()
    }
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
        let blobs = Arc::new(Blobs::new(Arc::clone(&context), settings.jobs, settings.files));
        let resources = Resources::new(Arc::clone(&context), Arc::clone(&blobs), &settings.domain);
        let resources = Arc::new(resources);
        let issuer = Arc::new(Issuer::new(Arc::clone(&context), settings.issuers));
        let authority = Arc::new(Authority::new(Arc::clone(&context), Arc::clone(&issuer)));
        let twins = Arc::new(Twins::with(Arc::clone(&context), Arc::clone(&blobs)));
        let events = Events::new(Arc::clone(&context), Arc::clone(&issuer));
        let hub = Hub::with(Arc::clone(&context), Arc::clone(&blobs));
        let forwarding = Forwarding::new(Arc::clone(&context), Arc::clone(&blobs));
        let functions = Functions::new(Arc::clone(&context), Arc::clone(&twins));
        let provisioning = Provisioning::new(
            Arc::clone(&context),
            Arc::clone(&resources),
            Arc::clone(&hub),
            Arc::clone(&functions),
        );
        let changes = Mutex::default();
        Arc::new(Self {
            context,
            resources,
            authority,
            issuer,
            twins,
            events,
            hub,
            forwarding,
            functions,
            provisioning,
            changes,
        })
    }

    /// Reads what is stored, makes what a first start needs, applies what the configuration declares. To be called
    /// once, before anything else.
    pub async fn load(&self, declared: &[Declared]) -> Result<()> {
        // What other nodes change from here on is heard, and read once more.
        if let Some(shared) = self.context.cluster.others() {
            let listener = shared.bus.subscribe(cluster::CHANGED).await.map_err(cluster::away)?;
            *self.changes.lock() = Some(listener);
        }
        // Several nodes may start at once: the first makes what there is to make.
        let alone = self.context.cluster.alone("load", "load").await?;
        let loaded = self.load_alone(declared).await;
        alone.release().await;
        loaded
    }

    async fn load_alone(&self, declared: &[Declared]) -> Result<()> {
        self.resources.load(declared).await?;
        self.authority.load().await?;
        self.issuer.load().await
    }

    /// Starts what runs in the background; it ends with `shutdown` and is tracked by `tasks`. To be called when the
    /// listeners are bound: registrations that a crash interrupted are taken up again and may call webhooks here.
    pub fn start(&self, shutdown: &CancellationToken, tasks: &TaskTracker) {
        self.issuer.start(shutdown.clone(), tasks);
        tasks.spawn(self.context.cluster.clone().run(shutdown.clone()));
        let (hub, stop) = (Arc::clone(&self.hub), shutdown.clone());
        tasks.spawn(async move { hub.connections.run(stop).await });
        let (hub, stop) = (Arc::clone(&self.hub), shutdown.clone());
        tasks.spawn(supervise("message expiry", move || Arc::clone(&hub).run_expiry(stop.clone())));
        let (hub, stop) = (Arc::clone(&self.hub), shutdown.clone());
        tasks.spawn(supervise("file sweep", move || Arc::clone(&hub).run_file_sweep(stop.clone())));
        let (hub, stop) = (Arc::clone(&self.hub), shutdown.clone());
        tasks.spawn(supervise("connection states", move || {
            Arc::clone(&hub).run_connection_states(stop.clone())
        }));
        let (hub, stop) = (Arc::clone(&self.hub), shutdown.clone());
        tasks.spawn(supervise("activity of devices", move || Arc::clone(&hub).run_activity(stop.clone())));
        tasks.spawn(Arc::clone(&self.hub).hear_of_feedback(shutdown.clone()));
        tasks.spawn(Arc::clone(&self.hub).run_jobs(shutdown.clone()));
        tasks.spawn(Arc::clone(&self.hub).hear_of_jobs(shutdown.clone()));
        if let Some(shared) = self.context.cluster.others() {
            let (resources, twins) = (Arc::clone(&self.resources), Arc::clone(&self.twins));
            let hub = Arc::clone(&self.hub);
            let heard = self.changes.lock().take();
            let follower = Follower { resources, twins, hub };
            tasks.spawn(follower.run(Arc::clone(shared), heard, shutdown.clone()));
        }
        let (events, stop) = (Arc::clone(&self.events), shutdown.clone());
        tasks.spawn(supervise("relay", move || Arc::clone(&events).run_relay(stop.clone())));
        tasks.spawn(Arc::clone(&self.events).answer_receivers(shutdown.clone()));
        let (events, stop) = (Arc::clone(&self.events), shutdown.clone());
        tasks.spawn(supervise("retention", move || Arc::clone(&events).run_retention(stop.clone())));
        let (twins, stop) = (Arc::clone(&self.twins), shutdown.clone());
        tasks.spawn(supervise("twin history", move || Arc::clone(&twins).run_forgetting(stop.clone())));
        let (twins, stop) = (Arc::clone(&self.twins), shutdown.clone());
        tasks.spawn(supervise("twin indexes", move || Arc::clone(&twins).run_indexing(stop.clone())));
        tasks.spawn(Arc::clone(&self.functions).run(shutdown.clone()));
        tasks.spawn(Arc::clone(&self.twins).run_jobs(shutdown.clone()));
        tasks.spawn(Arc::clone(&self.hub).run_configurations(shutdown.clone()));
        tasks.spawn(Arc::clone(&self.hub).run_registry_jobs(shutdown.clone()));
        tasks.spawn(Arc::clone(&self.forwarding).run(shutdown.clone()));
        tasks.spawn(Arc::clone(&self.forwarding).answer_health(shutdown.clone()));
        tasks.spawn(cut_off(Arc::clone(&self.resources), Arc::clone(&self.hub), shutdown.clone()));
        tasks.spawn(Arc::clone(&self.provisioning).take_up_interrupted(shutdown.clone()));
    }
}

/// Ends the connections of each hub that is deleted, and those that a policy's key let in which is gone.
async fn cut_off(resources: Arc<Resources>, hub: Arc<Hub>, shutdown: CancellationToken) {
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
        for one in resources.all().iter().filter(|one| one.kind() == ResourceKind::Hub) {
            hub.connections.close_unsigned(one);
        }
    }
}

fn hubs(resources: &Resources) -> BTreeSet<(ResourceName, Timestamp)> {
    let all = resources.all();
    let hubs = all.iter().filter(|one| one.kind() == ResourceKind::Hub);
    hubs.map(|one| (one.name.clone(), one.created)).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use pollux_bus::exchange::Exchange;
    use tokio_util::sync::CancellationToken;
    use tokio_util::task::TaskTracker;

    use crate::fixture::World;

    /// A node of several waits for all of them before it goes, ten seconds at most.
    #[tokio::test]
    async fn what_runs_in_the_background_ends_when_it_is_told_to() {
        let world = World::among(&Exchange::new()).await;
        let (shutdown, tasks) = (CancellationToken::new(), TaskTracker::new());
        world.services.start(&shutdown, &tasks);
        world.services.context.cluster.members().wait_for(|members| members.len() == 1).await.unwrap();
        shutdown.cancel();
        tasks.close();
        let ended = tokio::time::timeout(Duration::from_secs(30), tasks.wait()).await;
        assert!(ended.is_ok(), "{} of them did not end", tasks.len());
    }
}
