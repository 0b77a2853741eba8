//! `cargo xtask conformance`: unmodified clients (Python, Node) against the binary as the tests have it.
//!
//! Each scenario runs in a network, mount and process namespace of its own: its own loopback with ports 443, 8443 and 8883, its own
//! hosts file, a fresh data folder, and the backends and nodes of the run's setup. Here: choosing scenarios, running them side by side,
//! counting. The namespace's inside is `inside`.

mod case;
mod dtdl;
pub(crate) mod inside;
pub(crate) mod prepare;
pub(crate) mod scenario;
pub(crate) mod setup;
mod world;

use crate::report::Tally;
use crate::workspace;
use anyhow::{Context, Result, bail};
use case::{Case, Verdict};
use pollux_testkit::deployment::Postgres;
use scenario::{Known, Language, Scenario, Server};
use setup::{Setup, State};
use std::cmp::Reverse;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::sync_channel;

/// Lines of a log that are shown when a scenario fails.
const LOG_LINES: usize = 40;

/// Arguments of `cargo xtask conformance`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    setup: Setup,
    /// Run only these scenarios (may be given several times; a part of the name is enough).
    #[arg(long)]
    only: Vec<String>,
    /// List the scenarios and what each shows.
    #[arg(long)]
    list: bool,
    /// How many scenarios run side by side [default: three for two cores, for each waits more than it works].
    #[arg(long)]
    jobs: Option<usize>,
    /// Test this binary in place of building one (a relative path is looked up from where you stand).
    #[arg(long)]
    binary: Option<PathBuf>,
    /// Print every case, not only those that failed.
    #[arg(long, short)]
    verbose: bool,
}

impl Args {
    /// Everything on one setup with this binary, as `cargo xtask test` runs it.
    pub(crate) fn all(setup: Setup, binary: PathBuf) -> Self {
        Self { setup, only: Vec::new(), list: false, jobs: None, binary: Some(binary), verbose: false }
    }
}

/// What one scenario came to.
struct Outcome {
    cases: Vec<Case>,
    seconds: f64,
    folder: PathBuf,
}

/// Runs the chosen scenarios; false when a case failed.
pub(crate) fn run(args: &Args) -> Result<bool> {
    if args.list {
        println!("on {}:", args.setup.check()?);
        for scenario in choose(args)? {
            let own = if scenario.server == Server::None { " (starts the subject itself)" } else { "" };
            println!("{:28} {}{own}", scenario.name, scenario.about);
        }
        if wanted(args, dtdl::NAME) {
            println!("{:28} {}", dtdl::NAME, dtdl::ABOUT);
        }
        return Ok(true);
    }
    Ok(tally(args)?.conclude())
}

/// Runs the chosen scenarios and counts their cases; the caller prints the summary line.
pub(crate) fn tally(args: &Args) -> Result<Tally> {
    let mut tally = Tally::default();
    let scenarios = choose(args)?;
    if !scenarios.is_empty() {
        tally.add(clients(args, scenarios)?);
    }
    // It needs no server, so the setup does not matter to it.
    if wanted(args, dtdl::NAME) {
        tally.add(dtdl::run(&binary(args)?)?);
    }
    Ok(tally)
}

fn binary(args: &Args) -> Result<PathBuf> {
    match &args.binary {
        Some(binary) => binary.canonicalize().with_context(|| format!("there is no {}", binary.display())),
        None => workspace::build(&["-p", "pollux"]),
    }
}

/// Runs scenarios with unmodified clients.
fn clients(args: &Args, scenarios: Vec<Scenario>) -> Result<Tally> {
    let setup = args.setup.check()?;
    let mut tally = Tally::default();
    println!("on {setup}");
    if let Some(reason) = prepare::namespaces().err().or_else(|| setup.missing()) {
        for scenario in &scenarios {
            println!("skip  {}: {reason}", scenario.name);
            tally.skip(format!("{} on {setup}", scenario.name), &reason);
        }
        return Ok(tally);
    }
    if setup.state == State::Postgres {
        Postgres::template(&world::template_folder())?; // once, before scenarios side by side ask for it
    }
    let binary = binary(args)?;
    let clients = prepare::Clients::prepare(&scenarios);
    let known =
        Known::parse(&std::fs::read_to_string(workspace::root().join(Known::PATH)).unwrap_or_default())?;
    let (mut ready, missing): (Vec<_>, Vec<_>) =
        scenarios.into_iter().partition(|scenario| clients.of(scenario).is_ok());
    for scenario in missing {
        let reason = clients.of(&scenario).err().unwrap_or_default();
        println!("skip  {}: {reason}", scenario.name);
        tally.skip(scenario.name, reason);
    }
    // What may take longest comes first, so that nothing long is left over when the other workers have ended.
    ready.sort_by_key(|scenario| Reverse(scenario.timeout));
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let jobs = args.jobs.unwrap_or(cores + cores / 2);
    let next = AtomicUsize::new(0);
    let (done, outcomes) = sync_channel(1);
    std::thread::scope(|scope| {
        for _ in 0..jobs.clamp(1, 16) {
            let done = done.clone();
            let (next, ready, binary, clients) = (&next, &ready, &binary, &clients);
            scope.spawn(move || {
                while let Some(scenario) = ready.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let outcome = in_namespace(scenario, setup, binary, clients);
                    done.send((scenario, outcome)).expect("the receiver lives until all workers have ended");
                }
            });
        }
        drop(done);
        for (scenario, outcome) in outcomes {
            tally.add(print(scenario, &outcome, &known, args));
        }
    });
    Ok(tally)
}

