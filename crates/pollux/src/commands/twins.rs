//! `pollux twins`: digital twins instances. What is in them: `pollux twin`.

use anyhow::Result;
use clap::Subcommand;
use pollux_model::resource::ResourceKind;
use serde_json::json;

use crate::output::Column;
use crate::resources::{self, Create, Delete, List, Show};
use crate::session::Session;

const KIND: ResourceKind = ResourceKind::Twins;
const COLUMNS: &[Column] =
    &[("name", "/name"), ("group", "/group"), ("host name", "/hostName"), ("created", "/created")];

/// Digital twins instances
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make an instance
    Create(Create),
    /// List instances
    List(List),
    /// Show an instance
    Show(Show),
    /// Delete an instance with all its models, twins and relationships
    Delete(Delete),
}

/// Runs a command of this group.
pub(crate) async fn run(session: &Session, command: Command) -> Result<()> {
    match command {
        Command::Create(args) => resources::create(session, KIND, args, json!({})).await,
        Command::List(args) => resources::list(session, KIND, &args, COLUMNS).await,
        Command::Show(args) => resources::show(session, KIND, &args).await,
        Command::Delete(args) => resources::delete(session, KIND, &args).await,
    }
}
