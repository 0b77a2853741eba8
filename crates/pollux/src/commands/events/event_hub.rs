//! `pollux events eventhub`: the event hubs of a namespace.

use anyhow::{Context as _, Result};
use clap::{Args, Subcommand};
use pollux_model::resource::ResourceKind;
use serde_json::json;

use super::{Target, namespace};
use crate::input::segment;
use crate::output::Column;
use crate::resources;
use crate::session::Session;

const KIND: ResourceKind = ResourceKind::Events;
const COLUMNS: &[Column] = &[
    ("name", "/name"),
    ("partitions", "/partitions"),
    ("retention hours", "/retentionHours"),
    ("retention bytes", "/retentionBytes"),
    ("consumer groups", "/consumerGroups"),
    ("policies", "/policies"),
];

/// Event hubs of a namespace
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make or change an event hub
    #[command(visible_alias = "update")]
    Create(Create),
    /// List the event hubs
    List(Target),
    /// Show one
    Show(One),
    /// Delete an event hub with its events
    Delete(One),
}

/// Make or change an event hub: what is not said stays
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pollux events eventhub create --name alarms --partition-count 8 --retention-hours 72
  pollux events eventhub create --name alarms --partition-count 16 --retention-bytes 1073741824
                                     later: senders and receivers go on meanwhile")]
pub(crate) struct Create {
    /// The event hub's name
    #[arg(long, short = 'n')]
    name: String,
    /// 1 to 32; may only grow [default: 4]
    #[arg(long)]
    partition_count: Option<u32>,
    /// How long events are kept, in hours, up to 2160 [default: 24]
    #[arg(long, visible_alias = "retention-time")]
    retention_hours: Option<u32>,
    /// How many bytes a partition keeps at most; 0: no bound [default: no bound]
    #[arg(long)]
    retention_bytes: Option<u64>,
    /// A consumer group beside `$Default`; may be repeated
    #[arg(long = "consumer-group")]
    consumer_groups: Vec<String>,
    #[command(flatten)]
    target: Target,
}

/// Which event hub
#[derive(Debug, Args)]
pub(crate) struct One {
    /// The event hub's name
    #[arg(long, short = 'n')]
    name: String,
    #[command(flatten)]
    target: Target,
}

pub(super) async fn run(session: &Session, command: Command) -> Result<()> {
    match command {
        Command::Create(args) => {
            let namespace = namespace(session, &args.target)?;
            let numbers = [
                ("partitions", args.partition_count.map(u64::from)),
                ("retentionHours", args.retention_hours.map(u64::from)),
                ("retentionBytes", args.retention_bytes),
            ];
            let mut body = json!({});
            for (name, value) in numbers {
                if let Some(value) = value {
                    body[name] = json!(value);
                }
            }
            if !args.consumer_groups.is_empty() {
                body["consumerGroups"] = json!(args.consumer_groups);
            }
            resources::put_part(session, KIND, namespace, ("event-hubs", &args.name), body).await
        }
        Command::List(target) => {
            let namespace = namespace(session, &target)?;
            resources::list_parts(session, (KIND, namespace), "eventHubs", COLUMNS).await
        }
        Command::Show(args) => {
            let namespace = namespace(session, &args.target)?;
            let path = format!("{}/event-hubs/{}", resources::path(KIND, namespace), segment(&args.name));
            let found = session.admin()?.get(&path).send().await;
            let found = found.with_context(|| format!("cannot show the event hub '{}'", args.name))?;
            session.output.document(&found.body)
        }
        Command::Delete(args) => {
            let namespace = namespace(session, &args.target)?;
            resources::delete_part(session, KIND, namespace, ("event-hubs", &args.name)).await
        }
    }
}
