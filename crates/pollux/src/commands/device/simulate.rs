//! `pollux device simulate`: as many devices as a model is to have, played by one process.
//!
//! What a device does is IoT Plug and Play's (Azure article "IoT Plug and Play conventions"): it announces its model, sends each
//! telemetry of the model in its schema's type, reports its read-only properties, takes writable ones with an acknowledgement, and
//! answers commands.

mod identities;
mod life;
mod script;
mod tally;
mod values;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use clap::Args;
use futures_util::stream::{self, StreamExt as _};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use self::life::Life;
use self::script::Script;
use self::tally::Tally;
use crate::commands::serve::raise_open_files;
use crate::session::Session;

/// Play devices of a model
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  pollux device simulate --model thermostat.json                   one device, a message every ten seconds
  pollux device simulate --model-id 'dtmi:com:example:Thermostat;1' --devices 100 --interval 1
                                                                   the model is read from the digital twins
  pollux device simulate --model models/ --model-id 'dtmi:com:example:Pump;1' --devices 10000 --messages 5 --delete
  pollux device simulate --model thermostat.json --enrollment-id line-1 --devices 20
                                                                   they register with the provisioning service first

In another shell:
  pollux events tail --hub-name hub1
  pollux hub invoke-device-method --device-id sim-00001 --method-name getMaxMinReport --method-payload '\"2026-01-01T00:00:00Z\"'
  pollux hub device-twin update --device-id sim-00001 --desired '{\"targetTemperature\": 21.5}'

It ends with Ctrl-C, or as --messages and --duration say; with --json it prints what happened as JSON.")]
pub(crate) struct Simulate {
    /// The model with all that it extends and has for components: a file, or a folder and what is below
    #[arg(long, value_name = "FILE|FOLDER", required_unless_present = "model_id")]
    model: Option<PathBuf>,
    /// Which model [default: the only one of the files that no other one extends or has]. Without --model it is read from the digital
    /// twins
    #[arg(long, value_name = "DTMI")]
    model_id: Option<String>,
    /// How many
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    devices: u32,
    /// Devices are called so, with a number: sim-00001
    #[arg(long, default_value = "sim", value_parser = prefix)]
    prefix: String,
    /// Seconds between two messages of a device; at first a device waits a part of that, so that not all speak at once
    #[arg(long, default_value_t = 10.0, value_parser = seconds)]
    interval: f64,
    /// End when each device has sent so many times
    #[arg(long)]
    messages: Option<u64>,
    /// End after so many seconds
    #[arg(long, value_parser = seconds)]
    duration: Option<f64>,
    /// Devices register through this enrollment group, which must have keys [default: they are registered in the hub]
    #[arg(long, visible_alias = "eid")]
    enrollment_id: Option<String>,
    /// Delete in the end the identities that were made for this
    #[arg(long, conflicts_with = "enrollment_id")]
    delete: bool,
    /// The provisioning service, by name or host name [default: the first]
    #[arg(long, requires = "enrollment_id")]
    dps_name: Option<String>,
    /// The hub, by name or host name [default: the first]
    #[arg(long, short = 'n', conflicts_with = "enrollment_id")]
    hub_name: Option<String>,
    /// The digital twins instance that the model is read from [default: the first]
    #[arg(long, conflicts_with = "model")]
    dt_name: Option<String>,
}

/// Devices that connect, or are registered, at the same time: a crowd at a door, not a flood.
const DOOR: usize = 64;
/// How long devices may take to say goodbye.
const GOODBYE: Duration = Duration::from_secs(10);

fn prefix(text: &str) -> Result<String> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    if text.is_empty() || text.len() > 100 || !text.bytes().all(fits) {
        bail!("use 1 to 100 letters, digits, '-', '.' and '_'");
    }
    Ok(text.to_owned())
}

