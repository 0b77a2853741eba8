//! `pollux hub digital-twin`: a device that follows the conventions of Plug and Play, seen as components and properties.

use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::Target;
use super::device::quoted;
use crate::input::{self, segment};
use crate::session::Session;

/// What the answer may take beyond what the device and its coming may.
const BEYOND: u64 = 15;

/// Digital twins of Plug and Play devices: components, properties, commands
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show a digital twin
    Show(Show),
    /// Change what is desired of it by a JSON patch
    Update(Update),
    /// Invoke a command, and wait for the answer
    InvokeCommand(InvokeCommand),
}

/// Which digital twin.
#[derive(Debug, Args)]
struct Twin {
    /// The device's id, or device~module
    #[arg(long, short = 'd')]
    device_id: String,
    #[command(flatten)]
    target: Target,
}

/// Show a digital twin
#[derive(Debug, Args)]
pub(crate) struct Show {
    #[command(flatten)]
    twin: Twin,
}

/// Change what is desired of a digital twin
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pollux hub digital-twin update -d controller-1 \\
      --patch '{\"op\": \"add\", \"path\": \"/thermostat1/targetTemperature\", \"value\": 21.4}'
  pollux hub digital-twin update -d controller-1 --patch patch.json")]
pub(crate) struct Update {
    #[command(flatten)]
    twin: Twin,
    /// Operations on /property, /component or /component/property: JSON, or a file
    #[arg(long, visible_alias = "json-patch")]
    patch: String,
    /// Only if it still is of this etag
    #[arg(long, visible_alias = "etag")]
    if_match: Option<String>,
}

/// Invoke a command
#[derive(Debug, Args)]
#[command(after_help = "\
Prints the device's own status and payload.

Examples:
  pollux hub digital-twin invoke-command -d controller-1 --command-name reboot --payload 5
  pollux hub digital-twin invoke-command -d controller-1 --component-path thermostat1 --cn getMaxMinReport")]
pub(crate) struct InvokeCommand {
    #[command(flatten)]
    twin: Twin,
    /// The command's name
    #[arg(long, visible_alias = "cn")]
    command_name: String,
    /// The component that has it
    #[arg(long)]
    component_path: Option<String>,
    /// What goes with it, in JSON
    #[arg(long, default_value = "null")]
    payload: String,
    /// How long whoever is not connected may take to come: 0 to 300 seconds
    #[arg(long, visible_alias = "cto", default_value_t = 0)]
    connect_timeout: u64,
    /// How long the answer may take: 5 to 300 seconds
    #[arg(long, visible_alias = "rto", default_value_t = 30)]
    response_timeout: u64,
}

impl Twin {
    fn path(&self) -> String {
        format!("/digitaltwins/{}", segment(&self.device_id))
    }
}

/// Runs a command of this group.
pub(crate) async fn run(session: &Session, command: Command) -> Result<()> {
    match command {
        Command::Show(Show { twin }) => {
            let found = session.hub(twin.target.hub_name.as_deref())?.get(&twin.path()).send().await;
            let what = || format!("cannot show the digital twin '{}'", twin.device_id);
            session.output.document(&found.with_context(what)?.body)
        }
        Command::Update(Update { twin, patch, if_match }) => {
            let operations = input::operations("--patch", &patch)?;
            let rest = session.hub(twin.target.hub_name.as_deref())?;
            let etag = quoted(if_match.as_deref().unwrap_or("*"));
            let changed = rest.patch(&twin.path()).if_match(&etag).json(operations).send().await;
            changed.with_context(|| format!("cannot change the digital twin '{}'", twin.device_id))?;
            let found = rest.get(&twin.path()).send().await.context("it was changed, and cannot be shown")?;
            session.output.document(&found.body)
        }
        Command::InvokeCommand(args) => invoke(session, args).await,
    }
}

async fn invoke(session: &Session, args: InvokeCommand) -> Result<()> {
    let payload: Value = input::parse(&args.payload).context("--payload is not JSON")?;
    let command = segment(&args.command_name);
    let path = match &args.component_path {
        Some(component) => {
            format!("{}/components/{}/commands/{command}", args.twin.path(), segment(component))
        }
        None => format!("{}/commands/{command}", args.twin.path()),
    };
    let rest = session.hub(args.twin.target.hub_name.as_deref())?;
    let patience = Duration::from_secs(args.connect_timeout + args.response_timeout + BEYOND);
    let request = rest
        .post(&path)
        .query("connectTimeoutInSeconds", &args.connect_timeout.to_string())
        .query("responseTimeoutInSeconds", &args.response_timeout.to_string());
    let answered = request.json(payload).timeout(patience).send().await;
    let answered = answered
        .with_context(|| format!("cannot invoke '{}' on '{}'", args.command_name, args.twin.device_id))?;
    let status: Option<i32> =
        answered.header("x-ms-command-statuscode").and_then(|status| status.parse().ok());
    session.output.document(&json!({ "status": status, "payload": answered.body }))
}
