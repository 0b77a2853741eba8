//! `pollux hub consumer-group`: the consumer groups of a hub's built-in endpoint.

use anyhow::Result;
use clap::{Args, Subcommand};
use pollux_model::resource::BuiltInEndpoint;

use super::KIND;
use crate::commands::consumer_group::{self, Deed};
use crate::connections::pick;
use crate::resources::path;
use crate::session::Session;

/// Consumer groups of the built-in endpoint
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

/// Which hub
#[derive(Debug, Args)]
pub(crate) struct Of {
    /// The hub, by name or host name [default: the first]
    #[arg(long)]
    hub_name: Option<String>,
}

/// Which consumer group
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pollux hub consumer-group create --name dashboards
  pollux hub consumer-group delete --hub-name hub1 --name dashboards

The built-in endpoint has `$Default` and up to 19 more (limits.consumer_groups).")]
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
    let hub = &pick("hub", &session.connections.hub, of.hub_name.as_deref())?.name;
    consumer_group::run(session, &path(KIND, hub), &BuiltInEndpoint::name(hub), deed).await
}
