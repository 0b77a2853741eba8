//! A peer's server as a process of ours: on the server's core, on a free port, its files in a folder of its own.

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep};

/// Where distributions put servers.
const FOLDERS: [&str; 4] = ["/usr/lib/rabbitmq/bin", "/usr/bin", "/usr/sbin", "/usr/local/bin"];
/// How long one may take to start.
const START: Duration = Duration::from_secs(60);
/// How long one may take to end when asked.
const END: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_millis(50);

/// A running server. It ends, and its files go, when this is dropped.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    folder: TempDir,
}

impl Server {
    /// Starts a command whose output goes to a file in the folder, which is this server's from now on.
    pub(crate) fn start(mut command: Command, folder: TempDir) -> Result<Self> {
        let log = File::create(folder.path().join("output"))?;
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let program = command.get_program().to_owned();
        let child = command.spawn().with_context(|| format!("cannot start {}", program.display()))?;
        Ok(Self { child, folder })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits until there is an answer; says what the server said where none comes.
    pub(crate) async fn until<T>(&mut self, ask: impl AsyncFn() -> Result<T>) -> Result<T> {
        let deadline = Instant::now() + START;
        loop {
            let error = match ask().await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            if self.child.try_wait()?.is_some() || Instant::now() > deadline {
                let said = std::fs::read_to_string(self.folder.path().join("output")).unwrap_or_default();
                bail!("the server does not start: {error:#}\n{said}");
            }
            sleep(LOOK).await;
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Asked first: what it started is to end too.
        if let Some(pid) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            let _ = kill_process(pid, Signal::TERM);
        }
        let deadline = Instant::now() + END;
        while Instant::now() < deadline && matches!(self.child.try_wait(), Ok(None)) {
            #[expect(clippy::disallowed_methods, reason = "nothing else is to be done while a server ends")]
            std::thread::sleep(LOOK);
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A program, if it is installed.
pub(crate) fn program(name: &str) -> Option<PathBuf> {
    FOLDERS.iter().map(|folder| Path::new(folder).join(name)).find(|path| path.is_file())
}

/// Ports of loopback that are free now, all different.
pub(crate) fn free_ports<const N: usize>() -> Result<[u16; N]> {
    let mut held = Vec::new();
    let mut ports = [0; N];
    for port in &mut ports {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        *port = listener.local_addr()?.port();
        held.push(listener);
    }
    Ok(ports)
}

/// An address on loopback.
pub(crate) fn local(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

/// Whether someone listens.
pub(crate) async fn listens(port: u16) -> Result<()> {
    TcpStream::connect(local(port)).await.map(drop).context("nobody listens")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_different() {
        let [a, b, c] = free_ports().unwrap();
        assert!(a != b && b != c && a != c && a > 0);
    }

    #[tokio::test]
    async fn one_that_does_not_start_says_why() {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", "echo no such luck; exit 3"]);
        let mut server = Server::start(command, tempfile::tempdir().unwrap()).unwrap();
        let [port] = free_ports().unwrap();
        let error = server.until(async || listens(port).await).await.unwrap_err();
        assert!(error.to_string().contains("no such luck"), "{error}");
        assert!(program("no-such-server").is_none() && program("sh").is_none_or(|path| path.is_file()));
    }
}
