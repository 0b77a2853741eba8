//! `pollux events consumer-group`: the consumer groups of an event hub.

use anyhow::Result;
use clap::{Args, Subcommand};

use super::{KIND, Target, namespace};
use crate::commands::consumer_group::{self, Deed};
use crate::input::segment;
use crate::resources::path;
use crate::session::Session;

/// Consumer groups of an event hub
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make a consumer group
    Create(One),
    /// List the consumer groups
    List(Of),
    /// Show a consumer group
    Show(One),
    /// Delete a consumer group: its receivers are detached, where its consumers stood is forgotten
    Delete(One),
}

/// Which event hub
#[derive(Debug, Args)]
pub(crate) struct Of {
    /// The event hub
    #[arg(long)]
    eventhub_name: String,
    #[command(flatten)]
    target: Target,
}

/// Which consumer group
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pollux events consumer-group create --eventhub-name deviceevents --name analytics
  pollux events consumer-group delete --eventhub-name deviceevents --name analytics

An event hub has `$Default` and up to 19 more (limits.consumer_groups).")]
pub(crate) struct One {
    /// The consumer group's name: up to 50 letters, digits and . _ -
    #[arg(long, short = 'n', visible_alias = "consumer-group-name")]
    name: String,
    #[command(flatten)]
    of: Of,
}

/// Runs a command of this group.
pub(super) async fn run(session: &Session, command: Command) -> Result<()> {
    let (of, deed) = match &command {
        Command::Create(one) => (&one.of, Deed::Create(&one.name)),
        Command::List(of) => (of, Deed::List),
        Command::Show(one) => (&one.of, Deed::Show(&one.name)),
        Command::Delete(one) => (&one.of, Deed::Delete(&one.name)),
    };
    let namespace = path(KIND, namespace(session, &of.target)?);
    let event_hub = format!("{namespace}/event-hubs/{}", segment(&of.eventhub_name));
    consumer_group::run(session, &event_hub, &of.eventhub_name, deed).await
}
