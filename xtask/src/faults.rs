//! `cargo xtask faults`: nodes, networks and backends that fail under load. Builds the server and `pollux-faults` and runs
//! the latter in namespaces of its own; its last line, `N passed, N failed`, is what counts. The faults themselves are its business.

use crate::conformance::prepare::{self, NAMESPACES};
use crate::conformance::setup::Setup;
use crate::report::{Tally, count};
use crate::run::Cmd;
use crate::workspace;
use anyhow::Result;

/// The package whose binary makes the faults.
const PACKAGE: &str = "pollux-faults";
/// As many nodes as its deployment has.
const NODES: usize = 3;

/// Arguments of `cargo xtask faults`.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct Args {
    /// Arguments for the program itself.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    rest: Vec<String>,
    /// Whether the programs have been built.
    #[arg(skip)]
    built: bool,
}

impl Args {
    /// All faults with so many devices, with the programs as they have been built.
    pub(crate) fn here(devices: usize) -> Self {
        Self { rest: vec!["--devices".to_owned(), devices.to_string()], built: true }
    }
}

/// Runs the faults; false when one of them cost something that was acknowledged.
pub(crate) fn run(args: &Args) -> Result<bool> {
    Ok(tally(args)?.conclude())
}

/// Runs the faults and counts them; the caller prints the summary line.
pub(crate) fn tally(args: &Args) -> Result<Tally> {
    let mut tally = Tally::default();
    if let Some(reason) = prepare::namespaces().err().or_else(|| Setup::servers(NODES).missing()) {
        println!("skip  faults: {reason}");
        tally.skip("faults", reason);
        return Ok(tally);
    }
    if !args.built {
        workspace::build(&["-p", "pollux", "-p", PACKAGE])?;
    }
    let program = workspace::binary(PACKAGE)?;
    let command = Cmd::new("unshare").args(NAMESPACES).args([program]).args(&args.rest);
    let (good, said) = command.tee_stdout()?;
    tally.add(summary(&said, good));
    Ok(tally)
}

/// Reads the last line, `N passed, N failed`; without one, or when the exit code says otherwise, the run counts as one failure.
fn summary(said: &str, good: bool) -> Tally {
    let last = said.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default();
    let mut tally =
        Tally { passed: count(last, "passed"), failed: count(last, "failed"), ..Tally::default() };
    let told = last.contains(" passed") && last.contains(" failed");
    if !told || (!good && tally.failed == 0) {
        tally.failed += 1;
    }
    tally
}

#[cfg(test)]
mod tests {
    use super::summary;

    #[test]
    fn the_last_line_counts_and_a_run_without_one_failed() {
        let counts = |said, good| {
            let tally = summary(said, good);
            (tally.passed, tally.failed)
        };
        assert_eq!(counts("kill -9: back after 2.1 s\n9 passed, 0 failed\n\n", true), (9, 0));
        assert_eq!(counts("8 passed, 1 failed\n", false), (8, 1));
        assert_eq!(counts("9 passed, 0 failed\n", false), (9, 1), "it ended badly after all");
        assert_eq!(counts("thread panicked\n", false), (0, 1));
        assert_eq!(counts("", true), (0, 1));
    }
}
