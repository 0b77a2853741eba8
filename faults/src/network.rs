//! A network of one's own: each part of the deployment in a network namespace behind a bridge, the generator in front of it.
//!
//! ```text
//!   10.77.0.1 (bridge) the generator
//!     ├─ node-1 10.77.0.11   node-2 10.77.0.12   node-3 10.77.0.13
//!     └─ postgres 10.77.0.2  nats 10.77.0.3
//! ```
//!
//! A cut is silent: packets go to a hardware address that nobody has. Nothing is refused or reset; whoever waits for an
//! answer waits. Not here: what runs in the namespaces (`world`).

use std::ffi::OsString;
use std::net::Ipv4Addr;
use std::process::Command;

use anyhow::{Context as _, Result, bail};

/// The generator's bridge.
const BRIDGE: &str = "faults0";
/// A hardware address that nobody has.
const NOBODY: &str = "02:77:77:77:77:77";

/// One part of the deployment.
#[derive(Debug, Clone)]
pub(crate) struct Host {
    pub(crate) name: String,
    pub(crate) address: Ipv4Addr,
}

/// What gets lost between a node and a backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Loss {
    /// What the backend sends: it does what it is asked, and the node is not told.
    Answers,
    /// Both.
    Everything,
}

impl Host {
    /// The node of this index, from 0.
    pub(crate) fn node(index: usize) -> Self {
        let last = u8::try_from(11 + index).expect("there are few nodes");
        Self { name: format!("node-{}", index + 1), address: Ipv4Addr::new(10, 77, 0, last) }
    }

    pub(crate) fn postgres() -> Self {
        Self { name: "postgres".to_owned(), address: Ipv4Addr::new(10, 77, 0, 2) }
    }

    pub(crate) fn nats() -> Self {
        Self { name: "nats".to_owned(), address: Ipv4Addr::new(10, 77, 0, 3) }
    }

    /// What runs a program in its namespace.
    pub(crate) fn wrapper(&self) -> Vec<OsString> {
        ["ip", "netns", "exec", &self.name].map(OsString::from).to_vec()
    }

    /// What it sends to `other` gets lost.
    fn loses(&self, other: &Self) -> Result<()> {
        let to = other.address.to_string();
        let words = ["neigh", "replace", &to, "lladdr", NOBODY, "dev", "eth0", "nud", "permanent"];
        ip(&[&["-n", &self.name], &words[..]].concat())
    }

    /// What it sends to `other` arrives again.
    fn finds(&self, other: &Self) -> Result<()> {
        ip(&["-n", &self.name, "neigh", "del", &other.address.to_string(), "dev", "eth0"])
    }
}

/// Makes the network in this program's own namespaces, which `unshare` gave it.
pub(crate) fn make(hosts: &[Host]) -> Result<()> {
    std::fs::create_dir_all("/run/netns")?;
    // Names of namespaces are files there: ours must not be seen outside.
    run("mount", &["-t", "tmpfs", "pollux-faults", "/run/netns"])?;
    ip(&["link", "set", "lo", "up"])?;
    ip(&["link", "add", BRIDGE, "type", "bridge"])
        .context("needs a network namespace of its own: run it with `cargo xtask faults`")?;
    ip(&["addr", "add", "10.77.0.1/24", "dev", BRIDGE])?;
    ip(&["link", "set", BRIDGE, "up"])?;
    for host in hosts {
        let (name, address, port) = (&host.name, format!("{}/24", host.address), format!("v-{}", host.name));
        ip(&["netns", "add", name])?;
        ip(&["link", "add", &port, "type", "veth", "peer", "name", "eth0", "netns", name])?;
        ip(&["link", "set", &port, "master", BRIDGE, "up"])?;
        ip(&["-n", name, "addr", "add", &address, "dev", "eth0"])?;
        ip(&["-n", name, "link", "set", "eth0", "up"])?;
        ip(&["-n", name, "link", "set", "lo", "up"])?;
    }
    Ok(())
}

/// Cuts a node off from a backend.
pub(crate) fn cut(node: &Host, backend: &Host, loss: Loss) -> Result<()> {
    if loss == Loss::Everything {
        node.loses(backend)?;
    }
    backend.loses(node)
}

/// Mends it.
pub(crate) fn mend(node: &Host, backend: &Host, loss: Loss) -> Result<()> {
    if loss == Loss::Everything {
        node.finds(backend)?;
    }
    backend.finds(node)
}

fn ip(arguments: &[&str]) -> Result<()> {
    run("ip", arguments)
}

fn run(program: &str, arguments: &[&str]) -> Result<()> {
    let output =
        Command::new(program).args(arguments).output().with_context(|| format!("cannot start {program}"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        bail!("`{program} {}`: {said}", arguments.join(" "));
    }
    Ok(())
}
