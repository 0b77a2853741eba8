//! The subject: `pollux serve` as a process of its own (or as several nodes), on its own core, and clients of it.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::Sub;
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use pollux_client::hub_device::{HubDevice, HubEvent, HubOptions};
use pollux_client::rest::{RestOptions, TokenSource};
use pollux_client::{ConnectionString, Credential, Endpoint, Rest, tls};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::mpsc;

use crate::backends::Backends;
use crate::process;

/// Settings of every server.
const CONFIG: &str = "\
[log]
filter = \"error\"
";
/// The model of devices.
pub(crate) const MODEL: &str = "dtmi:bench:Thermostat;1";
/// Requests or connections at the same time while things are made ready.
pub(crate) const AT_ONCE: usize = 32;
/// The key of every device made through the hub's API.
const KEY: [u8; 32] = [7; 32];

/// A running server, or several nodes of one.
#[derive(Debug)]
pub(crate) struct Subject {
    nodes: Vec<Node>,
    /// Where the state and the events are, if not in the one node's folder. After the nodes, which use them to the last.
    backends: Option<Backends>,
}

/// One process.
#[derive(Debug)]
struct Node {
    child: Child,
    address: Ipv4Addr,
    connections: Value,
    tls: Arc<rustls::ClientConfig>,
    // After the child: the server must be gone before its folder is.
    folder: TempDir,
}

/// CPU seconds, user and system, by who used them.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Cpu {
    pub(crate) nodes: f64,
    pub(crate) postgres: f64,
    pub(crate) nats: f64,
}

impl Sub for Cpu {
    type Output = Self;

    fn sub(self, before: Self) -> Self {
        Self {
            nodes: self.nodes - before.nodes,
            postgres: self.postgres - before.postgres,
            nats: self.nats - before.nats,
        }
    }
}

impl Cpu {
    /// Of each of `count` operations, in microseconds.
    pub(crate) fn micros_each(self, count: f64) -> Self {
        let each = |seconds: f64| seconds * 1e6 / count;
        Self { nodes: each(self.nodes), postgres: each(self.postgres), nats: each(self.nats) }
    }
}

impl Subject {
    /// Starts the release binary beside this one, in a folder of its own on the same disk. `more` is added to its
    /// settings.
    pub(crate) fn start(more: &str) -> Result<Self> {
        let node = Node::start(Ipv4Addr::LOCALHOST, [0, 0], more)?;
        Ok(Self { nodes: vec![node], backends: None })
    }

    /// Starts so many nodes on these backends: each on an address of its own, all on the same ports, as machines would
    /// be.
    pub(crate) fn start_nodes(count: u8, backends: Backends, more: &str) -> Result<Self> {
        let more = format!("{more}{}", backends.settings());
        let mut nodes = vec![Node::start(Ipv4Addr::new(127, 0, 0, 2), [0, 0], &more)?];
        let ports = [nodes[0].port("https")?, nodes[0].port("mqtt")?];
        for last in 1..count {
            nodes.push(Node::start(Ipv4Addr::new(127, 0, 0, last + 2), ports, &more)?);
        }
        Ok(Self { nodes, backends: Some(backends) })
    }

    /// What the nodes keep things in, if not their folder.
    pub(crate) const fn backends(&self) -> Option<&Backends> {
        self.backends.as_ref()
    }

    /// The data folder of the first node.
    pub(crate) fn data(&self) -> PathBuf {
        self.nodes[0].folder.path().join("data")
    }

    /// How many nodes there are.
    pub(crate) fn count(&self) -> usize {
        self.nodes.len()
    }

    /// What has been used so far.
    pub(crate) fn cpu(&self) -> Result<Cpu> {
        let used = self.nodes.iter().map(|node| process::cpu_seconds(node.child.id()));
        let nodes = used.sum::<Result<f64>>()?;
        let (postgres, nats) = match &self.backends {
            Some(backends) => backends.cpu()?,
            None => (0.0, 0.0),
        };
        Ok(Cpu { nodes, postgres, nats })
    }

    /// Resident memory of all nodes, in bytes.
    pub(crate) fn resident_bytes(&self) -> Result<f64> {
        self.nodes.iter().map(|node| process::resident_bytes(node.child.id())).sum()
    }

    /// Where devices connect: the nodes take turns.
    pub(crate) fn mqtt(&self, turn: usize) -> Result<Endpoint> {
        self.nodes[turn % self.nodes.len()].endpoint("mqtt")
    }

    /// Where applications send and read events, without TLS.
    pub(crate) fn amqp(&self) -> Result<SocketAddr> {
        let node = &self.nodes[0];
        Ok(SocketAddr::new(IpAddr::V4(node.address), node.port("amqpPlain")?))
    }

