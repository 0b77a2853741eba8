//! The only place that picks backends.
//!
//! ```text
//!   [state] url   [events] url   state        events          nodes
//!   none          none           SQLite       segment files   one, bound to its data folder
//!   none          nats://        SQLite       JetStream       one, bound to its data folder
//!   postgres://   none           PostgreSQL   segment files   one, bound to its data folder
//!   postgres://   nats://        PostgreSQL   JetStream       many; they speak to each other over NATS
//! ```

use std::error::Error;
use std::future::Future;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures_util::FutureExt as _;
use pollux_bus::{Bus, BusError, NatsBus, NatsOptions};
use pollux_edges::http::Need;
use pollux_eventlog::{EventLog, JetStreamLog, JetStreamOptions, LogError, SegmentLog, SegmentOptions};
use pollux_model::resource::Setting;
use pollux_model::{Clock, Random, SystemClock, SystemRandom};
use pollux_services::SystemTrust;
use pollux_services::resources::ResourceTable;
use pollux_services::{Cluster, Context};
use pollux_store::StoreError;
use pollux_store::postgres::{PostgresOptions, PostgresStore};
use pollux_store::sqlite::{SqliteOptions, SqliteStore};
use pollux_store::store::DynStore;
use rustls_pki_types::CertificateDer;

use crate::config::Config;
use crate::data_dir::DataDir;
use crate::deployment;
use crate::error::ServeError;
use crate::names;

/// How long a call to another server may take to connect. Whoever calls bounds the whole.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long NATS may take to let us in.
const PATIENCE: Duration = Duration::from_secs(10);

/// What the deployment is kept in, opened.
pub(crate) struct Backends {
    pub(crate) store: DynStore,
    log: Arc<dyn EventLog>,
    bus: Option<Arc<dyn Bus>>,
    /// This process among the nodes.
    node: String,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) random: Arc<dyn Random>,
}

/// Opens the backends, the state first: it knows whether the events are where we would look for them. What blocks runs
/// on blocking threads.
pub(crate) async fn open(config: &Config, data: &DataDir) -> Result<Backends, ServeError> {
    let (clock, random): (Arc<dyn Clock>, Arc<dyn Random>) = (Arc::new(SystemClock), Arc::new(SystemRandom));
    let store = open_store(config, data).await?;
    deployment::bind_events(config, data, &store, &*random, clock.now()).await?;
    let node = names::node(config, &*random);
    let many = config.state.url.is_some();
    let (log, bus) = match &config.events.url {
        None => (open_segments(data, &clock).await?, None),
        Some(url) if many => {
            let (log, bus) = tokio::join!(open_jetstream(config, url, &clock), open_bus(config, url, &node));
            (log?, Some(bus?))
        }
        Some(url) => (open_jetstream(config, url, &clock).await?, None),
    };
    Ok(Backends { store, log, bus, node, clock, random })
}

async fn open_store(config: &Config, data: &DataDir) -> Result<DynStore, ServeError> {
    let Some(url) = &config.state.url else {
        let file = data.file("state.db");
        let opening = tokio::task::spawn_blocking(move || SqliteStore::open(&file, SqliteOptions::default()));
        return Ok(Arc::new(joined(opening.await)?.map_err(|error| stored(&error))?));
    };
    let (connections, ca) = (config.state.connections, config.state.ca.clone());
    let options = PostgresOptions { connections, ca, ..PostgresOptions::default() };
    // Bounded by itself, but for one thing: while another node changes the tables, it is waited for.
    let opening = saying_so(PostgresStore::connect(&url.0, options));
    Ok(Arc::new(opening.await.map_err(|error| stored(&error))?))
}

/// Says from time to time that it is still waited for.
async fn saying_so<T>(opening: impl Future<Output = T>) -> T {
    let mut opening = std::pin::pin!(opening);
    loop {
        match tokio::time::timeout(PATIENCE, opening.as_mut()).await {
            Ok(opened) => return opened,
            Err(_) => tracing::warn!("waiting for PostgreSQL: another node may be changing its tables"),
        }
    }
}

async fn open_segments(data: &DataDir, clock: &Arc<dyn Clock>) -> Result<Arc<dyn EventLog>, ServeError> {
    let (folder, clock) = (data.file("events"), Arc::clone(clock));
    let opening =
        tokio::task::spawn_blocking(move || SegmentLog::open(&folder, SegmentOptions::default(), clock));
    Ok(Arc::new(joined(opening.await)?.map_err(|error| stored(&error))?))
}

async fn open_jetstream(
    config: &Config,
    url: &Setting,
    clock: &Arc<dyn Clock>,
) -> Result<Arc<dyn EventLog>, ServeError> {
    let events = &config.events;
    let options = JetStreamOptions {
        prefix: events.prefix.clone(),
        replicas: events.replicas,
        credentials: events.credentials.clone(),
        ca: events.ca.clone(),
        ..JetStreamOptions::default()
    };
    Ok(Arc::new(in_time(JetStreamLog::connect(&url.0, options, Arc::clone(clock))).await?))
}

