//! One device.

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use super::device::{InHub, find};
use super::{Plan, Work};
use crate::commands::dps::explain::entry;
use crate::failure::NotThere;
use crate::input::{self, segment};
use crate::retry::until_answered;

/// In `optionalDeviceInformation` of an entry that was made to shut a device of a group out: it must stay.
const MARK: &str = "deprovisionedFrom";

/// What is known of the device.
struct Found {
    enrollment: Option<Value>,
    record: Option<Value>,
    explained: Value,
}

impl Found {
    /// The entry that would let the device in if its own were gone, told; none: nobody would.
    fn after_deletion(&self) -> Option<String> {
        let next = match &self.enrollment {
            Some(_) => &self.explained["ifDeleted"],
            None => &self.explained["now"],
        };
        let admits = next["verdict"] == "admitted";
        let marked = self.enrollment.as_ref().map(|own| &own["optionalDeviceInformation"][MARK]);
        let marked = marked.and_then(Value::as_str);
        if admits {
            return Some(entry(&next["decidedBy"]));
        }
        if let Some(group) = marked {
            return Some(format!("the enrollment group '{group}', through which it came,"));
        }
        (self.explained["uncertain"] == true)
            .then(|| "a group, of which only its certificate could tell,".to_owned())
    }
}

/// Runs it.
pub(super) async fn run(work: &Work<'_>, id: &str) -> Result<()> {
    let found = look(work, id).await?;
    if found.enrollment.is_none() && found.record.is_none() {
        let message =
            format!("there is neither an individual enrollment nor a registration record of '{id}'");
        return Err(NotThere(message).into());
    }
    let (plan, deletes) = plan(work, id, &found);
    if !work.agreed(&plan)? {
        return Ok(());
    }
    let path = format!("/enrollments/{}", segment(id));
    let entry = match work.disable_entry(&path).await? {
        Some(true) => "disabled",
        Some(false) => "unchanged",
        None => shut(work, id, &path, &found).await?,
    };
    // What the record says now, with nobody let in any more.
    let in_hub = match find(&work.dps, &format!("/registrations/{}", segment(id))).await? {
        Some(record) => work.retire(record).await.with_context(|| format!("'{id}'"))?,
        None => unrecorded(work, id, &found).await?,
    };
    let entry = if deletes && work.delete_entry(&path).await? { "deleted" } else { entry };
    work.finished(
        &plan,
        &json!({
            "registrationId": id,
            "enrollment": entry,
            "device": in_hub.as_str(),
            "record": if work.removes_records() { "deleted" } else { "kept" },
        }),
    )
    .await
}

async fn look(work: &Work<'_>, id: &str) -> Result<Found> {
    let enrollment = find(&work.dps, &format!("/enrollments/{}", segment(id))).await?;
    let record = find(&work.dps, &format!("/registrations/{}", segment(id))).await?;
    let mut asked = json!({});
    if let Some(path) = &work.args.certificate {
        asked["certificate"] = json!(input::certificate(path)?);
    }
    let path = format!("/registrations/{}/explain", segment(id));
    let explained = until_answered(async || work.dps.post(&path).json(asked.clone()).send().await).await;
    let explained = explained.with_context(|| format!("cannot tell who lets '{id}' in"))?.body;
    Ok(Found { enrollment, record, explained })
}

/// The plan, and whether the entry goes at the end.
fn plan(work: &Work<'_>, id: &str, found: &Found) -> (Plan, bool) {
    let mut plan = Plan::default();
    let again = found.after_deletion();
    match &found.enrollment {
        Some(own) if own["provisioningStatus"] == "disabled" => {
            plan.step(format!("the individual enrollment '{id}' is disabled already"));
        }
        Some(_) => plan.step(format!("disable the individual enrollment '{id}'")),
        None => {
            let by = if work.args.certificate.is_some() { "its certificate" } else { "a key" };
            plan.step(format!("create the individual enrollment '{id}' by {by}, disabled: it must stay"));
        }
    }
    let verb = if work.args.permanent { "delete" } else { "disable" };
    match &found.record {
        Some(record) => match (record["assignedHub"].as_str(), record["deviceId"].as_str()) {
            (Some(hub), Some(device)) => {
                plan.step(format!("{verb} the device '{device}' in {hub}, and cut it off"))
            }
            _ => plan.step("its registration record names no hub: there is no device"),
        },
        None => plan
            .step(format!("{verb} the device that has its id, in whichever hub it is: there is no record")),
    }
    let issued = found.record.as_ref().is_some_and(|record| record["issuedCertificates"].is_array());
    if work.args.permanent && issued {
        plan.step("revoke the certificates that were issued to it");
    }
    if work.args.permanent {
        plan.step("its digital twin is retired by the event that tells of the deletion");
    }
    if work.removes_records() && found.record.is_some() {
        plan.step("delete its registration record");
    }
    let wanted = work.args.permanent && found.enrollment.is_some();
    let deletes = wanted && (again.is_none() || work.args.delete_entry);
    match (wanted, &again) {
        (true, Some(who)) if deletes => {
            plan.warn(format!("{who} would let the device in again once its enrollment is deleted"));
        }
        (true, Some(who)) => {
            plan.warn(format!(
                "the enrollment stays, disabled: without it {who} would let the device in again"
            ));
        }
        _ => {}
    }
    if deletes {
        plan.step(format!("delete the individual enrollment '{id}'"));
    }
    (plan, deletes)
}

/// An entry that shuts a device of a group out: of its certificate, or of a key where that is lost.
async fn shut(work: &Work<'_>, id: &str, path: &str, found: &Found) -> Result<&'static str> {
    let mut attestation = json!({ "type": "symmetricKey" });
    if let Some(certificate) = &work.args.certificate {
        let primary = json!({ "certificate": input::certificate(certificate)? });
        attestation = json!({ "type": "x509", "x509": { "clientCertificates": { "primary": primary } } });
    }
    let of = &found.explained["registrationState"]["enrollmentGroupId"];
    let group = of.as_str().or_else(|| found.explained["now"]["decidedBy"]["enrollmentGroupId"].as_str());
    let body = json!({
        "registrationId": id,
        "attestation": attestation,
        "provisioningStatus": "disabled",
        "optionalDeviceInformation": { MARK: group.unwrap_or("unknown") },
    });
    match until_answered(async || work.dps.put(path).json(body.clone()).send().await).await {
        Ok(_) => Ok("created"),
        // Somebody else made one meanwhile, or an answer was lost.
        Err(error) if error.status() == Some(409) => {
            work.disable_entry(path).await?;
            Ok("disabled")
        }
        Err(error) => Err(error).context("cannot create the enrollment that shuts it out"),
    }
}

/// A device without a record, in whichever hub it is.
async fn unrecorded(work: &Work<'_>, id: &str, found: &Found) -> Result<InHub> {
    let named = found.enrollment.as_ref().and_then(|own| own["deviceId"].as_str());
    let mut all = InHub::Before;
    for hub in work.hubs.values() {
        match work.shut_out(hub, named.unwrap_or(id)).await? {
            InHub::Before => {}
            done => all = done,
        }
    }
    Ok(all)
}
