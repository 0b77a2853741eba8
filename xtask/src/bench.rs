//! `cargo xtask bench [NAME] [--json]`: builds the server and the load generators as they are shipped, with the
//! profile `dist`, and runs them.

use crate::run::Cmd;
use crate::workspace::target;
use anyhow::{Result, bail};

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
    let build = ["build", "--profile", "dist", "-p", "pollux", "-p", "pollux-bench"];
    if !Cmd::new("cargo").args(build).status()? {
        bail!("`cargo {}` failed: there is nothing to measure", build.join(" "));
    }
    let flags = args.json.then(|| "--json".to_owned());
    let rest = args.name.iter().cloned().chain(flags).chain(args.rest.iter().cloned());
    Cmd::new(target().join("dist/pollux-bench")).args(rest).status()
}
