//! `pollux twin import`: a whole graph from files. Portions go over the service's HTTP API, several at once; each is durable
//! when it is answered, and can be sent again without harm.

use std::fs::File;
use std::io::{self, BufWriter, IsTerminal as _, Write as _};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use clap::Args;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesOrdered;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use pollux_client::Rest;
use pollux_client::rest::RestError;
use pollux_model::job::Section;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::Target;
use super::graph_file::{self, Portion};
use crate::retry::until_answered;
use crate::session::Session;

/// Portions under way: while one is written the next are read and checked.
const AT_ONCE: usize = 3;
/// For one portion; models may be many.
const PATIENCE: Duration = Duration::from_secs(600);
/// Failed items that are shown.
const SHOWN: u64 = 20;

/// Import a whole graph from a file: models, twins and relationships
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pollux twin import building.ndjson
  pollux twin export - -n twins1 | pollux twin import - -n twins2
  pollux twin import building.ndjson --log failed.ndjson    every item that failed, a line each
  pollux twin import building.ndjson --from-line 120001     go on where it was cut off

The file has a JSON document a line, in the form of Azure's import jobs:
  {\"Section\":\"Header\"}
  {\"fileVersion\":\"1.0.0\"}
  {\"Section\":\"Models\"}         then a DTDL interface a line
  {\"Section\":\"Twins\"}          then {\"$dtId\":\"room1\",\"$metadata\":{\"$model\":\"dtmi:a:Room;1\"},\"area\":12}
  {\"Section\":\"Relationships\"}  then {\"$dtId\":\"floor1\",\"$relationshipId\":\"r1\",\"$targetId\":\"room1\",\"$relationshipName\":\"has\"}

An item that does not hold is told and left out; all others are imported. One that is there already and equal is left as it
is, so an import may be run again. Event routes are not told. Exit code 0 only if nothing failed.")]
pub(crate) struct Import {
    /// Files, one after the other; - for standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<String>,
    /// Leave out the lines before this one
    #[arg(long, default_value_t = 0, value_name = "N")]
    from_line: u64,
    /// Write every item that failed to this file, a JSON document a line
    #[arg(long, value_name = "FILE")]
    log: Option<String>,
    #[command(flatten)]
    target: Target,
}

/// What came of it.
#[derive(Debug, Default)]
struct Sum {
    models: u64,
    twins: u64,
    relationships: u64,
    unchanged: u64,
    failed: u64,
}

struct Importing {
    sum: Sum,
    bar: ProgressBar,
    log: Option<BufWriter<File>>,
    /// The file and the line up to which everything is durable.
    stood: Option<(String, u64)>,
}

/// Runs it.
pub(crate) async fn run(session: &Session, args: Import) -> Result<()> {
    let rest = session.twins(args.target.dt_name.as_deref())?;
    let log = args.log.as_ref().map(File::create).transpose().context("--log")?.map(BufWriter::new);
    let before = counts(&rest).await?;
    let begun = Instant::now();
    let mut importing = Importing { sum: Sum::default(), bar: bar(&args.files), log, stood: None };
    let done = importing.all(&rest, &args).await;
    importing.bar.finish_and_clear();
    if let Some(log) = &mut importing.log {
        log.flush().context("--log")?;
    }
    if let Err(error) = done {
        return Err(match importing.stood {
            None => error.context("nothing was imported"),
            Some((file, line)) => error.context(format!(
                "the import of '{file}' stopped; everything up to line {line} is imported. Go on with --from-line {}, or \
                 run it again whole: what is there is left as it is",
                line + 1
            )),
        });
    }
    verify(session, &importing.sum, &before, &counts(&rest).await?)?;
    let Sum { models, twins, relationships, unchanged, failed } = importing.sum;
    let seconds = begun.elapsed().as_secs_f64();
    session.output.document(&json!({
        "models": models, "twins": twins, "relationships": relationships, "unchanged": unchanged, "failed": failed,
        "seconds": (seconds * 10.0).round() / 10.0,
    }))?;
    if failed > 0 {
        bail!("{failed} items could not be imported");
    }
    Ok(())
}

/// Models, twins, relationships.
pub(super) async fn counts(rest: &Rest) -> Result<[u64; 3]> {
    let counts =
        rest.get("/graph/counts").timeout(PATIENCE).send().await.context("cannot count the graph")?;
    Ok(["models", "twins", "relationships"].map(|noun| counts.body[noun].as_u64().unwrap_or(0)))
}

/// What there is now must be what there was and what was made; more, where somebody else wrote too.
fn verify(session: &Session, sum: &Sum, before: &[u64; 3], after: &[u64; 3]) -> Result<()> {
    let made = [sum.models, sum.twins, sum.relationships];
    for (noun, ((made, before), after)) in
        ["models", "twins", "relationships"].iter().zip(made.iter().zip(before).zip(after))
    {
        let wanted = before + made;
        if *after != wanted {
            session.output.note(&format!(
                "there are {after} {noun} where {wanted} were to be expected: somebody else writes to this instance"
            ))?;
        }
    }
    Ok(())
}

fn bar(files: &[String]) -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden());
    }
    let sizes: Option<u64> = files
        .iter()
        .map(|file| std::fs::metadata(file).ok().filter(std::fs::Metadata::is_file).map(|it| it.len()))
        .sum();
    let figures = "{binary_bytes_per_sec}  {elapsed}";
    let (bar, template) = match sizes {
        Some(total) => (
            ProgressBar::new(total),
            format!(
                "{{prefix:>14}} {{bar:24.green/dim}} {{binary_bytes:>11}} of {{binary_total_bytes}}  {figures}, {{eta}} left  {{msg}}"
            ),
        ),
        None => (
            ProgressBar::no_length(),
            format!("{{prefix:>14}} {{spinner}} {{binary_bytes:>11}}  {figures}  {{msg}}"),
        ),
    };
    let style = ProgressStyle::with_template(&template).unwrap_or_else(|_| ProgressStyle::default_bar());
    bar.with_style(style.progress_chars("━━─"))
}

impl Importing {
    async fn all(&mut self, rest: &Rest, args: &Import) -> Result<()> {
        let mut portions = graph_file::read(args.files.clone(), args.from_line);
        let mut under_way = FuturesOrdered::new();
        let mut section: Option<(String, Section)> = None;
        while let Some(portion) = portions.recv().await {
            let portion = portion?;
            let next = Some((portion.file.clone(), portion.section));
            // A relationship needs its twins, a twin its model.
            let room = if next == section { AT_ONCE - 1 } else { 0 };
            while under_way.len() > room {
                if let Some(answered) = under_way.next().await {
                    self.take(answered)?;
                }
            }
            self.bar.set_prefix(portion.section.as_str());
            section = next;
            under_way.push_back(send(rest, portion));
        }
        while let Some(answered) = under_way.next().await {
            self.take(answered)?;
        }
        Ok(())
    }

    fn take(&mut self, (portion, answer): (Portion, Result<Value, RestError>)) -> Result<()> {
        let answer = answer?;
        let figure = |noun: &str| answer[noun].as_u64().unwrap_or(0);
        self.sum.models += figure("models");
        self.sum.twins += figure("twins");
        self.sum.relationships += figure("relationships");
        self.sum.unchanged += figure("unchanged");
        for failed in answer["failed"].as_array().into_iter().flatten() {
            self.failed(&portion.file, failed)?;
        }
        self.bar.inc(portion.bytes);
        self.stood = Some((portion.file, portion.last));
        Ok(())
    }

    fn failed(&mut self, file: &str, failed: &Value) -> Result<()> {
        self.sum.failed += 1;
        if let Some(log) = &mut self.log {
            writeln!(log, "{failed}").context("--log")?;
        }
        let text = |member: &str| failed[member].as_str().unwrap_or_default();
        if self.sum.failed <= SHOWN {
            let place = failed["line"].as_u64().filter(|line| *line > 0).map(|line| format!("line {line}: "));
            let (id, code, message) = (text("id"), text("code"), text("message").replace('\n', " "));
            let shown = format!("{file}: {}{id}: {code}: {message}", place.unwrap_or_default());
            self.bar.suspend(|| writeln!(io::stderr(), "{shown}"))?;
        } else if self.sum.failed == SHOWN + 1 {
            let more = "more items failed; --log FILE tells of all";
            self.bar.suspend(|| writeln!(io::stderr(), "{more}"))?;
        }
        self.bar.set_message(format!("{} failed", self.sum.failed));
        Ok(())
    }
}

/// Sends a portion, again where nobody answered: whoever has it already leaves it as it is.
async fn send(rest: &Rest, portion: Portion) -> (Portion, Result<Value, RestError>) {
    let before = portion.before.to_string();
    let post = async || {
        let request = rest.post("/graph").query("before", &before);
        request.ndjson(portion.text.clone()).timeout(PATIENCE).send().await
    };
    let answer = until_answered(post).await.map(|answer| answer.body);
    (portion, answer)
}
