//! `pollux dps enrollment`: individual enrollments, one device each.

use anyhow::{Context as _, Result};
use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

use super::Target;
use super::attestation::Of;
use super::rules::{self, Rules, TOP};
use crate::input::{self, segment};
use crate::output::Column;
use crate::session::Session;

const COLUMNS: &[Column] = &[
    ("registration id", "/registrationId"),
    ("device id", "/deviceId"),
    ("status", "/provisioningStatus"),
    ("allocation", "/allocationPolicy"),
    ("registration", "/registrationState/status"),
    ("hub", "/registrationState/assignedHub"),
];

/// Individual enrollments: one device each
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make an individual enrollment by keys or certificates
    Create(Create),
    /// Show one, with its registration
    Show(Show),
    /// List them
    List(List),
    /// Change one
    Update(Update),
    /// Delete one; its device stays in its hub
    Delete(Delete),
}

/// Make an individual enrollment by keys or certificates
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  pollux dps enrollment create --enrollment-id thermostat-67 --device-id hall-3 --allocate
  pollux dps enrollment create --enrollment-id thermostat-68 --certificate-path thermostat-68.pem --allocate

The enrollment's id is the device's registration id.")]
pub(crate) struct Create {
    /// The registration id
    #[arg(long, visible_aliases = ["eid", "registration-id", "rid"])]
    enrollment_id: String,
    #[command(flatten)]
    own: Own,
    #[command(flatten)]
    rules: Rules,
    #[command(flatten)]
    target: Target,
}

/// What groups do not have.
#[derive(Debug, Args)]
struct Own {
    /// The id the device gets in its hub [default: the registration id]
    #[arg(long)]
    device_id: Option<String>,
    /// Handed to the webhook: JSON, or a file
    #[arg(long, visible_alias = "di")]
    device_information: Option<String>,
}

/// Show an individual enrollment
#[derive(Debug, Args)]
pub(crate) struct Show {
    /// The registration id
    #[arg(long, visible_aliases = ["eid", "registration-id", "rid"])]
    enrollment_id: String,
    /// Show its keys too
    #[arg(long, visible_alias = "keys")]
    show_keys: bool,
    #[command(flatten)]
    target: Target,
}

/// List individual enrollments
#[derive(Debug, Args)]
pub(crate) struct List {
    /// At most this many
    #[arg(long, default_value_t = TOP)]
    top: usize,
    #[command(flatten)]
    target: Target,
}

/// Change an individual enrollment; what is not named stays
#[derive(Debug, Args)]
pub(crate) struct Update {
    /// The registration id
    #[arg(long, visible_aliases = ["eid", "registration-id", "rid"])]
    enrollment_id: String,
    /// Only if it still is of this etag
    #[arg(long, visible_alias = "etag")]
    if_match: Option<String>,
    #[command(flatten)]
    own: Own,
    #[command(flatten)]
    rules: Rules,
    #[command(flatten)]
    target: Target,
}

/// Delete an individual enrollment
#[derive(Debug, Args)]
pub(crate) struct Delete {
    /// The registration id
    #[arg(long, visible_aliases = ["eid", "registration-id", "rid"])]
    enrollment_id: String,
    /// Only if it still is of this etag
    #[arg(long, visible_alias = "etag")]
    if_match: Option<String>,
    #[command(flatten)]
    target: Target,
}

fn path(id: &str) -> String {
    format!("/enrollments/{}", segment(id))
}

impl Own {
    fn fields(&self) -> Result<Map<String, Value>> {
        let mut fields = Map::new();
        if let Some(device_id) = &self.device_id {
            fields.insert("deviceId".to_owned(), json!(device_id));
        }
        if let Some(said) =
            input::optional_object("--device-information", self.device_information.as_deref())?
        {
            fields.insert("optionalDeviceInformation".to_owned(), Value::Object(said));
        }
        Ok(fields)
    }
}

/// Runs a command of this group.
pub(crate) async fn run(session: &Session, command: Command) -> Result<()> {
    match command {
        Command::Create(args) => create(session, args).await,
        Command::Show(args) => {
            let rest = session.dps(args.target.dps_name.as_deref())?;
            let found = rules::get(&rest, &path(&args.enrollment_id), args.show_keys).await;
            session.output.document(
                &found.with_context(|| format!("cannot show the enrollment '{}'", args.enrollment_id))?,
            )
        }
        Command::List(args) => {
            let rest = session.dps(args.target.dps_name.as_deref())?;
            session.output.rows(rules::query(&rest, "/enrollments/query", args.top).await?, COLUMNS)
        }
        Command::Update(args) => {
            let rest = session.dps(args.target.dps_name.as_deref())?;
            let (path, etag) = (path(&args.enrollment_id), args.if_match.as_deref());
            let changed =
                rules::update(session, &rest, (Of::Individual, &path), &args.rules, etag, args.own.fields()?)
                    .await;
            session.output.document(
                &changed.with_context(|| format!("cannot change the enrollment '{}'", args.enrollment_id))?,
            )
        }
        Command::Delete(args) => {
            let rest = session.dps(args.target.dps_name.as_deref())?;
            let gone = rest
                .delete(&path(&args.enrollment_id))
                .if_match(args.if_match.as_deref().unwrap_or("*"))
                .send()
                .await;
            gone.with_context(|| format!("cannot delete the enrollment '{}'", args.enrollment_id))?;
            session.output.note(&format!("deleted the enrollment '{}'", args.enrollment_id))
        }
    }
}

async fn create(session: &Session, args: Create) -> Result<()> {
    let rest = session.dps(args.target.dps_name.as_deref())?;
    let mut body = args.own.fields()?;
    body.insert("registrationId".to_owned(), json!(args.enrollment_id));
    args.rules.apply(session, Of::Individual, &mut body)?;
    let request = rest.put(&path(&args.enrollment_id)).json(Value::Object(body)).send();
    let made =
        request.await.with_context(|| format!("cannot create the enrollment '{}'", args.enrollment_id))?;
    session.output.document(&made.body)
}
