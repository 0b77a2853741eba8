//! `pollux events`: event hubs namespaces, the event hubs in them, and the events in those.

mod consumer_group;
mod event_hub;
mod follow;
mod send;
pub(crate) mod shown;
mod stats;
mod tail;

use anyhow::{Context as _, Result};
use clap::{Args, Subcommand};
use pollux_client::{ConnectionString, EventHubs};
use pollux_model::resource::ResourceKind;
use serde_json::json;

pub(crate) use follow::follow;

use crate::connections::pick;
use crate::output::Column;
use crate::policies::{self, Holder};
use crate::resources::{self, Create, Delete, List, Show};
use crate::session::Session;

const KIND: ResourceKind = ResourceKind::Events;
const COLUMNS: &[Column] =
    &[("name", "/name"), ("group", "/group"), ("host name", "/hostName"), ("event hubs", "/eventHubs")];

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
    #[command(subcommand, visible_alias = "hub")]
    Eventhub(event_hub::Command),
    /// Consumer groups of an event hub
    #[command(subcommand, visible_alias = "group")]
    ConsumerGroup(consumer_group::Command),
    /// Shared access policies of a namespace or of one event hub
    #[command(subcommand, visible_alias = "authorization-rule")]
    Policy(policies::Command<PolicyTarget>),
    /// Show events as they come, or from a place on
    Tail(tail::Tail),
    /// Send an event
    Send(send::Send),
    /// Show how many events each partition has, and when the last one came
    Stats(stats::Stats),
}

/// Which namespace.
#[derive(Debug, Args)]
pub(crate) struct Target {
    /// The namespace, by name or host name [default: the first]
    #[arg(long)]
    namespace_name: Option<String>,
}

/// Whose policy.
#[derive(Debug, Args)]
pub(crate) struct PolicyTarget {
    /// The event hub whose policy it is [default: it is the namespace's]
    #[arg(long)]
    eventhub_name: Option<String>,
    #[command(flatten)]
    target: Target,
}

impl policies::Target for PolicyTarget {
    const RIGHTS: &'static [&'static str] = &["Listen", "Send", "Manage"];

    fn holder(&self, session: &Session) -> Result<Holder> {
        let name = namespace(session, &self.target)?;
        Ok(Holder { kind: KIND, name: name.to_owned(), event_hub: self.eventhub_name.clone() })
    }
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
    match &place.hub_name {
        None => connect(session, &place.target, event_hub).await,
        Some(name) => connect_to_hub(session, Some(name)).await,
    }
}

/// A connection to a hub's built-in endpoint, the first hub's where none is named, and its event hub's name.
pub(crate) async fn connect_to_hub(session: &Session, hub: Option<&str>) -> Result<(EventHubs, String)> {
    let instance = pick("hub", &session.connections.hub, hub)?;
    let name = &instance.name;
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
        Command::Eventhub(command) => event_hub::run(session, command).await,
        Command::ConsumerGroup(command) => consumer_group::run(session, command).await,
        Command::Policy(command) => policies::run(session, command).await,
    }
}
