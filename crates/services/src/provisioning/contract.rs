//! Enrollments and registrations as the DPS API and its webhook show them.
//!
//! One form, two readers: the service API's answers and the body that a custom allocation webhook gets (Azure article
//! "Understand custom allocation policies"). What is read from clients is parsed in `edges`.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use pollux_model::device::Status;
use pollux_model::enrollment::{
    Allocation, Attestation, CertificateTrust, Der, EnrollmentGroup, EnrollmentRules, IndividualEnrollment,
    Rollover,
};
use pollux_model::registration::{Registration, RegistrationStatus};
use pollux_model::resource::Resource;
use pollux_x509::Certificate;
use serde_json::{Map, Value, json};

use super::allocate::Candidate;
use super::groups::Group;
use super::{Entry, OperationStatus};

mod explanation;

pub use explanation::{entry, explanation, vouching};

/// The enrollment that decides for a device.
#[derive(Debug, Clone)]
pub(super) enum EnrollmentRef {
    /// Its own.
    Individual(Box<IndividualEnrollment>),
    /// Its group's.
    Group(Arc<Group>),
}

impl EnrollmentRef {
    /// Which.
    pub(super) fn entry(&self) -> Entry {
        match self {
            Self::Individual(enrollment) => Entry::Individual(enrollment.registration_id.clone()),
            Self::Group(group) => Entry::Group(group.id.clone()),
        }
    }
}

/// Whether secrets are part of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keys {
    /// Keys are left out, as reading an enrollment does.
    Hidden,
    /// Keys are shown, as writing an enrollment and asking for its attestation mechanism do.
    Shown,
}

/// An individual enrollment.
#[must_use]
pub fn individual(enrollment: &IndividualEnrollment, keys: Keys, record: Option<&Registration>) -> Value {
    let mut out = Map::new();
    out.insert("registrationId".into(), json!(enrollment.registration_id));
    if let Some(device_id) = &enrollment.device_id {
        out.insert("deviceId".into(), json!(device_id));
    }
    if let Some(record) = record {
        out.insert("registrationState".into(), registration_state(record));
    }
    if let Some(information) = &enrollment.optional_device_information {
        out.insert("optionalDeviceInformation".into(), json!(information));
    }
    out.insert("attestation".into(), attestation(&enrollment.attestation, keys));
    rules(&mut out, &enrollment.rules);
    Value::Object(out)
}

/// An enrollment group.
#[must_use]
pub fn group(group: &EnrollmentGroup, keys: Keys) -> Value {
    let mut out = Map::new();
    out.insert("enrollmentGroupId".into(), json!(group.id));
    out.insert("attestation".into(), attestation(&group.attestation, keys));
    rules(&mut out, &group.rules);
    Value::Object(out)
}

/// The attestation mechanism.
#[must_use]
pub fn attestation(attestation: &Attestation, shown: Keys) -> Value {
    match (attestation, shown) {
        (Attestation::SymmetricKey { .. }, Keys::Hidden) => json!({"type": "symmetricKey"}),
        (Attestation::SymmetricKey { keys }, Keys::Shown) => json!({
            "type": "symmetricKey",
            "symmetricKey": {"primaryKey": keys.primary.reveal(), "secondaryKey": keys.secondary.reveal()},
        }),
        (Attestation::X509 { trust }, _) => json!({"type": "x509", "x509": certificates(trust)}),
        (Attestation::Tpm { endorsement_key, storage_root_key, .. }, _) => {
            json!({"type": "tpm", "tpm": tpm(endorsement_key, storage_root_key.as_ref())})
        }
    }
}

/// The public keys of a TPM, in base64.
fn tpm(endorsement_key: &Der, storage_root_key: Option<&Der>) -> Value {
    let mut out = Map::new();
    out.insert("endorsementKey".into(), json!(endorsement_key));
    if let Some(key) = storage_root_key {
        out.insert("storageRootKey".into(), json!(key));
    }
    Value::Object(out)
}

