//! `pollux dps compute-device-key`: a device's own key, derived from its group's.

use anyhow::{Context as _, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use clap::Args;
use pollux_model::sas;

use super::Target;
use crate::cli::Global;
use crate::input::segment;
use crate::output::Output;
use crate::session::Session;

/// Derive a device's key from its enrollment group's key
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pollux dps compute-device-key --enrollment-id line-1 --registration-id thermostat-67
  pollux dps compute-device-key --key 'GROUP KEY' --registration-id thermostat-67")]
pub(crate) struct ComputeDeviceKey {
    /// The group's key, base64
    #[arg(long, required_unless_present = "enrollment_id", conflicts_with = "enrollment_id")]
    key: Option<String>,
    /// Take the primary key of this enrollment group
    #[arg(long, visible_aliases = ["eid", "group-id"])]
    enrollment_id: Option<String>,
    /// The device's registration id
    #[arg(long, visible_alias = "rid")]
    registration_id: String,
    #[command(flatten)]
    target: Target,
}

/// Prints the key. A server is needed only to look up the group's.
pub(crate) async fn run(global: &Global, args: ComputeDeviceKey) -> Result<()> {
    let key = match (args.key, args.enrollment_id) {
        (Some(key), _) => key,
        (None, group) => group_key(&Session::open(global)?, &args.target, &group.unwrap_or_default()).await?,
    };
    let key = BASE64.decode(key.trim()).context("the group's key is not base64")?;
    let derived = BASE64.encode(sas::derive_key(&key, &args.registration_id));
    Output::new(global.json).text(&derived)
}

async fn group_key(session: &Session, target: &Target, group: &str) -> Result<String> {
    let rest = session.dps(target.dps_name.as_deref())?;
    let path = format!("/enrollmentGroups/{}/attestationmechanism", segment(group));
    let found = rest.post(&path).send().await;
    let found = found.with_context(|| format!("cannot read the key of the enrollment group '{group}'"))?;
    let key = found.body["symmetricKey"]["primaryKey"].as_str();
    key.map(str::to_owned).with_context(|| format!("the enrollment group '{group}' has no symmetric key"))
}
