//! `pollux hub statistics`: how many devices a hub has, and how many are there.

use anyhow::{Context as _, Result};
use clap::Args;

use super::Target;
use crate::session::Session;

/// Show how many devices there are, enabled, disabled and connected
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  pollux hub statistics")]
pub(crate) struct Statistics {
    #[command(flatten)]
    target: Target,
}

pub(super) async fn run(session: &Session, args: Statistics) -> Result<()> {
    let rest = session.hub(args.target.hub_name.as_deref())?;
    let what = "cannot show the statistics of the hub";
    let mut all = rest.get("/statistics/devices").send().await.context(what)?.body;
    let connected = rest.get("/statistics/service").send().await.context(what)?.body;
    all["connectedDeviceCount"] = connected["connectedDeviceCount"].clone();
    session.output.document(&all)
}
