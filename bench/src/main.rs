//! Load generators and side-by-side comparisons: `cargo run --release -p pollux-bench -- [NAME] [--json]`.
//!
//! The server runs as a process of its own on one core, the generator on another. Subject and peer take turns; what is
//! printed is the median and every repetition, the server's CPU seconds, and ratios against limits of the same run.
//! Absolute numbers of a shared machine prove nothing; nothing here asserts a time. What other programs took of the two
//! cores is printed with every figure: a thread that shares its core waits for the scheduler, not for the disk (seen here:
//! 4 ms in place of 0.15 for an fdatasync beside a compiler).
//!
//! ```text
//!   subject.rs (pollux serve, pinned)  ◀── provisioning.rs │ hub.rs │ twin_patch.rs
//!   bare.rs    (rustls and nothing else, pinned)  ◀── provisioning.rs │ hub/idle.rs
//!   hub.rs     (pollux serve, mosquitto, nats-server in turn)  ◀── telemetry.rs, hub/*.rs
//!   fdatasync.rs (the disk and nothing else)
//!   twins.rs   (pollux serve, PostgreSQL, SQLite, ladybug, axum and nothing else in turn)  ◀── twins/*.rs
//!   events.rs  (pollux serve, redis-server, nats-server, rabbitmq-server in turn)  ◀── events/*.rs
//!   backends.rs: the same loads, PostgreSQL and nats-server beside the nodes on the server's core
//! ```

mod backends;
mod bare;
mod events;
mod fdatasync;
mod hub;
mod pki;
mod process;
mod provisioning;
mod report;
mod sample;
mod server;
mod subject;
mod telemetry;
mod twin_patch;
mod twins;

use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::{Parser, ValueEnum};

use report::Report;

/// What the list of names has no room for.
const EVENTS: &str = "\
hub: goals P1 to P4 and P7; only some parts with --parts telemetry,rounds,idle. Of peers that are not installed it says so
(Debian: mosquitto, nats-server). About five minutes by default; for a first look: cargo xtask bench hub -- --repetitions 1.
events: sizes of 256 B and 1 KiB, batches of 1, 100 and 1000, 1 and 8 partitions; latency to a consumer that waits at the
end; a backlog that one AMQP client reads from Pollux and from RabbitMQ. Peers that are not installed are left out and
named (Debian: redis-server, nats-server, rabbitmq-server). A part takes a fifth of --seconds, all of it about five minutes
by default.
twins: a building's graph; --twins 5000 for a first look. Of every question each one asked gets a quarter of --seconds. The
models come from ../shared/models/realestatecore, or the folder SHARED_DIR names.
For a first look: cargo xtask bench events -- --repetitions 1 --seconds 1";

/// Load generators and side-by-side comparisons.
#[derive(Debug, Parser)]
#[command(name = "pollux-bench", after_long_help = EVENTS)]
struct Arguments {
    /// Which figure; all when absent
    #[arg(value_enum)]
    name: Option<Name>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Repetitions of each measurement
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    repetitions: u32,
    /// Seconds of each repetition
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
    /// Twins of the graph that is queried; for a first look: 5000
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(2000..=2_000_000))]
    twins: u32,
    /// Of the graph, only these questions
    #[arg(long, value_enum, value_delimiter = ',')]
    questions: Vec<twins::Question>,
    /// Of the hub, only these parts
    #[arg(long, value_enum, value_delimiter = ',')]
    parts: Vec<hub::Part>,
    /// Of the registrations, only these
    #[arg(long, value_enum, value_delimiter = ',')]
    kinds: Vec<provisioning::Kind>,
    /// Be the bare HTTP server, for the generator
    #[arg(long, hide = true)]
    bare_http: bool,
    /// Be the bare TLS server, for the generator
    #[arg(long, hide = true)]
    bare_tls: bool,
    /// Be the bare TLS server that wants certificates of this authority, given as its key in PEM
    #[arg(long, hide = true)]
    bare_mutual_tls: Option<String>,
}

/// What can be measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Name {
    /// Complete registrations by key and by certificate, over MQTT and HTTPS, next to the bare handshake
    Provisioning,
    /// Device-to-cloud messages, QoS 1, durable, next to mosquitto and NATS; twins, methods; memory of idle devices
    Hub,
    /// Changes of one property of a twin over HTTP, durable
    TwinPatch,
    /// Queries of a graph of twins, next to PostgreSQL, SQLite and ladybug
    Twins,
    /// Events appended, durable, and read through AMQP 1.0, next to Redis Streams, JetStream and RabbitMQ
    Events,
    /// fdatasync of the disk below
    Fdatasync,
    /// All of it on SQLite and segment files, on PostgreSQL and JetStream, and on three nodes of that
    Backends,
}

const ALL: [Name; 7] = [
    Name::Fdatasync,
    Name::Provisioning,
    Name::Hub,
    Name::TwinPatch,
    Name::Twins,
    Name::Events,
    Name::Backends,
];

/// How long and how often.
#[derive(Debug, Clone, Copy)]
struct Plan {
    repetitions: u32,
    duration: std::time::Duration,
    /// Of the graph that is queried.
    twins: usize,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    process::raise_open_files();
    let done = if arguments.bare_http {
        runtime().and_then(|runtime| runtime.block_on(twins::serve_bare_http()))
    } else if arguments.bare_tls {
        runtime().and_then(|runtime| runtime.block_on(bare::serve(None)))
    } else if let Some(key) = &arguments.bare_mutual_tls {
        runtime().and_then(|runtime| runtime.block_on(bare::serve(Some(key))))
    } else {
        run(&arguments)
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            report::say_error(&format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<()> {
    // Before any thread is made: they inherit it.
    let pinned = process::pin_generator();
    let plan = Plan {
        repetitions: arguments.repetitions,
        duration: std::time::Duration::from_secs(arguments.seconds),
        twins: usize::try_from(arguments.twins)?,
    };
    let names: Vec<_> =
        ALL.into_iter().filter(|name| arguments.name.is_none_or(|wanted| wanted == *name)).collect();
    let runtime = runtime()?;
    let mut reports = Vec::new();
    for name in names {
        let before = process::Cores::now()?;
        let mut report =
            runtime.block_on(measure(name, plan, arguments)).with_context(|| format!("{name:?}"))?;
        report.disturbed_by(process::Cores::now()?.to_others_since(before));
        if !arguments.json {
            report::say(&report.text())?;
        }
        reports.push(report);
    }
    if arguments.json {
        report::say(&Report::json(&reports, pinned))
    } else {
        report::say(&report::conditions(pinned))
    }
}

async fn measure(name: Name, plan: Plan, arguments: &Arguments) -> Result<Report> {
    match name {
        Name::Provisioning => provisioning::measure(plan, &arguments.kinds).await,
        Name::Hub => hub::measure(plan, &arguments.parts).await,
        Name::TwinPatch => twin_patch::measure(plan).await,
        Name::Twins => twins::measure(plan, &arguments.questions).await,
        Name::Events => events::measure(plan).await,
        Name::Fdatasync => fdatasync::measure(plan).await,
        Name::Backends => backends::measure(plan).await,
    }
}

fn runtime() -> Result<tokio::runtime::Runtime> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    runtime.context("cannot start the async runtime")
}