fn seconds(text: &str) -> Result<f64> {
    let seconds: f64 = text.parse().context("a number of seconds is needed")?;
    if !(0.01..=86_400.0).contains(&seconds) {
        bail!("use 0.01 to 86400 seconds");
    }
    Ok(seconds)
}

pub(super) async fn run(session: &Session, args: Simulate) -> Result<()> {
    raise_open_files();
    let model_id = args.model_id.as_deref();
    let script = match &args.model {
        Some(path) => Script::from_files(path, model_id)?,
        None => Script::from_twins(session, args.dt_name.as_deref(), model_id.unwrap_or_default()).await?,
    };
    let script = Arc::new(script);
    let ids: Vec<_> = (1..=args.devices).map(|number| format!("{}-{number:05}", args.prefix)).collect();
    let messages = args.messages.map(|rounds| rounds.saturating_mul(script.senders().count() as u64));
    let tally = Arc::new(Tally::new(ids.len(), messages, session.output.is_for_eyes()));
    let stop = CancellationToken::new();
    let played = play(session, &args, &script, ids, &tally, &stop).await;
    stop.cancel();
    let made = played?;
    if args.delete {
        tally.step("deleting identities");
        identities::delete(session, args.hub_name.as_deref(), &made).await?;
    }
    let summary = tally.summary();
    if session.output.is_for_eyes() {
        session.output.note(&tally::told(&summary))
    } else {
        session.output.document(&summary)
    }
}

/// Ends when all devices have, when time is up, or with Ctrl-C. Gives back the identities that were made.
async fn play(
    session: &Session,
    args: &Simulate,
    script: &Arc<Script>,
    ids: Vec<String>,
    tally: &Arc<Tally>,
    stop: &CancellationToken,
) -> Result<Vec<String>> {
    tally.step("making devices");
    let (devices, made) = match &args.enrollment_id {
        Some(group) => {
            let payload = json!({ "modelId": script.id() });
            let found =
                identities::provision(session, args.dps_name.as_deref(), group, ids, &payload, DOOR, tally)
                    .await?;
            (found, Vec::new())
        }
        None => identities::register(session, args.hub_name.as_deref(), ids, tally).await?,
    };
    tally.step("connecting");
    let interval = Duration::from_secs_f64(args.interval);
    let count = devices.len();
    let lives = devices.into_iter().enumerate().map(|(index, device)| Life {
        script: Arc::clone(script),
        endpoint: device.endpoint,
        options: device.options,
        // Spread evenly over the interval.
        offset: interval.mul_f64(index as f64 / count as f64),
        interval,
        messages: args.messages,
        tally: Arc::clone(tally),
        stop: stop.clone(),
    });
    // A device that cannot connect goes on trying; what it takes part in must not wait for it.
    let door = Arc::new(tokio::sync::Semaphore::new(DOOR));
    let mut running: tokio::task::JoinSet<()> = lives.map(|life| life.live(Arc::clone(&door))).collect();
    let time = args.duration.map(Duration::from_secs_f64);
    let up = async {
        match time {
            Some(time) => tokio::time::sleep(time).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        () = async { while running.join_next().await.is_some() {} } => {}
        () = up => {}
        ended = tokio::signal::ctrl_c() => ended.context("cannot wait for Ctrl+C")?,
    }
    stop.cancel();
    tally.step("saying goodbye");
    // Who does not get to it is cut off.
    let goodbye = async { while running.join_next().await.is_some() {} };
    let _ = tokio::time::timeout(GOODBYE, goodbye).await;
    Ok(made)
}

/// Does the same to each, so many at a time, and ends with the first that fails.
async fn each<T, R>(items: Vec<T>, at_once: usize, work: impl AsyncFn(T) -> Result<R>) -> Result<Vec<R>> {
    let mut done = Vec::with_capacity(items.len());
    let mut results = std::pin::pin!(stream::iter(items).map(|item| work(item)).buffered(at_once));
    while let Some(result) = results.next().await {
        done.push(result?);
    }
    Ok(done)
}
