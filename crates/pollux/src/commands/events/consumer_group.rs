//! `pollux events consumer-group`: the consumer groups of an event hub.

use anyhow::{Context as _, Result};
use clap::{Args, Subcommand};
use pollux_model::resource::ResourceKind;
use serde_json::json;

use super::{Target, namespace};
use crate::input::segment;
use crate::output::Column;
use crate::resources::{self, values};
use crate::session::Session;

const COLUMNS: &[Column] = &[("name", "/name")];

/// Consumer groups of an event hub
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make a consumer group
    Create(One),
    /// List the consumer groups
    List(Of),
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

pub(super) async fn run(session: &Session, command: Command) -> Result<()> {
    match command {
        Command::Create(args) => {
            let (path, what) = (one(session, &args)?, &args.name);
            let made = session.admin()?.put(&path).json(json!({})).send().await;
            made.with_context(|| format!("cannot make the consumer group '{what}'"))?;
            session.output.document(&json!({ "name": what, "eventHub": args.of.eventhub_name }))
        }
        Command::List(of) => {
            let found = session.admin()?.get(&all(session, &of)?).send().await;
            let found = found
                .with_context(|| format!("cannot list the consumer groups of '{}'", of.eventhub_name))?;
            session.output.rows(values(found), COLUMNS)
        }
        Command::Delete(args) => {
            let gone = session.admin()?.delete(&one(session, &args)?).send().await;
            gone.with_context(|| format!("cannot delete the consumer group '{}'", args.name))?;
            session.output.note(&format!("deleted the consumer group '{}'", args.name))
        }
    }
}

fn all(session: &Session, of: &Of) -> Result<String> {
    let namespace = resources::path(ResourceKind::Events, namespace(session, &of.target)?);
    Ok(format!("{namespace}/event-hubs/{}/consumer-groups", segment(&of.eventhub_name)))
}

fn one(session: &Session, args: &One) -> Result<String> {
    Ok(format!("{}/{}", all(session, &args.of)?, segment(&args.name)))
}
