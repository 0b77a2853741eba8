//! `pollux dps registration`: what became of each device that registered.

use anyhow::{Context as _, Result};
use clap::{Args, Subcommand};

use super::Target;
use super::rules::{self, TOP};
use crate::input::segment;
use crate::output::Column;
use crate::session::Session;

const COLUMNS: &[Column] = &[
    ("registration id", "/registrationId"),
    ("status", "/status"),
    ("hub", "/assignedHub"),
    ("device id", "/deviceId"),
    ("updated", "/lastUpdatedDateTimeUtc"),
    ("error", "/errorMessage"),
];

/// Registration records: what became of each device
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show a device's record; a failed one says why
    Show(One),
    /// List the records of an enrollment group
    List(List),
    /// Forget a device's record; the device stays in its hub
    Delete(One),
}

/// Which record.
#[derive(Debug, Args)]
pub(crate) struct One {
    /// The registration id
    #[arg(long, visible_alias = "rid")]
    registration_id: String,
    #[command(flatten)]
    target: Target,
}

/// List the records of an enrollment group
#[derive(Debug, Args)]
pub(crate) struct List {
    /// The enrollment group's id
    #[arg(long, visible_aliases = ["eid", "group-id"])]
    enrollment_id: String,
    /// At most this many
    #[arg(long, default_value_t = TOP)]
    top: usize,
    #[command(flatten)]
    target: Target,
}

/// Runs a command of this group.
pub(crate) async fn run(session: &Session, command: Command) -> Result<()> {
    let path = |id: &str| format!("/registrations/{}", segment(id));
    match command {
        Command::Show(args) => {
            let rest = session.dps(args.target.dps_name.as_deref())?;
            let found = rest.get(&path(&args.registration_id)).send().await;
            session.output.document(
                &found
                    .with_context(|| format!("cannot show the registration '{}'", args.registration_id))?
                    .body,
            )
        }
        Command::List(args) => {
            let rest = session.dps(args.target.dps_name.as_deref())?;
            let rows = rules::query(&rest, &format!("{}/query", path(&args.enrollment_id)), args.top).await;
            let rows =
                rows.with_context(|| format!("cannot list the registrations of '{}'", args.enrollment_id))?;
            session.output.rows(rows, COLUMNS)
        }
        Command::Delete(args) => {
            let rest = session.dps(args.target.dps_name.as_deref())?;
            let gone = rest.delete(&path(&args.registration_id)).if_match("*").send().await;
            gone.with_context(|| format!("cannot delete the registration '{}'", args.registration_id))?;
            session.output.note(&format!("deleted the registration '{}'", args.registration_id))
        }
    }
}
