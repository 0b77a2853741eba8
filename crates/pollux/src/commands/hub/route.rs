//! `pollux hub route`: which messages go to which endpoint.

use anyhow::Result;
use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Value, json};

use super::{KIND, Target};
use crate::connections::pick;
use crate::input;
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
    /// Show a route
    Show(One),
    /// Make or change a route
    Create(Create),
    /// Delete a route
    Delete(One),
    /// See which routes a message would take, or whether a condition would take it
    Test(Test),
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

/// See which routes a message would take, or whether a condition would take it
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pollux hub route test --body '{\"Temperature\": 45}'
  pollux hub route test --condition '$body.Temperature > 40 AND $twin.tags.site = \"north\"' --body '{\"Temperature\": 45}' \\
      --device-id sim-00001
  pollux hub route test --source devicelifecycleevents --app-properties '{\"opType\": \"deleteDeviceIdentity\"}'

Nothing is saved, and nothing is sent. A condition that cannot be one is refused, with the place where it goes wrong.")]
pub(crate) struct Test {
    /// A condition to try [default: all routes of the hub are tried]
    #[arg(long)]
    condition: Option<String>,
    /// What the message is
    #[arg(
        long,
        visible_alias = "source-type",
        value_enum,
        ignore_case = true,
        default_value = "devicemessages"
    )]
    source: Source,
    /// Its body: JSON (which is then said of it, with the encoding UTF-8), or other text; may be @file or - for standard input
    #[arg(long, visible_alias = "b")]
    body: Option<String>,
    /// Its application properties, as JSON
    #[arg(long, visible_alias = "ap")]
    app_properties: Option<String>,
    /// Its system properties, as JSON: messageId, correlationId, userId, to, contentType, contentEncoding, creationTimeUtc,
    /// dt-dataschema, dt-subject
    #[arg(long, visible_alias = "sp")]
    system_properties: Option<String>,
    /// The device it is from: conditions see its twin
    #[arg(long, short = 'd')]
    device_id: Option<String>,
    #[command(flatten)]
    target: Target,
}

/// Which route
#[derive(Debug, Args)]
pub(crate) struct One {
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
    /// Devices and modules that connect, or are gone
    #[value(name = "deviceconnectionstateevents")]
    DeviceConnectionStateEvents,
    /// What jobs do to devices
    #[value(name = "devicejoblifecycleevents")]
    DeviceJobLifecycleEvents,
    /// Digital twins of devices with a model changed
    #[value(name = "digitaltwinchangeevents")]
    DigitalTwinChangeEvents,
}

impl Source {
    const fn as_str(self) -> &'static str {
        match self {
            Self::DeviceMessages => "DeviceMessages",
            Self::DeviceLifecycleEvents => "DeviceLifecycleEvents",
            Self::TwinChangeEvents => "TwinChangeEvents",
            Self::DeviceConnectionStateEvents => "DeviceConnectionStateEvents",
            Self::DeviceJobLifecycleEvents => "DeviceJobLifecycleEvents",
            Self::DigitalTwinChangeEvents => "DigitalTwinChangeEvents",
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
        Command::Show(args) => {
            let of = (KIND, hub(session, &args.target)?);
            resources::show_part(session, of, ("routes", &args.route_name)).await
        }
        Command::Create(args) => {
            let mut body = json!({ "source": args.source.as_str(), "endpoint": args.endpoint_name });
            let given = [
                ("/condition", args.condition.map(Value::from)),
                ("/enabled", args.enabled.map(Value::from)),
            ];
            input::fill(&mut body, given);
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
        Command::Test(args) => test(session, args).await,
    }
}

async fn test(session: &Session, args: Test) -> Result<()> {
    let mut message = json!({ "source": args.source.as_str() });
    input::fill(&mut message, [("/condition", args.condition), ("/deviceId", args.device_id)]);
    if let Some(body) = args.body {
        let text = input::text("--body", &body)?;
        message["body"] = serde_json::from_str(&text).unwrap_or(Value::String(text));
    }
    for (name, option, value) in [
        ("appProperties", "--app-properties", args.app_properties),
        ("systemProperties", "--system-properties", args.system_properties),
    ] {
        if let Some(fields) = input::optional_object(option, value.as_deref())? {
            message[name] = Value::Object(fields);
        }
    }
    let path = format!("/admin/resources/hub/{}/test-routes", input::segment(hub(session, &args.target)?));
    let answer = session.admin()?.post(&path).json(message).send().await?;
    session.output.document(&answer.body)
}
