//! PostgreSQL on a cluster of its own, copied from a template, for making one (initdb) takes seconds.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use super::process::{Process, Ready};
use super::{Place, empty_folder, failed, program, wrapped};

const READY: Duration = Duration::from_secs(30);
const STOP: Duration = Duration::from_secs(15);
const USER: &str = "pollux";
const PASSWORD: &str = "state-of-a-test";

/// Added to the settings of every cluster. Nothing here survives a crash of the machine, and nothing has to: a test
/// kills processes. Shared memory is kept in files of the cluster, so that a killed one leaves none behind.
const SETTINGS: &str = "
unix_socket_directories = ''
max_connections = 200
shared_buffers = 64MB
dynamic_shared_memory_type = mmap
fsync = off
full_page_writes = off
max_wal_size = 256MB
log_min_messages = warning
log_line_prefix = '%m [%p] %u '
";

/// Who may connect (pg_hba.conf): whoever is on a network of this machine, with a password only, as on a server that is
/// meant.
const ACCESS: &str = "host all all samenet scram-sha-256\n";

/// Run once in a new cluster: an owner without further rights, and a database of its own.
const ROLE: &str = "CREATE ROLE pollux LOGIN PASSWORD 'state-of-a-test';\n";
const DATABASE: &str = "CREATE DATABASE pollux OWNER pollux;\n";

/// A running PostgreSQL.
#[derive(Debug)]
pub struct Postgres {
    /// Its first process.
    pub process: Process,
    folder: PathBuf,
    place: Place,
}

impl Postgres {
    /// Makes the template below `folder` unless it is there already, and returns its path. Safe to call from several
    /// programs at once: the template is moved to its place when it is whole.
    pub fn template(folder: &Path) -> io::Result<PathBuf> {
        let initdb = program("initdb")?;
        let version = said(Command::new(&initdb).arg("--version"))?;
        let version: String = version.chars().filter(char::is_ascii_alphanumeric).collect();
        let template = folder.join(format!("cluster-{version}-{:08x}", stamp()));
        if template.join("PG_VERSION").exists() {
            return Ok(template);
        }
        let making = folder.join(format!("cluster-{}", std::process::id()));
        empty_folder(&making)?;
        own(&making)?;
        let words = ["--no-sync", "--wal-segsize=1", "--encoding=UTF8", "--locale=C", "--username=postgres"];
        said(unprivileged(&initdb)?.args(words).args(["--auth=trust", "-D"]).arg(&making))?;
        std::fs::write(making.join("pg_hba.conf"), ACCESS)?;
        let file = making.join("postgresql.conf");
        let settings = std::fs::read_to_string(&file)? + SETTINGS;
        std::fs::write(&file, settings)?;
        for statement in [ROLE, DATABASE] {
            let mut single = unprivileged(&program("postgres")?)?;
            tell(single.args(["--single", "-D"]).arg(&making).arg("postgres"), statement)?;
        }
        match std::fs::rename(&making, &template) {
            Err(_) if template.join("PG_VERSION").exists() => std::fs::remove_dir_all(&making)?, // another was faster
            done => done?,
        }
        Ok(template)
    }

    /// Starts one on 127.0.0.1 with a copy of the template in `folder`; ready when this returns.
    pub fn start(template: &Path, folder: &Path, port: u16) -> io::Result<Self> {
        Self::start_at(template, folder, Place::here(port))
    }

    /// Starts one somewhere else.
    pub fn start_at(template: &Path, folder: &Path, place: Place) -> io::Result<Self> {
        if folder.exists() {
            std::fs::remove_dir_all(folder).map_err(|error| failed(folder.display(), error))?;
        }
        said(Command::new("cp").args(["--archive", "--reflink=auto"]).arg(template).arg(folder))?;
        Ok(Self { process: spawn(folder, &place)?, folder: folder.to_owned(), place })
    }

    /// Where a node reaches its database.
    #[must_use]
    pub fn url(&self) -> String {
        format!("postgres://{USER}:{PASSWORD}@{}:{}/pollux", self.place.address, self.place.port)
    }

    /// Runs a statement in the nodes' database and returns its rows, values separated by `|`.
    pub fn ask(&self, statement: &str) -> io::Result<String> {
        let words = ["--no-psqlrc", "--tuples-only", "--no-align", "--command", statement];
        said(Command::new(program("psql")?).arg(self.url()).args(words))
    }

    /// How many tables have been made in it: none, when nobody keeps anything there.
    pub fn tables(&self) -> io::Result<usize> {
        let count = self.ask(
            "SELECT count(*) FROM pg_class WHERE relkind IN ('r', 'p') AND relowner = 'pollux'::regrole",
        )?;
        count.parse().map_err(|error| failed(count, error))
    }

    /// Stops it, breaking off what is under way; [`Postgres::resume`] starts it again on the same cluster.
    pub fn pause(&mut self) -> io::Result<()> {
        self.process.stop("INT", STOP).map(drop)
    }

