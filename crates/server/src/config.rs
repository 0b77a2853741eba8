//! Configuration: a TOML file, then the environment (`POLLUX_SECTION__KEY`). Everything has a default.
//!
//! A bad setting is refused with its file, line and key, or the name of its variable, and what would be accepted.

mod check;
mod environment;
mod error;
mod place;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};

use pollux_model::resource::Setting;
use pollux_services::Limits;
use pollux_services::issuer::ExternalIssuer;
use pollux_services::resources::Declared;
use pollux_services::resources::declared::{
    DeclaredDps, DeclaredEvents, DeclaredFunctions, DeclaredHub, DeclaredTwins,
};
use pollux_services::twins::JobSettings;
use serde::Deserialize;

use self::environment::Override;
use self::place::Source;

pub use self::error::{ConfigError, Place};

/// Everything that can be configured.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Names and places.
    pub server: Server,
    /// Addresses and ports.
    pub listen: Listen,
    /// A certificate of one's own in place of the development CA's.
    pub tls: Tls,
    /// Where the state is kept.
    pub state: State,
    /// Where the events are kept.
    pub events: Events,
    /// Bounds.
    pub limits: Limits,
    /// Who is trusted.
    pub identity: Identity,
    /// What import and export jobs may reach.
    pub jobs: JobSettings,
    /// Where hubs keep files that have no storage account.
    pub files: Files,
    /// Resources to make if they are absent, and to change if they differ. Nothing is deleted.
    pub resources: Resources,
    /// What is logged.
    pub log: Log,
    /// For tests of what survives a crash.
    pub faults: Faults,
}

/// Names and places.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Server {
    /// What host names of resources end with; also a name of this machine.
    pub domain: String,
    /// What this node is called among others; without, the host's name. A random part is added at each start.
    pub node: Option<String>,
    /// Where everything is kept that has no other place; made with mode 0700.
    pub data_dir: PathBuf,
    /// Other names and addresses of this machine: they are put into the certificate.
    pub extra_names: Vec<String>,
}

/// Addresses and ports.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Listen {
    /// Addresses to listen on.
    pub addresses: Vec<IpAddr>,
    /// HTTPS ports. One that needs a privilege or is in use is left out if another can be had.
    pub https: Vec<u16>,
    /// MQTT ports.
    pub mqtt: Vec<u16>,
    /// AMQP ports, with TLS.
    pub amqp: Vec<u16>,
    /// AMQP ports without TLS, for connection strings with `UseDevelopmentEmulator=true`: on this machine's own addresses
    /// only, whatever `addresses` says. One that is in use is left out.
    pub amqp_plain: Vec<u16>,
}

/// A certificate of one's own.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Tls {
    /// PEM file: the server's certificate, then its chain.
    pub certificate: Option<PathBuf>,
    /// PEM file: its key.
    pub key: Option<PathBuf>,
    /// PEM file: the CA that clients are to trust.
    pub ca: Option<PathBuf>,
    /// PEM files of CAs that webhooks and foreign services may be certified by, beside the system's.
    pub trust: Vec<PathBuf>,
}

/// Where the state is kept.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct State {
    /// `postgres://…`; carries a password. Without: SQLite in the data folder.
    pub url: Option<Setting>,
    /// PEM file of CAs that PostgreSQL may be certified by, in place of the system's.
    pub ca: Option<PathBuf>,
    /// Connections to PostgreSQL at most.
    pub connections: usize,
}

/// Where the events are kept.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Events {
    /// `nats://…` or `tls://…`, several separated by commas; may carry a password. Without: files in the data folder.
    pub url: Option<Setting>,
    /// What all names of the deployment on the NATS server begin with.
    pub prefix: String,
    /// Copies of each event, on as many servers.
    pub replicas: usize,
    /// A `.creds` file, in place of user and password.
    pub credentials: Option<PathBuf>,
    /// PEM file of CAs that NATS may be certified by; makes TLS a must.
    pub ca: Option<PathBuf>,
}

