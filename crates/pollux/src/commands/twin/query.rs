//! `pollux twin query`.

use anyhow::{Context as _, Result};
use clap::Args;
use pollux_client::rest::Paging;
use serde_json::Value;

use super::Target;
use crate::session::Session;

/// Query twins and relationships
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pollux twin query -q 'SELECT * FROM DIGITALTWINS'
  pollux twin query -q 'SELECT * FROM DIGITALTWINS T WHERE T.Temperature > 20'
  pollux twin query -q \"SELECT * FROM DIGITALTWINS T WHERE \\$dtId = 'thermostat-67' AND IS_OF_MODEL('dtmi:a:b;1')\"
  pollux twin query -q 'SELECT COUNT() FROM RELATIONSHIPS'")]
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
    let rest = session.twins(args.target.dt_name.as_deref())?;
    let paging = Paging::Token { path: "/query".to_owned(), query: args.query_command };
    let rows = rest.pages(paging).collect(args.top).await.context("the query failed")?;
    session.output.document(&Value::Array(rows))
}
