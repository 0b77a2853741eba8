//! `pollux hub route` and `pollux hub endpoint`: which messages go to which event hub.

use anyhow::Result;
use clap::{Args, Subcommand, ValueEnum};
use serde_json::json;

use super::{KIND, Target};
use crate::connections::pick;
use crate::output::Column;
use crate::resources;
use crate::session::Session;

const COLUMNS: &[Column] = &[
    ("name", "/name"),
    ("source", "/source"),
    ("condition", "/condition"),
    ("endpoint", "/endpoint"),
    ("enabled", "/enabled"),
];
const ENDPOINT_COLUMNS: &[Column] =
    &[("name", "/name"), ("namespace", "/namespace"), ("event hub", "/eventHub"), ("elsewhere", "/endpoint")];

/// Message routes
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List a hub's routes
    List(Target),
    /// Make or change a route
    Create(Create),
    /// Delete a route
    Delete(Delete),
}

/// Make or change a route
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pollux hub route create --route-name hot --source devicemessages --endpoint-name deviceevents \\
      --condition '$body.Temperature > 40'
  pollux hub route create --route-name gone --source devicelifecycleevents --endpoint-name lifecycleevents \\
      --condition \"opType='deleteDeviceIdentity'\"")]
pub(crate) struct Create {
    /// The route's name
    #[arg(long, visible_alias = "rn")]
    route_name: String,
    /// Which messages it looks at
    #[arg(long, visible_alias = "source-type", value_enum, ignore_case = true)]
    source: Source,
    /// The endpoint it leads to; see `pollux hub endpoint`
    #[arg(long, visible_alias = "en")]
    endpoint_name: String,
    /// Which of them it takes [default: true, which is all]
    #[arg(long)]
    condition: Option<String>,
    /// Whether it is in force
    #[arg(long)]
    enabled: Option<bool>,
    #[command(flatten)]
    target: Target,
}

/// Delete a route
#[derive(Debug, Args)]
pub(crate) struct Delete {
    /// The route's name
    #[arg(long, visible_alias = "rn")]
    route_name: String,
    #[command(flatten)]
    target: Target,
}

/// What a route looks at.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Source {
    /// What devices send
    #[value(name = "devicemessages")]
    DeviceMessages,
    /// Devices made and deleted
    #[value(name = "devicelifecycleevents")]
    DeviceLifecycleEvents,
    /// Device twins changed
    #[value(name = "twinchangeevents")]
    TwinChangeEvents,
}

impl Source {
    const fn as_str(self) -> &'static str {
        match self {
            Self::DeviceMessages => "DeviceMessages",
            Self::DeviceLifecycleEvents => "DeviceLifecycleEvents",
            Self::TwinChangeEvents => "TwinChangeEvents",
        }
    }
}

/// Where routes lead
#[derive(Debug, Subcommand)]
pub(crate) enum EndpointCommand {
    /// List a hub's endpoints
    List(Target),
    /// Make or change an endpoint: an event hub of this server, or one elsewhere
    Create(CreateEndpoint),
    /// Delete an endpoint
    Delete(DeleteEndpoint),
}

/// Make or change an endpoint
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pollux hub endpoint create --endpoint-name alarms --namespace events1 --event-hub alarms
  pollux hub endpoint create --endpoint-name cloud --connection-string \
      'Endpoint=sb://ns.servicebus.windows.net/;SharedAccessKeyName=send;SharedAccessKey=…;EntityPath=telemetry'

What is routed elsewhere waits on this server until it is accepted there, for a week at most. What is refused for the
event's own sake becomes a dead letter: see `pollux hub dead-letter`.")]
pub(crate) struct CreateEndpoint {
    /// The endpoint's name
    #[arg(long, visible_alias = "en")]
    endpoint_name: String,
    /// The event hubs namespace
    #[arg(
        long,
        visible_alias = "namespace-name",
        requires = "event_hub",
        required_unless_present = "connection_string"
    )]
    namespace: Option<String>,
    /// The event hub in it
    #[arg(long, requires = "namespace")]
    event_hub: Option<String>,
    /// An event hub elsewhere: its connection string, with EntityPath
    #[arg(long, conflicts_with_all = ["namespace", "event_hub"])]
    connection_string: Option<String>,
    #[command(flatten)]
    target: Target,
}

/// Delete an endpoint
#[derive(Debug, Args)]
pub(crate) struct DeleteEndpoint {
    /// The endpoint's name
    #[arg(long, visible_alias = "en")]
    endpoint_name: String,
    #[command(flatten)]
    target: Target,
}

pub(super) fn hub<'a>(session: &'a Session, target: &Target) -> Result<&'a str> {
    Ok(&pick("hub", &session.connections.hub, target.hub_name.as_deref())?.name)
}

/// Runs a command about routes.
pub(crate) async fn run(session: &Session, command: Command) -> Result<()> {
    match command {
        Command::List(target) => {
            resources::list_parts(session, (KIND, hub(session, &target)?), "routes", COLUMNS).await
        }
        Command::Create(args) => {
            let mut body = json!({ "source": args.source.as_str(), "endpoint": args.endpoint_name });
            if let Some(condition) = args.condition {
                body["condition"] = json!(condition);
            }
            if let Some(enabled) = args.enabled {
                body["enabled"] = json!(enabled);
            }
            resources::put_part(
                session,
                KIND,
                hub(session, &args.target)?,
                ("routes", &args.route_name),
                body,
            )
            .await
        }
        Command::Delete(args) => {
            resources::delete_part(session, KIND, hub(session, &args.target)?, ("routes", &args.route_name))
                .await
        }
    }
}

/// Runs a command about endpoints.
pub(crate) async fn run_endpoint(session: &Session, command: EndpointCommand) -> Result<()> {
    match command {
        EndpointCommand::List(target) => {
            resources::list_parts(session, (KIND, hub(session, &target)?), "endpoints", ENDPOINT_COLUMNS)
                .await
        }
        EndpointCommand::Create(args) => {
            let body = match args.connection_string {
                Some(text) => json!({ "connectionString": text }),
                None => json!({ "namespace": args.namespace, "eventHub": args.event_hub }),
            };
            let part = ("endpoints", args.endpoint_name.as_str());
            resources::put_part(session, KIND, hub(session, &args.target)?, part, body).await
        }
        EndpointCommand::Delete(args) => {
            let part = ("endpoints", args.endpoint_name.as_str());
            resources::delete_part(session, KIND, hub(session, &args.target)?, part).await
        }
    }
}
