//! Connecting, and saying what is wrong where that fails.

use std::path::PathBuf;
use std::time::Duration;

use async_nats::{Client, ConnectErrorKind, ConnectOptions, Event, ServerAddr};
use percent_encoding::percent_decode_str;
use tokio::sync::watch;
use url::Url;

use super::JetStreamOptions;
use super::wire::{Failure, Link, Wire};

/// The oldest server whose API is enough.
const OLDEST: (u64, u64) = (2, 9);
/// The least `max_payload` that is worth starting with.
const LEAST_PAYLOAD: usize = 128 * 1024;

/// Why a log cannot be opened. Never shows a password.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Correct the setting.
    #[error("the NATS settings are wrong: {0}")]
    Settings(String),
    /// Check address, port and whether the server runs.
    #[error("cannot connect to NATS at {servers}: {reason}")]
    Connect {
        /// Hosts and ports that were tried.
        servers: String,
        /// Why.
        reason: String,
    },
    /// Check the CA file, the host name in the server's certificate, and whether the server speaks TLS.
    #[error("no secure connection to NATS at {servers}: {reason}")]
    Tls {
        /// Hosts and ports that were tried.
        servers: String,
        /// Why.
        reason: String,
    },
    /// Check user, password, token or credentials file.
    #[error("NATS at {servers} refuses these credentials")]
    Authorization {
        /// Hosts and ports that were tried.
        servers: String,
    },
    /// The credentials file cannot be read.
    #[error("cannot use the credentials file {}: {reason}", .path.display())]
    Credentials {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// Start the server with JetStream (`-js`, or `jetstream {}` in its configuration), or enable it for the account.
    #[error("JetStream is not enabled on the NATS server or for this account: {0}")]
    NoJetStream(String),
    /// Use a newer server.
    #[error("NATS server {version} is too old: 2.9 or later is needed")]
    TooOld {
        /// The server's version.
        version: String,
    },
    /// Raise `max_payload` in the server's configuration; 8 MB suits.
    #[error("the NATS server's max_payload is {bytes} bytes, at least {LEAST_PAYLOAD} are needed")]
    MaxPayload {
        /// The server's value.
        bytes: usize,
    },
    /// Give the account the right to create streams (`$JS.API.>`) and to use `<prefix>.>` and `$KV.<prefix>-catalog.>`.
    #[error("cannot make the streams' catalog: {0}")]
    Catalog(String),
}

/// Connects, and makes sure that the server is good enough.
pub(crate) async fn connect(url: &str, options: &JetStreamOptions) -> Result<Wire, OpenError> {
    check_prefix(&options.prefix)?;
    let (addresses, login) = parse(url)?;
    let servers = shown(&addresses);
    let (told, link) = watch::channel(Link { up: true, epoch: 0 });
    let settings = settings(options, login, told).await?;
    let client = settings.connect(addresses).await.map_err(|error| refused(&error, servers))?;
    let wire = Wire { client, link, timeout: options.timeout };
    check_server(&wire.client)?;
    match wire.account(wire.deadline()).await {
        Ok(()) => Ok(wire),
        Err(Failure::Gone) => Err(OpenError::NoJetStream("nobody answers its API".to_owned())),
        Err(failure) => Err(OpenError::NoJetStream(failure.to_string())),
    }
}

fn check_prefix(prefix: &str) -> Result<(), OpenError> {
    let fits = (1..=32).contains(&prefix.len())
        && prefix.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    if fits {
        return Ok(());
    }
    Err(OpenError::Settings(format!("`{prefix}` is no prefix: 1 to 32 characters of A-Z a-z 0-9 - _")))
}

/// User and password, or a token.
struct Login {
    user: String,
    password: Option<String>,
}

