//! `pollux hub device-twin`: tags, desired and reported properties of a device.

use anyhow::{Context as _, Result, bail};
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::Target;
use super::device::quoted;
use crate::input::{self, segment};
use crate::session::Session;

/// Device twins: tags, desired and reported properties
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show a device's twin
    Show(Show),
    /// Merge tags and desired properties into it; null removes
    Update(Update),
    /// Replace its tags and desired properties
    Replace(Replace),
}

/// Show a device's twin
#[derive(Debug, Args)]
pub(crate) struct Show {
    /// The device's id
    #[arg(long, short = 'd')]
    device_id: String,
    #[command(flatten)]
    target: Target,
}

/// Merge tags and desired properties into a device's twin
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  pollux hub device-twin update -d thermostat-67 --tags '{\"floor\": 3}' --desired '{\"interval\": 10, \"old\": null}'")]
pub(crate) struct Update {
    /// The device's id
    #[arg(long, short = 'd')]
    device_id: String,
    /// Tags: JSON, or a file
    #[arg(long)]
    tags: Option<String>,
    /// Desired properties: JSON, or a file
    #[arg(long)]
    desired: Option<String>,
    /// Only if it still is of this etag
    #[arg(long, visible_alias = "etag")]
    if_match: Option<String>,
    #[command(flatten)]
    target: Target,
}

/// Replace tags and desired properties of a device's twin
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  pollux hub device-twin replace -d thermostat-67 --from '{\"tags\": {}, \"properties\": {\"desired\": {}}}'")]
pub(crate) struct Replace {
    /// The device's id
    #[arg(long, short = 'd')]
    device_id: String,
    /// The twin: JSON, or a file
    #[arg(long)]
    from: String,
    /// Only if it still is of this etag
    #[arg(long, visible_alias = "etag")]
    if_match: Option<String>,
    #[command(flatten)]
    target: Target,
}

fn path(id: &str) -> String {
    format!("/twins/{}", segment(id))
}

/// Runs a command of this group.
pub(crate) async fn run(session: &Session, command: Command) -> Result<()> {
    match command {
        Command::Show(args) => {
            let rest = session.hub(args.target.hub_name.as_deref())?;
            let found = rest.get(&path(&args.device_id)).send().await;
            session.output.document(
                &found.with_context(|| format!("cannot show the twin of '{}'", args.device_id))?.body,
            )
        }
        Command::Update(args) => {
            let patch = patch(&args)?;
            let rest = session.hub(args.target.hub_name.as_deref())?;
            let etag = quoted(args.if_match.as_deref().unwrap_or("*"));
            let changed = rest.patch(&path(&args.device_id)).if_match(&etag).json(patch).send().await;
            session.output.document(
                &changed.with_context(|| format!("cannot change the twin of '{}'", args.device_id))?.body,
            )
        }
        Command::Replace(args) => {
            let twin = Value::Object(input::object("--from", &args.from)?);
            let rest = session.hub(args.target.hub_name.as_deref())?;
            let etag = quoted(args.if_match.as_deref().unwrap_or("*"));
            let changed = rest.put(&path(&args.device_id)).if_match(&etag).json(twin).send().await;
            session.output.document(
                &changed.with_context(|| format!("cannot replace the twin of '{}'", args.device_id))?.body,
            )
        }
    }
}

fn patch(args: &Update) -> Result<Value> {
    let mut patch = json!({});
    if let Some(tags) = input::optional_object("--tags", args.tags.as_deref())? {
        patch["tags"] = Value::Object(tags);
    }
    if let Some(desired) = input::optional_object("--desired", args.desired.as_deref())? {
        patch["properties"] = json!({ "desired": desired });
    }
    if patch == json!({}) {
        bail!("nothing to change: name --tags or --desired");
    }
    Ok(patch)
}