    /// Where the first hub's built-in endpoint is read, over TLS, and the policy that opens it.
    pub(crate) fn built_in(&self) -> Result<(Endpoint, ConnectionString)> {
        let node = &self.nodes[0];
        let policy = text(&node.connections["hub"][0]["eventsConnectionString"])?.parse()?;
        Ok((node.endpoint("amqp")?, policy))
    }

    /// The first hub's API.
    pub(crate) fn hub(&self) -> Result<Rest> {
        self.nodes[0].sas("hub", "2021-04-12")
    }

    /// The policy that opens the event hubs.
    pub(crate) fn events_policy(&self) -> Result<ConnectionString> {
        Ok(text(&self.nodes[0].connections["events"][0]["connectionString"])?.parse()?)
    }

    /// The server's process.
    pub(crate) fn pid(&self) -> u32 {
        self.nodes[0].child.id()
    }

    /// The ID scope.
    pub(crate) fn id_scope(&self) -> Result<&str> {
        text(&self.nodes[0].connections["dps"][0]["idScope"])
    }

    /// The hub's host name.
    pub(crate) fn hub_host(&self) -> Result<&str> {
        text(&self.nodes[0].connections["hub"][0]["hostName"])
    }

    /// Where REST is served, and whom to trust.
    pub(crate) fn https(&self) -> Result<(SocketAddr, Arc<rustls::ClientConfig>)> {
        let node = &self.nodes[0];
        Ok((SocketAddr::new(IpAddr::V4(node.address), node.port("https")?), Arc::clone(&node.tls)))
    }

    /// Path and form of the request for a token for the digital twins.
    pub(crate) fn token_request(&self) -> Result<(String, String)> {
        let identity = &self.nodes[0].connections["identity"];
        let (id, secret) = (text(&identity["clientId"])?, text(&identity["clientSecret"])?);
        let form = format!(
            "grant_type=client_credentials&client_id={id}&client_secret={secret}\
             &scope=https%3A%2F%2Fdigitaltwins.azure.net%2F.default"
        );
        Ok((format!("/{}/oauth2/v2.0/token", text(&identity["tenantId"])?), form))
    }

    /// The digital twins instance, at each node.
    pub(crate) fn twins(&self) -> Result<Vec<Rest>> {
        self.nodes.iter().map(Node::twins).collect()
    }

    /// The operator's API, at each node.
    pub(crate) fn admin(&self) -> Result<Vec<Rest>> {
        self.nodes.iter().map(Node::admin).collect()
    }

    /// Uploads the model.
    pub(crate) async fn with_model(&self) -> Result<()> {
        let model = json!([{
            "@context": "dtmi:dtdl:context;2", "@id": MODEL, "@type": "Interface",
            "contents": [{ "@type": "Property", "name": "Temperature", "schema": "double", "writable": true }],
        }]);
        self.nodes[0].twins()?.post("/models").json(model).send().await.context("cannot upload the model")?;
        Ok(())
    }

    /// The certificate of the authority that its servers' certificates are of, in PEM.
    pub(crate) fn ca_pem(&self) -> Result<String> {
        Ok(fs::read_to_string(text(&self.nodes[0].connections["ca"])?)?)
    }

    /// Makes an enrollment group whose devices get twins.
    pub(crate) async fn with_group(&self, name: &str, attestation: Value) -> Result<()> {
        let body = json!({
            "enrollmentGroupId": name,
            "attestation": attestation,
            "allocationPolicy": "custom",
            "customAllocationDefinition": { "webhookUrl": text(&self.nodes[0].connections["functions"][0]["allocateUrl"])? },
        });
        let dps = self.nodes[0].sas("dps", "2021-10-01")?;
        dps.put(&format!("/enrollmentGroups/{name}"))
            .json(body)
            .send()
            .await
            .context("cannot make the group")?;
        Ok(())
    }

    /// Makes devices in the hub, some at a time.
    pub(crate) async fn with_devices(&self, count: usize, at_once: usize) -> Result<()> {
        let hub = self.hub()?;
        let key = pollux_model::Key::from_bytes(&KEY);
        let keys = json!({ "primaryKey": key.reveal(), "secondaryKey": key.reveal() });
        let body =
            |id: &str| json!({ "deviceId": id, "authentication": { "type": "sas", "symmetricKey": keys } });
        let made = stream::iter(0..count).map(|index| {
            let id = device_id(index);
            let request = hub.put(&format!("/devices/{id}")).json(body(&id));
            request.send()
        });
        made.buffer_unordered(at_once).try_for_each(async |_| Ok(())).await.context("cannot make the devices")
    }

