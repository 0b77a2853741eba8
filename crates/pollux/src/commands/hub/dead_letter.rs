//! `pollux hub dead-letter`: events that an endpoint elsewhere refused, kept until they are sent again or forgotten.

use anyhow::Result;
use clap::{Args, Subcommand};

use super::route::hub;
use super::{KIND, Target};
use crate::commands::dead_letter::{self, Deed};
use crate::session::Session;

/// Events that an endpoint elsewhere refused
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List them
    List(List),
    /// Show one, with its event
    Show(One),
    /// Send one again; it is forgotten when it is accepted
    Replay(One),
    /// Forget one
    Delete(One),
}

/// List dead letters
#[derive(Debug, Args)]
pub(crate) struct List {
    /// Only those of this endpoint
    #[arg(long, visible_alias = "en")]
    endpoint_name: Option<String>,
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
        Command::List(args) => {
            (&args.target, Deed::List { of: args.endpoint_name.as_deref(), top: args.top })
        }
        Command::Show(one) => (&one.target, Deed::Show(one.id)),
        Command::Replay(one) => (&one.target, Deed::Replay(one.id)),
        Command::Delete(one) => (&one.target, Deed::Delete(one.id)),
    };
    dead_letter::run(session, KIND, hub(session, target)?, deed).await
}
