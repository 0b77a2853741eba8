//! One process: its output goes to a log, it is ready when it says so, it ends by its id.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::Duration;

use super::failed;

/// Which line of a process says that it is ready.
#[derive(Debug, Clone)]
pub(super) enum Ready {
    /// The first line on stdout.
    FirstLine,
    /// A line on stderr that contains this text.
    Says(String),
}

/// A process that was started here. Dropping it kills it.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    ready: Receiver<String>,
    ended: Receiver<()>,
}

impl Process {
    /// Starts it without waiting. What it writes is added to `log`.
    pub(super) fn spawn(name: &str, mut command: Command, log: &Path, ready: Ready) -> io::Result<Self> {
        let log =
            File::options().create(true).append(true).open(log).map_err(|e| failed(log.display(), e))?;
        command.stdin(Stdio::null());
        match ready {
            Ready::FirstLine => command.stdout(Stdio::piped()).stderr(log.try_clone()?),
            Ready::Says(_) => command.stdout(log.try_clone()?).stderr(Stdio::piped()),
        };
        let mut child = command.spawn().map_err(|error| failed(format!("cannot start {name}"), error))?;
        let output: Box<dyn Read + Send> = match (child.stdout.take(), child.stderr.take()) {
            (Some(stdout), _) => Box::new(stdout),
            (None, Some(stderr)) => Box::new(stderr),
            (None, None) => return Err(io::Error::other("one of its outputs was asked to be piped")),
        };
        let (say, said) = sync_channel(1);
        let (end, ended) = sync_channel(1);
        std::thread::spawn(move || {
            copy(output, log, &ready, |line| drop(say.try_send(line)));
            end.send(()).ok(); // nobody waits any more when the process is killed
        });
        Ok(Self { name: name.to_owned(), child, ready: said, ended })
    }

    /// Waits for the line that says it is ready, and returns it.
    pub(super) fn wait_ready(&mut self, limit: Duration) -> io::Result<String> {
        match self.ready.recv_timeout(limit) {
            Ok(line) => Ok(line),
            Err(RecvTimeoutError::Disconnected) => {
                let status = self.child.wait()?;
                Err(io::Error::other(format!("{} ended before it was ready: {status}", self.name)))
            }
            Err(RecvTimeoutError::Timeout) => {
                self.kill();
                let seconds = limit.as_secs();
                Err(io::Error::other(format!("{} was not ready within {seconds} s", self.name)))
            }
        }
    }

    /// Its process id, in this process's own namespace.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// True until it has ended.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Sends a signal by name, such as `TERM`, `STOP` or `CONT`.
    pub fn signal(&self, signal: &str) -> io::Result<()> {
        let status = Command::new("kill").args([&format!("-{signal}"), &self.id().to_string()]).status()?;
        if status.success() {
            return Ok(());
        }
        Err(io::Error::other(format!("`kill -{signal}` of {} failed", self.name)))
    }

    /// Asks it to end, waits, and returns how it ended. One that takes longer than `limit` is killed, and that is an error.
    pub fn stop(&mut self, signal: &str, limit: Duration) -> io::Result<ExitStatus> {
        if let Some(status) = self.child.try_wait()? {
            return Err(io::Error::other(format!("{} had ended by itself: {status}", self.name)));
        }
        self.signal(signal)?;
        if self.ended.recv_timeout(limit) == Err(RecvTimeoutError::Timeout) {
            self.kill();
            let seconds = limit.as_secs();
            return Err(io::Error::other(format!(
                "{} did not stop within {seconds} s of SIG{signal}",
                self.name
            )));
        }
        self.child.wait()
    }

    /// `kill -9`: nothing is flushed, nobody is told. Harmless when it has ended.
    pub fn kill(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Copies a process's output into its log and hands over the line that says it is ready.
fn copy(output: impl Read, mut log: File, ready: &Ready, mut say: impl FnMut(String)) {
    let mut waiting = true;
    for line in BufReader::new(output).lines().map_while(Result::ok) {
        writeln!(log, "{line}").ok();
        let is_it = match ready {
            Ready::FirstLine => true,
            Ready::Says(text) => line.contains(text),
        };
        if waiting && is_it {
            waiting = false;
            say(line);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Process, Ready};
    use std::process::Command;
    use std::time::Duration;

    const LIMIT: Duration = Duration::from_secs(20);

    fn shell(script: &str, ready: Ready) -> (Process, tempfile::TempDir) {
        let folder = tempfile::tempdir().expect("there is room for a temporary folder");
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        let process = Process::spawn("a shell", command, &folder.path().join("log"), ready);
        (process.expect("sh starts"), folder)
    }

    #[test]
    fn it_is_ready_when_it_says_so_and_ends_when_asked() {
        let script = "echo hm >&2; echo now ready >&2; exec sleep 60";
        let (mut process, folder) = shell(script, Ready::Says("ready".to_owned()));
        assert_eq!(process.wait_ready(LIMIT).expect("it says so"), "now ready");
        assert!(process.is_running());
        let status = process.stop("TERM", LIMIT).expect("sleep ends");
        assert!(!status.success());
        let log = std::fs::read_to_string(folder.path().join("log")).expect("a log");
        assert_eq!(log, "hm\nnow ready\n");
    }

    #[test]
    fn one_that_ends_first_is_an_error_that_says_how() {
        let (mut process, _folder) = shell("exit 3", Ready::FirstLine);
        let error = process.wait_ready(LIMIT).expect_err("it says nothing").to_string();
        assert!(error.contains("a shell ended") && error.contains('3'), "{error}");
    }
}
