//! A PostgreSQL server of a test's own: a cluster in a temporary folder, on a free port of 127.0.0.1.

use std::fs::{self, Permissions};
use std::io::{self, BufRead, BufReader, Write};
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(60);
const ATTEMPTS: usize = 5;
const PASSWORD: &str = "state-of-a-test";

/// How the server runs.
#[derive(Debug, Clone, Default)]
pub struct PostgresSettings {
    /// Whether commits survive a crash of the machine, as they do where it counts.
    pub fsync: bool,
    /// Certificate and key as PEM text: the server can TLS.
    pub tls: Option<(String, String)>,
    /// More lines of postgresql.conf.
    pub more: String,
}

/// A running server. Dropping it ends it and removes its folder.
#[derive(Debug)]
pub struct Postgres {
    programs: PathBuf,
    folder: TempDir,
    port: u16,
    server: Option<Child>,
}

impl Postgres {
    /// A server that is ready; `None`, with a line that says so, where PostgreSQL is not installed. Panics where it is
    /// and does not start.
    #[must_use]
    pub fn start() -> Option<Self> {
        Self::start_with(&PostgresSettings::default())
    }

    /// The same with settings.
    #[must_use]
    pub fn start_with(settings: &PostgresSettings) -> Option<Self> {
        let Some(programs) = programs() else {
            say(
                "skipped: PostgreSQL is not installed (looked in $POLLUX_POSTGRES_BIN, PATH, /usr/lib/postgresql)",
            );
            return None;
        };
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let mut server = Self { programs, folder, port: 0, server: None };
        server.make(settings).expect("a cluster can be made");
        // Between looking for a free port and listening on it somebody else may take it.
        for attempt in 1.. {
            server.port = free_port();
            match server.run() {
                Ok(()) => break,
                Err(error) if attempt < ATTEMPTS => say(&format!("PostgreSQL is started again: {error}")),
                Err(error) => panic!("PostgreSQL does not start: {error}"),
            }
        }
        Some(server)
    }

    /// The database `postgres`, as its owner.
    #[must_use]
    pub fn url(&self) -> String {
        self.url_of("postgres", PASSWORD, "postgres")
    }

    /// A database as somebody.
    #[must_use]
    pub fn url_of(&self, user: &str, password: &str, database: &str) -> String {
        format!("postgres://{user}:{password}@127.0.0.1:{}/{database}", self.port)
    }

    /// Makes a database and gives its URL.
    pub fn create_database(&self, name: &str) -> String {
        self.sql("postgres", &format!("CREATE DATABASE \"{name}\""));
        self.url_of("postgres", PASSWORD, name)
    }

    /// Runs statements and gives what they answer, a line per row.
    pub fn sql(&self, database: &str, statements: &str) -> String {
        let mut command = self.tool("psql");
        command.args(["--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--set=ON_ERROR_STOP=1"]);
        command.args(["--dbname", database, "--file=-"]);
        said(&mut command, statements).expect("the statements run")
    }

    /// One of PostgreSQL's own programs, such as `pgbench`, that connects as the owner.
    #[must_use]
    pub fn tool(&self, name: &str) -> Command {
        let mut command = Command::new(self.programs.join(name));
        command.args(["--host=127.0.0.1", "--username=postgres", "--port"]).arg(self.port.to_string());
        command.env("PGPASSWORD", PASSWORD);
        command
    }

    /// The first process, where it runs.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.server.as_ref().map(Child::id)
    }

    /// The port it listens on.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Stops it, breaking off what is under way.
    pub fn stop(&mut self) {
        if let Some(mut server) = self.server.take() {
            signal("INT", &[server.id()]);
            drop(server.wait());
        }
    }

    /// Kills all its processes at once, as a crash of the machine would.
    pub fn kill9(&mut self) {
        if let Some(mut server) = self.server.take() {
            // Its children first would be a crash of one of them, which the first process mends.
            signal("STOP", &[server.id()]);
            let mut all = children(server.id());
            all.push(server.id());
            signal("KILL", &all);
            drop(server.wait());
        }
    }

    /// Starts it again on the same port with what it had kept.
    pub fn restart(&mut self) {
        self.stop();
        self.run().expect("PostgreSQL starts again");
    }

    /// Stops answering without closing anything, as a cut network would.
    pub fn freeze(&self) {
        self.signal_all("STOP");
    }

    /// Takes up what it was doing.
    pub fn thaw(&self) {
        self.signal_all("CONT");
    }

    fn signal_all(&self, name: &str) {
        if let Some(server) = &self.server {
            let mut all = children(server.id());
            all.push(server.id());
            signal(name, &all);
        }
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn make(&self, settings: &PostgresSettings) -> io::Result<()> {
        let (data, password) = (self.data(), self.folder.path().join("password"));
        fs::set_permissions(self.folder.path(), Permissions::from_mode(0o711))?;
        fs::create_dir(&data)?;
        own(&data, 0o700)?;
        fs::write(&password, PASSWORD)?;
        own(&password, 0o600)?;
        let mut command = self.program("initdb")?;
        command.args(["--no-sync", "--encoding=UTF8", "--locale=C", "--username=postgres"]);
        command.args(["--auth=scram-sha-256", "--pwfile"]).arg(password).arg("-D").arg(&data);
        said(&mut command, "")?;
        let mut file = fs::OpenOptions::new().append(true).open(data.join("postgresql.conf"))?;
        let switch = if settings.fsync { "on" } else { "off" };
        // Shared memory in files of the cluster: a killed server leaves none behind.
        writeln!(
            file,
            "listen_addresses = '127.0.0.1'\nunix_socket_directories = ''\nmax_connections = 200\n\
             shared_buffers = 64MB\ndynamic_shared_memory_type = mmap\nfsync = {switch}\n\
             full_page_writes = {switch}\n{}",
            settings.more
        )?;
        if let Some((certificate, key)) = &settings.tls {
            writeln!(file, "ssl = on")?;
            for (name, text) in [("server.crt", certificate), ("server.key", key)] {
                fs::write(data.join(name), text)?;
                own(&data.join(name), 0o600)?;
            }
        }
        Ok(())
    }

    fn run(&mut self) -> io::Result<()> {
        let mut command = self.program("postgres")?;
        command.arg("-D").arg(self.data()).args(["-p", &self.port.to_string()]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut server = command.spawn()?;
        let Some(log) = server.stderr.take() else { return Err(io::Error::other("no log")) };
        let (ready, is_ready) = sync_channel(1);
        std::thread::spawn(move || follow(BufReader::new(log), &ready));
        match is_ready.recv_timeout(PATIENCE) {
            Ok(Ok(())) => {
                self.server = Some(server);
                Ok(())
            }
            Ok(Err(log)) => {
                drop(server.wait());
                Err(io::Error::other(log))
            }
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                drop(server.kill());
                drop(server.wait());
                Err(io::Error::other("it is not ready in time"))
            }
        }
    }

    /// A command that runs as the user `postgres` where we are root, for the server refuses root.
    fn program(&self, name: &str) -> io::Result<Command> {
        let mut command = Command::new(self.programs.join(name));
        command.current_dir("/");
        if let Some((user, group)) = user()? {
            command.uid(user).gid(group);
        }
        Ok(command)
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.thaw();
        self.stop();
    }
}

