//! `pollux serve` as a process of its own: a hub whose telemetry goes to an event hub with a consumer group for each reader.
//! It can be killed, and started again on what it left.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use pollux_client::device::ConnectError;
use pollux_client::hub_device::{HubEvent, HubOptions};
use pollux_client::rest::RestOptions;
use pollux_client::{ConnectionString, Credential, Endpoint, EventHubs, HubDevice, Rest, tls};
use rustix::process::{Resource, getrlimit, setrlimit};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::mpsc;

/// The event hub.
pub(crate) const HUB: &str = "telemetry";
/// The key of every device.
const KEY: [u8; 32] = [7; 32];
/// In seconds: this many devices are not to be heard of in between.
const KEEP_ALIVE: u16 = 1200;

/// A running server.
pub(crate) struct Server {
    child: Child,
    ready: Value,
    tls: Arc<rustls::ClientConfig>,
    // After the child: the server must be gone before its folder is.
    folder: TempDir,
}

impl Server {
    pub(crate) fn start(partitions: usize, consumers: usize) -> Self {
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let groups: Vec<_> =
            (0..consumers).map(|n| format!("group-{n}")).chain(["slow".into(), "late".into()]).collect();
        let config = format!(
            r#"
            [listen]
            https = [0]
            mqtt = [0]
            amqp = [0]
            amqp_plain = []
            [log]
            filter = "warn"
            [[resources.events]]
            name = "events"
            [[resources.events.event_hubs]]
            name = "{HUB}"
            partitions = {partitions}
            consumer_groups = {groups:?}
            [[resources.hub]]
            name = "hub"
            endpoints = [{{ name = "telemetry", namespace = "events", event_hub = "{HUB}" }}]
            routes = [{{ name = "telemetry", source = "DeviceMessages", endpoint = "telemetry" }}]
            "#
        );
        fs::write(folder.path().join("config.toml"), config).unwrap();
        let (child, ready) = Self::spawn(&folder);
        let ca = fs::read_to_string(ready["ca"].as_str().unwrap()).unwrap();
        Self { child, tls: tls::client_config(&ca).unwrap(), ready, folder }
    }

    /// Kills it, as a crash would, and starts it again; it serves at other ports.
    pub(crate) fn restart(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        (self.child, self.ready) = Self::spawn(&self.folder);
    }

    /// Starts it in the folder of its configuration; ready when this returns.
    fn spawn(folder: &TempDir) -> (Child, Value) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pollux"));
        command.env_clear().current_dir(folder.path()).args(["serve", "--json"]);
        command.arg("--config").arg(folder.path().join("config.toml"));
        command.arg("--data-dir").arg(folder.path().join("data"));
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        (child, serde_json::from_str(&line).unwrap())
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn resident_bytes(&self) -> u64 {
        resident_bytes(self.pid())
    }

    fn policy(&self, kind: &str) -> ConnectionString {
        self.ready[kind][0]["connectionString"].as_str().unwrap().parse().unwrap()
    }

    /// Where devices connect, or applications that read events.
    pub(crate) fn endpoint(&self, kind: &str) -> Endpoint {
        let port = u16::try_from(self.ready["ports"][kind][0].as_u64().unwrap()).unwrap();
        let address = Some(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port));
        Endpoint { host: "localhost".to_owned(), port, address, tls: Arc::clone(&self.tls) }
    }

    /// The hub's API.
    pub(crate) fn hub(&self) -> Rest {
        let options = RestOptions {
            tls: Some(Arc::clone(&self.tls)),
            api_version: Some("2021-04-12".to_owned()),
            ..RestOptions::default()
        };
        Rest::sas(self.ready["admin"]["url"].as_str().unwrap(), &self.policy("hub"), options).unwrap()
    }

    /// A connection to the event hubs.
    pub(crate) async fn events(&self) -> EventHubs {
        EventHubs::connect(&self.endpoint("amqp"), &self.policy("events")).await.unwrap()
    }

    pub(crate) async fn make_device(
        &self,
        hub: &Rest,
        index: usize,
    ) -> Result<(), pollux_client::rest::RestError> {
        let (id, key) = (device_id(index), pollux_model::Key::from_bytes(&KEY));
        let keys = json!({ "primaryKey": key.reveal(), "secondaryKey": key.reveal() });
        let body = json!({ "deviceId": id, "authentication": { "type": "sas", "symmetricKey": keys } });
        hub.put(&format!("/devices/{id}")).json(body).send().await.map(drop)
    }

    pub(crate) async fn connect_device(
        &self,
        index: usize,
    ) -> Result<(HubDevice, mpsc::Receiver<HubEvent>), ConnectError> {
        let host = self.ready["hub"][0]["hostName"].as_str().unwrap();
        let options = HubOptions::new(host, &device_id(index), Credential::Key(KEY.to_vec()));
        let options = HubOptions { clean_session: true, keep_alive: KEEP_ALIVE, ..options };
        HubDevice::connect(&self.endpoint("mqtt"), options).await
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Ended already: nothing to end.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn device_id(index: usize) -> String {
    format!("device-{index:05}")
}

/// Resident memory of a process.
pub(crate) fn resident_bytes(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches("kB").trim().parse::<u64>().unwrap() * 1024
}

/// A connection is an open file: as many as the administrator allows.
pub(crate) fn raise_open_files() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).unwrap();
}
