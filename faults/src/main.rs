//! Faults under load: three nodes on PostgreSQL and NATS, devices and services at work, and one part after the other killed,
//! cut off, restarted or frozen. Whatever was acknowledged must be there afterwards, once.
//!
//! Runs in namespaces of its own: `cargo xtask faults [-- --only NAME]`. Its last line is `N passed, N failed`.
//!
//! ```text
//!   world.rs (network.rs, testkit's deployment)  ◀── fault.rs
//!      ▲  target.rs: which nodes are ready
//!   load.rs (device.rs, service.rs)  ──▶ ledger.rs, numbers.rs: what was acknowledged
//!   events.rs, watch.rs: what is stored  ──▶ check.rs
//! ```

mod check;
mod events;
mod fault;
mod ledger;
mod load;
mod network;
mod numbers;
mod report;
mod stage;
mod target;
mod watch;
mod world;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::Parser;
use pollux_model::{Random as _, SystemRandom};

use fault::Fault;
use report::{Tally, say};
use stage::Stage;

/// Faults under load.
#[derive(Debug, Parser)]
#[command(name = "pollux-faults")]
struct Arguments {
    /// Only this fault; may be given more than once
    #[arg(long, value_enum)]
    only: Vec<Fault>,
    /// List the faults
    #[arg(long)]
    list: bool,
    /// Connected devices
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u64).range(10..=20_000))]
    devices: u64,
    /// How long a fault of a node lasts, in seconds; leases last six
    #[arg(long, default_value_t = 12, value_parser = clap::value_parser!(u64).range(3..=120))]
    seconds: u64,
    /// Messages a second, of all devices together
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    rate: u64,
    /// What chance begins with; printed, to be given again
    #[arg(long)]
    seed: Option<u64>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(&arguments) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            // Standard output may be closed: the exit code says it too.
            let _ = say(&format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<bool> {
    if arguments.list {
        for fault in fault::ALL {
            say(&format!("{:<17}{}", fault.name(), fault.help()))?;
        }
        return Ok(true);
    }
    raise_open_files();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let mut tally = Tally::default();
    let done = runtime.context("cannot start the async runtime")?.block_on(faults(arguments, &mut tally));
    if let Err(error) = &done {
        tally.case("the run", Err(format!("{error:#}")))?;
    }
    say(&format!("{} passed, {} failed", tally.passed, tally.failed))?;
    Ok(tally.failed == 0)
}

async fn faults(arguments: &Arguments, tally: &mut Tally) -> Result<()> {
    let seed = arguments.seed.unwrap_or_else(|| SystemRandom.below(1 << 32));
    say(&format!("seed {seed}, {} devices, {} messages a second", arguments.devices, arguments.rate))?;
    let pace = Duration::from_secs_f64(arguments.devices as f64 / arguments.rate as f64);
    let count = usize::try_from(arguments.devices)?;
    let mut stage = Stage::set(count, pace, Duration::from_secs(arguments.seconds), seed).await?;
    let wanted = |fault: &Fault| arguments.only.is_empty() || arguments.only.contains(fault);
    for fault in fault::ALL.into_iter().filter(wanted) {
        stage.play(fault, tally).await.with_context(|| fault.name())?;
    }
    stage.strike(tally)
}

/// Takes as many open files as the administrator allows: each device is one.
fn raise_open_files() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // Refused where the maximum is no real number: then what there is must do.
    let _ = setrlimit(Resource::Nofile, limit);
}