/// Of certificates what they say is shown, as the real service does; of names the names.
fn certificates(trust: &CertificateTrust) -> Value {
    let shown = |certificates: &Rollover<Der>| {
        let one =
            |one: &Option<Der>| one.as_ref().map(|one| json!({"info": certificate_information(&one.0)}));
        json!({"primary": one(&certificates.primary), "secondary": one(&certificates.secondary)})
    };
    match trust {
        CertificateTrust::Client(certificates) => json!({"clientCertificates": shown(certificates)}),
        CertificateTrust::Signing(certificates) => json!({"signingCertificates": shown(certificates)}),
        CertificateTrust::References(names) => {
            json!({"caReferences": {"primary": names.primary, "secondary": names.secondary}})
        }
    }
}

/// `X509CertificateInfo` of the service API, of a certificate in DER.
#[must_use]
pub fn certificate_information(der: &[u8]) -> Value {
    let Ok(certificate) = Certificate::from_der(der) else { return Value::Null };
    json!({
        "subjectName": certificate.subject(),
        "sha1Thumbprint": certificate.sha1_thumbprint(),
        "sha256Thumbprint": certificate.sha256_thumbprint(),
        "issuerName": certificate.issuer(),
        "notBeforeUtc": certificate.not_before(),
        "notAfterUtc": certificate.not_after(),
        "serialNumber": certificate.serial_number(),
        "version": certificate.version(),
    })
}

fn rules(out: &mut Map<String, Value>, rules: &EnrollmentRules) {
    out.insert("capabilities".into(), json!({"iotEdge": rules.iot_edge}));
    if let [only] = rules.hubs.as_slice() {
        out.insert("iotHubHostName".into(), json!(only));
    }
    if let Some(twin) = &rules.initial_twin {
        out.insert("initialTwin".into(), json!({"tags": twin.tags, "properties": {"desired": twin.desired}}));
    }
    out.insert("etag".into(), json!(format!("\"{}\"", rules.etag)));
    out.insert("provisioningStatus".into(), json!(status(rules.status)));
    // Who writes back what he read must not set one that was not there: it decides for old devices.
    if let Some(policy) = rules.reprovision {
        let policy = json!({
            "updateHubAssignment": policy.update_hub_assignment,
            "migrateDeviceData": policy.migrate_device_data,
        });
        out.insert("reprovisionPolicy".into(), policy);
    }
    out.insert("createdDateTimeUtc".into(), json!(rules.created));
    out.insert("lastUpdatedDateTimeUtc".into(), json!(rules.updated));
    let (policy, webhook) = match &rules.allocation {
        Allocation::Hashed => ("hashed", None),
        Allocation::Static => ("static", None),
        Allocation::GeoLatency => ("geoLatency", None),
        Allocation::Custom { webhook } => ("custom", Some(webhook)),
    };
    out.insert("allocationPolicy".into(), json!(policy));
    out.insert("iotHubs".into(), json!(rules.hubs));
    if let Some(webhook) = webhook {
        let definition = json!({"webhookUrl": webhook.url, "apiVersion": webhook.api_version});
        out.insert("customAllocationDefinition".into(), definition);
    }
}

const fn status(status: Status) -> &'static str {
    match status {
        Status::Enabled => "enabled",
        Status::Disabled => "disabled",
    }
}