/// The scenarios that `--only` names, or all. A name that fits none is an error: a typing error must not pass as a green run.
fn choose(args: &Args) -> Result<Vec<Scenario>> {
    let all = Scenario::all(&workspace::root())?;
    let names: Vec<&str> = all.iter().map(|scenario| scenario.name.as_str()).chain([dtdl::NAME]).collect();
    for only in &args.only {
        if !names.iter().any(|name| name.contains(only.as_str())) {
            bail!("no scenario has `{only}` in its name; there are: {}", names.join(", "));
        }
    }
    Ok(all.into_iter().filter(|scenario| wanted(args, &scenario.name)).collect())
}

fn wanted(args: &Args, name: &str) -> bool {
    args.only.is_empty() || args.only.iter().any(|only| name.contains(only.as_str()))
}

/// Runs one scenario in fresh namespaces: this program again, as `conformance-inside`.
fn in_namespace(scenario: &Scenario, setup: Setup, binary: &Path, clients: &prepare::Clients) -> Outcome {
    let started = workspace::now();
    let folder = setup.folder().join(&scenario.name);
    let cases = start_inside(scenario, setup, binary, clients, &folder)
        .unwrap_or_else(|error| vec![Case::failed("the scenario runs", format!("{error:#}"))]);
    Outcome { cases, seconds: started.elapsed().as_secs_f64(), folder }
}

fn start_inside(
    scenario: &Scenario,
    setup: Setup,
    binary: &Path,
    clients: &prepare::Clients,
    folder: &Path,
) -> Result<Vec<Case>> {
    if folder.exists() {
        std::fs::remove_dir_all(folder)?;
    }
    std::fs::create_dir_all(folder)?;
    let program = clients.of(scenario).map_err(anyhow::Error::msg)?;
    let output = Command::new("unshare")
        .args(prepare::NAMESPACES)
        .arg(workspace::this_program()?)
        .arg("conformance-inside")
        .args(["--scenario", &scenario.name])
        .arg("--folder")
        .arg(folder)
        .arg("--binary")
        .arg(binary)
        .arg("--program")
        .arg(program)
        .args(setup.arguments())
        .stdin(Stdio::null())
        .output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let mut cases: Vec<Case> = text.lines().map(Case::parse).collect();
    if !output.status.success() {
        let error = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        cases.push(Case::failed("the scenario runs", error));
    }
    if !cases.iter().any(|case| !matches!(case.verdict, Verdict::Note)) {
        cases.push(Case::failed("the script has cases", "it ended without printing one"));
    }
    Ok(cases)
}

/// Judges the cases against the known failures, prints the scenario's line and what went wrong, and counts.
fn print(scenario: &Scenario, outcome: &Outcome, known: &Known, args: &Args) -> Tally {
    let mut tally = Tally::default();
    let mut lines = Vec::new();
    let known = known.of(&scenario.name);
    for case in case::judge(&outcome.cases, &known) {
        match &case.verdict {
            Verdict::Passed => tally.passed += 1,
            Verdict::Failed => {
                tally.fail(format!("{}: {} (on {})", scenario.name, case.name, args.setup), &case.detail);
            }
            Verdict::Skipped => {
                tally.skip(format!("{}: {} (on {})", scenario.name, case.name, args.setup), &case.detail);
            }
            Verdict::Note => {}
        }
        if args.verbose || matches!(case.verdict, Verdict::Failed | Verdict::Note) {
            lines.push(format!("      {case}"));
        }
    }
    let word = if tally.failed == 0 { "ok  " } else { "FAIL" };
    println!("{word}  {:28} {tally}  ({:.1} s)", scenario.name, outcome.seconds);
    for line in lines {
        println!("{line}");
    }
    if tally.failed > 0 {
        show_log(&outcome.folder.join("script.log"));
        for node in 0..args.setup.nodes {
            show_log(&world::log(&outcome.folder, node));
        }
    }
    if tally.failed == 0 {
        for data in ["postgres", "nats"] {
            std::fs::remove_dir_all(outcome.folder.join(data)).ok(); // tens of megabytes each; their logs stay
        }
    }
    tally
}

fn show_log(path: &Path) {
    let Ok(text) = std::fs::read_to_string(path) else { return };
    if text.trim().is_empty() {
        return;
    }
    println!("      -- {}", path.display());
    let lines: Vec<&str> = text.lines().collect();
    for line in &lines[lines.len().saturating_sub(LOG_LINES)..] {
        println!("      | {line}");
    }
}

impl std::fmt::Display for Language {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Node => "Node",
            Self::Python => "Python",
        })
    }
}
