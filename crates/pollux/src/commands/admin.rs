//! `pollux admin`: moving a deployment, while it does not run.

mod bars;

use std::io::{self, Write as _};
use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, Subcommand};
use pollux_server::transfer::{self, Moved, TransferError};
use pollux_server::{Config, ServeError};

use crate::cli::Global;
use crate::failure::NotThere;
use crate::output::{Output, table};

use self::bars::Bars;

/// Moves a deployment that does not run
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Write the whole state, and the events if wanted, into a folder
    Export(Export),
    /// Write an export into an empty deployment, whatever it is kept in
    Import(Import),
}

/// Write the whole state, and the events if wanted, into a folder
///
/// The deployment must not run. What is written holds every key and the CA: whoever reads the folder has the deployment.
/// It is for its owner only (mode 0700); keep it so, and remove it when the import is done.
///
/// An export that was cut off is run again with the same words: tables are read anew, events go on where they ended.
/// Only a finished one has a manifest.json. `sha256sum --check SHA256SUMS` in the folder checks a copy.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pollux admin export --to /backup/plant                          the deployment in ./pollux-data, without its events
  pollux admin export --data-dir /var/lib/pollux --to moved --events
  pollux admin export --config cluster.toml --to moved --events   one in PostgreSQL and NATS
  pollux admin export --to /backup/plant --overwrite --json       replace the last one; print what was written

Without --events, what consumers have not read yet is left behind: the command says how much that is.

Exit codes: 0 done, 1 refused or failed, 2 bad configuration or command line, 3 no such deployment, or it runs.")]
pub(crate) struct Export {
    /// The folder to write: empty, not there, or what an export left
    #[arg(long, value_name = "FOLDER")]
    to: PathBuf,
    /// The deployment's settings, in TOML, as given to `pollux serve`
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Take the events along, and where consumers stand in them
    #[arg(long)]
    events: bool,
    /// Replace a finished export
    #[arg(long)]
    overwrite: bool,
}

/// Write an export into an empty deployment, whatever it is kept in
///
/// The target is what the settings name: with [state] url PostgreSQL, else SQLite in the data folder; with [events] url
/// NATS, else files in the data folder. It must be empty, and must not run: `pollux serve` was never started on it.
///
/// First all files are checked against their checksums; then rows are written, each step together with how far it has
/// come; at the end everything is read back and compared. Cut off anywhere, the same command goes on where it was.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pollux admin import --config cluster.toml --from moved --events   a laptop's deployment into PostgreSQL and NATS
  pollux admin import --data-dir new-data --from moved              into a new data folder, without events
  POLLUX_STATE__URL=postgres://… pollux admin import --from moved   settings from the environment

Devices keep working: keys, ID scopes, host names and the CA go along. What must be changed is DNS, so that the host
names lead to the new machine.

Exit codes: 0 done, 1 refused or failed, 2 bad configuration or command line, 3 no such export, or the target runs.")]
pub(crate) struct Import {
    /// The folder of the export
    #[arg(long, value_name = "FOLDER")]
    from: PathBuf,
    /// The target's settings, in TOML, as given to `pollux serve`
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Take the events along, and where consumers stand in them
    #[arg(long)]
    events: bool,
}

/// Runs a command of this group.
pub(crate) async fn run(global: &Global, command: Command) -> Result<()> {
    let bars = Bars::new();
    match command {
        Command::Export(args) => {
            let config = config(global, args.config.as_deref())?;
            let Export { to, events, overwrite, .. } = args;
            let what = transfer::Export { to, events, overwrite };
            let moved = transfer::export(&config, &what, &bars).await.map_err(failure)?;
            say(global, "exported", &moved)?;
            let secret =
                format!("{} holds every key of the deployment: keep it as you keep them", moved.folder);
            Output::new(global.json).note(&secret)
        }
        Command::Import(args) => {
            let config = config(global, args.config.as_deref())?;
            let what = transfer::Import { from: args.from, events: args.events };
            let moved = transfer::import(&config, &what, &bars).await.map_err(failure)?;
            say(global, "imported", &moved)?;
            Output::new(global.json).note("read back and compared: the target holds what the export holds")
        }
    }
}

fn config(global: &Global, file: Option<&std::path::Path>) -> Result<Config> {
    let mut config = Config::load(file)?;
    if let Some(data_dir) = &global.data_dir {
        config.server.data_dir.clone_from(data_dir);
    }
    Ok(config)
}

/// With the exit codes that `pollux serve` has for what it meets too.
fn failure(error: TransferError) -> anyhow::Error {
    match error {
        TransferError::Open(ServeError::InUse(folder)) => {
            let running = ServeError::InUse(folder);
            anyhow::Error::new(running).context("a deployment that is moved must not run")
        }
        TransferError::Open(error) => error.into(),
        TransferError::NotThere(text) => NotThere(text).into(),
        error => error.into(),
    }
}

fn say(global: &Global, done: &str, moved: &Moved) -> Result<()> {
    let output = Output::new(global.json);
    if global.json {
        output.document(&serde_json::to_value(moved)?)?;
    } else {
        let short = |sum: &str| sum.chars().take(16).collect::<String>();
        let row =
            |one: &transfer::MovedTable| vec![one.table.clone(), one.rows.to_string(), short(&one.checksum)];
        let rows = moved.tables.iter().map(row).collect();
        io::stdout().lock().write_all(table(&["table", "rows", "checksum"], rows).as_bytes())?;
    }
    let rows: u64 = moved.tables.iter().map(|one| one.rows).sum();
    output.note(&format!("{done}: {rows} rows, {} events", moved.events))?;
    if moved.events_left_behind > 0 {
        let behind = moved.events_left_behind;
        output.note(&format!(
            "left behind: {behind} events; with --events they and the checkpoints go along"
        ))?;
    }
    for one in &moved.unconsumed {
        output.note(&format!("  {} has not read {} of {}", one.consumer, one.events, one.event_hub))?;
    }
    Ok(())
}
