//! Other brokers under the same load: mosquitto, tuned as PERFORMANCE says, and nats-server with MQTT on JetStream. Each has a
//! subscriber with a durable session at QoS 1 to all topics.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context as _, Result, bail};
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use pollux_client::device::{ConnectOptions, MqttDevice, QoS};
use pollux_client::{Endpoint, tls};
use pollux_testkit::{Nats, NatsOptions};
use tempfile::TempDir;

use crate::process;
use crate::server::{Server, free_ports, listens, local, program};
use crate::subject::{AT_ONCE, Cpu, work_folder};
use crate::telemetry::Broker;

/// A running broker with its clients.
pub(super) struct Peer {
    pub(super) name: &'static str,
    /// Each with its topic.
    pub(super) clients: Vec<(MqttDevice, String)>,
    delivered: Arc<AtomicU64>,
    _subscriber: MqttDevice,
    process: Process,
}

enum Process {
    Mosquitto(Server),
    // The folder after the server: it must be gone before its folder is.
    Nats { nats: Nats, _folder: TempDir },
}

impl Process {
    fn pid(&self) -> Result<u32> {
        match self {
            Self::Mosquitto(server) => Ok(server.pid()),
            Self::Nats { nats, .. } => nats.pid().context("nats-server has ended"),
        }
    }
}

impl Peer {
    /// Starts it; `None` where it is not installed.
    pub(super) async fn mosquitto(clients: usize) -> Result<Option<Self>> {
        let Some(program) = program("mosquitto") else { return Ok(None) };
        let folder = work_folder()?;
        let (endpoint, [certificate, key]) = endpoint(folder.path())?;
        let config = folder.path().join("mosquitto.conf");
        // `user`: it would give up its rights otherwise, and could not read its key.
        let settings = format!(
            "listener {} 127.0.0.1\ncertfile {certificate}\nkeyfile {key}\nallow_anonymous true\nuser root\n\
             persistence false\nset_tcp_nodelay true\nmax_inflight_messages 0\nmax_queued_messages 0\nlog_type error\n",
            endpoint.port
        );
        fs::write(&config, settings)?;
        let mut command = process::pinned(&program);
        command.arg("-c").arg(config);
        let mut server = Server::start(command, folder)?;
        server.until(async || listens(endpoint.port).await).await?;
        Self::connect("mosquitto", Process::Mosquitto(server), &endpoint, clients).await.map(Some)
    }

    /// Starts it; `None` where it is not installed.
    pub(super) async fn nats(clients: usize) -> Result<Option<Self>> {
        if program("nats-server").is_none() {
            return Ok(None);
        }
        let folder = work_folder()?;
        let (endpoint, [certificate, key]) = endpoint(folder.path())?;
        let store = folder.path().join("store").display().to_string();
        // What a subscriber may have unacknowledged is 100 by default: far less than is on its way here.
        let config = format!(
            "server_name: bench\njetstream {{ store_dir: {store:?} }}\nmqtt {{\n  host: 127.0.0.1\n  port: {}\n  \
             max_ack_pending: 10000\n  tls {{ cert_file: {certificate:?}, key_file: {key:?}, timeout: 30 }}\n}}\n",
            endpoint.port
        );
        let options = NatsOptions { without_jetstream: true, config, ..NatsOptions::default() };
        let Some(nats) = Nats::start_with(options).await else { return Ok(None) };
        process::pin(nats.pid().context("it runs")?)?;
        let process = Process::Nats { nats, _folder: folder };
        Self::connect("NATS MQTT", process, &endpoint, clients).await.map(Some)
    }

    async fn connect(
        name: &'static str,
        process: Process,
        endpoint: &Endpoint,
        clients: usize,
    ) -> Result<Self> {
        let options = |client_id: String, clean_session: bool| ConnectOptions {
            client_id,
            clean_session,
            ..ConnectOptions::default()
        };
        let (subscriber, mut incoming) =
            MqttDevice::connect(endpoint, options("reader".to_owned(), false)).await?;
        if subscriber.subscribe(&[("bench/#", QoS::AtLeastOnce)]).await? != [Some(QoS::AtLeastOnce)] {
            bail!("{name} refuses the subscription");
        }
        let delivered = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&delivered);
        tokio::spawn(async move {
            while incoming.recv().await.is_some() {
                count.fetch_add(1, Ordering::Relaxed);
            }
        });
        let connected = stream::iter(0..clients).map(async |index| {
            let options = options(format!("bench-{index:05}"), true);
            let (client, _) = MqttDevice::connect(endpoint, options).await?;
            anyhow::Ok((client, format!("bench/{index:05}")))
        });
        let clients = connected.buffered(AT_ONCE).try_collect().await?;
        Ok(Self { name, clients, delivered, _subscriber: subscriber, process })
    }
}

impl Broker for Peer {
    fn cpu(&self) -> Result<Cpu> {
        Ok(Cpu { nodes: process::cpu_seconds(self.process.pid()?)?, ..Cpu::default() })
    }

    async fn delivered(&self) -> Result<u64> {
        Ok(self.delivered.load(Ordering::Relaxed))
    }
}

/// Where one is to serve, with a certificate of its own: files of that and of its key.
fn endpoint(folder: &Path) -> Result<(Endpoint, [String; 2])> {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
    let (certificate, key) = (folder.join("server.pem"), folder.join("server.key"));
    fs::write(&certificate, made.cert.pem())?;
    fs::write(&key, made.signing_key.serialize_pem())?;
    let [port] = free_ports()?;
    let endpoint = Endpoint {
        host: "localhost".to_owned(),
        port,
        address: Some(local(port)),
        tls: tls::client_config(&made.cert.pem())?,
    };
    Ok((endpoint, [certificate, key].map(|path| path.display().to_string())))
}
