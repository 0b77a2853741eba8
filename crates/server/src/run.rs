//! Starting, running until told to stop, draining.
//!
//! Start order: data folder (locked), backends, CA, services (first start: resources, keys), certificate, ports,
//! `connections.json`, background work, accepting. A failure before the last step leaves nothing running.
//!
//! Stop order: `/ready` says 503 and nobody is accepted; the connections end, each after the request under way;
//! background work ends and leases are handed over. At most [`DRAIN`] for all of it.

use std::io::Write as _;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use pollux_edges::accept::{self, Accepting, Gate, ServerCertificate};
use pollux_edges::amqp::Amqp;
use pollux_edges::http::{About, Http, Need, Readiness};
use pollux_edges::mqtt::Mqtt;
use pollux_services::steps::Step;
use pollux_services::{Services, Settings};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::certificates::Certificates;
use crate::compose;
use crate::config::Config;
use crate::connections::{self, Connections};
use crate::data_dir::DataDir;
use crate::error::ServeError;
use crate::listen::{self, Bound, Ports};
use crate::names;
use crate::transfer;

/// How long connections and background work may take to end.
const DRAIN: Duration = Duration::from_secs(10);
/// What of it connections may take: background work needs the rest.
const CONNECTIONS: Duration = Duration::from_secs(6);
/// How often recorded figures are folded together, so that they take no more room when nobody reads them.
const METRICS_UPKEEP: Duration = Duration::from_secs(5);
/// How often the certificate is looked at, beside every change of resources.
const CERTIFICATE_CHECK: Duration = Duration::from_secs(12 * 3600);

/// A server that accepts connections. Dropping it tells it to stop; [`Running::stop`] also waits.
#[derive(Debug)]
pub struct Running {
    /// The ports that are listened on.
    pub ports: Ports,
    /// The services, for those who run in the same process.
    pub services: Arc<Services>,
    inside: Arc<Inside>,
    /// Listeners and connections.
    edges: Stopping,
    /// All else. Connections may need it to end.
    background: Stopping,
}

/// Tasks, and the word for them to end.
#[derive(Debug, Default)]
struct Stopping {
    shutdown: CancellationToken,
    tasks: TaskTracker,
}

impl Stopping {
    /// Tells them, and waits.
    async fn stop(&self, until: Instant, what: &str) {
        self.shutdown.cancel();
        self.tasks.close();
        if tokio::time::timeout_at(until, self.tasks.wait()).await.is_err() {
            tracing::warn!(left = self.tasks.len(), "some {what} did not end in time: cut off");
        }
    }
}

/// What outlives the start.
struct Inside {
    config: Config,
    data: DataDir,
    certificates: Certificates,
    certificate: Arc<ServerCertificate>,
    services: Arc<Services>,
    ports: Ports,
}

impl std::fmt::Debug for Inside {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inside").field("data", &self.data).finish_non_exhaustive()
    }
}

/// Serves until `shutdown`, SIGTERM or SIGINT; then drains. A second signal ends at once. `announce` makes the text
/// that is printed when the server is ready.
pub async fn run(
    config: Config,
    shutdown: CancellationToken,
    announce: impl FnOnce(&Connections) -> String,
) -> Result<(), ServeError> {
    // Before anything is said: whoever waits for the word that we are ready may send a signal right after it.
    let mut signals = Signals::listen()?;
    let running = tokio::select! {
        running = start(config) => running?,
        name = signals.next() => {
            tracing::info!("{name} received while starting");
            return Ok(());
        }
    };
    say(&announce(&running.connections()?));
    tokio::select! {
        () = shutdown.cancelled() => {}
        name = signals.next() => tracing::info!("{name} received: draining"),
    }
    tokio::select! {
        () = running.stop() => {}
        name = signals.next() => tracing::warn!("{name} received while draining: ending at once"),
    }
    Ok(())
}

/// The signals that end a server.
struct Signals {
    term: Signal,
    int: Signal,
}

impl Signals {
    fn listen() -> Result<Self, ServeError> {
        let listen = |kind| {
            signal(kind).map_err(|error| ServeError::System(format!("cannot listen for signals: {error}")))
        };
        Ok(Self { term: listen(SignalKind::terminate())?, int: listen(SignalKind::interrupt())? })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.term.recv() => "SIGTERM",
            _ = self.int.recv() => "SIGINT",
        }
    }
}

