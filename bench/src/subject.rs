//! The subject: `pollux serve` as a process of its own, on its own core, and clients of it.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use pollux_client::hub_device::{HubDevice, HubOptions};
use pollux_client::rest::{RestOptions, TokenSource};
use pollux_client::{ConnectionString, Credential, Endpoint, Rest, tls};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::process;

/// Settings of the server: free ports, a quiet log.
const CONFIG: &str = "\
[listen]
addresses = [\"127.0.0.1\"]
https = [0]
mqtt = [0]

[log]
filter = \"error\"
";
/// The model of devices.
pub(crate) const MODEL: &str = "dtmi:bench:Thermostat;1";
/// Requests or connections at the same time while things are made ready.
pub(crate) const AT_ONCE: usize = 32;
/// The key of every device made through the hub's API.
const KEY: [u8; 32] = [7; 32];

/// A running server.
#[derive(Debug)]
pub(crate) struct Subject {
    child: Child,
    connections: Value,
    tls: Arc<rustls::ClientConfig>,
    // After the child: the server must be gone before its folder is.
    _folder: TempDir,
}

impl Subject {
    /// Starts the release binary beside this one, in a folder of its own on the same disk. `more` is added to its
    /// settings.
    pub(crate) fn start(more: &str) -> Result<Self> {
        let binary = beside("pollux")?;
        let folder = work_folder()?;
        let (config, data) = (folder.path().join("config.toml"), folder.path().join("data"));
        fs::write(&config, format!("{CONFIG}\n{more}"))?;
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
        Ok(Self { child, tls: tls::client_config(&ca)?, connections, _folder: folder })
    }

    /// The server's process id. `taskset` becomes the server, so it is the child's.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Where devices connect.
    pub(crate) fn mqtt(&self) -> Result<Endpoint> {
        let port = self.connections["ports"]["mqtt"][0].as_u64().context("no MQTT port")?;
        let port = u16::try_from(port)?;
        let address = Some(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port));
        Ok(Endpoint { host: "localhost".to_owned(), port, address, tls: Arc::clone(&self.tls) })
    }

    /// The ID scope.
    pub(crate) fn id_scope(&self) -> Result<&str> {
        text(&self.connections["dps"][0]["idScope"])
    }

    /// The hub's host name.
    pub(crate) fn hub_host(&self) -> Result<&str> {
        text(&self.connections["hub"][0]["hostName"])
    }

    /// The digital twins instance.
    pub(crate) fn twins(&self) -> Result<Rest> {
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

    /// The operator's API.
    pub(crate) fn admin(&self) -> Result<Rest> {
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
            addresses: vec![("localhost".to_owned(), SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0))],
            api_version: Some(version.to_owned()),
            ..RestOptions::default()
        }
    }

    /// Uploads the model.
    pub(crate) async fn with_model(&self) -> Result<()> {
        let model = json!([{
            "@context": "dtmi:dtdl:context;2", "@id": MODEL, "@type": "Interface",
            "contents": [{ "@type": "Property", "name": "Temperature", "schema": "double", "writable": true }],
        }]);
        self.twins()?.post("/models").json(model).send().await.context("cannot upload the model")?;
        Ok(())
    }

    /// Makes an enrollment group whose devices get twins; gives its key.
    pub(crate) async fn with_group(&self, name: &str) -> Result<pollux_model::Key> {
        let key = pollux_model::Key::generate(&pollux_model::SystemRandom);
        let body = json!({
            "enrollmentGroupId": name,
            "attestation": { "type": "symmetricKey", "symmetricKey": { "primaryKey": key.reveal() } },
            "allocationPolicy": "custom",
            "customAllocationDefinition": { "webhookUrl": text(&self.connections["functions"][0]["allocateUrl"])? },
        });
        let dps = self.sas("dps", "2021-10-01")?;
        dps.put(&format!("/enrollmentGroups/{name}"))
            .json(body)
            .send()
            .await
            .context("cannot make the group")?;
        Ok(key)
    }

    /// Makes devices in the hub, some at a time.
    pub(crate) async fn with_devices(&self, count: usize, at_once: usize) -> Result<()> {
        let hub = self.sas("hub", "2021-04-12")?;
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

    /// Connects devices that were made.
    pub(crate) async fn connect(&self, count: usize) -> Result<Vec<HubDevice>> {
        let (endpoint, host) = (self.mqtt()?, self.hub_host()?);
        let connected = stream::iter(0..count).map(|index| {
            let options = HubOptions::new(host, &device_id(index), Credential::Key(KEY.to_vec()));
            HubDevice::connect(&endpoint, options)
        });
        let connected = connected.buffer_unordered(AT_ONCE).map_ok(|(device, _)| device);
        connected.try_collect().await.context("cannot connect the devices")
    }
}

impl Drop for Subject {
    fn drop(&mut self) {
        // Ended already: nothing to end.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn device_id(index: usize) -> String {
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