/// Where hubs keep files that have no storage account.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Files {
    /// A folder that all nodes share. Without: `files` in the data folder where there is one node, else none.
    pub folder: Option<PathBuf>,
}

/// Who is trusted.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Identity {
    /// OpenID Connect issuers beside the built-in one.
    pub issuers: Vec<ExternalIssuer>,
}

/// Declared resources by kind.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Resources {
    /// Provisioning services.
    pub dps: Vec<DeclaredDps>,
    /// Hubs.
    pub hub: Vec<DeclaredHub>,
    /// Event hubs namespaces.
    pub events: Vec<DeclaredEvents>,
    /// Digital twins instances.
    pub twins: Vec<DeclaredTwins>,
    /// Function apps.
    pub functions: Vec<DeclaredFunctions>,
}

/// For tests of what survives a crash. A server that somebody relies on has none of it.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Faults {
    /// The step at which the process aborts when it first gets there; see [`pollux_services::steps`].
    pub crash_at: Option<String>,
}

/// What is logged.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    /// Such as `info` or `warn,pollux_services=debug`.
    pub filter: String,
    /// One JSON object a line, in place of text.
    pub json: bool,
}

impl Default for Server {
    fn default() -> Self {
        Self {
            domain: "localhost".to_owned(),
            node: None,
            data_dir: PathBuf::from("pollux-data"),
            extra_names: Vec::new(),
        }
    }
}

impl Default for Listen {
    fn default() -> Self {
        let addresses = vec![IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
        Self { addresses, https: vec![443, 8443], mqtt: vec![8883], amqp: vec![5671], amqp_plain: vec![5672] }
    }
}

impl Default for State {
    fn default() -> Self {
        Self { url: None, ca: None, connections: 16 }
    }
}

impl Default for Events {
    fn default() -> Self {
        Self { url: None, prefix: "pollux".to_owned(), replicas: 1, credentials: None, ca: None }
    }
}

impl Default for Log {
    fn default() -> Self {
        Self { filter: "info".to_owned(), json: false }
    }
}

impl Config {
    /// Reads a file (none: all defaults) and this process's environment.
    pub fn load(file: Option<&Path>) -> Result<Self, ConfigError> {
        // The one place that reads the environment.
        let variables = std::env::vars_os().filter_map(|(name, value)| {
            Some((name.into_string().ok()?, value.to_string_lossy().into_owned()))
        });
        match file {
            None => Self::parse(None, "", variables),
            Some(path) => {
                let text =
                    std::fs::read_to_string(path).map_err(|source| ConfigError::unreadable(path, &source))?;
                Self::parse(Some(path), &text, variables)
            }
        }
    }

    /// Reads a file's text and variables; `path` is for messages.
    pub fn parse(
        path: Option<&Path>,
        text: &str,
        variables: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, ConfigError> {
        let source = Source::new(path, text);
        // By itself first, for errors with a line.
        toml::from_str::<Self>(text).map_err(|error| source.error(&error))?;
        let mut table: toml::Table = toml::from_str(text).map_err(|error| source.error(&error))?;
        let mut overrides = Vec::new();
        for (name, value) in variables {
            if let Some(one) = Override::read(&name, &value)? {
                one.put_into(&mut table);
                overrides.push(one);
            }
        }
        // Each part was read already: what fails now is how they go together.
        let config: Self = table.try_into().map_err(|error| source.error(&error))?;
        check::check(&config).map_err(|problem| problem.placed(&source, &overrides))?;
        Ok(config)
    }

    /// The declared resources, as the services take them.
    #[must_use]
    pub fn declared(&self) -> Vec<Declared> {
        let resources = self.resources.clone();
        let mut declared = Vec::new();
        declared.extend(resources.events.into_iter().map(Declared::Events));
        declared.extend(resources.twins.into_iter().map(Declared::Twins));
        declared.extend(resources.functions.into_iter().map(Declared::Functions));
        declared.extend(resources.hub.into_iter().map(Declared::Hub));
        declared.extend(resources.dps.into_iter().map(Declared::Dps));
        declared
    }
}

#[cfg(test)]
mod tests;
