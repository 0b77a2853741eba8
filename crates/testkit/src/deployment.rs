//! A deployment of one's own, made of processes: PostgreSQL, NATS with JetStream, nodes of `pollux`, a load balancer.
//!
//! Blocking and without dependencies, so that a small program (`cargo xtask conformance`, the fault tests) can start one.
//! The ports are those that real clients fix: run it in a network namespace of its own. Every process is ended by its
//! id, at the latest when its value is dropped. Not here: a server inside the test's process (`server`).

mod balancer;
mod nats;
mod node;
mod postgres;
mod process;

use std::ffi::OsString;
use std::io;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;

pub use balancer::Balancer;
pub use nats::Nats;
pub use node::{Node, NodePlan, clean};
pub use postgres::Postgres;
pub use process::Process;

/// Ports that clients fix, and what each speaks.
pub const HTTPS: [u16; 2] = [443, 8443];
/// The MQTT port that clients fix.
pub const MQTT: u16 = 8883;
/// The AMQP port that clients fix.
pub const AMQP: u16 = 5671;
/// The AMQP port without TLS, on this machine only.
pub const AMQP_PLAIN: u16 = 5672;

/// What the nodes keep their state and their events in; `None`: in the data folder of the one node.
#[derive(Debug, Default)]
pub struct Backends {
    /// The state, in place of SQLite.
    pub postgres: Option<Postgres>,
    /// The events, in place of segment files.
    pub nats: Option<Nats>,
}

impl Backends {
    /// The settings that point a node at them, as variables of its environment.
    #[must_use]
    pub fn settings(&self) -> Vec<(String, String)> {
        let state = self.postgres.iter().map(|one| ("POLLUX_STATE__URL".to_owned(), one.url()));
        let events = self.nats.iter().map(|one| ("POLLUX_EVENTS__URL".to_owned(), one.url()));
        state.chain(events).collect()
    }
}

/// Where a backend runs and listens.
#[derive(Debug, Clone)]
pub struct Place {
    /// The address it listens on.
    pub address: Ipv4Addr,
    /// The port.
    pub port: u16,
    /// A program and arguments that run the command after them, such as `ip netns exec one`.
    pub wrapper: Vec<OsString>,
}

impl Place {
    /// 127.0.0.1, as any other process.
    #[must_use]
    pub fn here(port: u16) -> Self {
        Self { address: Ipv4Addr::LOCALHOST, port, wrapper: Vec::new() }
    }
}

/// A command for `program` behind the wrapper, if there is one.
fn wrapped(wrapper: &[OsString], program: &Path) -> Command {
    match wrapper.split_first() {
        Some((first, arguments)) => {
            let mut command = Command::new(first);
            command.args(arguments).arg(program);
            command
        }
        None => Command::new(program),
    }
}

/// The settings of node `index` (from 0) of a deployment of `nodes`: a single node listens where it does by default,
/// several each on an address of their own, with 127.0.0.1 left to the balancer.
#[must_use]
pub fn node_settings(index: usize, nodes: usize) -> Vec<(String, String)> {
    if nodes == 1 {
        return Vec::new();
    }
    vec![
        ("POLLUX_SERVER__NODE".to_owned(), format!("node-{}", index + 1)),
        ("POLLUX_LISTEN__ADDRESSES".to_owned(), format!("[\"{}\"]", node_address(index))),
    ]
}

/// Where node `index` (from 0) of several listens: 127.0.0.2 and on.
#[must_use]
pub fn node_address(index: usize) -> Ipv4Addr {
    let last = u8::try_from(index + 2).expect("a deployment on one machine has fewer than 250 nodes");
    Ipv4Addr::new(127, 0, 0, last)
}

/// Where a program is: on `PATH`, or where Debian puts what it keeps off an ordinary user's `PATH`.
/// The error says what to install.
pub fn program(name: &str) -> io::Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let usual = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/usr/local/sbin".into()]);
    let mut versions: Vec<PathBuf> = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path()))
        .collect();
    versions.sort_by_key(|path| path.file_name().and_then(|name| name.to_str()?.parse::<u32>().ok()));
    let debian = versions.into_iter().rev().map(|folder| folder.join("bin"));
    usual.chain(debian).map(|folder| folder.join(name)).find(|path| path.is_file()).ok_or_else(|| {
        let package = if matches!(name, "postgres" | "initdb") { "postgresql" } else { name };
        io::Error::new(io::ErrorKind::NotFound, format!("needs `{name}` (Debian's package {package})"))
    })
}

/// An error that says what was tried on which file or program.
fn failed(what: impl std::fmt::Display, error: impl std::fmt::Display) -> io::Error {
    io::Error::other(format!("{what}: {error}"))
}

/// Makes an empty folder in place of whatever was there.
fn empty_folder(folder: &Path) -> io::Result<()> {
    if folder.exists() {
        std::fs::remove_dir_all(folder).map_err(|error| failed(folder.display(), error))?;
    }
    std::fs::create_dir_all(folder).map_err(|error| failed(folder.display(), error))
}

#[cfg(test)]
mod tests {
    use super::{node_settings, program};

    #[test]
    fn one_node_listens_as_by_default_and_several_each_on_their_own_address() {
        assert!(node_settings(0, 1).is_empty());
        let third = node_settings(2, 3);
        assert!(third.contains(&("POLLUX_LISTEN__ADDRESSES".to_owned(), "[\"127.0.0.4\"]".to_owned())));
        assert!(third.contains(&("POLLUX_SERVER__NODE".to_owned(), "node-3".to_owned())));
    }

    #[test]
    fn a_missing_program_names_its_package() {
        assert!(program("sh").is_ok());
        let error = program("no-such-program").expect_err("there is none");
        assert!(error.to_string().contains("package no-such-program"));
    }
}
