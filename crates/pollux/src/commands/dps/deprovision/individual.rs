//! One device.

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};

use super::device::{InHub, find, in_hub};
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
    /// Its hub and its id there, as the record says.
    place: Option<(String, String)>,
    /// Its identity in that hub.
    in_hub: Option<Value>,
    /// It needs an entry, and there may be no more of them.
    full: bool,
}

impl Found {
    /// The devices that its registrations made, by hub and id, and what they are; without the one that its record tells of.
    fn made(&self) -> impl Iterator<Item = (&str, &str, &Value)> {
        let made = self.explained["devices"].as_array().map(Vec::as_slice).unwrap_or_default();
        let made = made.iter().map(|made| {
            let [host, device] = ["hub", "deviceId"].map(|name| made[name].as_str().unwrap_or_default());
            (host, device, &made["status"])
        });
        made.filter(|(host, device, _)| {
            self.place.as_ref().is_none_or(|(at, id)| !at.eq_ignore_ascii_case(host) || id != device)
        })
    }

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
            .then(|| "a group, of which only its certificate or key could tell,".to_owned())
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
    let whom = ("registrationId", id);
    work.begun(whom, &plan).await?;
    let path = format!("/enrollments/{}", segment(id));
    let entry = match work.disable_entry(&path).await? {
        Some(true) => "disabled",
        Some(false) => "unchanged",
        None => match shut(work, id, &path, &found).await {
            Ok(entry) => entry,
            Err(error) => return Err(disabled_at_least(work, &found, error).await?),
        },
    };
    // What the record says now, with nobody let in any more.
    let record = find(&work.dps, &format!("/registrations/{}", segment(id))).await?;
    let told = match (&record, work.removes_records()) {
        (None, _) => "missing",
        (Some(_), true) => "deleted",
        (Some(_), false) => "kept",
    };
    let in_hub = match record {
        Some(record) => work.retire(record).await.with_context(|| format!("'{id}'"))?,
        None => InHub::Before,
    };
    let in_hub = in_hub.or(unrecorded(work, &found).await?);
    let entry = if deletes && work.delete_entry(&path).await? { "deleted" } else { entry };
    work.finished(
        whom,
        &plan,
        &json!({
            "registrationId": id,
            "enrollment": entry,
            "device": in_hub.as_str(),
            "record": told,
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
    if let Some(path) = &work.args.certificate {
        let name = explained["commonName"].as_str().unwrap_or_default();
        if !name.eq_ignore_ascii_case(id) {
            bail!("'{}' is the certificate of '{name}', not of '{id}'", path.display());
        }
    }
    let place = record.as_ref().and_then(|record| {
        Some((record["assignedHub"].as_str()?.to_owned(), record["deviceId"].as_str()?.to_owned()))
    });
    let in_hub = match &place {
        Some((host, device)) => match work.hub(host) {
            Some(hub) => find(hub, &in_hub(device)).await?,
            None => None,
        },
        None => None,
    };
    let full = enrollment.is_none() && work.enrollments_are_full().await?;
    Ok(Found { enrollment, record, explained, place, in_hub, full })
}

/// The plan, and whether the entry goes at the end.
fn plan(work: &Work<'_>, id: &str, found: &Found) -> (Plan, bool) {
    let mut plan = Plan::default();
    match &found.enrollment {
        Some(own) if own["provisioningStatus"] == "disabled" => {
            plan.step(format!("the individual enrollment '{id}' is disabled already"));
        }
        Some(_) => plan.step(format!("disable the individual enrollment '{id}'")),
        None => plan.step(format!("make a disabled individual enrollment '{id}', which shuts it out")),
    }
    if found.full {
        plan.warn("there are as many individual enrollments as there may be, so none can be made: delete some first");
    }
    let issued = found.record.as_ref().is_some_and(|record| record["issuedCertificates"].is_array());
    if work.args.permanent && issued {
        plan.step("revoke the certificates that were issued to it");
    }
    plan_in_hub(work, found, &mut plan);
    if work.removes_records() && found.record.is_some() {
        plan.step("delete its registration record");
    }
    let again = found.after_deletion();
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

/// What becomes of the device itself.
fn plan_in_hub(work: &Work<'_>, found: &Found, plan: &mut Plan) {
    let before = plan.steps.len();
    match (&found.place, &found.in_hub) {
        (Some((host, _)), None) if work.hub(host).is_none() => {
            plan.step(format!("the hub {host}, where the device was, is gone"));
        }
        (Some((host, device)), None) => plan.step(format!("there is no device '{device}' in {host}")),
        (Some((host, device)), Some(now)) => plan.step(work.said_of_device(host, device, &now["status"])),
        (None, _) if found.made().next().is_none() => plan.step("no registration of it made a device"),
        (None, _) => {}
    }
    for (host, device, status) in found.made() {
        plan.step(work.said_of_device(host, device, status));
    }
    if work.args.permanent && plan.steps[before..].iter().any(|step| step.starts_with(work.verb())) {
        plan.step("its digital twin is retired by the event that tells of the deletion");
    }
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
    let put = async || work.dps.put(path).json(body.clone()).send().await;
    // Waiting makes no room.
    let sent = if found.full { put().await } else { until_answered(put).await };
    match sent {
        Ok(_) => Ok("created"),
        // Somebody else made one meanwhile, or an answer was lost.
        Err(error) if error.status() == Some(409) => {
            work.disable_entry(path).await?;
            Ok("disabled")
        }
        Err(error) => Err(error).context("cannot create the enrollment that shuts it out"),
    }
}

/// Where no entry could be made the device is let in by its group as before, but its hub keeps it disabled. It must not be
/// deleted: it would be made anew.
async fn disabled_at_least(work: &Work<'_>, found: &Found, error: anyhow::Error) -> Result<anyhow::Error> {
    let hub = found.place.as_ref().and_then(|(host, device)| Some((work.hub(host)?, device)));
    let Some((hub, device)) = hub else { return Ok(error) };
    let disabled = work.disable(hub, &in_hub(device)).await?;
    Ok(match disabled {
        InHub::Disabled => error.context("its hub keeps it out meanwhile, disabled; run it again"),
        _ => error,
    })
}

/// What its registrations made and no record tells of, in whichever hub that is.
async fn unrecorded(work: &Work<'_>, found: &Found) -> Result<InHub> {
    let mut all = InHub::Before;
    for (host, device, _) in found.made() {
        all = work.shut_out(host, device).await?.or(all);
    }
    Ok(all)
}
