//! The world of one scenario, inside its namespaces: backends, nodes and a balancer, as its setup and its head ask.

use super::scenario::{Scenario, Server as Wanted};
use super::setup::{Events, Setup, State};
use crate::workspace;
use anyhow::{Context, Result};
use pollux_testkit::deployment::{Backends, Balancer, Nats, Node, NodePlan, Postgres, node_settings};
use std::path::{Path, PathBuf};

/// The ports that clients of a database and of NATS know.
const POSTGRES: u16 = 5432;
const NATS: u16 = 4222;

/// Everything that runs beside the script. Dropping it ends it all.
#[derive(Debug)]
pub(super) struct World {
    nodes: Vec<Node>,
    balancer: Option<Balancer>,
    backends: Backends,
    /// The settings of each node, for a script that starts the nodes itself.
    pub(super) settings: Vec<Vec<(String, String)>>,
    /// What clients need: the first node's connections.json; absent when the script starts the nodes itself.
    pub(super) connections: Option<serde_json::Value>,
    /// Seconds until every node was ready.
    pub(super) ready_after: f64,
}

impl World {
    /// Starts what the scenario needs below `folder`; all of it is ready when this returns.
    pub(super) fn start(scenario: &Scenario, setup: Setup, binary: &Path, folder: &Path) -> Result<Self> {
        let backends = backends(setup, folder)?;
        let settings: Vec<Vec<(String, String)>> = (0..setup.nodes)
            .map(|index| {
                [backends.settings(), node_settings(index, setup.nodes), shared(setup, folder)].concat()
            })
            .collect();
        let config = match &scenario.server {
            Wanted::None => None,
            Wanted::Default => Some(None),
            Wanted::Config(path) => Some(Some(workspace::root().join("conformance").join(path))),
        };
        let started = workspace::now();
        let (nodes, connections) = match config {
            None => (Vec::new(), None),
            Some(config) => {
                let plans = settings.iter().enumerate().map(|(index, settings)| NodePlan {
                    binary: binary.to_owned(),
                    data: folder.join(nth("data", index)),
                    config: config.clone(),
                    settings: settings.clone(),
                    log: log(folder, index),
                    ..NodePlan::default()
                });
                let (nodes, connections) = start_all(plans)?;
                (nodes, Some(connections))
            }
        };
        let ready_after = started.elapsed().as_secs_f64();
        // After the nodes: HAProxy takes a node for well until a check says otherwise.
        let balancer = if setup.nodes > 1 { Some(Balancer::start(folder, setup.nodes)?) } else { None };
        Ok(Self { nodes, balancer, backends, settings, connections, ready_after })
    }

    /// What shows that the subject did not run on what it was given: a green run on another setup would prove nothing.
    pub(super) fn unused(&self) -> Vec<String> {
        let mut found = Vec::new();
        if let Some(postgres) = &self.backends.postgres {
            match postgres.tables() {
                Ok(0) => found.push("no table was made in PostgreSQL".to_owned()),
                Ok(_) => {}
                Err(error) => found.push(format!("PostgreSQL does not answer: {error}")),
            }
        }
        if self.backends.nats.as_ref().is_some_and(|nats| nats.streams() == 0) {
            found.push("no stream was made in JetStream".to_owned());
        }
        // A script that starts the nodes itself may also end them.
        let watched = self.balancer.as_ref().filter(|_| !self.nodes.is_empty());
        found.extend(watched.into_iter().flat_map(Balancer::outages));
        found
    }

    /// Stops every node in order, all at once as a machine does that shuts down; the first that does it wrong is the error.
    pub(super) fn stop(&mut self) -> Result<()> {
        let stopping: Vec<_> =
            self.nodes.drain(..).map(|node| std::thread::spawn(move || node.stop())).collect();
        let ended: Vec<_> =
            stopping.into_iter().map(|one| one.join().expect("stopping a node does not panic")).collect();
        Ok(ended.into_iter().collect::<std::io::Result<()>>()?)
    }
}

/// What nodes share beside the backends: a folder for files.
fn shared(setup: Setup, folder: &Path) -> Vec<(String, String)> {
    if setup.nodes < 2 {
        return Vec::new();
    }
    vec![("POLLUX_FILES__FOLDER".to_owned(), folder.join("files").display().to_string())]
}

fn backends(setup: Setup, folder: &Path) -> Result<Backends> {
    let mut backends = Backends::default();
    if setup.state == State::Postgres {
        let template = Postgres::template(&template_folder())?;
        backends.postgres = Some(Postgres::start(&template, &folder.join("postgres"), POSTGRES)?);
    }
    if setup.events == Events::Jetstream {
        backends.nats = Some(Nats::start(&folder.join("nats"), NATS)?);
    }
    Ok(backends)
}

/// Where the template of every scenario's PostgreSQL is kept.
pub(super) fn template_folder() -> PathBuf {
    workspace::target().join("conformance/postgres")
}

/// Starts all nodes at once and waits for each; returns the first one's ready line.
fn start_all(plans: impl Iterator<Item = NodePlan>) -> Result<(Vec<Node>, serde_json::Value)> {
    let mut nodes: Vec<Node> = plans.map(|plan| Node::spawn(&plan)).collect::<std::io::Result<_>>()?;
    let mut lines = Vec::new();
    for node in &mut nodes {
        lines.push(node.wait_ready()?);
    }
    let first = lines.first().context("a deployment has a node")?;
    let connections = serde_json::from_str(first)
        .with_context(|| format!("the first line of `serve --json` is no JSON: {first}"))?;
    Ok((nodes, connections))
}

/// The log of node `index` (from 0): server.log, server-2.log, ….
pub(super) fn log(folder: &Path, index: usize) -> PathBuf {
    folder.join(nth("server", index)).with_extension("log")
}

fn nth(name: &str, index: usize) -> String {
    if index == 0 { name.to_owned() } else { format!("{name}-{}", index + 1) }
}

#[cfg(test)]
mod tests {
    use super::log;
    use std::path::Path;

    #[test]
    fn the_first_node_keeps_the_names_that_a_single_one_has() {
        assert_eq!(log(Path::new("a"), 0), Path::new("a/server.log"));
        assert_eq!(log(Path::new("a"), 2), Path::new("a/server-3.log"));
    }
}
