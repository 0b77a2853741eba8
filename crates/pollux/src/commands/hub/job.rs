//! `pollux hub job`: scheduled jobs, with the options of `az iot hub job`.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use clap::{Args, Subcommand, ValueEnum};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use pollux_client::rest::Paging;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::Target;
use crate::input::{self, segment};
use crate::output::Column;
use crate::session::Session;

const COLUMNS: &[Column] = &[
    ("job", "/jobId"),
    ("type", "/type"),
    ("status", "/status"),
    ("start", "/startTime"),
    ("devices", "/deviceJobStatistics/deviceCount"),
    ("succeeded", "/deviceJobStatistics/succeededCount"),
    ("failed", "/deviceJobStatistics/failedCount"),
];

/// Scheduled jobs: a twin change or a direct method for many devices
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Schedule a job
    Create(Box<Create>),
    /// Show a job and how far it has come
    Show(One),
    /// List jobs
    List(List),
    /// Cancel a job: no other device has its turn from then on
    Cancel(One),
}

/// What a job does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum JobType {
    /// Change tags and desired properties
    #[value(name = "scheduleUpdateTwin")]
    UpdateTwin,
    /// Call a direct method
    #[value(name = "scheduleDeviceMethod")]
    DeviceMethod,
}

impl JobType {
    const fn name(self) -> &'static str {
        match self {
            Self::UpdateTwin => "scheduleUpdateTwin",
            Self::DeviceMethod => "scheduleDeviceMethod",
        }
    }
}

/// Schedule a job
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pollux hub job create --job-id night-1 --job-type scheduleUpdateTwin -q \"tags.floor = 'G'\" \\
      --twin-patch '{\"properties\": {\"desired\": {\"interval\": 60}}}'
  pollux hub job create --job-id reboot-1 --job-type scheduleDeviceMethod -q '*' --method-name reboot \\
      --start-time 2026-12-01T02:00:00Z --ttl 7200
  pollux hub job create --job-id modules-1 --job-type scheduleUpdateTwin \\
      -q \"FROM devices.modules WHERE moduleId = 'filter'\" --twin-patch '{\"tags\": {\"checked\": true}}' --wait

What became of it at each device: pollux hub query -q \"SELECT * FROM devices.jobs WHERE devices.jobs.jobId = 'night-1'\"")]
pub(crate) struct Create {
    /// The job's id, unique in the hub
    #[arg(long)]
    job_id: String,
    /// What it does
    #[arg(long, visible_alias = "jt", value_enum)]
    job_type: JobType,
    /// At which devices: a condition, '*', or FROM devices.modules with one
    #[arg(long, short = 'q')]
    query_condition: String,
    /// From when on, in ISO 8601 [default: at once]
    #[arg(long, visible_alias = "start")]
    start_time: Option<String>,
    /// How long devices may take to have their turn, in seconds
    #[arg(long, default_value_t = 3600)]
    ttl: u64,
    /// The change of the twins, in JSON: tags, properties.desired
    #[arg(long, visible_alias = "patch")]
    twin_patch: Option<String>,
    /// The method's name
    #[arg(long, visible_alias = "mn")]
    method_name: Option<String>,
    /// What goes with it, in JSON
    #[arg(long, visible_alias = "mp", default_value = "null")]
    method_payload: String,
    /// How long a device that is not connected may take to come: 0 to 300 seconds
    #[arg(long, visible_alias = "mct", default_value_t = 30)]
    method_connect_timeout: u64,
    /// How long the answer may take: 5 to 300 seconds
    #[arg(long, visible_alias = "mrt", default_value_t = 30)]
    method_response_timeout: u64,
    /// Wait until it is over
    #[arg(long)]
    wait: bool,
    /// Between two looks while waiting, in seconds
    #[arg(long, visible_alias = "interval", default_value_t = 1)]
    poll_interval: u64,
    /// How long to wait, in seconds
    #[arg(long, visible_alias = "duration", default_value_t = 600)]
    poll_duration: u64,
    #[command(flatten)]
    target: Target,
}

/// Which job
#[derive(Debug, Args)]
pub(crate) struct One {
    /// The job's id
    #[arg(long)]
    job_id: String,
    #[command(flatten)]
    target: Target,
}

