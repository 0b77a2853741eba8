//! Connecting to NATS, with the reason and what to do when it fails.

use std::path::PathBuf;
use std::time::Duration;

use async_nats::{ConnectErrorKind, ConnectOptions, Event, ServerAddr};
use tokio::sync::watch;

/// How long a connection attempt may take.
const CONNECT: Duration = Duration::from_secs(5);
/// How often the server is asked whether it is still there; two missed answers end a connection.
const PING: Duration = Duration::from_secs(3);
/// The longest pause between two attempts to connect again.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// How to reach NATS.
#[derive(Debug, Clone)]
pub struct NatsOptions {
    /// What every subject of the deployment begins with.
    pub prefix: String,
    /// A credentials file (`.creds`), in place of user and password in the URL.
    pub credentials: Option<PathBuf>,
    /// PEM file of CAs the server may be certified by, beside the system's.
    pub ca: Option<PathBuf>,
    /// How this node is named in the server's list of connections.
    pub name: String,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The URL is no list of NATS servers.
    #[error(
        "'{0}' is no address of NATS: use nats://host:4222 or tls://host:4222, several separated by commas"
    )]
    Url(String),
    /// A file that is named cannot be used.
    #[error("cannot use {}: {problem}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        problem: String,
    },
    /// The server refuses the credentials.
    #[error(
        "NATS at {servers} refuses the credentials: check user and password in events.url, or events.credentials"
    )]
    Credentials {
        /// Without user and password.
        servers: String,
    },
    /// There is no connection.
    #[error("cannot connect to NATS at {servers}: {problem}; check events.url and that the server runs")]
    Connect {
        /// Without user and password.
        servers: String,
        /// Why.
        problem: String,
    },
}

pub(super) async fn connect(
    url: &str,
    options: &NatsOptions,
    connections: watch::Sender<u64>,
) -> Result<async_nats::Client, OpenError> {
    let servers = servers(url)?;
    let shown = shown(&servers);
    let mut connect = ConnectOptions::new()
        .name(&options.name)
        .connection_timeout(CONNECT)
        .ping_interval(PING)
        .max_reconnects(None)
        .reconnect_delay_callback(|attempts| {
            let doubled = Duration::from_millis(20).saturating_mul(1 << attempts.min(10));
            doubled.min(LONGEST_PAUSE)
        })
        .event_callback(move |event| {
            match event {
                Event::Connected => connections.send_modify(|number| *number += 1),
                other => tracing::warn!("NATS: {other}"),
            }
            std::future::ready(())
        });
    if let Some(path) = &options.credentials {
        let unusable =
            |error: std::io::Error| OpenError::File { path: path.clone(), problem: error.to_string() };
        connect = connect.credentials_file(path).await.map_err(unusable)?;
    }
    if let Some(path) = &options.ca {
        if let Err(error) = std::fs::metadata(path) {
            return Err(OpenError::File { path: path.clone(), problem: error.to_string() });
        }
        connect = connect.add_root_certificates(path.clone());
    }
    // User and password of the URL count for all servers of it.
    if let Some((user, password)) = servers.iter().find_map(|one| Some((one.username()?, one.password()?))) {
        connect = connect.user_and_password(user.to_owned(), password.to_owned());
    }
    connect.connect(servers).await.map_err(|error| match error.kind() {
        ConnectErrorKind::Authentication | ConnectErrorKind::AuthorizationViolation => {
            OpenError::Credentials { servers: shown.clone() }
        }
        _ => OpenError::Connect { servers: shown.clone(), problem: error.to_string() },
    })
}

fn servers(url: &str) -> Result<Vec<ServerAddr>, OpenError> {
    let one = |text: &str| text.trim().parse::<ServerAddr>();
    let parsed: Result<Vec<_>, _> = url.split(',').map(one).collect();
    // What was given may hold a password: only its form is shown.
    parsed.map_err(|_| OpenError::Url(url.split('@').next_back().unwrap_or_default().to_owned()))
}

fn shown(servers: &[ServerAddr]) -> String {
    let one = |server: &ServerAddr| format!("{}:{}", server.host(), server.port());
    servers.iter().map(one).collect::<Vec<_>>().join(", ")
}
