//! `pollux dps stats`: what a provisioning service holds, beside what it may.

use anyhow::{Context as _, Result};
use clap::Args;
use serde_json::{Value, json};

use super::Target;
use crate::output::Column;
use crate::session::Session;

const COLUMNS: &[Column] = &[("what", "/what"), ("count", "/count"), ("limit", "/limit")];

/// What it holds, beside the documented limits
#[derive(Debug, Args)]
pub(crate) struct Stats {
    #[command(flatten)]
    target: Target,
}

/// Runs it.
pub(crate) async fn run(session: &Session, args: Stats) -> Result<()> {
    let rest = session.dps(args.target.dps_name.as_deref())?;
    let found = rest.get("/stats").send().await.context("cannot count")?.body;
    if !session.output.is_for_eyes() {
        return session.output.document(&found);
    }
    let row = |(what, one): (&String, &Value)| {
        one["count"].is_u64().then(|| json!({ "what": what, "count": one["count"], "limit": one["limit"] }))
    };
    let rows = found.as_object().map(|all| all.iter().filter_map(row).collect()).unwrap_or_default();
    if found["enforced"] != true {
        session.output.note("limits of registrations, enrollments and polls are not enforced here (limits.provisioning_quotas)")?;
    }
    session.output.rows(rows, COLUMNS)
}