    /// Kills all its processes at once, as a crash of the machine would; [`Postgres::resume`] starts it again.
    pub fn crash(&mut self) -> io::Result<()> {
        // The first process would mend the death of a child, the children outlive the first by a moment.
        self.process.signal("STOP")?;
        let children = children(self.process.id())?;
        self.process.kill();
        let all = children.iter().map(u32::to_string);
        // One that has ended meanwhile is no failure.
        Command::new("kill").arg("-KILL").args(all).stderr(Stdio::null()).status().map(drop)
    }

    /// Starts it again on what it had kept; whatever still ran is killed first.
    pub fn resume(&mut self) -> io::Result<()> {
        self.process.kill();
        self.process = spawn(&self.folder, &self.place)?;
        Ok(())
    }
}

fn spawn(folder: &Path, place: &Place) -> io::Result<Process> {
    let program = program("postgres")?;
    let mut command = if place.wrapper.is_empty() {
        unprivileged(&program)?
    } else {
        // Who enters a namespace is root; `setpriv` makes the user's of it after that.
        let mut wrapper = place.wrapper.clone();
        if let Some((user, group)) = user()? {
            let words =
                ["setpriv", "--clear-groups", &format!("--reuid={user}"), &format!("--regid={group}"), "--"];
            wrapper.extend(words.map(Into::into));
        }
        let mut command = wrapped(&wrapper, &program);
        command.current_dir("/");
        command
    };
    let addresses = format!("listen_addresses={}", place.address);
    command.arg("-D").arg(folder).args(["-p", &place.port.to_string(), "-c", &addresses]);
    let log = folder.with_extension("log");
    let ready = Ready::Says("ready to accept connections".to_owned());
    let mut process = Process::spawn("postgres", command, &log, ready)?;
    process.wait_ready(READY).map_err(|error| failed(log.display(), error))?;
    Ok(process)
}

/// A command that runs as the user `postgres` where we are root, for PostgreSQL refuses root.
fn unprivileged(program: &Path) -> io::Result<Command> {
    let mut command = Command::new(program);
    command.current_dir("/");
    if let Some((user, group)) = user()? {
        command.uid(user).gid(group);
    }
    Ok(command)
}

/// The user and group for PostgreSQL; `None` where we are not root and it runs as we do.
fn user() -> io::Result<Option<(u32, u32)>> {
    if std::fs::metadata("/proc/self")?.uid() != 0 {
        return Ok(None);
    }
    let users = std::fs::read_to_string("/etc/passwd")?;
    let of = |name: &str| ids(&users, name);
    of("postgres").or_else(|| of("nobody")).map(Some).ok_or_else(|| {
        io::Error::other("PostgreSQL refuses root, and there is no user `postgres` or `nobody` to run it as")
    })
}

/// A user's numbers in the text of /etc/passwd.
fn ids(users: &str, name: &str) -> Option<(u32, u32)> {
    let line = users.lines().find(|line| line.split(':').next() == Some(name))?;
    let mut numbers = line.split(':').skip(2).map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

/// The processes whose parent is `parent`.
fn children(parent: u32) -> io::Result<Vec<u32>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc")? {
        let Some(process) = entry?.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
        // Behind the name, which may hold anything: state, parent.
        let behind = stat.rsplit(')').next().unwrap_or_default();
        if behind.split_whitespace().nth(1).and_then(|text| text.parse().ok()) == Some(parent) {
            found.push(process);
        }
    }
    Ok(found)
}

/// Gives a folder to the user that PostgreSQL runs as.
fn own(folder: &Path) -> io::Result<()> {
    match user()? {
        Some((user, group)) => std::os::unix::fs::chown(folder, Some(user), Some(group)),
        None => Ok(()),
    }
}

/// Changes with the settings of a template, so that an older template is not taken for a newer one.
fn stamp() -> u32 {
    let all = [SETTINGS, ACCESS, ROLE, DATABASE].concat();
    all.bytes().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)) // FNV-1a
}

/// Runs a command with this text on stdin and returns what it said on stdout. PostgreSQL's single-user mode ends well
/// even after an error, so an error it prints counts.
fn tell(command: &mut Command, input: &str) -> io::Result<String> {
    use std::io::Write;
    let name = command.get_program().display().to_string();
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| failed(&name, error))?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(input.as_bytes())?;
    }
    let output = child.wait_with_output()?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    if output.status.success() && !text(&output.stderr).contains("ERROR") {
        return Ok(text(&output.stdout));
    }
    Err(failed(name, text(&output.stderr)))
}

/// Runs a command without input and returns what it said on stdout.
fn said(command: &mut Command) -> io::Result<String> {
    tell(command, "")
}

#[cfg(test)]
mod tests {
    use super::{DATABASE, PASSWORD, ROLE, USER, ids};

    #[test]
    fn the_cluster_has_the_role_and_the_database_that_the_url_names() {
        assert!(ROLE.contains(&format!("ROLE {USER} ")) && ROLE.contains(PASSWORD));
        assert!(DATABASE.contains(&format!("OWNER {USER};")));
    }

    #[test]
    fn finds_the_numbers_of_a_user() {
        let users = "root:x:0:0:root:/root:/bin/bash\npostgres:x:101:104::/var/lib/postgresql:/bin/bash\n";
        assert_eq!(ids(users, "postgres"), Some((101, 104)));
        assert_eq!(ids(users, "post"), None);
    }
}
