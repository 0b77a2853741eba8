//! `pollux hub invoke-device-method`: a direct method.

use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::Args;
use serde_json::{Value, json};

use super::Target;
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
    /// The method's name
    #[arg(long, visible_alias = "mn")]
    method_name: String,
    /// What goes with it, in JSON
    #[arg(long, visible_alias = "mp", default_value = "null")]
    method_payload: String,
    /// How long the device may take to answer: 5 to 300 seconds
    #[arg(long, visible_alias = "to", default_value_t = 30)]
    timeout: u64,
    /// How long a device that is not connected may take to come: 0 to 300 seconds
    #[arg(long, default_value_t = 0)]
    connect_timeout: u64,
    #[command(flatten)]
    target: Target,
}

/// Runs it.
pub(crate) async fn run(session: &Session, args: InvokeMethod) -> Result<()> {
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
    let asked = rest.post(&format!("/twins/{}/methods", segment(&args.device_id)));
    let answer = asked.timeout(Duration::from_secs(patience)).json(body).send().await;
    let answer = answer
        .with_context(|| format!("the device '{}' was not asked, or did not answer", args.device_id))?;
    session.output.document(&answer.body)
}
