//! `pollux functions`: function apps, their settings, and the events they could not work on.

mod dead_letter;
mod settings;

use anyhow::Result;
use clap::{Args, Subcommand};
use pollux_model::resource::ResourceKind;
use serde_json::json;

use crate::connections::pick;
use crate::output::Column;
use crate::resources::{self, Create, Delete, List, Show};
use crate::session::Session;

const KIND: ResourceKind = ResourceKind::Functions;
const COLUMNS: &[Column] =
    &[("name", "/name"), ("group", "/group"), ("host name", "/hostName"), ("settings", "/settings")];

/// Function apps: allocation, telemetry to twin, retirement
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make a function app
    Create(Create),
    /// List function apps
    List(List),
    /// Show a function app
    Show(Show),
    /// Delete a function app
    Delete(Delete),
    /// Settings: which twins and which events it works on
    #[command(subcommand)]
    Settings(settings::Command),
    /// Events it could not work on
    #[command(subcommand)]
    DeadLetter(dead_letter::Command),
}

/// Which function app.
#[derive(Debug, Args)]
pub(crate) struct Target {
    /// The function app, by name or host name [default: the first]
    #[arg(long, short = 'n', visible_alias = "function-app")]
    name: Option<String>,
}

impl Target {
    fn app<'a>(&self, session: &'a Session) -> Result<&'a str> {
        Ok(&pick("function app", &session.connections.functions, self.name.as_deref())?.name)
    }
}

/// Runs a command of this group.
pub(crate) async fn run(session: &Session, command: Command) -> Result<()> {
    match command {
        Command::Create(args) => resources::create(session, KIND, args, json!({})).await,
        Command::List(args) => resources::list(session, KIND, &args, COLUMNS).await,
        Command::Show(args) => resources::show(session, KIND, &args).await,
        Command::Delete(args) => resources::delete(session, KIND, &args).await,
        Command::Settings(command) => settings::run(session, command).await,
        Command::DeadLetter(command) => dead_letter::run(session, command).await,
    }
}
