//! One node: `pollux serve --json`, ready when it prints its one line.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::process::{Process, Ready};
use super::wrapped;

/// Longer than any start should take on a loaded machine.
const READY: Duration = Duration::from_secs(30);
/// How long an orderly stop may take.
const STOP: Duration = Duration::from_secs(15);

/// How a node is started; the same plan starts it again.
#[derive(Debug, Clone, Default)]
pub struct NodePlan {
    /// The binary.
    pub binary: PathBuf,
    /// Its data folder.
    pub data: PathBuf,
    /// A config file.
    pub config: Option<PathBuf>,
    /// Further settings, as variables of its environment.
    pub settings: Vec<(String, String)>,
    /// What it writes is added to this file.
    pub log: PathBuf,
    /// A program and arguments that run the command after them, such as `ip netns exec one`.
    pub wrapper: Vec<OsString>,
}

/// A running node.
#[derive(Debug)]
pub struct Node {
    /// Its process.
    pub process: Process,
    plan: NodePlan,
}

impl Node {
    /// Starts it without waiting, so that several start at once.
    pub fn spawn(plan: &NodePlan) -> io::Result<Self> {
        let mut command = clean(wrapped(&plan.wrapper, &plan.binary));
        command.args(["serve", "--json", "--data-dir"]).arg(&plan.data);
        if let Some(config) = &plan.config {
            command.arg("--config").arg(config);
        }
        command.envs(plan.settings.iter().map(|(name, value)| (name, value)));
        let process = Process::spawn("the server", command, &plan.log, Ready::FirstLine)?;
        Ok(Self { process, plan: plan.clone() })
    }

    /// Waits for the ready line and returns it: the content of connections.json.
    pub fn wait_ready(&mut self) -> io::Result<String> {
        self.process
            .wait_ready(READY)
            .map_err(|error| io::Error::other(format!("{error}: see {}", self.plan.log.display())))
    }

    /// Its data folder.
    #[must_use]
    pub fn data(&self) -> &Path {
        &self.plan.data
    }

    /// How it is started.
    #[must_use]
    pub fn plan(&self) -> &NodePlan {
        &self.plan
    }

    /// SIGTERM; it must end in order, in time and with exit code 0.
    pub fn stop(mut self) -> io::Result<()> {
        let status = self.process.stop("TERM", STOP)?;
        if status.success() {
            return Ok(());
        }
        Err(io::Error::other(format!("the server stopped with {status}")))
    }
}

/// Takes out of a child's environment what would change it: the server's own overrides, and proxies.
#[must_use]
pub fn clean(mut command: Command) -> Command {
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy().into_owned();
        if name.starts_with("POLLUX_") || name.to_ascii_lowercase().ends_with("_proxy") {
            command.env_remove(name);
        }
    }
    command
}
