//! A NATS server of the test's own: JetStream on, its files temporary, its port a free one.
//!
//! The program is `$POLLUX_NATS_BIN`, or `nats-server` from `PATH` or `/usr/sbin`. Where there is none, tests are
//! skipped, and say so.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::Instant;

/// How long a server may take to start.
const START: Duration = Duration::from_secs(30);

/// How the server is set up.
#[derive(Clone, Debug, Default)]
pub struct NatsOptions {
    /// Whoever connects must give this user and password.
    pub login: Option<(String, String)>,
    /// Certificate and key (PEM files): the server speaks TLS only.
    pub tls: Option<(PathBuf, PathBuf)>,
    /// Starts it without JetStream.
    pub without_jetstream: bool,
    /// Lines for its configuration file.
    pub config: String,
}

/// A running (or stopped) server. It ends, and its files go, when this is dropped.
#[derive(Debug)]
pub struct Nats {
    program: PathBuf,
    options: NatsOptions,
    folder: TempDir,
    port: u16,
    child: Option<Child>,
}

impl Nats {
    /// Starts one without credentials; `None`, and a word why, where there is no program.
    pub async fn start() -> Option<Self> {
        Self::start_with(NatsOptions::default()).await
    }

    /// Starts one as the options say.
    #[expect(clippy::print_stderr, reason = "whoever runs the tests sees what was left out")]
    pub async fn start_with(options: NatsOptions) -> Option<Self> {
        let Some(program) = program() else {
            eprintln!("skipped: there is no nats-server (set POLLUX_NATS_BIN, or install it)");
            return None;
        };
        let folder = tempfile::tempdir().expect("there is room for a temporary folder");
        let mut nats = Self { program, options, folder, port: 0, child: None };
        nats.run().await;
        Some(nats)
    }

    /// `nats://127.0.0.1:<port>`, with the login if there is one; `tls://localhost:<port>` where it speaks TLS.
    #[must_use]
    pub fn url(&self) -> String {
        let login = self.options.login.as_ref();
        let login = login.map_or_else(String::new, |(user, password)| format!("{user}:{password}@"));
        match self.options.tls {
            Some(_) => format!("tls://{login}localhost:{}", self.port),
            None => format!("nats://{login}127.0.0.1:{}", self.port),
        }
    }

    /// The port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The folder of JetStream's files.
    #[must_use]
    pub fn store(&self) -> PathBuf {
        self.folder.path().join("store")
    }

    /// The server's process, where it runs.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// Ends it in an orderly way.
    pub async fn stop(&mut self) {
        let Some(mut child) = self.child.take() else { return };
        let pid = i32::try_from(child.id()).ok().and_then(rustix::process::Pid::from_raw);
        if let Some(pid) = pid {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
        let ended = tokio::task::spawn_blocking(move || child.wait());
        drop(ended.await);
    }

    /// Ends it as a crash would.
    pub fn kill9(&mut self) {
        if let Some(mut child) = self.child.take() {
            drop(child.kill());
            drop(child.wait());
        }
    }

    /// Starts it again on the same port and files.
    pub async fn restart(&mut self) {
        self.stop().await;
        self.run().await;
    }

    async fn run(&mut self) {
        let folder = self.folder.path();
        let config = folder.join("nats.conf");
        std::fs::write(&config, self.config_text()).expect("the configuration can be written");
        let log = std::fs::File::create(folder.join("log")).expect("the log file can be made");
        let mut command = Command::new(&self.program);
        command.args([
            "-a",
            "127.0.0.1",
            "-p",
            &if self.port == 0 { -1 } else { i32::from(self.port) }.to_string(),
        ]);
        command.arg("--ports_file_dir").arg(folder).arg("-c").arg(&config);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let child = command.spawn().expect("nats-server starts");
        let ports = folder.join(format!("nats-server_{}.ports", child.id()));
        self.child = Some(child);
        let until = Instant::now() + START;
        if self.port == 0 {
            self.port = wait_for(until, async || port_in(&ports)).await;
        }
        let port = self.port;
        wait_for(until, async || answers(port).await.then_some(())).await;
    }

    fn config_text(&self) -> String {
        let mut text = self.options.config.clone();
        if !self.options.without_jetstream {
            let store = self.store();
            text += &format!("\njetstream {{ store_dir: {:?} }}\n", store.display().to_string());
        }
        if let Some((user, password)) = &self.options.login {
            text += &format!("\nauthorization {{ user: {user:?}, password: {password:?} }}\n");
        }
        if let Some((certificate, key)) = &self.options.tls {
            text += &format!("\ntls {{ cert_file: {certificate:?}, key_file: {key:?} }}\n");
        }
        text
    }
}

impl Drop for Nats {
    fn drop(&mut self) {
        self.kill9();
    }
}

#[expect(clippy::disallowed_methods, reason = "tests have no configuration file to name the program in")]
fn program() -> Option<PathBuf> {
    if let Ok(named) = std::env::var("POLLUX_NATS_BIN") {
        return Some(named.into());
    }
    let path = std::env::var("PATH").unwrap_or_default();
    let folders = path.split(':').chain(["/usr/sbin", "/usr/local/bin"]);
    folders.map(|folder| Path::new(folder).join("nats-server")).find(|program| program.is_file())
}

/// Asks again until there is an answer.
async fn wait_for<T>(until: Instant, ask: impl AsyncFn() -> Option<T>) -> T {
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(Instant::now() < until, "nats-server did not start in time");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// The port in the file that nats-server writes: `{"nats":["nats://127.0.0.1:43117"],…}`.
fn port_in(file: &Path) -> Option<u16> {
    let text = std::fs::read_to_string(file).ok()?;
    let (_, rest) = text.split_once("127.0.0.1:")?;
    rest.split_once('"')?.0.parse().ok()
}

/// Whether the server greets (which it does when JetStream has recovered).
async fn answers(port: u16) -> bool {
    let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)).await else { return false };
    let (reader, mut writer) = stream.split();
    let mut line = String::new();
    let greeted = BufReader::new(reader).read_line(&mut line).await.is_ok_and(|_| line.starts_with("INFO "));
    drop(writer.shutdown().await);
    greeted
}
