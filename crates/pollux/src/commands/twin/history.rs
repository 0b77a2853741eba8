//! `pollux twin history`: what a twin or a relationship was.

use anyhow::{Context as _, Result};
use clap::Args;
use pollux_client::rest::Paging;

use super::Target;
use crate::input::segment;
use crate::output::Column;
use crate::session::Session;

const TWIN: &[Column] =
    &[("from", "/validFrom"), ("to", "/validTo"), ("deleted", "/deleted"), ("etag", "/twin/$etag")];
const RELATIONSHIP: &[Column] =
    &[("from", "/validFrom"), ("to", "/validTo"), ("deleted", "/deleted"), ("etag", "/relationship/$etag")];

/// Show what a twin was, the oldest first
#[derive(Debug, Args)]
#[command(after_help = "\
The instance must keep a history: pollux twins update --name twins1 --history-hours 168

Examples:
  pollux twin history --twin-id thermostat-67
  pollux twin history -i hall --relationship-id contains-67 --json
  pollux twin query -q \"SELECT * FROM DIGITALTWINS AS OF '2026-11-29T10:00:00Z' WHERE $dtId = 'hall'\"")]
pub(crate) struct History {
    /// The twin's id; of a relationship its source
    #[arg(long, short = 'i')]
    twin_id: String,
    /// Of this relationship instead of the twin
    #[arg(long, short = 'r')]
    relationship_id: Option<String>,
    /// At most this many
    #[arg(long, default_value_t = 1000)]
    top: usize,
    #[command(flatten)]
    target: Target,
}

pub(super) async fn run(session: &Session, args: History) -> Result<()> {
    let mut path = format!("/digitaltwins/{}", segment(&args.twin_id));
    if let Some(id) = &args.relationship_id {
        path.push_str(&format!("/relationships/{}", segment(id)));
    }
    path.push_str("/history");
    let twins = session.twins(args.target.dt_name.as_deref())?;
    let versions = twins.pages(Paging::Link { path }).collect(args.top).await;
    let versions = versions.with_context(|| format!("cannot list what '{}' was", args.twin_id))?;
    session.output.rows(versions, if args.relationship_id.is_some() { RELATIONSHIP } else { TWIN })
}
