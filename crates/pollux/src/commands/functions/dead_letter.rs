//! `pollux functions dead-letter`: events a function could not work on, kept until they are replayed or forgotten.

use anyhow::{Context as _, Result};
use clap::{Args, Subcommand};
use pollux_model::resource::ResourceKind;

use super::Target;
use crate::output::Column;
use crate::resources::{path, values};
use crate::session::Session;

const COLUMNS: &[Column] = &[
    ("id", "/id"),
    ("function", "/function"),
    ("event hub", "/eventHub"),
    ("partition", "/partition"),
    ("sequence number", "/sequenceNumber"),
    ("attempts", "/attempts"),
    ("failed", "/failed"),
    ("reason", "/reason"),
];

/// Events a function app could not work on
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List them
    List(List),
    /// Show one, with its event
    Show(One),
    /// Run the function on one again; it is forgotten when that works
    Replay(One),
    /// Forget one
    Delete(One),
}

/// List dead letters
#[derive(Debug, Args)]
pub(crate) struct List {
    /// Only those of this function
    #[arg(long, value_parser = ["ingest", "retire"])]
    function: Option<String>,
    /// At most this many
    #[arg(long, default_value_t = 100)]
    top: usize,
    #[command(flatten)]
    target: Target,
}

/// Which dead letter.
#[derive(Debug, Args)]
pub(crate) struct One {
    /// Its id, as `list` shows it
    #[arg(value_name = "ID")]
    id: i64,
    #[command(flatten)]
    target: Target,
}

impl One {
    fn path(&self, session: &Session) -> Result<String> {
        Ok(format!("{}/{}", base(self.target.app(session)?), self.id))
    }
}

fn base(app: &str) -> String {
    format!("{}/dead-letters", path(ResourceKind::Functions, app))
}

/// Runs a command of this group.
pub(crate) async fn run(session: &Session, command: Command) -> Result<()> {
    let admin = session.admin()?;
    match command {
        Command::List(args) => {
            let mut request =
                admin.get(&base(args.target.app(session)?)).query("limit", &args.top.to_string());
            if let Some(function) = &args.function {
                request = request.query("function", function);
            }
            session
                .output
                .rows(values(request.send().await.context("cannot list the dead letters")?), COLUMNS)
        }
        Command::Show(args) => {
            let found = admin.get(&args.path(session)?).send().await;
            session
                .output
                .document(&found.with_context(|| format!("cannot show the dead letter {}", args.id))?.body)
        }
        Command::Replay(args) => {
            let replayed = admin.post(&format!("{}/replay", args.path(session)?)).send().await;
            replayed.with_context(|| format!("the dead letter {} failed again", args.id))?;
            session
                .output
                .note(&format!("replayed the dead letter {}; it took effect and is forgotten", args.id))
        }
        Command::Delete(args) => {
            let gone = admin.delete(&args.path(session)?).send().await;
            gone.with_context(|| format!("cannot delete the dead letter {}", args.id))?;
            session.output.note(&format!("forgot the dead letter {}", args.id))
        }
    }
}
