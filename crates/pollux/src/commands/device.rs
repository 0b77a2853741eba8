//! `pollux device`: devices that are played.

mod simulate;

use anyhow::Result;
use clap::Subcommand;

use crate::session::Session;

/// Devices that are played
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Play 1 to 10,000 devices of a model: telemetry, properties, commands
    Simulate(simulate::Simulate),
}

/// Runs a command of this group.
pub(crate) async fn run(session: &Session, command: Command) -> Result<()> {
    match command {
        Command::Simulate(args) => simulate::run(session, args).await,
    }
}
