//! `pollux events`: event hubs namespaces, the event hubs in them, and the events in those.

mod send;
mod shown;
mod stats;
mod tail;

use anyhow::{Context as _, Result};
use clap::{Args, Subcommand};
use pollux_client::{ConnectionString, EventHubs};
use pollux_model::resource::ResourceKind;
use serde_json::json;

use crate::connections::pick;
use crate::output::Column;
use crate::resources::{self, Create, Delete, List, Show};
use crate::session::Session;

const KIND: ResourceKind = ResourceKind::Events;
const COLUMNS: &[Column] =
    &[("name", "/name"), ("group", "/group"), ("host name", "/hostName"), ("event hubs", "/eventHubs")];
const HUB_COLUMNS: &[Column] = &[
    ("name", "/name"),
    ("partitions", "/partitions"),
    ("retention hours", "/retentionHours"),
    ("retention bytes", "/retentionBytes"),
    ("consumer groups", "/consumerGroups"),
];

/// Event hubs namespaces and their event hubs
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make a namespace
    Create(Create),
    /// List namespaces
    List(List),
    /// Show a namespace with its event hubs
    Show(Show),
    /// Delete a namespace with all its events
    Delete(Delete),
    /// Event hubs of a namespace
    #[command(subcommand)]
    Eventhub(EventHubCommand),
    /// Show events as they come, or from a place on
    Tail(tail::Tail),
    /// Send an event
    Send(send::Send),
    /// Show how many events each partition has, and when the last one came
    Stats(stats::Stats),
}

/// Event hubs of a namespace
#[derive(Debug, Subcommand)]
pub(crate) enum EventHubCommand {
    /// Make or change an event hub
    Create(CreateEventHub),
    /// List the event hubs
    List(Target),
    /// Delete an event hub with its events
    Delete(DeleteEventHub),
}

/// Make or change an event hub
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  pollux events eventhub create --name alarms --partition-count 8 --retention-hours 72"
)]
pub(crate) struct CreateEventHub {
    /// The event hub's name
    #[arg(long, short = 'n')]
    name: String,
    /// 1 to 32; may only grow [default: 4]
    #[arg(long)]
    partition_count: Option<u32>,
    /// How long events are kept, in hours [default: 24]
    #[arg(long, visible_alias = "retention-time")]
    retention_hours: Option<u32>,
    /// How many bytes a partition keeps at most [default: no bound]
    #[arg(long)]
    retention_bytes: Option<u64>,
    /// A consumer group beside `$Default`; may be repeated
    #[arg(long = "consumer-group")]
    consumer_groups: Vec<String>,
    #[command(flatten)]
    target: Target,
}

/// Delete an event hub
#[derive(Debug, Args)]
pub(crate) struct DeleteEventHub {
    /// The event hub's name
    #[arg(long, short = 'n')]
    name: String,
    #[command(flatten)]
    target: Target,
}

/// Which namespace.
#[derive(Debug, Args)]
pub(crate) struct Target {
    /// The namespace, by name or host name [default: the first]
    #[arg(long)]
    namespace_name: Option<String>,
}

fn namespace<'a>(session: &'a Session, target: &Target) -> Result<&'a str> {
    Ok(&pick("event hubs namespace", &session.connections.events, target.namespace_name.as_deref())?.name)
}

/// Where events are: a namespace, or a hub's built-in endpoint.
#[derive(Debug, Args)]
pub(crate) struct Place {
    /// A hub's built-in endpoint instead of a namespace: what its devices send and no route takes
    #[arg(long, conflicts_with_all = ["namespace_name", "name"])]
    hub_name: Option<String>,
    #[command(flatten)]
    target: Target,
}

/// A connection to where events are, and the event hub's name there.
async fn connect_to(
    session: &Session,
    place: &Place,
    event_hub: Option<&str>,
) -> Result<(EventHubs, String)> {
    let Some(name) = place.hub_name.as_deref() else {
        return connect(session, &place.target, event_hub).await;
    };
    let instance = pick("hub", &session.connections.hub, Some(name))?;
    let text = instance.events_connection_string.as_deref().filter(|text| !text.is_empty());
    let policy: ConnectionString =
        text.with_context(|| format!("no policy of '{name}' may read its built-in endpoint"))?.parse()?;
    let event_hub = policy.entity_path.clone().context("the connection string has no EntityPath")?;
    let client = EventHubs::connect(&session.amqp(&instance.host_name)?, &policy).await?;
    Ok((client, event_hub))
}

/// A connection to the namespace, and the event hub's name: the one that is asked for, or the first.
async fn connect(session: &Session, target: &Target, event_hub: Option<&str>) -> Result<(EventHubs, String)> {
    let namespaces = &session.connections.events;
    let instance = pick("event hubs namespace", namespaces, target.namespace_name.as_deref())?;
    let event_hub = match event_hub {
        Some(name) => name.to_owned(),
        None => {
            let path = format!("/admin/resources/events/{}", instance.name);
            let shown = session.admin()?.get(&path).send().await?;
            let first = shown.body["eventHubs"][0]["name"].as_str().map(str::to_owned);
            first.with_context(|| format!("'{}' has no event hub: make one", instance.name))?
        }
    };
    let text = instance.connection_string.as_deref();
    let policy: ConnectionString =
        text.context("connections.json has no connection string for it")?.parse()?;
    let client = EventHubs::connect(&session.amqp(&instance.host_name)?, &policy).await?;
    Ok((client, event_hub))
}

/// Runs a command of this group.
pub(crate) async fn run(session: &Session, command: Command) -> Result<()> {
    match command {
        Command::Create(args) => resources::create(session, KIND, args, json!({})).await,
        Command::List(args) => resources::list(session, KIND, &args, COLUMNS).await,
        Command::Show(args) => resources::show(session, KIND, &args).await,
        Command::Delete(args) => resources::delete(session, KIND, &args).await,
        Command::Tail(args) => tail::run(session, args).await,
        Command::Send(args) => send::run(session, args).await,
        Command::Stats(args) => stats::run(session, args).await,
        Command::Eventhub(EventHubCommand::Create(args)) => {
            let mut body = json!({});
            for (name, value) in [
                ("partitions", args.partition_count.map(u64::from)),
                ("retentionHours", args.retention_hours.map(u64::from)),
                ("retentionBytes", args.retention_bytes),
            ] {
                if let Some(value) = value {
                    body[name] = json!(value);
                }
            }
            if !args.consumer_groups.is_empty() {
                body["consumerGroups"] = json!(args.consumer_groups);
            }
            resources::put_part(
                session,
                KIND,
                namespace(session, &args.target)?,
                ("event-hubs", &args.name),
                body,
            )
            .await
        }
        Command::Eventhub(EventHubCommand::List(target)) => {
            resources::list_parts(session, (KIND, namespace(session, &target)?), "eventHubs", HUB_COLUMNS)
                .await
        }
        Command::Eventhub(EventHubCommand::Delete(args)) => {
            resources::delete_part(
                session,
                KIND,
                namespace(session, &args.target)?,
                ("event-hubs", &args.name),
            )
            .await
        }
    }
}
