//! `cargo xtask bench [NAME] [--json]`: builds the server and the load generators in release mode and runs them.

use crate::run::Cmd;
use anyhow::Result;

/// Arguments of `cargo xtask bench`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Which figure to measure; all when absent.
    name: Option<String>,
    /// Print the figures as JSON.
    #[arg(long)]
    json: bool,
    /// Arguments for the load generator itself, after `--`.
    #[arg(last = true)]
    rest: Vec<String>,
}

/// Runs the load generators; false when one of them failed.
pub(crate) fn run(args: &Args) -> Result<bool> {
    crate::workspace::release_binary()?;
    let flags = args.json.then(|| "--json".to_owned());
    let command = ["run", "--quiet", "--release", "-p", "pollux-bench", "--"].map(str::to_owned);
    let rest = args.name.iter().cloned().chain(flags).chain(args.rest.iter().cloned());
    Cmd::new("cargo").args(command.into_iter().chain(rest)).status()
}
