//! `pollux hub module-identity`: modules of devices.

use anyhow::{Context as _, Result};
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::authentication::Authentication;
use super::device::quoted;
use super::{Module, Target};
use crate::input::segment;
use crate::output::Column;
use crate::session::Session;

const COLUMNS: &[Column] = &[
    ("module id", "/moduleId"),
    ("managed by", "/managedBy"),
    ("connection", "/connectionState"),
    ("last active", "/lastActivityTime"),
];

/// Module identities
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make a module of a device
    Create(Create),
    /// Show one, with its keys
    Show(One),
    /// List those of a device
    List(List),
    /// Change one
    Update(Update),
    /// Delete one: it is cut off
    Delete(Delete),
}

/// Make a module of a device
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  pollux hub module-identity create --device-id gateway-1 --module-id filter"
)]
pub(crate) struct Create {
    #[command(flatten)]
    module: Module,
    #[command(flatten)]
    fields: Fields,
    #[command(flatten)]
    target: Target,
}

/// What can be said of a module.
#[derive(Debug, Args)]
struct Fields {
    #[command(flatten)]
    authentication: Authentication,
    /// Who looks after it
    #[arg(long)]
    managed_by: Option<String>,
}

/// Which module.
#[derive(Debug, Args)]
pub(crate) struct One {
    #[command(flatten)]
    module: Module,
    #[command(flatten)]
    target: Target,
}

/// List the modules of a device
#[derive(Debug, Args)]
pub(crate) struct List {
    /// The device's id
    #[arg(long, short = 'd')]
    device_id: String,
    #[command(flatten)]
    target: Target,
}

/// Change a module; what is not named stays
#[derive(Debug, Args)]
pub(crate) struct Update {
    #[command(flatten)]
    module: Module,
    /// Only if it still is of this etag
    #[arg(long, visible_alias = "etag")]
    if_match: Option<String>,
    #[command(flatten)]
    fields: Fields,
    #[command(flatten)]
    target: Target,
}

/// Delete a module
#[derive(Debug, Args)]
pub(crate) struct Delete {
    #[command(flatten)]
    module: Module,
    /// Only if it still is of this etag
    #[arg(long, visible_alias = "etag")]
    if_match: Option<String>,
    #[command(flatten)]
    target: Target,
}

impl Fields {
    fn apply(&self, body: &mut Value) -> Result<()> {
        self.authentication.apply(body)?;
        if let Some(managed_by) = &self.managed_by {
            body["managedBy"] = json!(managed_by);
        }
        Ok(())
    }
}

/// Runs a command of this group.
pub(crate) async fn run(session: &Session, command: Command) -> Result<()> {
    match command {
        Command::Create(Create { module, fields, target }) => {
            let mut body = json!({ "deviceId": module.device_id, "moduleId": module.module_id });
            fields.apply(&mut body)?;
            let rest = session.hub(target.hub_name.as_deref())?;
            let made = rest.put(&module.path("devices")).json(body).send().await;
            let made = made.with_context(|| format!("cannot create the module '{}'", module.name()))?;
            session.output.document(&made.body)
        }
        Command::Show(One { module, target }) => {
            let found = session.hub(target.hub_name.as_deref())?.get(&module.path("devices")).send().await;
            let found = found.with_context(|| format!("cannot show the module '{}'", module.name()))?;
            session.output.document(&found.body)
        }
        Command::List(List { device_id, target }) => {
            let rest = session.hub(target.hub_name.as_deref())?;
            let found = rest.get(&format!("/devices/{}/modules", segment(&device_id))).send().await;
            let found = found.with_context(|| format!("cannot list the modules of '{device_id}'"))?;
            session.output.rows(found.body.as_array().cloned().unwrap_or_default(), COLUMNS)
        }
        Command::Update(args) => update(session, args).await,
        Command::Delete(Delete { module, if_match, target }) => {
            let etag = quoted(if_match.as_deref().unwrap_or("*"));
            let rest = session.hub(target.hub_name.as_deref())?;
            let gone = rest.delete(&module.path("devices")).if_match(&etag).send().await;
            gone.with_context(|| format!("cannot delete the module '{}'", module.name()))?;
            session.output.note(&format!("deleted the module '{}'", module.name()))
        }
    }
}

async fn update(session: &Session, args: Update) -> Result<()> {
    let what = || format!("cannot change the module '{}'", args.module.name());
    let (rest, path) = (session.hub(args.target.hub_name.as_deref())?, args.module.path("devices"));
    let found = rest.get(&path).send().await.with_context(what)?;
    let etag = args.if_match.as_deref().or(found.etag()).unwrap_or("*");
    let etag = quoted(etag);
    let mut body = found.body;
    args.fields.apply(&mut body)?;
    let changed = rest.put(&path).if_match(&etag).json(body).send().await;
    session.output.document(&changed.with_context(what)?.body)
}
