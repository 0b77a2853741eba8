//! `pollux hub device-twin`: tags, desired and reported properties of a device. What it does to a twin it does to that of a
//! module too.

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
    #[command(flatten)]
    change: Change,
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
    #[command(flatten)]
    whole: Whole,
}

/// What is merged into a twin.
#[derive(Debug, Args)]
pub(super) struct Change {
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

/// What takes a twin's place.
#[derive(Debug, Args)]
pub(super) struct Whole {
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
        Command::Show(args) => show(session, (&path(&args.device_id), &args.device_id), &args.target).await,
        Command::Update(args) => {
            update(session, (&path(&args.device_id), &args.device_id), args.change).await
        }
        Command::Replace(args) => {
            replace(session, (&path(&args.device_id), &args.device_id), args.whole).await
        }
    }
}

/// Shows the twin at a path, and says whose it is where it cannot.
pub(super) async fn show(session: &Session, (path, whose): (&str, &str), target: &Target) -> Result<()> {
    let found = session.hub(target.hub_name.as_deref())?.get(path).send().await;
    session.output.document(&found.with_context(|| format!("cannot show the twin of '{whose}'"))?.body)
}

/// Merges into it.
pub(super) async fn update(session: &Session, (path, whose): (&str, &str), args: Change) -> Result<()> {
    let patch = patch(&args)?;
    let rest = session.hub(args.target.hub_name.as_deref())?;
    let etag = quoted(args.if_match.as_deref().unwrap_or("*"));
    let changed = rest.patch(path).if_match(&etag).json(patch).send().await;
    session.output.document(&changed.with_context(|| format!("cannot change the twin of '{whose}'"))?.body)
}

/// Replaces it.
pub(super) async fn replace(session: &Session, (path, whose): (&str, &str), args: Whole) -> Result<()> {
    let twin = Value::Object(input::object("--from", &args.from)?);
    let rest = session.hub(args.target.hub_name.as_deref())?;
    let etag = quoted(args.if_match.as_deref().unwrap_or("*"));
    let changed = rest.put(path).if_match(&etag).json(twin).send().await;
    session.output.document(&changed.with_context(|| format!("cannot replace the twin of '{whose}'"))?.body)
}

fn patch(args: &Change) -> Result<Value> {
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
