//! `pollux twin`: what is in a digital twins instance.

mod component;
mod document;
mod export;
mod graph_file;
mod history;
mod import;
mod model;
pub(crate) mod model_files;
mod model_validate;
mod query;
mod relationship;
mod route;

use anyhow::Result;
use clap::{Args, Subcommand};
use pollux_model::resource::ResourceKind;

use crate::cli::Global;
use crate::commands::endpoint;
use crate::connections::pick;
use crate::session::Session;

/// Digital twins: models, twins, relationships, components, queries, event routes
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make a twin
    Create(document::Create),
    /// Show a twin
    Show(document::Show),
    /// Change a twin with JSON Patch
    Update(document::Update),
    /// Delete a twin; its relationships must be gone
    Delete(document::Delete),
    /// Show what a twin was, the oldest first
    History(history::History),
    /// Query twins and relationships
    Query(query::Query),
    /// Import a whole graph from a file: models, twins and relationships
    Import(import::Import),
    /// Export the whole graph to a file
    Export(export::Export),
    /// Models, in DTDL
    #[command(subcommand)]
    Model(model::Command),
    /// Relationships between twins
    #[command(subcommand)]
    Relationship(relationship::Command),
    /// Components of twins
    #[command(subcommand)]
    Component(component::Command),
    /// Event routes: which notifications go where
    #[command(subcommand)]
    Route(route::Command),
    /// Where event routes lead
    #[command(subcommand)]
    Endpoint(endpoint::Command<Target>),
    /// Events that an endpoint elsewhere refused
    #[command(subcommand)]
    DeadLetter(endpoint::DeadLetters<Target>),
}

/// Which instance.
#[derive(Debug, Args)]
pub(crate) struct Target {
    /// The digital twins instance, by name or host name [default: the first]
    #[arg(long, short = 'n')]
    dt_name: Option<String>,
}

impl endpoint::Target for Target {
    const KIND: ResourceKind = ResourceKind::Twins;

    fn name<'s>(&self, session: &'s Session) -> Result<&'s str> {
        let twins = &session.connections.twins;
        Ok(&pick("twins instance", twins, self.dt_name.as_deref())?.name)
    }
}

/// Runs a command of this group.
pub(crate) async fn run(global: &Global, command: Command) -> Result<()> {
    let session = || Session::open(global);
    match command {
        Command::Create(args) => document::create(&session()?, args).await,
        Command::Show(args) => document::show(&session()?, args).await,
        Command::Update(args) => document::update(&session()?, args).await,
        Command::Delete(args) => document::delete(&session()?, args).await,
        Command::History(args) => history::run(&session()?, args).await,
        Command::Query(args) => query::run(&session()?, args).await,
        Command::Import(args) => import::run(&session()?, args).await,
        Command::Export(args) => export::run(&session()?, args).await,
        // It needs no server.
        Command::Model(model::Command::Validate(args)) => model_validate::run(global, &args),
        Command::Model(model::Command::Server(command)) => model::run(&session()?, command).await,
        Command::Relationship(command) => relationship::run(&session()?, command).await,
        Command::Component(command) => component::run(&session()?, command).await,
        Command::Route(command) => route::run(&session()?, command).await,
        Command::Endpoint(command) => endpoint::run(&session()?, command).await,
        Command::DeadLetter(command) => endpoint::run_dead_letters(&session()?, command).await,
    }
}
