//! The deployment: PostgreSQL, NATS and the nodes as processes, each in its own place of the network. What is done to it,
//! from kill to cut, is `fault`'s.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use pollux_testkit::deployment::{Nats, Node, NodePlan, Place, Postgres};
use serde_json::Value;

use crate::network::{self, Host};

/// Nodes of the deployment.
pub(crate) const NODES: usize = 3;

/// Settings of every node. All events of devices are routed, so that all of them can be counted.
const CONFIG: &str = r#"
[log]
filter = "info"

[limits]
registration_retry_after_seconds = 0
unauthenticated_connections = 20000

[[resources.events]]
name = "events1"
event_hubs = [{ name = "deviceevents" }, { name = "lifecycleevents" }, { name = "twinchanges" }]

[[resources.hub]]
name = "hub1"
endpoints = [
  { name = "deviceevents", namespace = "events1", event_hub = "deviceevents" },
  { name = "lifecycleevents", namespace = "events1", event_hub = "lifecycleevents" },
  { name = "twinchanges", namespace = "events1", event_hub = "twinchanges" },
]
routes = [
  { name = "deviceevents", source = "DeviceMessages", endpoint = "deviceevents" },
  { name = "lifecycleevents", source = "DeviceLifecycleEvents", endpoint = "lifecycleevents" },
  { name = "twinchanges", source = "TwinChangeEvents", endpoint = "twinchanges" },
]
"#;

/// A running deployment. Dropping it ends every process of it.
#[derive(Debug)]
pub(crate) struct World {
    /// `None` while it is down.
    pub(crate) nodes: Vec<Option<Node>>,
    /// What each node said first: its connections.json.
    pub(crate) connections: Vec<Value>,
    pub(crate) postgres: Postgres,
    pub(crate) nats: Nats,
    plans: Vec<NodePlan>,
}

impl World {
    /// Starts everything below `folder`; all of it said that it is ready when this returns.
    pub(crate) fn start(folder: &Path) -> Result<Self> {
        empty(folder)?;
        let hosts: Vec<Host> = (0..NODES).map(Host::node).collect();
        network::make(&[&hosts[..], &[Host::postgres(), Host::nats()]].concat())?;
        let place = |host: Host, port| Place { address: host.address, port, wrapper: host.wrapper() };
        let template = Postgres::template(&beside("faults-postgres")?)?;
        let postgres =
            Postgres::start_at(&template, &folder.join("postgres"), place(Host::postgres(), 5432))?;
        let nats = Nats::start_at(&folder.join("nats"), place(Host::nats(), 4222))?;
        let config = folder.join("pollux.toml");
        fs::write(&config, CONFIG)?;
        let binary = beside("pollux")?;
        if !binary.is_file() {
            bail!("'{}' is not built: cargo build --profile checked", binary.display());
        }
        let plan = |host: &Host| NodePlan {
            binary: binary.clone(),
            data: folder.join(&host.name),
            config: Some(config.clone()),
            settings: vec![
                ("POLLUX_STATE__URL".to_owned(), postgres.url()),
                ("POLLUX_EVENTS__URL".to_owned(), nats.url()),
                ("POLLUX_SERVER__NODE".to_owned(), host.name.clone()),
                ("POLLUX_LISTEN__ADDRESSES".to_owned(), format!("[\"127.0.0.1\", \"{}\"]", host.address)),
            ],
            log: folder.join(&host.name).with_extension("log"),
            wrapper: host.wrapper(),
        };
        let plans: Vec<NodePlan> = hosts.iter().map(plan).collect();
        let mut world = Self {
            nodes: (0..NODES).map(|_| None).collect(),
            connections: Vec::new(),
            postgres,
            nats,
            plans,
        };
        // All at once: nodes that start together on empty backends must not be in each other's way.
        for index in 0..NODES {
            world.spawn(index)?;
        }
        for index in 0..NODES {
            let line = world.said_ready(index)?;
            world.connections.push(serde_json::from_str(&line).context("the ready line is no JSON")?);
        }
        Ok(world)
    }

    fn spawn(&mut self, index: usize) -> Result<()> {
        self.nodes[index] = Some(Node::spawn(&self.plans[index])?);
        Ok(())
    }

    fn said_ready(&mut self, index: usize) -> Result<String> {
        Ok(self.node(index)?.wait_ready()?)
    }

    /// A node that runs.
    pub(crate) fn node(&mut self, index: usize) -> Result<&mut Node> {
        self.nodes[index].as_mut().with_context(|| format!("node {} is down", index + 1))
    }

    /// `kill -9`.
    pub(crate) fn kill(&mut self, index: usize) {
        self.nodes[index] = None;
    }

    /// SIGTERM; the error says what was not in order.
    pub(crate) fn stop(&mut self, index: usize) -> Result<()> {
        let node = self.nodes[index].take().with_context(|| format!("node {} is down", index + 1))?;
        Ok(node.stop()?)
    }

    /// Starts a node that is down, as before.
    pub(crate) fn resume(&mut self, index: usize) -> Result<()> {
        self.spawn(index)?;
        self.said_ready(index).map(drop)
    }

    /// The processes of the nodes that run.
    pub(crate) fn processes(&self) -> Vec<u32> {
        self.nodes.iter().flatten().map(|node| node.process.id()).collect()
    }

    /// The first panic in each node's log.
    pub(crate) fn panics(&self) -> Vec<String> {
        let first = |plan: &NodePlan| {
            let log = fs::read(&plan.log).unwrap_or_default();
            let log = String::from_utf8_lossy(&log);
            log.lines()
                .find(|line| line.contains("panicked at"))
                .map(|line| format!("{}: {line}", plan.log.display()))
        };
        self.plans.iter().filter_map(first).collect()
    }
}

/// A path in the folder of this program, which is on the disk that the build is on: /tmp may be memory.
pub(crate) fn beside(name: &str) -> Result<PathBuf> {
    Ok(std::env::current_exe()?.with_file_name(name))
}

fn empty(folder: &Path) -> Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder).with_context(|| format!("cannot empty {}", folder.display()))?;
    }
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))
}
