//! The commands, one file per group.

pub(crate) mod admin;
pub(crate) mod connections;
pub(crate) mod consumer_group;
pub(crate) mod dead_letter;
pub(crate) mod demo;
pub(crate) mod device;
pub(crate) mod dps;
pub(crate) mod endpoint;
pub(crate) mod events;
pub(crate) mod functions;
pub(crate) mod group;
pub(crate) mod hub;
pub(crate) mod serve;
pub(crate) mod twin;
pub(crate) mod twins;

use anyhow::Result;

use crate::cli::{Cli, Command};
use crate::session::Session;

/// Runs the command that was given.
pub(crate) async fn run(cli: Cli) -> Result<()> {
    let session = || Session::open(&cli.global);
    match cli.command {
        Command::Serve(args) => serve::run(&cli.global, args).await,
        Command::Demo(args) => demo::run(&cli.global, args).await,
        Command::Connections(args) => connections::run(&cli.global, args),
        Command::Dps(command) => dps::run(&cli.global, *command).await,
        Command::Device(command) => device::run(&session()?, command).await,
        Command::Hub(command) => hub::run(&session()?, command).await,
        Command::Events(command) => events::run(&session()?, command).await,
        Command::Twin(command) => twin::run(&cli.global, command).await,
        Command::Twins(command) => twins::run(&session()?, command).await,
        Command::Functions(command) => functions::run(&session()?, command).await,
        Command::Group(command) => group::run(&session()?, command).await,
        Command::Admin(command) => admin::run(&cli.global, command).await,
    }
}
