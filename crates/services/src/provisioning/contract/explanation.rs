//! An explanation as the service API shows it. The form is ours: Azure has none.

use serde_json::{Value, json};

use super::registration_state;
use crate::provisioning::{Decision, Entry, Explanation, MadeDevice, Vouching};

/// `{"registrationId", "by", "commonName"?, "now", "after"?, "ifDeleted"?, "ifDisabled"?, "groups", "uncertain", "unknownGroups"?,
/// "registrationState"?, "devices"?}`.
#[must_use]
pub fn explanation(said: &Explanation) -> Value {
    let mut out = json!({
        "registrationId": said.registration_id,
        "by": said.by,
        "now": decision(&said.now),
        "groups": said.groups.iter().map(vouching).collect::<Vec<_>>(),
        "uncertain": said.uncertain,
    });
    let more = [("after", &said.after), ("ifDeleted", &said.if_deleted), ("ifDisabled", &said.if_disabled)];
    for (name, found) in more {
        if let Some(found) = found {
            out[name] = decision(found);
        }
    }
    if let Some(name) = &said.common_name {
        out["commonName"] = json!(name);
    }
    if !said.unknown_groups.is_empty() {
        out["unknownGroups"] = json!(said.unknown_groups);
    }
    if !said.devices.is_empty() {
        let row = |one: &MadeDevice| json!({ "hub": one.hub, "deviceId": one.id.as_str(), "status": one.status.as_str() });
        out["devices"] = said.devices.iter().map(row).collect();
    }
    if let Some(record) = &said.record {
        out["registrationState"] = registration_state(record);
        out["registrationState"]["enrollmentGroupId"] = json!(record.group);
    }
    out
}

fn decision(said: &Decision) -> Value {
    json!({
        "verdict": said.verdict.as_str(),
        "decidedBy": said.by.as_ref().map(entry),
        "distance": said.distance,
        "reason": said.reason,
    })
}

/// An entry that speaks for a device.
#[must_use]
pub fn vouching(said: &Vouching) -> Value {
    let mut out = entry(&said.entry);
    out["provisioningStatus"] = json!(super::status(said.status));
    out["distance"] = json!(said.distance);
    out
}

/// Which entry of the list.
#[must_use]
pub fn entry(entry: &Entry) -> Value {
    match entry {
        Entry::Individual(id) => json!({ "kind": "individualEnrollment", "registrationId": id }),
        Entry::Group(id) => json!({ "kind": "enrollmentGroup", "enrollmentGroupId": id }),
    }
}
