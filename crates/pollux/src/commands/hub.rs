//! `pollux hub`: IoT hubs, and what is in them.

mod device;
mod device_twin;
mod query;
mod route;

use anyhow::Result;
use clap::{Args, Subcommand};
use pollux_model::resource::ResourceKind;
use serde_json::json;

use crate::connections::pick;
use crate::output::Column;
use crate::policies::{self, Holder};
use crate::resources::{self, Create, Delete, List, Show};
use crate::session::Session;

const KIND: ResourceKind = ResourceKind::Hub;
const COLUMNS: &[Column] =
    &[("name", "/name"), ("group", "/group"), ("host name", "/hostName"), ("routes", "/routes")];

/// IoT hubs, device identities, device twins and routes
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make a hub
    Create(Create),
    /// List hubs
    List(List),
    /// Show a hub with its routes
    Show(Show),
    /// Delete a hub with all its devices
    Delete(Delete),
    /// Device identities
    #[command(subcommand)]
    Device(device::Command),
    /// Device twins: tags, desired and reported properties
    #[command(subcommand)]
    DeviceTwin(device_twin::Command),
    /// Query devices by their twins
    Query(query::Query),
    /// Message routes
    #[command(subcommand)]
    Route(route::Command),
    /// Where routes lead
    #[command(subcommand)]
    Endpoint(route::EndpointCommand),
    /// Shared access policies
    #[command(subcommand)]
    Policy(policies::Command<Target>),
}

/// Which hub.
#[derive(Debug, Args)]
pub(crate) struct Target {
    /// The hub, by name or host name [default: the first]
    #[arg(long, short = 'n')]
    hub_name: Option<String>,
}

impl policies::Target for Target {
    const RIGHTS: &'static [&'static str] =
        &["RegistryRead", "RegistryWrite", "ServiceConnect", "DeviceConnect"];

    fn holder(&self, session: &Session) -> Result<Holder> {
        let hub = pick("hub", &session.connections.hub, self.hub_name.as_deref())?;
        Ok(Holder { kind: KIND, name: hub.name.clone(), event_hub: None })
    }
}

/// Runs a command of this group.
pub(crate) async fn run(session: &Session, command: Command) -> Result<()> {
    match command {
        Command::Create(args) => resources::create(session, KIND, args, json!({})).await,
        Command::List(args) => resources::list(session, KIND, &args, COLUMNS).await,
        Command::Show(args) => resources::show(session, KIND, &args).await,
        Command::Delete(args) => resources::delete(session, KIND, &args).await,
        Command::Device(command) => device::run(session, command).await,
        Command::DeviceTwin(command) => device_twin::run(session, command).await,
        Command::Query(args) => query::run(session, args).await,
        Command::Route(command) => route::run(session, command).await,
        Command::Endpoint(command) => route::run_endpoint(session, command).await,
        Command::Policy(command) => policies::run(session, command).await,
    }
}
