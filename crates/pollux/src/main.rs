//! The `pollux` command: `serve`, `demo`, and commands for everything a running server offers.
//!
//! Standard output carries data only (JSON, or a table for eyes); what is said about it goes to standard error.
//!
//! | exit code | meaning |
//! |---|---|
//! | 0 | done |
//! | 1 | refused or failed; standard error says why |
//! | 2 | the command line is wrong |
//! | 3 | what was named does not exist |

mod certificates;
mod cli;
mod commands;
mod connections;
mod failure;
mod input;
mod output;
mod policies;
mod resources;
mod retry;
mod session;

use std::process::ExitCode;

use clap::Parser as _;

use cli::Cli;

/// Many small pieces of many sizes, some of which live for long: where a large graph is in memory, glibc's allocator took
/// a third of the time of a change.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return failure::report(&anyhow::anyhow!("cannot start the async runtime: {error}")),
    };
    match runtime.block_on(commands::run(cli)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failure::report(&error),
    }
}