/// Starts a server; returns once it accepts connections.
pub async fn start(config: Config) -> Result<Running, ServeError> {
    // Another part of the process may have done so: the provider is the same.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    if let Some(step) = config.faults.crash_at.as_deref().and_then(Step::named) {
        tracing::warn!(step = step.as_str(), "this process will abort there: [faults] crash_at is set");
        step.crash();
    }
    let metrics = metrics();
    let data = DataDir::open(&config.server.data_dir)?;
    let backends = compose::open(&config, &data).await?;
    transfer::require_whole(&backends.store).await?;
    let (random, now) = (&*backends.random, backends.clock.now());
    let certificates = match config.state.url {
        None => Certificates::open(&data, &config.tls, random, now)?,
        Some(_) => Certificates::open_shared(&data, &config.tls, &backends.store, random, now).await?,
    };
    let context = backends.context(&config, certificates.trusted(&config.tls)?).await?;
    let settings = Settings {
        domain: config.server.domain.clone(),
        issuers: config.identity.issuers.clone(),
        jobs: config.jobs.clone(),
        files: config.files.folder.clone().or_else(|| backends.is_alone().then(|| data.file("files"))),
    };
    let services = Services::with(context, settings);
    let declared = config.declared();
    services.load(&declared).await.map_err(|error| ServeError::Declared(error.message))?;
    let names = names::certified(&config, &services.context.table);
    let (chain, key) = certificates.server(&data, &names, random, now)?;
    let tls_failed =
        |error: rustls::Error| ServeError::Certificate(format!("the certificate cannot be used: {error}"));
    let certificate = Arc::new(ServerCertificate::new(chain, key).map_err(tls_failed)?);
    let bound = listen::bind(&config.listen)?;
    let ports = bound.ports.clone();
    if services.context.https_ports.set(ports.https.clone()).is_err() {
        return Err(ServeError::System("the services are served already".to_owned()));
    }
    services.issuer.set_authority(&connections::url(&config.server.domain, ports.main()));
    let needs = backends.needs(&config, &services.context.cluster);
    let inside = Arc::new(Inside {
        config,
        data,
        certificates,
        certificate,
        services: Arc::clone(&services),
        ports: ports.clone(),
    });
    inside.write_connections()?;
    let (edges, background) = (Stopping::default(), Stopping::default());
    let running = Running { ports, services, inside, edges, background };
    running.serve(bound, metrics, needs)?;
    Ok(running)
}

impl Running {
    /// What clients need to connect, as things stand now.
    pub fn connections(&self) -> Result<Connections, ServeError> {
        self.inside.connections()
    }

    /// Stops accepting, lets what is under way end (at most ten seconds), and closes the data folder.
    pub async fn stop(self) {
        let begun = Instant::now();
        self.edges.stop(begun + CONNECTIONS, "connections").await;
        self.background.stop(begun + DRAIN, "background work").await;
    }

    fn serve(&self, bound: Bound, metrics: PrometheusHandle, needs: Vec<Need>) -> Result<(), ServeError> {
        let (edges, background) = (&self.edges, &self.background);
        let limits = &self.services.context.limits;
        let gate = Arc::new(Gate::new(limits.connections, limits.unauthenticated_connections));
        let accepting = |alpn: &[&str]| {
            let tls = accept::tls(Arc::clone(&self.inside.certificate), alpn);
            Ok::<_, ServeError>(Accepting {
                tls: tls
                    .map_err(|error| ServeError::Certificate(format!("TLS cannot be set up: {error}")))?,
                gate: Arc::clone(&gate),
                handshake_timeout: Duration::from_secs(limits.handshake_timeout_seconds),
                shutdown: edges.shutdown.clone(),
                tasks: edges.tasks.clone(),
            })
        };
        background.tasks.spawn(fold_metrics(metrics.clone(), background.shutdown.clone()));
        let readiness = Readiness::new(needs, edges.shutdown.clone());
        let (amqp, mqtt) = (Amqp::new(Arc::clone(&self.services)), Mqtt::new(Arc::clone(&self.services)));
        let about = self.inside.about(metrics, readiness);
        let http = Http::new(Arc::clone(&self.services), about, Arc::clone(&amqp), Arc::clone(&mqtt));
        let https = accepting(&["http/1.1"])?;
        for listener in bound.https {
            let (http, shutdown) = (Arc::clone(&http), edges.shutdown.clone());
            edges.tasks.spawn(accept::serve(listener, https.clone(), move |stream, peer, admission| {
                Arc::clone(&http).serve(stream, peer, admission, shutdown.clone())
            }));
        }
        let mqtts = accepting(&["mqtt"])?;
        for listener in bound.mqtt {
            let (mqtt, shutdown) = (Arc::clone(&mqtt), edges.shutdown.clone());
            edges.tasks.spawn(accept::serve(listener, mqtts.clone(), move |stream, peer, admission| {
                Arc::clone(&mqtt).serve(stream, peer, Some(admission), shutdown.clone())
            }));
        }
        let amqps = accepting(&["amqp"])?;
        for listener in bound.amqp {
            let (amqp, shutdown) = (Arc::clone(&amqp), edges.shutdown.clone());
            edges.tasks.spawn(accept::serve(listener, amqps.clone(), move |stream, peer, admission| {
                Arc::clone(&amqp).serve(stream, peer, admission, shutdown.clone())
            }));
        }
        for listener in bound.amqp_plain {
            let (amqp, shutdown) = (Arc::clone(&amqp), edges.shutdown.clone());
            edges.tasks.spawn(accept::serve_plain(
                listener,
                amqps.clone(),
                move |stream, peer, admission| {
                    Arc::clone(&amqp).serve(stream, peer, admission, shutdown.clone())
                },
            ));
        }
        self.services.start(&background.shutdown, &background.tasks);
        background.tasks.spawn(Arc::clone(&self.inside).keep_up(background.shutdown.clone()));
        Ok(())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.edges.shutdown.cancel();
        self.background.shutdown.cancel();
    }
}

