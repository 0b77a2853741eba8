//! `pollux dps explain`: which entry would let a device in or refuse it, why, and what would come after a change.

use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};
use clap::Args;
use pollux_model::{Clock as _, Key, SystemClock, sas};
use serde_json::{Value, json};

use super::Target;
use crate::connections::pick;
use crate::input::{self, segment};
use crate::session::Session;

/// How long the token holds that stands for the key, in seconds.
const TOKEN_SECONDS: i64 = 300;

/// Tell which entry would let a device in or refuse it, and why
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pollux dps explain --registration-id device-1 --certificate chain.pem
  pollux dps explain --registration-id device-1 --key KEY
  pollux dps explain --registration-id device-1                          by its registration record: all else is lost
  pollux dps explain --registration-id device-1 --without-group line-1   would another group let it in again?
  pollux dps explain --registration-id device-1 --disable-enrollment     what a disabled enrollment of its own would do

An individual enrollment decides before any group, enabled or disabled; of groups the one whose certificate is nearest to
the device's. The key does not leave this machine: a token is signed with it.")]
pub(crate) struct Explain {
    /// The device's registration id, as the device writes it
    #[arg(long, visible_alias = "rid")]
    registration_id: String,
    /// The device's certificate with the intermediates it would send: PEM, its own first
    #[arg(long, visible_alias = "certificate-path", conflicts_with = "key", value_name = "PEM")]
    certificate: Option<PathBuf>,
    /// The device's key, base64: its own, or the one derived for it (pollux dps compute-device-key)
    #[arg(long)]
    key: Option<String>,
    /// As if its individual enrollment were deleted
    #[arg(long, conflicts_with = "disable_enrollment")]
    without_enrollment: bool,
    /// As if it had an individual enrollment that is disabled
    #[arg(long)]
    disable_enrollment: bool,
    /// As if this group were deleted; may be repeated
    #[arg(long = "without-group", value_name = "GROUP")]
    without_groups: Vec<String>,
    /// As if this group were disabled; may be repeated
    #[arg(long = "disable-group", value_name = "GROUP")]
    disable_groups: Vec<String>,
    #[command(flatten)]
    target: Target,
}

/// Runs it.
pub(crate) async fn run(session: &Session, args: Explain) -> Result<()> {
    let rest = session.dps(args.target.dps_name.as_deref())?;
    let mut body = json!({
        "withoutEnrollment": args.without_enrollment,
        "disableEnrollment": args.disable_enrollment,
        "withoutGroups": args.without_groups,
        "disableGroups": args.disable_groups,
    });
    if let Some(path) = &args.certificate {
        body["certificate"] = json!(input::certificate(path)?);
    }
    if let Some(key) = &args.key {
        body["token"] = json!(token(session, &args, key)?);
    }
    let path = format!("/registrations/{}/explain", segment(&args.registration_id));
    let said = rest.post(&path).json(body).send().await;
    let said = said.with_context(|| format!("cannot explain '{}'", args.registration_id))?.body;
    if session.output.is_for_eyes() {
        session.output.line(told(&said).trim_end())
    } else {
        session.output.document(&said)
    }
}

fn token(session: &Session, args: &Explain, key: &str) -> Result<String> {
    let dps = pick("dps", &session.connections.dps, args.target.dps_name.as_deref())?;
    let scope = dps.id_scope.as_deref().context("connections.json has no ID scope for it")?;
    let Some(key) = Key::from_base64(key) else { bail!("--key must be base64 of 16 to 64 bytes") };
    let expiry = SystemClock.now().as_secs() + TOKEN_SECONDS;
    Ok(sas::sign(&format!("{scope}/registrations/{}", args.registration_id), &key.bytes(), expiry, None))
}

/// The explanation for eyes.
fn told(said: &Value) -> String {
    let mut text = format!("{}\n", verdict(&said["now"]));
    if said["by"] == "record" {
        text.push_str(
            "  (nothing was shown: this is what its registration record and the enrollments say)\n",
        );
    }
    for (name, title) in [
        ("ifDisabled", "if that entry were disabled"),
        ("ifDeleted", "if that entry were deleted"),
        ("after", "after the changes you named"),
    ] {
        if said[name].is_object() {
            text.push_str(&format!("{title}: {}\n", verdict(&said[name])));
        }
    }
    let rows = said["groups"].as_array().map(Vec::as_slice).unwrap_or_default();
    if !rows.is_empty() {
        text.push_str("groups that speak for it:\n");
    }
    for row in rows {
        let status = row["provisioningStatus"].as_str().unwrap_or_default();
        text.push_str(&format!("  {} ({status}), distance {}\n", entry(row), row["distance"]));
    }
    if said["uncertain"] == true {
        text.push_str("  there may be more: only its certificate or key could tell (--certificate, --key)\n");
    }
    for group in said["unknownGroups"].as_array().into_iter().flatten() {
        text.push_str(&format!(
            "warning: there is no enrollment group '{}'\n",
            group.as_str().unwrap_or_default()
        ));
    }
    let state = &said["registrationState"];
    if state.is_object() {
        let words = ["status", "assignedHub", "deviceId"].map(|name| state[name].as_str().unwrap_or("-"));
        text.push_str(&format!("registration record: {} in {} as {}\n", words[0], words[1], words[2]));
    }
    text
}

fn verdict(said: &Value) -> String {
    let (verdict, reason) = (said["verdict"].as_str().unwrap_or("?"), said["reason"].as_str().unwrap_or("?"));
    match &said["decidedBy"] {
        Value::Null => format!("{verdict}: {reason}"),
        by => format!("{verdict} by {}: {reason}", entry(by)),
    }
}

/// An entry for eyes.
pub(super) fn entry(said: &Value) -> String {
    match (said["registrationId"].as_str(), said["enrollmentGroupId"].as_str()) {
        (Some(id), _) => format!("the individual enrollment '{id}'"),
        (None, Some(id)) => format!("the enrollment group '{id}'"),
        (None, None) => "an entry".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_explanation_is_told_in_words() {
        let by = json!({ "kind": "enrollmentGroup", "enrollmentGroupId": "line-1" });
        let mut said = json!({
            "by": "record",
            "now": { "verdict": "admitted", "decidedBy": by, "reason": "it is enabled" },
            "ifDeleted": { "verdict": "refused", "decidedBy": null, "reason": "nobody speaks for it" },
            "groups": [{ "enrollmentGroupId": "line-1", "provisioningStatus": "enabled", "distance": 0 }],
        });
        said["unknownGroups"] = json!(["lin-1"]);
        let text = told(&said);
        for words in [
            "warning: there is no enrollment group 'lin-1'",
            "admitted by the enrollment group 'line-1': it is enabled",
            "if that entry were deleted: refused: nobody speaks for it",
            "  the enrollment group 'line-1' (enabled), distance 0",
        ] {
            assert!(text.contains(words), "{text}");
        }
    }
}
