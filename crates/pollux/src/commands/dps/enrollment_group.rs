//! `pollux dps enrollment-group`: who may register, all with keys that come from one.

use anyhow::{Context as _, Result};
use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

use super::Target;
use super::attestation::Of;
use super::rules::{self, Rules, TOP};
use crate::input::segment;
use crate::output::Column;
use crate::session::Session;

const COLUMNS: &[Column] = &[
    ("enrollment id", "/enrollmentGroupId"),
    ("status", "/provisioningStatus"),
    ("allocation", "/allocationPolicy"),
    ("hubs", "/iotHubs"),
    ("updated", "/lastUpdatedDateTimeUtc"),
];

/// Enrollment groups: who may register, all from one root
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make an enrollment group by keys or certificates
    Create(Create),
    /// Show one
    Show(Show),
    /// List them
    List(List),
    /// Change one
    Update(Update),
    /// Delete one; its devices stay in their hubs
    Delete(Delete),
}

/// Make an enrollment group by keys or certificates
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pollux dps enrollment-group create --enrollment-id line-1 --allocate
  pollux dps enrollment-group create --enrollment-id line-2 --webhook-url 'https://my.app/api/allocate?code=KEY' \\
      --iot-hubs hub1 --initial-twin-tags '{\"floor\": 3}'
  pollux dps enrollment-group create --enrollment-id factory-1 --certificate-path intermediate.pem --allocate

The answer holds the group's keys. A device's own key: pollux dps compute-device-key --help")]
pub(crate) struct Create {
    /// The group's id
    #[arg(long, visible_aliases = ["eid", "group-id"])]
    enrollment_id: String,
    #[command(flatten)]
    rules: Rules,
    #[command(flatten)]
    target: Target,
}

/// Show an enrollment group
#[derive(Debug, Args)]
pub(crate) struct Show {
    /// The group's id
    #[arg(long, visible_aliases = ["eid", "group-id"])]
    enrollment_id: String,
    /// Show its keys too
    #[arg(long, visible_alias = "keys")]
    show_keys: bool,
    #[command(flatten)]
    target: Target,
}

/// List enrollment groups
#[derive(Debug, Args)]
pub(crate) struct List {
    /// At most this many
    #[arg(long, default_value_t = TOP)]
    top: usize,
    #[command(flatten)]
    target: Target,
}

/// Change an enrollment group; what is not named stays
#[derive(Debug, Args)]
pub(crate) struct Update {
    /// The group's id
    #[arg(long, visible_aliases = ["eid", "group-id"])]
    enrollment_id: String,
    /// Only if it still is of this etag
    #[arg(long, visible_alias = "etag")]
    if_match: Option<String>,
    #[command(flatten)]
    rules: Rules,
    #[command(flatten)]
    target: Target,
}

/// Delete an enrollment group
#[derive(Debug, Args)]
pub(crate) struct Delete {
    /// The group's id
    #[arg(long, visible_aliases = ["eid", "group-id"])]
    enrollment_id: String,
    /// Only if it still is of this etag
    #[arg(long, visible_alias = "etag")]
    if_match: Option<String>,
    #[command(flatten)]
    target: Target,
}

fn path(id: &str) -> String {
    format!("/enrollmentGroups/{}", segment(id))
}

/// Runs a command of this group.
pub(crate) async fn run(session: &Session, command: Command) -> Result<()> {
    match command {
        Command::Create(args) => create(session, args).await,
        Command::Show(args) => {
            let rest = session.dps(args.target.dps_name.as_deref())?;
            let found = rules::get(&rest, &path(&args.enrollment_id), args.show_keys).await;
            session.output.document(
                &found
                    .with_context(|| format!("cannot show the enrollment group '{}'", args.enrollment_id))?,
            )
        }
        Command::List(args) => {
            let rest = session.dps(args.target.dps_name.as_deref())?;
            session.output.rows(rules::query(&rest, "/enrollmentGroups/query", args.top).await?, COLUMNS)
        }
        Command::Update(args) => {
            let rest = session.dps(args.target.dps_name.as_deref())?;
            let (path, etag) = (path(&args.enrollment_id), args.if_match.as_deref());
            let changed =
                rules::update(session, &rest, (Of::Group, &path), &args.rules, etag, Map::new()).await;
            session.output.document(
                &changed.with_context(|| {
                    format!("cannot change the enrollment group '{}'", args.enrollment_id)
                })?,
            )
        }
        Command::Delete(args) => {
            let rest = session.dps(args.target.dps_name.as_deref())?;
            let gone = rest
                .delete(&path(&args.enrollment_id))
                .if_match(args.if_match.as_deref().unwrap_or("*"))
                .send()
                .await;
            gone.with_context(|| format!("cannot delete the enrollment group '{}'", args.enrollment_id))?;
            session.output.note(&format!("deleted the enrollment group '{}'", args.enrollment_id))
        }
    }
}

async fn create(session: &Session, args: Create) -> Result<()> {
    let rest = session.dps(args.target.dps_name.as_deref())?;
    let mut body = Map::new();
    body.insert("enrollmentGroupId".to_owned(), json!(args.enrollment_id));
    args.rules.apply(session, Of::Group, &mut body)?;
    let request = rest.put(&path(&args.enrollment_id)).json(Value::Object(body)).send();
    let made = request
        .await
        .with_context(|| format!("cannot create the enrollment group '{}'", args.enrollment_id))?;
    session.output.document(&made.body)
}