/// A registration record, as the service API and the device API show it.
#[must_use]
pub fn registration_state(record: &Registration) -> Value {
    let mut out = Map::new();
    out.insert("registrationId".into(), json!(record.displayed_id));
    out.insert("createdDateTimeUtc".into(), json!(record.created));
    if let Some(hub) = &record.assigned_hub {
        out.insert("assignedHub".into(), json!(hub));
    }
    if let Some(device_id) = &record.device_id {
        out.insert("deviceId".into(), json!(device_id));
    }
    out.insert("status".into(), json!(record.status.as_str()));
    if let Some(substatus) = record.substatus.filter(|_| record.status == RegistrationStatus::Assigned) {
        out.insert("substatus".into(), json!(substatus.as_str()));
    }
    if let Some(failure) = &record.failure {
        out.insert("errorCode".into(), json!(failure.code));
        out.insert("errorMessage".into(), json!(failure.message));
    }
    out.insert("lastUpdatedDateTimeUtc".into(), json!(record.updated));
    out.insert("etag".into(), json!(format!("\"{}\"", record.etag)));
    if let Some(payload) = &record.payload {
        out.insert("payload".into(), payload.clone());
    }
    // Ours: what can be revoked.
    if !record.issued.is_empty() {
        let issued = record.issued.iter().map(|one| {
            json!({
                "serialNumber": one.serial_number,
                "sha256Thumbprint": one.thumbprint,
                "notAfterUtc": one.not_after,
            })
        });
        out.insert("issuedCertificates".into(), issued.collect());
    }
    Value::Object(out)
}

/// A registration record as its device sees it: beside the rest, how it proved itself and through which group (REST reference
/// "Runtime Registration", `DeviceRegistrationResult`).
#[must_use]
pub fn device_registration_state(record: &Registration) -> Value {
    let mut out = registration_state(record);
    let proof = match &record.operation {
        operation if operation.certificate.is_some() => "x509",
        operation if operation.storage_root_key.is_some() => "tpm",
        _ => "symmetricKey",
    };
    out[proof] = match &record.group {
        Some(group) => json!({ "enrollmentGroupId": group }),
        None => json!({}),
    };
    out
}

/// The registration record as the device that polls for it sees it: with what its TPM is to open, where it has one
/// (`tpm_registration.js` of npm's azure-iot-provisioning-device).
#[must_use]
pub fn operation_state(status: &OperationStatus) -> Value {
    let mut state = device_registration_state(&status.registration);
    if let Some(key) = &status.tpm_key {
        state["tpm"] = json!({"authenticationKey": STANDARD.encode(key)});
    }
    let record = &status.registration;
    let asked = record.status == RegistrationStatus::Assigned && record.operation.signing_request.is_some();
    if let Some(issued) = record.issued.first().filter(|_| asked) {
        state["issuedCertificateChain"] = json!(issued.chain);
        let leaf = issued.chain.first().map(|Der(der)| pollux_x509::pem(der));
        state["issuedClientCertificate"] = json!(leaf);
    }
    state
}

/// The body that a custom allocation webhook gets.
pub(super) fn webhook_request(
    enrollment: &EnrollmentRef,
    record: &Registration,
    current: Option<&Resource>,
    candidates: &[Candidate],
) -> Value {
    let mut context = Map::new();
    context.insert("registrationId".into(), json!(record.displayed_id));
    if let (Some(hub), Some(device_id)) = (current, &record.device_id) {
        context.insert("currentIotHubHostName".into(), json!(hub.host_name));
        context.insert("currentDeviceId".into(), json!(device_id));
    }
    // How it proved itself; a certificate's fields are not part of the record.
    let (mechanism, shown) = match (enrollment, &record.operation.storage_root_key) {
        _ if record.operation.certificate.is_some() => ("x509", json!({})),
        (EnrollmentRef::Individual(one), key) => match &one.attestation {
            Attestation::Tpm { endorsement_key, .. } => ("tpm", tpm(endorsement_key, key.as_ref())),
            _ => ("symmetricKey", json!({})),
        },
        _ => ("symmetricKey", json!({})),
    };
    context.insert(mechanism.into(), shown);
    if let Some(payload) = &record.operation.payload {
        context.insert("payload".into(), payload.clone());
    }
    let hubs: Vec<_> = candidates.iter().map(|(hub, _)| hub.host_name.as_str()).collect();
    let (name, document) = match enrollment {
        EnrollmentRef::Individual(enrollment) => {
            ("individualEnrollment", individual(enrollment, Keys::Hidden, None))
        }
        EnrollmentRef::Group(group) => ("enrollmentGroup", group.shown().clone()),
    };
    json!({name: document, "deviceRuntimeContext": context, "linkedHubs": hubs})
}
