//! `pollux twin create|show|update|delete`: twins themselves.

use anyhow::{Context as _, Result};
use clap::Args;
use serde_json::{Value, json};

use super::Target;
use crate::input::{self, segment};
use crate::session::Session;

/// Make a twin
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  pollux twin create --twin-id hall --dtmi 'dtmi:contosocom:DigitalTwins:Space;1' --properties '{\"Temperature\": 21.5}'")]
pub(crate) struct Create {
    /// The twin's id
    #[arg(long, short = 'i')]
    twin_id: String,
    /// The model's id
    #[arg(long, short = 'm', visible_alias = "model")]
    dtmi: String,
    /// Properties and components: JSON, or a file
    #[arg(long, short = 'p')]
    properties: Option<String>,
    /// Only if there is none yet; else an existing twin is replaced
    #[arg(long)]
    if_none_match: bool,
    #[command(flatten)]
    target: Target,
}

/// Show a twin
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  pollux twin show --twin-id thermostat-67")]
pub(crate) struct Show {
    /// The twin's id
    #[arg(long, short = 'i')]
    twin_id: String,
    #[command(flatten)]
    target: Target,
}

/// Change a twin with JSON Patch
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  pollux twin update -i hall --json-patch '{\"op\": \"replace\", \"path\": \"/Temperature\", \"value\": 22}'")]
pub(crate) struct Update {
    /// The twin's id
    #[arg(long, short = 'i')]
    twin_id: String,
    /// One operation or a list of them: JSON, or a file
    #[arg(long, visible_alias = "patch")]
    json_patch: String,
    /// Only if it still is of this etag
    #[arg(long, visible_alias = "etag")]
    if_match: Option<String>,
    #[command(flatten)]
    target: Target,
}

/// Delete a twin
#[derive(Debug, Args)]
pub(crate) struct Delete {
    /// The twin's id
    #[arg(long, short = 'i')]
    twin_id: String,
    /// Only if it still is of this etag
    #[arg(long, visible_alias = "etag")]
    if_match: Option<String>,
    #[command(flatten)]
    target: Target,
}

fn path(id: &str) -> String {
    format!("/digitaltwins/{}", segment(id))
}

pub(super) async fn create(session: &Session, args: Create) -> Result<()> {
    let mut body = input::optional_object("--properties", args.properties.as_deref())?.unwrap_or_default();
    body.insert("$metadata".to_owned(), json!({ "$model": args.dtmi }));
    let rest = session.twins(args.target.dt_name.as_deref())?;
    let mut request = rest.put(&path(&args.twin_id)).json(Value::Object(body));
    if args.if_none_match {
        request = request.if_none_match();
    }
    let made = request.send().await.with_context(|| format!("cannot create the twin '{}'", args.twin_id))?;
    session.output.document(&made.body)
}

pub(super) async fn show(session: &Session, args: Show) -> Result<()> {
    let rest = session.twins(args.target.dt_name.as_deref())?;
    let found = rest.get(&path(&args.twin_id)).send().await;
    session.output.document(&found.with_context(|| format!("cannot show the twin '{}'", args.twin_id))?.body)
}

pub(super) async fn update(session: &Session, args: Update) -> Result<()> {
    let what = || format!("cannot change the twin '{}'", args.twin_id);
    let patch = input::operations("--json-patch", &args.json_patch)?;
    let rest = session.twins(args.target.dt_name.as_deref())?;
    let mut request = rest.patch(&path(&args.twin_id)).json_patch(patch);
    if let Some(etag) = &args.if_match {
        request = request.if_match(etag);
    }
    request.send().await.with_context(what)?;
    let found = rest.get(&path(&args.twin_id)).send().await.with_context(what)?;
    session.output.document(&found.body)
}

pub(super) async fn delete(session: &Session, args: Delete) -> Result<()> {
    let rest = session.twins(args.target.dt_name.as_deref())?;
    let mut request = rest.delete(&path(&args.twin_id));
    if let Some(etag) = &args.if_match {
        request = request.if_match(etag);
    }
    request.send().await.with_context(|| format!("cannot delete the twin '{}'", args.twin_id))?;
    session.output.note(&format!("deleted the twin '{}'", args.twin_id))
}
