//! What runs inside a scenario's namespaces: loopback up, hosts file bound, the subject started with what it runs on, the script run
//! beside it, the subject stopped. Prints one line of JSON per case on stdout.

use super::case::Case;
use super::prepare::sources_folder;
use super::scenario::Scenario;
use super::setup::Setup;
use super::world::{World, log};
use crate::workspace;
use anyhow::{Context, Result, bail};
use pollux_testkit::deployment::clean;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::time::Duration;

/// What no node's log may have, whatever a script did.
const NEVER_SAID: [(&str, &str); 2] = [
    ("the server does not panic", "panicked at"),
    ("what runs in the background ends when it is told to", "background work did not end in time"),
];

/// Arguments of the hidden `conformance-inside`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[arg(long)]
    scenario: String,
    #[arg(long)]
    folder: PathBuf,
    #[arg(long)]
    binary: PathBuf,
    /// The interpreter for the script.
    #[arg(long)]
    program: PathBuf,
    #[command(flatten)]
    setup: Setup,
}

/// Runs one scenario; an error is something wrong with the runner or the machine, not with the subject.
pub(crate) fn run(args: &Args) -> Result<bool> {
    let all = Scenario::all(&workspace::root())?;
    let scenario =
        all.into_iter().find(|scenario| scenario.name == args.scenario).context("no such scenario")?;
    network_and_names()?;
    let mut world = match World::start(&scenario, args.setup, &args.binary, &args.folder) {
        Ok(world) => world,
        Err(error) => {
            println!("{}", Case::failed("the server starts", format!("{error:#}")).to_line());
            return Ok(true);
        }
    };
    script(&scenario, args, &world)?;
    for problem in world.unused() {
        println!("{}", Case::failed("every node runs on what it was given, all the time", problem).to_line());
    }
    if let Err(error) = world.stop() {
        println!("{}", Case::failed("the server stops when asked to", format!("{error:#}")).to_line());
    }
    for index in 0..args.setup.nodes {
        let log = log(&args.folder, index);
        for (case, words) in NEVER_SAID {
            if let Some(line) = line_with(&log, words) {
                println!("{}", Case::failed(case, line).to_line());
            }
        }
    }
    Ok(true)
}

/// Loopback up, and our hosts file over the machine's (in this mount namespace only).
fn network_and_names() -> Result<()> {
    let hosts = workspace::root().join("conformance/hosts");
    let steps: [(&str, Vec<&std::ffi::OsStr>); 2] = [
        ("ip", ["link", "set", "lo", "up"].map(AsRef::as_ref).to_vec()),
        ("mount", vec!["--bind".as_ref(), hosts.as_os_str(), "/etc/hosts".as_ref()]),
    ];
    for (program, arguments) in steps {
        let status = Command::new(program)
            .args(&arguments)
            .status()
            .with_context(|| format!("cannot start {program}"))?;
        if !status.success() {
            bail!("`{program}` failed with {status}");
        }
    }
    Ok(())
}

/// Runs the script with its environment, forwarding its lines, until it ends or its time is over.
fn script(scenario: &Scenario, args: &Args, world: &World) -> Result<()> {
    let mut command = clean(Command::new(&args.program));
    command
        .arg(workspace::root().join(&scenario.path))
        .current_dir(&args.folder)
        .env("SUBJECT_BIN", &args.binary)
        .env("SUBJECT_NODES", nodes(&world.settings))
        .env("WORK_DIR", &args.folder)
        .env("PYTHONDONTWRITEBYTECODE", "1");
    if let Some(list) = &scenario.sources {
        command.env("SOURCES", sources_folder(list));
    }
    if let Some(shared) = workspace::shared() {
        command.env("SHARED_DIR", shared);
    }
    if let Some(subject) = &world.connections {
        let ca = subject
            .get("ca")
            .and_then(serde_json::Value::as_str)
            .context("connections.json names no `ca`")?;
        let connections = args.folder.join("connections.json");
        std::fs::write(&connections, subject.to_string())?;
        command.env("CONNECTIONS", connections).env("READY_AFTER", world.ready_after.to_string());
        for variable in ["NODE_EXTRA_CA_CERTS", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"] {
            command.env(variable, ca);
        }
    }
    let log = File::create(args.folder.join("script.log"))?;
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(log)
        .spawn()
        .context("cannot start the script")?;
    let stdout = child.stdout.take().context("stdout was asked to be piped")?;
    let (lines, next) = sync_channel(16);
    std::thread::spawn(move || {
        BufReader::new(stdout).lines().map_while(Result::ok).try_for_each(|line| lines.send(line))
    });
    let deadline = workspace::now() + Duration::from_secs(scenario.timeout);
    loop {
        match next.recv_timeout(deadline.saturating_duration_since(workspace::now())) {
            Ok(line) => println!("{line}"),
            Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) => {
                child.kill()?;
                let detail = format!("it was still running after {} s", scenario.timeout);
                println!("{}", Case::failed("the script ends in time", detail).to_line());
                break;
            }
        }
    }
    let status = child.wait()?;
    if !status.success() {
        println!(
            "{}",
            Case::failed("the script ends by itself", format!("it ended with {status}")).to_line()
        );
    }
    Ok(())
}

/// The settings of each node as JSON, for a script that starts them: `[{"POLLUX_STATE__URL": "…", …}, …]`.
fn nodes(settings: &[Vec<(String, String)>]) -> String {
    let object = |settings: &Vec<(String, String)>| -> serde_json::Map<String, serde_json::Value> {
        settings.iter().map(|(name, value)| (name.clone(), value.clone().into())).collect()
    };
    serde_json::Value::from_iter(settings.iter().map(object)).to_string()
}

/// The first line of a log that has these words, if any.
fn line_with(log: &Path, words: &str) -> Option<String> {
    let text = std::fs::read_to_string(log).ok()?;
    text.lines().find(|line| line.contains(words)).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::nodes;

    #[test]
    fn a_script_is_told_the_settings_of_each_node() {
        assert_eq!(nodes(&[Vec::new()]), "[{}]");
        let setting = |value: &str| vec![("POLLUX_SERVER__NODE".to_owned(), value.to_owned())];
        let told = nodes(&[setting("node-1"), setting("node-2")]);
        assert_eq!(told, r#"[{"POLLUX_SERVER__NODE":"node-1"},{"POLLUX_SERVER__NODE":"node-2"}]"#);
    }
}
