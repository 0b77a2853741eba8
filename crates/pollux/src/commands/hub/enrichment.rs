//! `pollux hub message-enrichment`: what messages get on their way to endpoints.

use anyhow::Result;
use clap::{Args, Subcommand};
use serde_json::json;

use super::route::hub;
use super::{KIND, Target};
use crate::output::Column;
use crate::resources;
use crate::session::Session;

const COLUMNS: &[Column] = &[("key", "/key"), ("value", "/value"), ("endpoints", "/endpoints")];

/// What messages get on their way to endpoints
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List what is added
    List(Target),
    /// Add a property to messages on their way to some endpoints, or change it
    #[command(visible_alias = "update")]
    Create(Create),
    /// Add it no more
    Delete(Delete),
}

/// Add a property to messages on their way to some endpoints, or change it
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pollux hub message-enrichment create --key site --value '$twin.tags.site' --endpoints events deviceevents
  pollux hub message-enrichment create --key hub --value '$iothubname' --endpoints events

A path into the twin that leads nowhere is added as it is written, as Azure's hub does.")]
pub(crate) struct Create {
    /// The application property's name
    #[arg(long, short = 'k')]
    key: String,
    /// A text, $iothubname, or $twin.tags.…, $twin.properties.desired.…, $twin.properties.reported.…
    #[arg(long, short = 'v')]
    value: String,
    /// Which endpoints; `events` is the built-in one
    #[arg(long, short = 'e', num_args = 1.., required = true)]
    endpoints: Vec<String>,
    #[command(flatten)]
    target: Target,
}

/// Add it no more
#[derive(Debug, Args)]
pub(crate) struct Delete {
    /// The application property's name
    #[arg(long, short = 'k')]
    key: String,
    #[command(flatten)]
    target: Target,
}

/// Runs a command about enrichments.
pub(super) async fn run(session: &Session, command: Command) -> Result<()> {
    const PARTS: &str = "enrichments";
    match command {
        Command::List(target) => {
            resources::list_parts(session, (KIND, hub(session, &target)?), PARTS, COLUMNS).await
        }
        Command::Create(args) => {
            let endpoints: Vec<_> = args.endpoints.iter().flat_map(|names| names.split(',')).collect();
            let body = json!({ "value": args.value, "endpoints": endpoints });
            resources::put_part(session, KIND, hub(session, &args.target)?, (PARTS, &args.key), body).await
        }
        Command::Delete(args) => {
            resources::delete_part(session, KIND, hub(session, &args.target)?, (PARTS, &args.key)).await
        }
    }
}