    /// Connects devices that were made, in their order; each with what the hub sends it.
    pub(crate) async fn connect(&self, count: usize) -> Result<Vec<(HubDevice, mpsc::Receiver<HubEvent>)>> {
        let host = self.hub_host()?;
        let endpoints = (0..self.count()).map(|turn| self.mqtt(turn)).collect::<Result<Vec<_>>>()?;
        let connected = stream::iter(0..count).map(|index| {
            let options = HubOptions::new(host, &device_id(index), Credential::Key(KEY.to_vec()));
            HubDevice::connect(&endpoints[index % endpoints.len()], options)
        });
        connected.buffered(AT_ONCE).try_collect().await.context("cannot connect the devices")
    }
}

impl Node {
    /// `ports`: HTTPS and MQTT, 0 for free ones.
    fn start(address: Ipv4Addr, ports: [u16; 2], more: &str) -> Result<Self> {
        let binary = beside("pollux")?;
        let folder = work_folder()?;
        let (config, data) = (folder.path().join("config.toml"), folder.path().join("data"));
        let [https, mqtt] = ports;
        let listen = format!(
            "[listen]\naddresses = [\"{address}\"]\nhttps = [{https}]\nmqtt = [{mqtt}]\namqp = [0]\namqp_plain = [0]\n"
        );
        fs::write(&config, format!("{listen}\n{CONFIG}\n{more}"))?;
        let mut command = process::pinned(&binary);
        command.args(["serve", "--json", "--config"]).arg(config).arg("--data-dir").arg(data);
        let mut child =
            command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().context("cannot start the server")?;
        let stdout = child.stdout.take().context("stdout was asked to be piped")?;
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        if line.is_empty() {
            bail!("the server did not start: {}", child.wait()?);
        }
        let connections: Value = serde_json::from_str(&line).context("the ready line is no JSON")?;
        let ca = fs::read_to_string(text(&connections["ca"])?)?;
        Ok(Self { child, address, tls: tls::client_config(&ca)?, connections, folder })
    }

    fn endpoint(&self, kind: &str) -> Result<Endpoint> {
        let port = self.port(kind)?;
        let address = Some(SocketAddr::new(IpAddr::V4(self.address), port));
        Ok(Endpoint { host: "localhost".to_owned(), port, address, tls: Arc::clone(&self.tls) })
    }

    fn port(&self, kind: &str) -> Result<u16> {
        let port = self.connections["ports"][kind][0].as_u64().context("the ready line lacks a port")?;
        Ok(u16::try_from(port)?)
    }

    fn twins(&self) -> Result<Rest> {
        let identity = &self.connections["identity"];
        let (authority, tenant) = (text(&identity["authority"])?, text(&identity["tenantId"])?);
        let source = TokenSource::ClientCredentials {
            token_url: format!("{authority}/{tenant}/oauth2/v2.0/token"),
            client_id: text(&identity["clientId"])?.to_owned(),
            client_secret: text(&identity["clientSecret"])?.to_owned(),
            scope: "https://digitaltwins.azure.net/.default".to_owned(),
        };
        Ok(Rest::bearer(text(&self.connections["twins"][0]["url"])?, source, self.options("2023-10-31"))?)
    }

    fn admin(&self) -> Result<Rest> {
        let admin = &self.connections["admin"];
        let key = text(&admin["key"])?.to_owned();
        Ok(Rest::bearer(text(&admin["url"])?, TokenSource::Fixed(key), self.options("2023-10-31"))?)
    }

    fn sas(&self, kind: &str, version: &str) -> Result<Rest> {
        let policy: ConnectionString = text(&self.connections[kind][0]["connectionString"])?.parse()?;
        Ok(Rest::sas(text(&self.connections["admin"]["url"])?, &policy, self.options(version))?)
    }

    fn options(&self, version: &str) -> RestOptions {
        RestOptions {
            tls: Some(Arc::clone(&self.tls)),
            addresses: vec![("localhost".to_owned(), SocketAddr::new(IpAddr::V4(self.address), 0))],
            api_version: Some(version.to_owned()),
            ..RestOptions::default()
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // Ended already: nothing to end.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What the hub knows a device by.
pub(crate) fn device_id(index: usize) -> String {
    format!("bench-{index:05}")
}

/// A program in the folder of this one.
pub(crate) fn beside(name: &str) -> Result<PathBuf> {
    let path = std::env::current_exe()?.with_file_name(name);
    if path.is_file() { Ok(path) } else { bail!("'{}' is not built: cargo build --release", path.display()) }
}

/// A new folder on the disk the build is on: /tmp may be memory.
pub(crate) fn work_folder() -> Result<TempDir> {
    let near = std::env::current_exe()?.with_file_name("bench-data");
    fs::create_dir_all(&near)?;
    Ok(tempfile::tempdir_in(near)?)
}

fn text(value: &Value) -> Result<&str> {
    value.as_str().context("the server's ready line lacks a field")
}
