//! `pollux demo`: the whole story with simulated devices, in a temporary folder on free ports; every step is checked.
//!
//! ```text
//!   stage.rs (server, models, enrollment group) ─▶ device.rs (register, connect, send; one task per device)
//!     ─▶ verify.rs (twins, tags, queries, register again) ─▶ retire.rs (delete, cut off, gone) ─▶ report.rs
//! ```

mod check;
mod device;
mod progress;
mod report;
mod retire;
mod stage;
mod timeline;
mod verify;
mod wait;

use std::time::Duration;

use anyhow::{Result, anyhow, bail};
use tokio::time::Instant;

use crate::cli::Global;
use crate::output::Output;
use check::Checks;
use progress::Progress;
use report::Story;
use stage::Stage;

/// Most devices; each takes two open files here, and memory.
const MOST: u32 = 10_000;

/// Run the whole story with simulated devices in a temporary folder, and check every step
///
/// Starts a server of its own on free ports, uploads models, lets devices in with an enrollment group whose allocation
/// function makes each its twin, connects them over MQTT with TLS, sends telemetry, looks at the twins, and deletes
/// the devices again. Exit code 0 means that every check held.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  pollux demo
  pollux demo --devices 1000
  pollux demo --keep                 leave the server running and print how to reach it
  pollux demo --json                 one document: {ok, checks, timeline, twin: {before, after}, summary}")]
pub(crate) struct Args {
    /// How many devices
    #[arg(long, default_value_t = 25, value_parser = clap::value_parser!(u32).range(1..=i64::from(MOST)))]
    devices: u32,
    /// Leave the server running at the end, until Ctrl-C
    #[arg(long)]
    keep: bool,
}

/// Runs the demo. Ctrl-C ends the story early; the server is stopped and the folder removed all the same.
pub(crate) async fn run(global: &Global, args: Args) -> Result<()> {
    super::serve::raise_open_files();
    let output = Output::new(global.json);
    let progress = Progress::new(global.json);
    let start = Instant::now();
    let stage = Stage::set(output).await?;
    let mut checks = Checks::default();
    let mut story = Story::new(args.devices, stage.ready_after);
    let (told, interrupted) = tokio::select! {
        told = tell(&stage, &progress, &mut checks, &mut story) => (told, false),
        _ = tokio::signal::ctrl_c() => (Err(anyhow!("interrupted")), true),
    };
    checks.note("the story was told to its end", told);
    story.took = start.elapsed();
    progress.clear();
    if global.json {
        output.document(&report::json(&checks, &story))?;
    } else {
        output.line(&report::text(&checks, &story))?;
    }
    if args.keep && !interrupted {
        output.note(&stage.addresses())?;
        stage.stay().await;
    }
    stage.strike().await;
    if checks.all_held() { Ok(()) } else { bail!("{}", checks.failures()) }
}

/// The story. An error ends it early; what was checked until then stays.
async fn tell(stage: &Stage, progress: &Progress, checks: &mut Checks, story: &mut Story) -> Result<()> {
    stage.prepare(checks).await?;
    let mut devices = device::live(stage, progress, checks, story).await?;
    verify::twins(stage, progress, checks, story, &devices).await?;
    verify::relationships(stage, checks, &devices).await?;
    verify::queries(stage, checks, &devices).await?;
    verify::again(stage, progress, checks, &devices).await?;
    retire::all(stage, progress, checks, story, &mut devices).await
}

/// For everything that is waited for in one go; grows with the number of devices.
fn patience(devices: usize) -> Duration {
    Duration::from_secs(20) + Duration::from_millis(30) * u32::try_from(devices).unwrap_or(u32::MAX)
}
