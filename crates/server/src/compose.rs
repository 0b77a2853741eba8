//! The only place that picks backends: SQLite for state, segment files for events.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use pollux_eventlog::{EventLog, SegmentLog, SegmentOptions};
use pollux_model::{Clock, SystemClock, SystemRandom};
use pollux_services::Context;
use pollux_services::resources::ResourceTable;
use pollux_store::sqlite::{SqliteOptions, SqliteStore};
use pollux_store::store::DynStore;
use rustls_pki_types::CertificateDer;

use crate::config::Config;
use crate::data_dir::DataDir;
use crate::error::ServeError;
use crate::names;

/// How long a call to another server may take to connect. Whoever calls bounds the whole.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Opens the backends in the data folder. What blocks runs on blocking threads, all at the same time.
pub(crate) async fn context(
    config: &Config,
    data: &DataDir,
    trusted: Vec<CertificateDer<'static>>,
) -> Result<Arc<Context>, ServeError> {
    let (state, events) = (data.file("state.db"), data.file("events"));
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let log_clock = Arc::clone(&clock);
    let store = tokio::task::spawn_blocking(move || SqliteStore::open(&state, SqliteOptions::default()));
    let log =
        tokio::task::spawn_blocking(move || SegmentLog::open(&events, SegmentOptions::default(), log_clock));
    let http = tokio::task::spawn_blocking(move || http_client(&trusted));
    let stored = |error: &dyn std::error::Error| ServeError::Stored(with_causes(error));
    let store: DynStore = Arc::new(joined(store.await)?.map_err(|error| stored(&error))?);
    let log: Arc<dyn EventLog> = Arc::new(joined(log.await)?.map_err(|error| stored(&error))?);
    let http = joined(http.await)?.map_err(|error| ServeError::System(with_causes(&error)))?;
    Ok(Arc::new(Context {
        store,
        log,
        clock,
        random: Arc::new(SystemRandom),
        table: ResourceTable::new(names::local(config)),
        limits: config.limits.clone(),
        https_ports: OnceLock::new(),
        http,
    }))
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

fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
