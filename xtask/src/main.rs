//! `cargo xtask`: the project's own commands. Each is one file; CI runs the same commands as a developer.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command-line tool talks on its terminal")]

mod bench;
mod conformance;
mod faults;
mod report;
mod run;
mod test;
mod tidy;
mod workspace;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// What a person types after `cargo xtask`.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", about = "Pollux's own commands: test, tidy, conformance, faults, bench.")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Everything that can run here: format, lints, tidy, tests, conformance; lists what it skipped and why.
    Test(test::Args),
    /// The rules of the house that lints cannot check.
    Tidy,
    /// Real clients (Python, Node) against the server, each in a network namespace of its own.
    Conformance(conformance::Args),
    /// Nodes, networks and backends that fail under load: what was acknowledged, lost and doubled, and how long it took to recover.
    Faults(faults::Args),
    /// Load generators; each figure with its ratio and the raw repetitions.
    Bench(bench::Args),
    /// One scenario, run by `conformance` inside its namespace.
    #[command(hide = true)]
    ConformanceInside(conformance::inside::Args),
}

fn main() -> ExitCode {
    let outcome = workspace::this_program().and_then(|_| match Cli::parse().command {
        Command::Test(args) => test::run(&args),
        Command::Tidy => tidy::run(),
        Command::Conformance(args) => conformance::run(&args),
        Command::Faults(args) => faults::run(&args),
        Command::Bench(args) => bench::run(&args),
        Command::ConformanceInside(args) => conformance::inside::run(&args),
    });
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::from(2)
        }
    }
}