/// List jobs
#[derive(Debug, Args)]
pub(crate) struct List {
    /// Of this type
    #[arg(long, visible_alias = "jt", value_enum)]
    job_type: Option<JobType>,
    /// That stand like this: scheduled, queued, running, completed, failed, cancelled
    #[arg(long, visible_alias = "js")]
    job_status: Option<String>,
    /// At most this many
    #[arg(long, default_value_t = 1000)]
    top: usize,
    #[command(flatten)]
    target: Target,
}

/// Runs a command of this group.
pub(super) async fn run(session: &Session, command: Command) -> Result<()> {
    match command {
        Command::Create(args) => create(session, *args).await,
        Command::Show(one) => {
            let job = show(session, &one.target, &one.job_id).await?;
            session.output.document(&job)
        }
        Command::List(args) => list(session, args).await,
        Command::Cancel(one) => {
            let rest = session.hub(one.target.hub_name.as_deref())?;
            let cancelled = rest.post(&format!("{}/cancel", path(&one.job_id))).send().await;
            let cancelled =
                cancelled.with_context(|| format!("the job '{}' was not cancelled", one.job_id))?;
            session.output.document(&cancelled.body)
        }
    }
}

fn path(id: &str) -> String {
    format!("/jobs/v2/{}", segment(id))
}

/// The job; the service answers for one that it does not know too.
async fn show(session: &Session, target: &Target, id: &str) -> Result<Value> {
    let rest = session.hub(target.hub_name.as_deref())?;
    let job = rest.get(&path(id)).send().await.with_context(|| format!("the job '{id}' cannot be shown"))?;
    if job.body["status"] == "unknown" {
        bail!("there is no job '{id}'");
    }
    Ok(job.body)
}

async fn create(session: &Session, args: Create) -> Result<()> {
    let mut body = json!({
        "jobId": args.job_id,
        "type": args.job_type.name(),
        "queryCondition": args.query_condition,
        "maxExecutionTimeInSeconds": args.ttl,
    });
    if let Some(start) = &args.start_time {
        body["startTime"] = json!(start);
    }
    match args.job_type {
        JobType::UpdateTwin => {
            let patch = args.twin_patch.as_deref().context("scheduleUpdateTwin needs --twin-patch")?;
            let mut patch = input::object("--twin-patch", patch)?;
            patch.insert("etag".to_owned(), json!("*"));
            body["updateTwin"] = Value::Object(patch);
        }
        JobType::DeviceMethod => {
            let name = args.method_name.as_deref().context("scheduleDeviceMethod needs --method-name")?;
            let payload: Value = serde_json::from_str(&args.method_payload)
                .context("--method-payload must be JSON (quote a text twice: '\"text\"')")?;
            body["cloudToDeviceMethod"] = json!({
                "methodName": name,
                "payload": payload,
                "responseTimeoutInSeconds": args.method_response_timeout,
                "connectTimeoutInSeconds": args.method_connect_timeout,
            });
        }
    }
    let rest = session.hub(args.target.hub_name.as_deref())?;
    let made = rest.put(&path(&args.job_id)).json(body).send().await;
    let made = made.with_context(|| format!("the job '{}' was not scheduled", args.job_id))?;
    if !args.wait {
        return session.output.document(&made.body);
    }
    let until = Instant::now() + Duration::from_secs(args.poll_duration);
    loop {
        let job = show(session, &args.target, &args.job_id).await?;
        let over = matches!(job["status"].as_str(), Some("completed" | "failed" | "cancelled"));
        if over || Instant::now() >= until {
            return session.output.document(&job);
        }
        tokio::time::sleep(Duration::from_secs(args.poll_interval.max(1))).await;
    }
}

async fn list(session: &Session, args: List) -> Result<()> {
    let rest = session.hub(args.target.hub_name.as_deref())?;
    let given = [
        args.job_type.map(|kind| format!("jobType={}", kind.name())),
        args.job_status
            .as_deref()
            .map(|status| format!("jobStatus={}", utf8_percent_encode(status, NON_ALPHANUMERIC))),
    ];
    let query: Vec<String> = given.into_iter().flatten().collect();
    let path = if query.is_empty() {
        "/jobs/v2/query".to_owned()
    } else {
        format!("/jobs/v2/query?{}", query.join("&"))
    };
    let rows = rest.pages(Paging::List { path }).collect(args.top).await;
    session.output.rows(rows.context("the jobs cannot be listed")?, COLUMNS)
}
