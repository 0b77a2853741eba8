//! The subject: `pollux serve`, started on a data folder, ready when it prints its one line of JSON, stopped by its process id.

use crate::workspace;
use anyhow::{Context, Result, bail};
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Duration;

/// Longer than any start should take on a loaded CI machine; the promise (under a second) is measured by a case of its own.
const READY: Duration = Duration::from_secs(20);
/// How long an orderly stop may take.
const STOP: Duration = Duration::from_secs(10);

/// A running server.
#[derive(Debug)]
pub(super) struct Server {
    child: Child,
    ended: Receiver<()>,
    /// Seconds from start to the ready line.
    pub(super) ready_after: f64,
    /// The ready line: the content of connections.json.
    pub(super) connections: serde_json::Value,
}

impl Server {
    /// Starts the binary and waits for its ready line. Everything it writes goes to `log`.
    pub(super) fn start(binary: &Path, data: &Path, config: Option<&Path>, log: &Path) -> Result<Self> {
        let log = File::create(log)?;
        let mut command = clean(Command::new(binary));
        command.args(["serve", "--json", "--data-dir"]).arg(data);
        if let Some(config) = config {
            command.arg("--config").arg(config);
        }
        let started = workspace::now();
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log.try_clone()?)
            .spawn()
            .with_context(|| format!("cannot start {}", binary.display()))?;
        let stdout = child.stdout.take().context("stdout was asked to be piped")?;
        let (lines, first) = sync_channel(1);
        let (end, ended) = sync_channel(1);
        std::thread::spawn(move || {
            let mut log = log;
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                writeln!(log, "{line}").ok();
                lines.try_send(line).ok(); // only the first line is waited for
            }
            end.send(()).ok(); // nobody waits any more when the server is not stopped in order
        });
        let Ok(line) = first.recv_timeout(READY) else {
            child.kill().ok();
            let status = child.wait()?;
            bail!("the server was not ready within {} s ({status}): see server.log", READY.as_secs());
        };
        let ready_after = started.elapsed().as_secs_f64();
        let connections = serde_json::from_str(&line)
            .with_context(|| format!("the first line of `serve --json` is no JSON: {line}"))?;
        Ok(Self { child, ended, ready_after, connections })
    }

    /// Asks it to stop (SIGTERM) and waits; after [`STOP`] it is killed and that is an error. So is an exit code other than 0.
    pub(super) fn stop(mut self) -> Result<()> {
        if let Some(status) = self.child.try_wait()? {
            bail!("the server had ended by itself: {status}");
        }
        Command::new("kill")
            .args(["-TERM", &self.child.id().to_string()])
            .status()
            .context("cannot run `kill`")?;
        if self.ended.recv_timeout(STOP).is_err() {
            self.child.kill()?;
            self.child.wait()?;
            bail!("the server did not stop within {} s of SIGTERM", STOP.as_secs());
        }
        let status = self.child.wait()?;
        if !status.success() {
            bail!("the server stopped with {status}");
        }
        Ok(())
    }
}

/// Takes out of a child's environment what would change it: the server's own overrides, and proxies.
pub(super) fn clean(mut command: Command) -> Command {
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy().into_owned();
        if name.starts_with("POLLUX_") || name.to_ascii_lowercase().ends_with("_proxy") {
            command.env_remove(name);
        }
    }
    command
}