async fn open_bus(config: &Config, url: &Setting, node: &str) -> Result<Arc<dyn Bus>, ServeError> {
    let events = &config.events;
    let options = NatsOptions {
        prefix: events.prefix.clone(),
        credentials: events.credentials.clone(),
        ca: events.ca.clone(),
        name: node.to_owned(),
    };
    Ok(Arc::new(in_time(NatsBus::connect(&url.0, &options)).await?))
}

async fn in_time<T, E: Error>(opening: impl Future<Output = Result<T, E>>) -> Result<T, ServeError> {
    match tokio::time::timeout(PATIENCE, opening).await {
        Ok(opened) => opened.map_err(|error| stored(&error)),
        Err(_) => {
            let seconds = PATIENCE.as_secs();
            let text =
                format!("NATS did not let us in within {seconds} s; check events.url and that it runs");
            Err(ServeError::Stored(text))
        }
    }
}

impl Backends {
    /// What the services are given.
    pub(crate) async fn context(
        &self,
        config: &Config,
        trusted: Vec<CertificateDer<'static>>,
    ) -> Result<Arc<Context>, ServeError> {
        let trust = SystemTrust::and(trusted.clone());
        let http = tokio::task::spawn_blocking(move || http_client(&trusted));
        let http = joined(http.await)?.map_err(|error| ServeError::System(with_causes(&error)))?;
        Ok(Arc::new(Context {
            store: Arc::clone(&self.store),
            log: Arc::clone(&self.log),
            clock: Arc::clone(&self.clock),
            random: Arc::clone(&self.random),
            cluster: self.cluster(),
            table: ResourceTable::new(names::local(config)),
            limits: config.limits.clone(),
            https_ports: OnceLock::new(),
            http,
            trust,
        }))
    }

    /// Whether there can be no other node.
    pub(crate) fn is_alone(&self) -> bool {
        self.bus.is_none()
    }

    fn cluster(&self) -> Cluster {
        let Some(bus) = &self.bus else { return Cluster::solo() };
        Cluster::shared(self.node.clone(), Arc::clone(bus), Arc::clone(&self.store))
    }

    /// Without which this node is of no use.
    pub(crate) fn needs(&self, config: &Config, cluster: &Cluster) -> Vec<Need> {
        let (store, log) = (Arc::clone(&self.store), Arc::clone(&self.log));
        let state = if config.state.url.is_some() { "state (PostgreSQL)" } else { "state (SQLite)" };
        let state = Need::new(state, move || {
            let store = Arc::clone(&store);
            async move { store.healthy().await.map_err(why_no_state) }.boxed()
        });
        let events = if config.events.url.is_some() { "events (NATS)" } else { "events (segment files)" };
        let events = Need::new(events, move || {
            let log = Arc::clone(&log);
            async move { log.healthy().await.map_err(why_no_events) }.boxed()
        });
        let others = self.bus.is_some().then(|| {
            let cluster = cluster.clone();
            Need::new("other nodes (NATS)", move || {
                let answer = cluster.healthy().map_err(why_no_others);
                std::future::ready(answer).boxed()
            })
        });
        [state, events].into_iter().chain(others).collect()
    }
}

fn why_no_state(error: StoreError) -> String {
    let (StoreError::Unavailable(why) | StoreError::Corrupt(why)) = error;
    why
}

fn why_no_others(error: BusError) -> String {
    match error {
        BusError::Unavailable(why) => why,
        BusError::NoAnswer => "this node does not hear itself over NATS".to_owned(),
    }
}

fn why_no_events(error: LogError) -> String {
    match error {
        LogError::Unavailable(why) => why,
        other => other.to_string(),
    }
}

/// For webhooks and foreign issuers: no redirects, for what is posted carries keys.
fn http_client(trusted: &[CertificateDer<'static>]) -> Result<reqwest::Client, reqwest::Error> {
    let roots: Result<Vec<_>, _> = trusted.iter().map(|one| reqwest::Certificate::from_der(one)).collect();
    reqwest::Client::builder()
        .tls_certs_merge(roots?)
        .connect_timeout(CONNECT_TIMEOUT)
        .redirect(reqwest::redirect::Policy::none())
        .user_agent(concat!("pollux/", env!("CARGO_PKG_VERSION")))
        .build()
}

fn joined<T>(result: Result<T, tokio::task::JoinError>) -> Result<T, ServeError> {
    result.map_err(|error| ServeError::System(format!("a part of the start broke off: {error}")))
}

fn stored(error: &dyn Error) -> ServeError {
    ServeError::Stored(with_causes(error))
}

fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
