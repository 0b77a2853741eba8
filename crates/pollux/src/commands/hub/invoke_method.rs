//! `pollux hub invoke-device-method` and `invoke-module-method`: a direct method.

use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::Args;
use serde_json::{Value, json};

use super::{Module, Target};
use crate::input::segment;
use crate::session::Session;

/// What the answer may take beyond what the device and its coming may.
const BEYOND: u64 = 15;

/// Ask a connected device, and wait for its answer
#[derive(Debug, Args)]
#[command(after_help = "\
Prints the device's own status and payload.

Examples:
  pollux hub invoke-device-method --device-id thermostat-67 --method-name reboot
  pollux hub invoke-device-method -d thermostat-67 --mn setInterval --mp '{\"seconds\": 5}'
  pollux hub invoke-device-method --device-id thermostat-67 --method-name reboot --connect-timeout 60")]
pub(crate) struct InvokeMethod {
    /// The device
    #[arg(long, short = 'd')]
    device_id: String,
    #[command(flatten)]
    method: Method,
}

/// Ask a connected module, and wait for its answer
#[derive(Debug, Args)]
#[command(after_help = "\
Prints the module's own status and payload.

Example:
  pollux hub invoke-module-method -d gateway-1 -m filter --mn setThreshold --mp '{\"celsius\": 40}'")]
pub(crate) struct InvokeModuleMethod {
    #[command(flatten)]
    module: Module,
    #[command(flatten)]
    method: Method,
}

/// What is asked.
#[derive(Debug, Args)]
struct Method {
    /// The method's name
    #[arg(long, visible_alias = "mn")]
    method_name: String,
    /// What goes with it, in JSON
    #[arg(long, visible_alias = "mp", default_value = "null")]
    method_payload: String,
    /// How long the answer may take: 5 to 300 seconds
    #[arg(long, visible_alias = "to", default_value_t = 30)]
    timeout: u64,
    /// How long whoever is not connected may take to come: 0 to 300 seconds
    #[arg(long, default_value_t = 0)]
    connect_timeout: u64,
    #[command(flatten)]
    target: Target,
}

/// Asks a device.
pub(crate) async fn run(session: &Session, args: InvokeMethod) -> Result<()> {
    let path = format!("/twins/{}/methods", segment(&args.device_id));
    ask(session, &path, &format!("device '{}'", args.device_id), args.method).await
}

/// Asks a module.
pub(crate) async fn run_module(session: &Session, args: InvokeModuleMethod) -> Result<()> {
    let path = format!("{}/methods", args.module.path("twins"));
    ask(session, &path, &format!("module '{}'", args.module.name()), args.method).await
}

async fn ask(session: &Session, path: &str, whose: &str, args: Method) -> Result<()> {
    let payload: Value = serde_json::from_str(&args.method_payload)
        .context("--method-payload must be JSON (quote a text twice: '\"text\"')")?;
    let body = json!({
        "methodName": args.method_name,
        "payload": payload,
        "responseTimeoutInSeconds": args.timeout,
        "connectTimeoutInSeconds": args.connect_timeout,
    });
    let rest = session.hub(args.target.hub_name.as_deref())?;
    let patience = args.timeout.saturating_add(args.connect_timeout).saturating_add(BEYOND);
    let answer = rest.post(path).timeout(Duration::from_secs(patience)).json(body).send().await;
    let answer = answer.with_context(|| format!("the {whose} was not asked, or did not answer"))?;
    session.output.document(&answer.body)
}