/// Reads the log to its end; tells when the server is ready, or what it said before it ended.
fn follow(log: impl BufRead, ready: &SyncSender<Result<(), String>>) {
    let mut said = String::new();
    let mut is_ready = false;
    for line in log.lines().map_while(Result::ok) {
        if !is_ready && line.contains("database system is ready to accept connections") {
            is_ready = true;
            drop(ready.send(Ok(())));
        } else if !is_ready {
            said = said + &line + "\n";
        }
    }
    if !is_ready {
        drop(ready.send(Err(said)));
    }
}

/// The folder of the server's programs.
fn programs() -> Option<PathBuf> {
    let has = |folder: &PathBuf| ["initdb", "postgres", "psql"].iter().all(|name| folder.join(name).exists());
    #[expect(
        clippy::disallowed_methods,
        reason = "tests only: where the programs are is the machine's to say"
    )]
    let (own, path) = (std::env::var("POLLUX_POSTGRES_BIN"), std::env::var("PATH"));
    let installed = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut installed: Vec<PathBuf> = installed.map(|version| version.path().join("bin")).collect();
    installed.sort();
    let path = path.unwrap_or_default();
    let path = std::env::split_paths(&path).collect::<Vec<_>>();
    own.ok().map(PathBuf::from).into_iter().chain(path).chain(installed.into_iter().rev()).find(has)
}

/// The user and group to run as; `None` where we are not root.
fn user() -> io::Result<Option<(u32, u32)>> {
    if fs::metadata("/proc/self")?.uid() != 0 {
        return Ok(None);
    }
    let users = fs::read_to_string("/etc/passwd")?;
    let ids = |name: &str| -> Option<(u32, u32)> {
        let line = users.lines().find(|line| line.split(':').next() == Some(name))?;
        let mut numbers = line.split(':').skip(2).map(str::parse);
        Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
    };
    let missing = || io::Error::other("PostgreSQL refuses root, and there is no user `postgres` or `nobody`");
    ids("postgres").or_else(|| ids("nobody")).map(Some).ok_or_else(missing)
}

/// Gives a file or folder to the user the server runs as.
fn own(path: &Path, mode: u32) -> io::Result<()> {
    fs::set_permissions(path, Permissions::from_mode(mode))?;
    match user()? {
        Some((user, group)) => chown(path, Some(user), Some(group)),
        None => Ok(()),
    }
}

fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port is free");
    listener.local_addr().expect("a listener has an address").port()
}

/// The processes whose parent is `parent`: the server's own.
fn children(parent: u32) -> Vec<u32> {
    let of = |process: u32| -> Option<u32> {
        let text = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
        // Behind the name, which may hold anything: state, parent.
        text.rsplit(')').next()?.split_whitespace().nth(1)?.parse().ok()
    };
    let all = fs::read_dir("/proc").into_iter().flatten().flatten();
    let all = all.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    all.filter(|process| of(*process) == Some(parent)).collect()
}

fn signal(name: &str, processes: &[u32]) {
    let mut command = Command::new("kill");
    command.arg(format!("-{name}")).args(processes.iter().map(ToString::to_string));
    // One that has ended meanwhile is no failure.
    drop(command.stderr(Stdio::null()).status());
}

/// Runs a command with this text on stdin and gives what it said on stdout.
fn said(command: &mut Command, input: &str) -> io::Result<String> {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(input.as_bytes())?;
    }
    let output = child.wait_with_output()?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).trim_end().to_owned());
    }
    Err(io::Error::other(String::from_utf8_lossy(&output.stderr).into_owned()))
}

#[expect(clippy::print_stdout, reason = "tests only: whoever runs them wants to know what was skipped")]
fn say(line: &str) {
    println!("{line}");
}
