//! The embedded graph database: ladybug (which goes on where kuzu ended), from PyPI, in a Python process on the server's
//! core. Installed into a folder of its own beside the build if it is not there.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use clap::ValueEnum as _;
use serde::Deserialize;
use serde_json::json;
use tempfile::TempDir;

use super::campus::Campus;
use super::load::Load;
use super::questions::Question;
use super::samples::Sample;
use crate::process;
use crate::subject::work_folder;

const PROGRAM: &str = include_str!("ladybug.py");
/// Turns of each question; then they begin again.
const TURNS: usize = 1000;

/// Whether there is one.
pub(super) enum Found {
    /// With what it took to load it.
    Peer(Peer, Load),
    Skipped(String),
}

pub(super) struct Peer {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    ids: Vec<(Question, Vec<String>)>,
    warm: f64,
    _folder: TempDir,
}

/// What it says when it has the graph.
#[derive(Debug, Deserialize)]
struct Ready {
    load: Loaded,
}

#[derive(Debug, Deserialize)]
struct Loaded {
    seconds: f64,
    cpu: f64,
}

#[derive(Debug, Deserialize)]
struct Answer {
    took: Vec<f64>,
    seconds: f64,
    cpu: f64,
    rows: f64,
}

/// With the graph.
pub(super) fn start(campus: &Campus) -> Result<Found> {
    let python = match python() {
        Ok(python) => python,
        Err(error) => return Ok(Found::Skipped(format!("{error:#}"))),
    };
    let folder = work_folder()?;
    write(campus, folder.path())?;
    let program = folder.path().join("ladybug_peer.py");
    fs::write(&program, PROGRAM)?;
    let mut command = process::pinned(&python);
    command.args(["-W", "ignore"]).arg(&program).arg(folder.path());
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    let input = child.stdin.take().context("stdin was asked to be piped")?;
    let mut output = BufReader::new(child.stdout.take().context("stdout was asked to be piped")?);
    let mut line = String::new();
    if output.read_line(&mut line)? == 0 {
        return Ok(Found::Skipped(format!("it did not take the graph: {}", child.wait()?)));
    }
    let Ready { load: Loaded { seconds, cpu } } =
        serde_json::from_str(&line).context("ladybug's ready line")?;
    let turns = |question: Question| {
        (0..TURNS).map(|turn| question.id(campus, turn).unwrap_or_default()).collect::<Vec<_>>()
    };
    let ids = Question::value_variants().iter().map(|question| (*question, turns(*question))).collect();
    let peer = Peer { child, input, output, ids, warm: campus.warm(), _folder: folder };
    Ok(Found::Peer(peer, Load { seconds, cpu_seconds: cpu }))
}

/// A Python that has it.
fn python() -> Result<PathBuf> {
    let folder = std::env::current_exe()?.with_file_name("bench-venv");
    let python = folder.join("bin/python");
    let has = |python: &Path| {
        let check = Command::new(python).args(["-c", "import ladybug"]).stderr(Stdio::null()).status();
        check.is_ok_and(|status| status.success())
    };
    if has(&python) {
        return Ok(python);
    }
    said(Command::new("python3").args(["-m", "venv"]).arg(&folder)).context("no Python environment")?;
    said(Command::new(&python).args(["-m", "pip", "install", "--quiet", "ladybug"]))
        .context("not to be had")?;
    if has(&python) { Ok(python) } else { bail!("what was installed cannot be imported") }
}

fn said(command: &mut Command) -> Result<()> {
    let output = command.output()?;
    if !output.status.success() {
        bail!("{}", String::from_utf8_lossy(&output.stderr).lines().last().unwrap_or("it failed"));
    }
    Ok(())
}

fn write(campus: &Campus, folder: &Path) -> Result<()> {
    let quoted = |text: &str| format!("\"{}\"", text.replace('"', "\"\""));
    let mut twins = String::new();
    for twin in campus.twins() {
        let number = |name: &str| twin.contents[name].as_f64().map_or_else(String::new, |n| n.to_string());
        let row = [
            twin.id.clone(),
            quoted(&twin.model),
            number("temperature"),
            number("setpoint"),
            quoted(&twin.document().to_string()),
        ];
        twins.push_str(&row.join(","));
        twins.push('\n');
    }
    fs::write(folder.join("twins.csv"), twins)?;
    for name in ["hasPart", "isPartOf", "isLocationOf", "locatedIn", "feeds"] {
        let edges = campus.relationships().iter().filter(|edge| edge.name == name);
        let rows: String = edges.map(|edge| format!("{},{}\n", edge.source, edge.target)).collect();
        fs::write(folder.join(format!("{name}.csv")), rows)?;
    }
    Ok(())
}

impl Peer {
    /// As many answers as there is time for.
    pub(super) fn ask(&mut self, question: Question, duration: Duration) -> Result<Option<Sample>> {
        let Some((_, ids)) = self.ids.iter().find(|(known, _)| *known == question) else { return Ok(None) };
        let asked = json!({
            "question": format!("{question:?}"), "ids": ids, "seconds": duration.as_secs_f64(), "warm": self.warm,
        });
        writeln!(self.input, "{asked}")?;
        let mut line = String::new();
        self.output.read_line(&mut line)?;
        let answer: Answer = serde_json::from_str(&line).context("ladybug ended")?;
        let took = answer.took.iter().map(|took| Duration::from_secs_f64(*took)).collect();
        Ok(Some(Sample::new(took, answer.seconds, answer.cpu, answer.rows)))
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // Ended already: nothing to end.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
