//! `GET /revocations`: issued certificates that hold no more, and the revocation list. `POST /revocations`: revokes what was
//! issued to a device. Ours: Azure has no such paths.

use axum::response::Response;
use pollux_model::Result;
use pollux_model::resource::Revocation;
use serde::Deserialize;
use serde_json::{Value, json};

use super::call::Call;
use super::json as document;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Said {
    registration_id: String,
    /// Only this one.
    serial_number: Option<String>,
}

/// `GET`: `{"value": [revocation…], "revocationList": PEM or null}`.
pub(super) fn list(call: &Call) -> Result<Response> {
    let (all, list) = call.services.provisioning.revocations(&call.caller, &call.dps)?;
    let all: Vec<Value> = all.iter().map(view).collect();
    Ok(document(&json!({ "value": all, "revocationList": list })))
}

/// `POST`: `{"value": [revocation…]}`.
pub(super) async fn revoke(mut call: Call) -> Result<Response> {
    let Said { registration_id, serial_number } = call.json().await?;
    let provisioning = &call.services.provisioning;
    let serial = serial_number.as_deref();
    let revoked = provisioning.revoke_certificates(&call.caller, &call.dps, &registration_id, serial).await?;
    Ok(document(&json!({ "value": revoked.iter().map(view).collect::<Vec<_>>() })))
}

fn view(one: &Revocation) -> Value {
    json!({
        "registrationId": one.registration_id,
        "serialNumber": one.serial_number,
        "issuer": one.issuer,
        "revokedDateTimeUtc": one.revoked,
        "notAfterUtc": one.until,
    })
}
