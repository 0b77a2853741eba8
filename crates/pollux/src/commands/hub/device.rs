//! `pollux hub device`: device identities.

use anyhow::{Context as _, Result};
use clap::{Args, Subcommand, ValueEnum};
use pollux_client::rest::Paging;
use serde_json::{Value, json};

use super::authentication::Authentication;
use super::{Target, parent};
use crate::input::segment;
use crate::output::Column;
use crate::session::Session;

const COLUMNS: &[Column] = &[
    ("device id", "/deviceId"),
    ("status", "/status"),
    ("connection", "/connectionState"),
    ("last active", "/lastActivityTime"),
    ("twin", "/tags/dtId"),
    ("model", "/tags/dtmi"),
];

/// Device identities
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make a device
    Create(Create),
    /// Show one, with its keys
    Show(One),
    /// List them
    List(List),
    /// Change one: a disabled device is cut off at once
    Update(Update),
    /// Delete one: it is cut off, and its digital twin goes with it
    Delete(Delete),
    /// The edge device that it is under
    #[command(subcommand)]
    Parent(parent::Command),
}

/// Whether a device may connect.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Status {
    /// It may
    Enabled,
    /// It may not
    Disabled,
}

impl Status {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Enabled => "enabled",
            Self::Disabled => "disabled",
        }
    }
}

/// Make a device
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pollux hub device create --device-id meter-1                                         keys are made up
  pollux hub device create --device-id meter-2 --primary-thumbprint 3D5F…               its own certificate
  pollux hub device create --device-id meter-3 --auth-method x509_ca                   one that an authority signed
  pollux hub device create --device-id gateway-1 --edge-enabled")]
pub(crate) struct Create {
    /// The device's id
    #[arg(long, short = 'd')]
    device_id: String,
    #[command(flatten)]
    fields: Fields,
    #[command(flatten)]
    target: Target,
}

/// What can be said of a device.
#[derive(Debug, Args)]
struct Fields {
    #[command(flatten)]
    authentication: Authentication,
    /// Whether it is an edge device, under which others may be
    #[arg(long, visible_alias = "ee", value_name = "TRUE|FALSE", num_args = 0..=1, default_missing_value = "true")]
    edge_enabled: Option<bool>,
    /// Whether it may connect
    #[arg(long, visible_alias = "sta", value_enum)]
    status: Option<Status>,
    /// Why
    #[arg(long, visible_alias = "star")]
    status_reason: Option<String>,
}

/// Which device.
#[derive(Debug, Args)]
pub(crate) struct One {
    /// The device's id
    #[arg(long, short = 'd')]
    pub(super) device_id: String,
    #[command(flatten)]
    pub(super) target: Target,
}

/// List devices
#[derive(Debug, Args)]
pub(crate) struct List {
    /// At most this many
    #[arg(long, default_value_t = 1000)]
    top: usize,
    /// Only edge devices; false: only others
    #[arg(long, visible_alias = "ee", value_name = "TRUE|FALSE", num_args = 0..=1, default_missing_value = "true")]
    edge_enabled: Option<bool>,
    #[command(flatten)]
    target: Target,
}

/// Change a device; what is not named stays
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  pollux hub device update --device-id gateway-1 --status disabled --status-reason stolen"
)]
pub(crate) struct Update {
    /// The device's id
    #[arg(long, short = 'd')]
    device_id: String,
    /// Only if it still is of this etag
    #[arg(long, visible_alias = "etag")]
    if_match: Option<String>,
    #[command(flatten)]
    fields: Fields,
    #[command(flatten)]
    target: Target,
}

/// Delete a device
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  pollux hub device delete --device-id thermostat-67")]
pub(crate) struct Delete {
    /// The device's id
    #[arg(long, short = 'd')]
    device_id: String,
    /// Only if it still is of this etag
    #[arg(long, visible_alias = "etag")]
    if_match: Option<String>,
    #[command(flatten)]
    target: Target,
}

pub(super) fn path(id: &str) -> String {
    format!("/devices/{}", segment(id))
}

impl Fields {
    fn apply(&self, body: &mut Value) -> Result<()> {
        self.authentication.apply(body)?;
        if let Some(edge) = self.edge_enabled {
            body["capabilities"] = json!({ "iotEdge": edge });
        }
        if let Some(status) = self.status {
            body["status"] = json!(status.as_str());
        }
        if let Some(reason) = &self.status_reason {
            body["statusReason"] = json!(reason);
        }
        Ok(())
    }
}

/// Runs a command of this group.
pub(crate) async fn run(session: &Session, command: Command) -> Result<()> {
    match command {
        Command::Create(args) => {
            let rest = session.hub(args.target.hub_name.as_deref())?;
            let mut body = json!({ "deviceId": args.device_id, "status": "enabled" });
            args.fields.apply(&mut body)?;
            let made = rest.put(&path(&args.device_id)).json(body).send().await;
            session.output.document(
                &made.with_context(|| format!("cannot create the device '{}'", args.device_id))?.body,
            )
        }
        Command::Show(args) => {
            let rest = session.hub(args.target.hub_name.as_deref())?;
            let found = rest.get(&path(&args.device_id)).send().await;
            session.output.document(
                &found.with_context(|| format!("cannot show the device '{}'", args.device_id))?.body,
            )
        }
        Command::List(args) => {
            let rest = session.hub(args.target.hub_name.as_deref())?;
            let of = args.edge_enabled.map(|edge| format!(" WHERE capabilities.iotEdge = {edge}"));
            let query = format!("SELECT * FROM devices{}", of.unwrap_or_default());
            let paging = Paging::Header { path: "/devices/query".to_owned(), query };
            let rows = rest.pages(paging).collect(args.top).await.context("cannot list the devices")?;
            session.output.rows(rows, COLUMNS)
        }
        Command::Update(args) => update(session, args).await,
        Command::Parent(command) => parent::run(session, command).await,
        Command::Delete(args) => {
            let rest = session.hub(args.target.hub_name.as_deref())?;
            let gone = rest
                .delete(&path(&args.device_id))
                .if_match(args.if_match.as_deref().unwrap_or("*"))
                .send()
                .await;
            gone.with_context(|| format!("cannot delete the device '{}'", args.device_id))?;
            session.output.note(&format!("deleted the device '{}'; its twin follows", args.device_id))
        }
    }
}

async fn update(session: &Session, args: Update) -> Result<()> {
    let what = || format!("cannot change the device '{}'", args.device_id);
    let rest = session.hub(args.target.hub_name.as_deref())?;
    let found = rest.get(&path(&args.device_id)).send().await.with_context(what)?;
    let read = found.etag().map(str::to_owned);
    let mut body = found.body;
    args.fields.apply(&mut body)?;
    let etag = args.if_match.or(read).unwrap_or_else(|| "*".to_owned());
    let changed = rest.put(&path(&args.device_id)).if_match(&quoted(&etag)).json(body).send().await;
    session.output.document(&changed.with_context(what)?.body)
}

/// The hub's etags stand bare in bodies and in quotes in headers.
pub(super) fn quoted(etag: &str) -> String {
    if etag == "*" || etag.starts_with('"') { etag.to_owned() } else { format!("\"{etag}\"") }
}
