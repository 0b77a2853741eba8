//! `pollux functions dead-letter`: events a function could not work on, kept until they are replayed or forgotten.

use anyhow::Result;
use clap::{Args, Subcommand};
use pollux_model::resource::ResourceKind;

use super::Target;
use crate::commands::dead_letter::{self, Deed};
use crate::session::Session;

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

/// Runs a command of this group.
pub(crate) async fn run(session: &Session, command: Command) -> Result<()> {
    let (target, deed) = match &command {
        Command::List(args) => (&args.target, Deed::List { of: args.function.as_deref(), top: args.top }),
        Command::Show(one) => (&one.target, Deed::Show(one.id)),
        Command::Replay(one) => (&one.target, Deed::Replay(one.id)),
        Command::Delete(one) => (&one.target, Deed::Delete(one.id)),
    };
    dead_letter::run(session, ResourceKind::Functions, target.app(session)?, deed).await
}
