//! `pollux hub show-quota-metrics`: how much of its quotas a hub has used.

use anyhow::Result;
use clap::Args;
use serde_json::Value;

use super::{KIND, Target, route};
use crate::output::Column;
use crate::resources;
use crate::session::Session;

const COLUMNS: &[Column] = &[("name", "/name"), ("current", "/currentValue"), ("at most", "/maxValue")];

/// Show how many messages and devices a hub has, and how many it may have
#[derive(Debug, Args)]
#[command(after_help = "\
Messages are those of this day (UTC), where the hub is held to one of Azure's tiers. They are counted anew where the server starts anew.

Example:
  pollux hub update --sku S1 --unit 1 && pollux hub show-quota-metrics")]
pub(crate) struct ShowQuotaMetrics {
    #[command(flatten)]
    target: Target,
}

pub(super) async fn run(session: &Session, args: ShowQuotaMetrics) -> Result<()> {
    let path = format!("{}/quota-metrics", resources::path(KIND, route::hub(session, &args.target)?));
    let mut answer = session.admin()?.get(&path).send().await?.body;
    let rows = match answer["value"].take() {
        Value::Array(rows) => rows,
        _ => Vec::new(),
    };
    session.output.rows(rows, COLUMNS)
}
