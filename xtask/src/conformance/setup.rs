//! What the subject runs on: where its state and its events are kept, and on how many nodes.

use crate::workspace;
use anyhow::{Result, bail};
use clap::ValueEnum;
use pollux_testkit::deployment::program;
use std::path::PathBuf;

/// More than these help nobody on one machine.
const MOST_NODES: usize = 9;

/// Where the state is kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum State {
    /// In the data folder.
    #[default]
    Sqlite,
    /// A PostgreSQL that the scenario starts.
    Postgres,
}

/// Where the events are kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Events {
    /// In the data folder.
    #[default]
    Segment,
    /// A NATS server with JetStream that the scenario starts.
    Jetstream,
}

/// What the subject runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::Args)]
pub(crate) struct Setup {
    /// Where the subject keeps its state.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) state: State,
    /// Where the subject keeps its events.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) events: Events,
    /// How many nodes the subject has; several are reached through a load balancer.
    #[arg(long, default_value_t = 1)]
    pub(crate) nodes: usize,
}

impl Default for Setup {
    fn default() -> Self {
        Self { state: State::Sqlite, events: Events::Segment, nodes: 1 }
    }
}

impl Setup {
    /// PostgreSQL and JetStream, with as many nodes.
    pub(crate) fn servers(nodes: usize) -> Self {
        Self { state: State::Postgres, events: Events::Jetstream, nodes }
    }

    /// Refuses what cannot be: several nodes that share nothing.
    pub(crate) fn check(self) -> Result<Self> {
        if self.nodes == 0 || self.nodes > MOST_NODES {
            bail!("--nodes {}: from 1 to {MOST_NODES}", self.nodes);
        }
        if self.nodes > 1 && self.state == State::Sqlite {
            bail!("several nodes need one state: give `--state postgres` (SQLite is one process's own file)");
        }
        if self.nodes > 1 && self.events == Events::Segment {
            bail!(
                "several nodes need one event log: give `--events jetstream` (segment files are one process's own)"
            );
        }
        Ok(self)
    }

    /// Why it cannot run on this machine, if it cannot.
    pub(crate) fn missing(self) -> Option<String> {
        let mut needs: Vec<&str> = Vec::new();
        if self.state == State::Postgres {
            needs.extend(["postgres", "initdb"]);
        }
        if self.events == Events::Jetstream {
            needs.push("nats-server");
        }
        if self.nodes > 1 {
            needs.push("haproxy");
        }
        needs.into_iter().find_map(|name| program(name).err()).map(|error| error.to_string())
    }

    /// The arguments that give this setup.
    pub(crate) fn arguments(self) -> [String; 6] {
        let name = |value: Option<clap::builder::PossibleValue>| {
            value.map(|value| value.get_name().to_owned()).unwrap_or_default()
        };
        [
            "--state".to_owned(),
            name(self.state.to_possible_value()),
            "--events".to_owned(),
            name(self.events.to_possible_value()),
            "--nodes".to_owned(),
            self.nodes.to_string(),
        ]
    }

    /// The folder that its scenarios run below, so that runs on different setups do not meet.
    pub(crate) fn folder(self) -> PathBuf {
        let [_, state, _, events, _, nodes] = self.arguments();
        workspace::target().join("conformance/run").join(format!("{state}-{events}-{nodes}"))
    }
}

impl std::fmt::Display for Setup {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let state = if self.state == State::Sqlite { "SQLite" } else { "PostgreSQL" };
        let events = if self.events == Events::Segment { "segment files" } else { "JetStream" };
        let nodes = if self.nodes == 1 { "1 node".to_owned() } else { format!("{} nodes", self.nodes) };
        write!(f, "{state} + {events}, {nodes}")
    }
}

#[cfg(test)]
mod tests {
    use super::{Events, Setup, State};
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        setup: Setup,
    }

    fn read(arguments: &[&str]) -> Setup {
        Line::try_parse_from([&["x"], arguments].concat()).expect("valid arguments").setup
    }

    #[test]
    fn without_arguments_it_is_what_a_new_user_has() {
        assert_eq!(read(&[]), Setup::default());
        assert_eq!(Setup::default().to_string(), "SQLite + segment files, 1 node");
        assert!(Setup::default().missing().is_none());
    }

    #[test]
    fn its_arguments_read_back() {
        for setup in
            [Setup::default(), Setup::servers(3), Setup { events: Events::Segment, ..Setup::servers(1) }]
        {
            let arguments = setup.arguments();
            assert_eq!(read(&arguments.each_ref().map(String::as_str)), setup);
        }
        assert!(Setup::servers(3).folder().ends_with("conformance/run/postgres-jetstream-3"));
    }

    #[test]
    fn several_nodes_need_what_they_share() {
        let error = |setup: Setup| setup.check().expect_err("refused").to_string();
        assert!(Setup::servers(3).check().is_ok());
        assert!(error(Setup { state: State::Sqlite, ..Setup::servers(2) }).contains("--state postgres"));
        assert!(error(Setup { events: Events::Segment, ..Setup::servers(2) }).contains("--events jetstream"));
        assert!(error(Setup::servers(0)).contains("from 1 to"));
    }
}
