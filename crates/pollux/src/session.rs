//! A running server, as the commands speak to it: each service's REST API with its own credential.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use anyhow::{Context as _, Result};
use pollux_client::rest::{RestOptions, TokenSource};
use pollux_client::{ConnectionString, Endpoint, Rest, tls};
use url::Url;

use crate::cli::Global;
use crate::connections::{Connections, Instance, pick};
use crate::output::Output;

const DPS_VERSION: &str = "2021-10-01";
const HUB_VERSION: &str = "2021-04-12";
const TWINS_VERSION: &str = "2023-10-31";
const TWINS_SCOPE: &str = "https://digitaltwins.azure.net/.default";

/// A server and where to print to.
#[derive(Debug, Clone)]
pub(crate) struct Session {
    pub(crate) connections: Connections,
    pub(crate) output: Output,
    tls: Arc<rustls::ClientConfig>,
    address: IpAddr,
}

impl Session {
    /// The server of the data folder.
    pub(crate) fn open(global: &Global) -> Result<Self> {
        Self::new(Connections::read(&global.data_dir())?, Output::new(global.json))
    }

    /// A server that says this about itself.
    pub(crate) fn new(connections: Connections, output: Output) -> Result<Self> {
        let ca = connections.ca()?;
        let tls = tls::client_config(&ca).with_context(|| format!("'{}'", connections.ca.display()))?;
        let address = address(&connections.admin.url)?;
        Ok(Self { connections, output, tls, address })
    }

    /// The operator's API.
    pub(crate) fn admin(&self) -> Result<Rest> {
        let admin = &self.connections.admin;
        Ok(Rest::bearer(&admin.url, TokenSource::Fixed(admin.key.clone()), self.options(&admin.url, None))?)
    }

    /// The service API of a DPS.
    pub(crate) fn dps(&self, name: Option<&str>) -> Result<Rest> {
        self.sas(pick("dps", &self.connections.dps, name)?, DPS_VERSION)
    }

    /// The service API of a hub.
    pub(crate) fn hub(&self, name: Option<&str>) -> Result<Rest> {
        self.sas(pick("hub", &self.connections.hub, name)?, HUB_VERSION)
    }

    /// Where a file goes: to the server itself, or to a storage account.
    pub(crate) fn storage(&self, host: &str) -> Result<Rest> {
        let url = format!("https://{host}");
        let name = Url::parse(&url).ok().and_then(|url| url.host_str().map(str::to_owned));
        let own = self.connections.hub.iter().any(|hub| Some(&hub.host_name) == name.as_ref());
        if own {
            return Ok(Rest::anonymous(&url, self.options(&url, None))?);
        }
        let options =
            RestOptions { tls: Some(tls::SystemTrust::default().config()?), ..RestOptions::default() };
        Ok(Rest::anonymous(&url, options)?)
    }

    /// A digital twins instance.
    pub(crate) fn twins(&self, name: Option<&str>) -> Result<Rest> {
        let instance = pick("twins instance", &self.connections.twins, name)?;
        let url = instance.url.clone().map_or_else(|| self.base(instance), Ok)?;
        let identity = &self.connections.identity;
        let source = TokenSource::ClientCredentials {
            token_url: format!(
                "{}/{}/oauth2/v2.0/token",
                identity.authority.trim_end_matches('/'),
                identity.tenant_id
            ),
            client_id: identity.client_id.clone(),
            client_secret: identity.client_secret.clone(),
            scope: TWINS_SCOPE.to_owned(),
        };
        Ok(Rest::bearer(&url, source, self.options(&url, Some(TWINS_VERSION)))?)
    }

    /// Where devices of an instance connect over MQTT.
    pub(crate) fn mqtt(&self, host: &str) -> Result<Endpoint> {
        let port = *self.connections.ports.mqtt.first().context("the server listens on no port for MQTT")?;
        let address = Some(SocketAddr::new(self.address, port));
        Ok(Endpoint { host: host.to_owned(), port, address, tls: Arc::clone(&self.tls) })
    }

    /// Where event hubs are reached over AMQP.
    pub(crate) fn amqp(&self, host: &str) -> Result<Endpoint> {
        let port = *self.connections.ports.amqp.first().context("the server listens on no port for AMQP")?;
        let address = Some(SocketAddr::new(self.address, port));
        Ok(Endpoint { host: host.to_owned(), port, address, tls: Arc::clone(&self.tls) })
    }

    fn sas(&self, instance: &Instance, version: &str) -> Result<Rest> {
        let text = instance.connection_string.as_deref().filter(|text| !text.is_empty());
        let text = text.with_context(|| {
            let name = &instance.name;
            format!("connections.json has no connection string for '{name}': it has no policy; make one")
        })?;
        let policy: ConnectionString = text.parse()?;
        let url = self.base(instance)?;
        Ok(Rest::sas(&url, &policy, self.options(&url, Some(version)))?)
    }

    fn base(&self, instance: &Instance) -> Result<String> {
        let port = self.connections.ports.https.first().context("the server listens on no port for HTTPS")?;
        Ok(format!("https://{}:{port}", instance.host_name))
    }

    /// The server is on this machine: its names need not be known to anyone, and no proxy leads to it.
    fn options(&self, url: &str, api_version: Option<&str>) -> RestOptions {
        let hosts = [url, &self.connections.identity.authority].map(|url| Url::parse(url).ok());
        let hosts = hosts.iter().flatten().filter_map(Url::host_str);
        RestOptions {
            tls: Some(Arc::clone(&self.tls)),
            addresses: hosts.map(|host| (host.to_owned(), SocketAddr::new(self.address, 0))).collect(),
            api_version: api_version.map(str::to_owned),
            ..RestOptions::default()
        }
    }
}

/// Where the server listens: an address when the URL holds one, else this machine.
fn address(url: &str) -> Result<IpAddr> {
    let url = Url::parse(url).with_context(|| format!("connections.json: '{url}' is not an address"))?;
    let host = url.host_str().unwrap_or_default();
    Ok(host.trim_matches(['[', ']']).parse().unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST)))
}
