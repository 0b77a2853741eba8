//! `pollux hub query`: devices and modules by their twins, jobs by what became of them.

use anyhow::{Context as _, Result};
use clap::Args;
use pollux_client::rest::Paging;
use serde_json::Value;

use super::Target;
use crate::session::Session;

/// Query devices by their twins, and jobs by what became of them
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pollux hub query -q \"SELECT * FROM devices\"
  pollux hub query -q \"SELECT * FROM devices WHERE tags.dtId = 'thermostat-67'\"
  pollux hub query -q \"SELECT moduleId, COUNT() AS n FROM devices.modules GROUP BY moduleId\"
  pollux hub query -q \"SELECT * FROM devices.jobs WHERE devices.jobs.jobId = 'night-1' AND devices.jobs.status = 'failed'\"")]
pub(crate) struct Query {
    /// The query
    #[arg(long, short = 'q')]
    query_command: String,
    /// At most this many rows
    #[arg(long, default_value_t = 1000)]
    top: usize,
    #[command(flatten)]
    target: Target,
}

/// Prints the rows.
pub(crate) async fn run(session: &Session, args: Query) -> Result<()> {
    let rest = session.hub(args.target.hub_name.as_deref())?;
    let paging = Paging::Header { path: "/devices/query".to_owned(), query: args.query_command };
    let rows = rest.pages(paging).collect(args.top).await.context("the query failed")?;
    session.output.document(&Value::Array(rows))
}