impl Inside {
    fn connections(&self) -> Result<Connections, ServeError> {
        let data_dir = self.data.path().display().to_string();
        let ca = self.certificates.ca_file(&self.data).display().to_string();
        Connections::of(&self.services, &data_dir, &ca, &self.ports)
    }

    fn write_connections(&self) -> Result<(), ServeError> {
        let text = serde_json::to_string_pretty(&self.connections()?);
        let text = text.map_err(|error| ServeError::System(error.to_string()))?;
        self.data.write("connections.json", &(text + "\n"))
    }

    fn about(self: &Arc<Self>, metrics: PrometheusHandle, readiness: Arc<Readiness>) -> About {
        // Weak: the services must not keep themselves alive through their own edge.
        let inside = Arc::downgrade(self);
        let connections = move || {
            let connections = inside.upgrade().and_then(|inside| inside.connections().ok());
            connections.and_then(|one| serde_json::to_value(one).ok()).unwrap_or_default()
        };
        About { connections: Arc::new(connections), metrics: Arc::new(move || metrics.render()), readiness }
    }

    /// Keeps the certificate and `connections.json` true to the resources, and the certificate fresh.
    async fn keep_up(self: Arc<Self>, shutdown: CancellationToken) {
        let mut changes = self.services.resources.watch();
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = tokio::time::sleep(CERTIFICATE_CHECK) => {}
                changed = changes.changed() => if changed.is_err() { return },
            }
            let inside = Arc::clone(&self);
            let renewed = tokio::task::spawn_blocking(move || inside.renew()).await;
            if let Ok(Err(error)) = renewed {
                tracing::error!(%error, "the certificate or connections.json could not be renewed");
            }
        }
    }

    fn renew(&self) -> Result<(), ServeError> {
        let context = &self.services.context;
        let names = names::certified(&self.config, &context.table);
        let (chain, key) =
            self.certificates.server(&self.data, &names, &*context.random, context.clock.now())?;
        let unfit = |error: rustls::Error| {
            ServeError::Certificate(format!("the certificate cannot be used: {error}"))
        };
        self.certificate.replace(chain, key).map_err(unfit)?;
        self.write_connections()
    }
}

/// The recorder is the process's: servers that share a process share it.
fn metrics() -> PrometheusHandle {
    static METRICS: OnceLock<PrometheusHandle> = OnceLock::new();
    let made = METRICS.get_or_init(|| {
        let recorder = PrometheusBuilder::new().build_recorder();
        let handle = recorder.handle();
        if metrics::set_global_recorder(recorder).is_err() {
            tracing::debug!("the process records metrics elsewhere already");
        }
        handle
    });
    made.clone()
}

async fn fold_metrics(metrics: PrometheusHandle, shutdown: CancellationToken) {
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(METRICS_UPKEEP) => metrics.run_upkeep(),
        }
    }
}

/// To standard output, which may be closed.
fn say(text: &str) {
    let mut out = std::io::stdout().lock();
    let said = writeln!(out, "{text}").and_then(|()| out.flush());
    if let Err(error) = said {
        tracing::debug!(%error, "standard output is closed");
    }
}