/// The servers, without credentials, and the credentials of the first one that has some.
fn parse(url: &str) -> Result<(Vec<ServerAddr>, Option<Login>), OpenError> {
    let (mut servers, mut login) = (Vec::new(), None);
    for text in url.split(',').map(str::trim).filter(|text| !text.is_empty()) {
        let whole = if text.contains("://") { text.to_owned() } else { format!("nats://{text}") };
        // The text is not shown: it may hold a password.
        let mut url = Url::parse(&whole)
            .map_err(|error| OpenError::Settings(format!("a server's URL is malformed: {error}")))?;
        if login.is_none() && !url.username().is_empty() {
            let plain = |part: &str| percent_decode_str(part).decode_utf8_lossy().into_owned();
            login = Some(Login { user: plain(url.username()), password: url.password().map(plain) });
        }
        let stripped = url.set_username("").and_then(|()| url.set_password(None));
        if stripped.is_err() || !matches!(url.scheme(), "nats" | "tls") || url.host_str().is_none() {
            return Err(OpenError::Settings(
                "a server's URL looks like nats://host:4222 or tls://host:4222".to_owned(),
            ));
        }
        let address = ServerAddr::from_url(url).map_err(|error| OpenError::Settings(error.to_string()))?;
        servers.push(address);
    }
    if servers.is_empty() {
        return Err(OpenError::Settings("no server is named".to_owned()));
    }
    Ok((servers, login))
}

fn shown(servers: &[ServerAddr]) -> String {
    let all: Vec<_> = servers.iter().map(|server| format!("{}:{}", server.host(), server.port())).collect();
    all.join(", ")
}

async fn settings(
    options: &JetStreamOptions,
    login: Option<Login>,
    told: watch::Sender<Link>,
) -> Result<ConnectOptions, OpenError> {
    let mut settings = ConnectOptions::new()
        .name("pollux")
        .no_echo()
        .connection_timeout(options.timeout)
        .request_timeout(Some(options.timeout))
        .ping_interval(Duration::from_secs(5))
        .max_reconnects(None)
        .reconnect_delay_callback(|attempts| {
            if attempts <= 1 { Duration::ZERO } else { Duration::from_millis(100 * attempts.min(10) as u64) }
        })
        .event_callback(move |event| {
            note(&told, &event);
            std::future::ready(())
        });
    settings = match login {
        Some(Login { user, password: Some(password) }) => settings.user_and_password(user, password),
        Some(Login { user: token, password: None }) => settings.token(token),
        None => settings,
    };
    if let Some(path) = &options.credentials {
        settings = settings
            .credentials_file(path)
            .await
            .map_err(|error| OpenError::Credentials { path: path.clone(), reason: error.to_string() })?;
    }
    if let Some(path) = &options.ca {
        settings = settings.add_root_certificates(path.clone()).require_tls(true);
    }
    Ok(settings)
}

fn note(told: &watch::Sender<Link>, event: &Event) {
    match event {
        Event::Connected => told.send_modify(|link| link.up = true),
        Event::Disconnected | Event::Closed => {
            tracing::warn!("the connection to NATS is lost");
            told.send_modify(|link| *link = Link { up: false, epoch: link.epoch + 1 });
        }
        Event::LameDuckMode
        | Event::Draining
        | Event::SlowConsumer(_)
        | Event::ServerError(_)
        | Event::ClientError(_) => tracing::warn!(%event, "NATS"),
    }
}

fn refused(error: &async_nats::ConnectError, servers: String) -> OpenError {
    let mut reason = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        let text = inner.to_string();
        if !reason.contains(&text) {
            reason = format!("{reason}: {text}");
        }
        cause = inner.source();
    }
    match error.kind() {
        ConnectErrorKind::AuthorizationViolation | ConnectErrorKind::Authentication => {
            OpenError::Authorization { servers }
        }
        ConnectErrorKind::Tls => OpenError::Tls { servers, reason },
        _ if reason.contains("certificate") => OpenError::Tls { servers, reason },
        _ => OpenError::Connect { servers, reason },
    }
}

fn check_server(client: &Client) -> Result<(), OpenError> {
    let info = client.server_info();
    let mut parts = info.version.split('.').map(|part| part.parse::<u64>().unwrap_or(0));
    let version = (parts.next().unwrap_or(0), parts.next().unwrap_or(0));
    if version < OLDEST {
        return Err(OpenError::TooOld { version: info.version });
    }
    if info.max_payload < LEAST_PAYLOAD {
        return Err(OpenError::MaxPayload { bytes: info.max_payload });
    }
    Ok(())
}
