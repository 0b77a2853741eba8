//! `pollux hub module-twin`: tags, desired and reported properties of a module.

use anyhow::Result;
use clap::{Args, Subcommand};

use super::device_twin::{self, Change, Whole};
use super::{Module, Target};
use crate::session::Session;

/// Module twins: tags, desired and reported properties
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show a module's twin
    Show(Show),
    /// Merge tags and desired properties into it; null removes
    Update(Update),
    /// Replace its tags and desired properties
    Replace(Replace),
}

/// Show a module's twin
#[derive(Debug, Args)]
pub(crate) struct Show {
    #[command(flatten)]
    module: Module,
    #[command(flatten)]
    target: Target,
}

/// Merge tags and desired properties into a module's twin
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  pollux hub module-twin update -d gateway-1 -m filter --desired '{\"threshold\": 40}'")]
pub(crate) struct Update {
    #[command(flatten)]
    module: Module,
    #[command(flatten)]
    change: Change,
}

/// Replace tags and desired properties of a module's twin
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  pollux hub module-twin replace -d gateway-1 -m filter --from '{\"tags\": {}, \"properties\": {\"desired\": {}}}'")]
pub(crate) struct Replace {
    #[command(flatten)]
    module: Module,
    #[command(flatten)]
    whole: Whole,
}

/// Runs a command of this group.
pub(crate) async fn run(session: &Session, command: Command) -> Result<()> {
    match command {
        Command::Show(Show { module, target }) => {
            device_twin::show(session, (&module.path("twins"), &module.name()), &target).await
        }
        Command::Update(Update { module, change }) => {
            device_twin::update(session, (&module.path("twins"), &module.name()), change).await
        }
        Command::Replace(Replace { module, whole }) => {
            device_twin::replace(session, (&module.path("twins"), &module.name()), whole).await
        }
    }
}
