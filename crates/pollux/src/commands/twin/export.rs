//! `pollux twin export`: the whole graph to a file, as it is read from the server.

use std::fs::{self, File};
use std::io::{self, BufWriter, IsTerminal as _, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use pollux_client::Rest;
use pollux_model::job::Section;
use serde_json::json;

use super::{Target, graph_file, import};
use crate::session::Session;

/// For the whole of it.
const PATIENCE: Duration = Duration::from_secs(24 * 3600);

/// Export the whole graph to a file
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pollux twin export building.ndjson
  pollux twin export | gzip > building.ndjson.gz
  pollux twin export - -n twins1 | pollux twin import - -n twins2

A JSON document a line: models (each behind those it needs), twins in order of id, relationships in order of source and id.
`pollux twin import` takes it, and so does an import job of Azure. Export while nobody writes: what is written meanwhile may
be in the file in part.")]
pub(crate) struct Export {
    /// The file to write; - for standard output
    #[arg(default_value = "-", value_name = "FILE")]
    file: String,
    /// Replace the file if it is there
    #[arg(long)]
    overwrite: bool,
    #[command(flatten)]
    target: Target,
}

/// What was written.
#[derive(Debug, Default)]
struct Written {
    section: Option<Section>,
    /// Models, twins, relationships.
    items: [u64; 3],
    line: Vec<u8>,
}

/// Runs it.
pub(crate) async fn run(session: &Session, args: Export) -> Result<()> {
    let rest = session.twins(args.target.dt_name.as_deref())?;
    let expected = import::counts(&rest).await?;
    if args.file == "-" {
        let written = write(&rest, &mut io::stdout().lock(), &expected).await?;
        return told(session, &written, &expected);
    }
    let path = Path::new(&args.file);
    if path.exists() && !args.overwrite {
        bail!("'{}' is there already; --overwrite replaces it", args.file);
    }
    // Under its name only when it is whole.
    let part = PathBuf::from(format!("{}.part", args.file));
    let written = to_file(&rest, &part, path, &expected).await;
    if written.is_err() {
        // What could not even be made need not be removed.
        let _ = fs::remove_file(&part);
    }
    let written = written?;
    told(session, &written, &expected)?;
    let [models, twins, relationships] = written.items;
    session.output.document(&json!({ "models": models, "twins": twins, "relationships": relationships }))
}

async fn to_file(rest: &Rest, part: &Path, path: &Path, expected: &[u64; 3]) -> Result<Written> {
    let file = File::create(part).with_context(|| format!("cannot write '{}'", part.display()))?;
    let mut file = BufWriter::with_capacity(1 << 20, file);
    let written = write(rest, &mut file, expected).await?;
    let file = file.into_inner().map_err(|error| error.into_error())?;
    file.sync_all()?;
    fs::rename(part, path).with_context(|| format!("cannot write '{}'", path.display()))?;
    Ok(written)
}

async fn write(rest: &Rest, out: &mut impl Write, expected: &[u64; 3]) -> Result<Written> {
    let bar = bar(expected.iter().sum());
    let mut parts =
        rest.get("/graph").timeout(PATIENCE).download().await.context("cannot export the graph")?;
    let mut written = Written::default();
    while let Some(part) = parts.next().await.context("the export broke off")? {
        out.write_all(&part).context("cannot write the export")?;
        written.count(&part);
        if let Some(section) = written.section {
            bar.set_prefix(section.as_str());
        }
        bar.set_position(written.items.iter().sum());
    }
    out.flush().context("cannot write the export")?;
    bar.finish_and_clear();
    if written.section != Some(Section::Relationships) {
        bail!("the export ended before its last section");
    }
    Ok(written)
}

/// Somebody who writes meanwhile makes the file one of several moments.
fn told(session: &Session, written: &Written, expected: &[u64; 3]) -> Result<()> {
    if written.items == *expected {
        return Ok(());
    }
    let [models, twins, relationships] = expected;
    let [m, t, r] = written.items;
    session.output.note(&format!(
        "the file has {m} models, {t} twins and {r} relationships, and there were {models}, {twins} and {relationships} at \
         the beginning: somebody writes to this instance"
    ))
}

fn bar(total: u64) -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden());
    }
    let template =
        "{prefix:>14} {bar:24.green/dim} {human_pos:>11} of {human_len}  {per_sec}  {elapsed}, {eta} left";
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(total).with_style(style.progress_chars("━━─"))
}

impl Written {
    /// Counts the lines of each section, however they come.
    fn count(&mut self, part: &[u8]) {
        for line in part.split_inclusive(|byte| *byte == b'\n') {
            if self.line.len() < 256 {
                self.line.extend_from_slice(line);
            }
            if line.ends_with(b"\n") {
                let text = std::mem::take(&mut self.line);
                match (graph_file::section_of(&text), self.section) {
                    (Some(section), _) => self.section = Some(section),
                    (None, Some(Section::Models)) => self.items[0] += 1,
                    (None, Some(Section::Twins)) => self.items[1] += 1,
                    (None, Some(Section::Relationships)) => self.items[2] += 1,
                    (None, Some(Section::Header) | None) => {}
                }
            }
        }
    }
}
