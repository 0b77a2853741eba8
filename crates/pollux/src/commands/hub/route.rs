//! `pollux hub route`: which messages go to which endpoint.

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
