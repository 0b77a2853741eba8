//! A device that proved its registration id: what it may ask on a connection of its own, MQTT or AMQP.
//!
//! Both protocols carry the same documents (Azure articles "Communicate with DPS using the MQTT protocol" and "… using the
//! AMQP protocol"); where they differ, in what stands around a document, they do so in their own files.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use pollux_model::registration::RegistrationStatus;
use pollux_model::resource::Resource;
use pollux_model::{Error, ErrorCode, RegistrationId, Result};
use pollux_services::caller::Identity;
use pollux_services::provisioning::{RegisterRequest, contract};
use pollux_services::{Caller, Services};
use pollux_x509::SigningRequest;
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// A device and the provisioning service that it registers with.
#[derive(Debug)]
pub(crate) struct Registering {
    pub(crate) services: Arc<Services>,
    pub(crate) caller: Caller,
    dps: Arc<Resource>,
    id: RegistrationId,
}

/// A document, and the status that HTTP would give it.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) body: Value,
}

/// What a device says when it registers.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) payload: Option<Value>,
    /// Its TPM's public keys.
    pub(crate) tpm: Option<Tpm>,
    /// What it wants a certificate made of.
    pub(crate) signing_request: Option<Vec<u8>>,
}

/// Names of a certificate signing request in a registration: of api-version 2025-07-01-preview (base64 of DER), and of
/// 2021-11-01-preview (PEM; `az_iot_provisioning_client.c` of the SDK for C). Either form is taken under either.
pub(crate) const SIGNING_REQUEST: [&str; 2] = ["csr", "clientCertificateCsr"];

/// The DER of a certificate signing request, whose maker has the key.
pub(crate) fn signing_request(text: &str) -> Result<Vec<u8>> {
    let read = SigningRequest::from_text(text).map_err(|error| Error::invalid(format!("csr: {error}")))?;
    Ok(read.der().to_vec())
}

/// The public keys of a TPM, as a device sends them: base64 of `TPM2B_PUBLIC`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Tpm {
    pub(crate) endorsement_key: Option<String>,
    pub(crate) storage_root_key: Option<String>,
}

impl Tpm {
    /// The endorsement key.
    pub(crate) fn endorsement(&self) -> Result<Vec<u8>> {
        decoded(self.endorsement_key.as_deref(), "endorsementKey")
    }

    /// The storage root key.
    pub(crate) fn storage_root(&self) -> Result<Vec<u8>> {
        decoded(self.storage_root_key.as_deref(), "storageRootKey")
    }
}

fn decoded(text: Option<&str>, name: &str) -> Result<Vec<u8>> {
    let text = text.ok_or_else(|| Error::invalid(format!("tpm.{name} is missing")))?;
    STANDARD.decode(text).map_err(|error| Error::invalid(format!("tpm.{name} is no base64: {error}")))
}

/// Whether a version of the API is from before reprovisioning policies (Azure article "IoT Hub Device reprovisioning concepts":
/// "2018-04-01 and earlier").
pub(crate) fn is_before_reprovisioning(version: &str) -> bool {
    version.get(..10).is_some_and(|date| date <= "2018-04-01")
}

impl Reply {
    /// Seconds after which the device is to ask again, where it is.
    pub(crate) fn retry_after(&self, services: &Services) -> Option<u32> {
        matches!(self.status, 202 | 429 | 500..)
            .then_some(services.context.limits.registration_retry_after_seconds)
    }
}

impl Registering {
    /// `caller` is who attestation says it is; [`ErrorCode::Forbidden`] where that is no registering device.
    pub(crate) fn new(services: Arc<Services>, dps: Arc<Resource>, caller: Caller) -> Result<Self> {
        let Identity::Registration { id, .. } = &caller.identity else {
            return Err(Error::new(ErrorCode::Forbidden, "the caller is no registering device"));
        };
        let id = id.clone();
        Ok(Self { services, caller, dps, id })
    }

    /// Whether it is this device of the service with this ID scope.
    pub(crate) fn is(&self, scope: &str, id: &str) -> bool {
        let own = matches!(&self.dps.properties, pollux_model::resource::Properties::Dps(dps) if dps.id_scope.eq_ignore_ascii_case(scope));
        own && self.id.eq_ignore_ascii_case(id)
    }

    /// Begins a registration, or joins the one that runs: 202. `stays`: see [`is_before_reprovisioning`].
    pub(crate) async fn register(&self, said: Said, force: bool, stays: bool) -> Result<Reply> {
        let storage_root_key = said.tpm.as_ref().map(Tpm::storage_root).transpose()?;
        let Said { payload, signing_request, .. } = said;
        let request = RegisterRequest { payload, force, stays, storage_root_key, signing_request };
        let begun = self.services.provisioning.register(&self.caller, &self.dps, request).await?;
        Ok(Reply { status: 202, body: json!({"operationId": begun.operation_id, "status": "assigning"}) })
    }

    /// What became of an operation: 202 while it runs, else 200.
    pub(crate) async fn status(&self, operation_id: &str) -> Result<Reply> {
        let provisioning = &self.services.provisioning;
        let found = provisioning.operation_status(&self.caller, &self.dps, &self.id, operation_id).await?;
        let word = found.registration.status;
        let status = if word == RegistrationStatus::Assigning { 202 } else { 200 };
        let body = json!({
            "operationId": found.operation_id,
            "status": word.as_str(),
            "registrationState": contract::operation_state(&found),
        });
        Ok(Reply { status, body })
    }

    /// Reads a registration's body (`DeviceRegistration` of the DPS device API; names without regard to case, as the real
    /// service reads them). An empty one says nothing.
    pub(crate) fn said(&self, body: &[u8]) -> Result<Said> {
        let text = body.trim_ascii();
        if text.is_empty() {
            return Ok(Said { payload: None, tpm: None, signing_request: None });
        }
        let mut fields: Map<String, Value> = serde_json::from_slice(text)
            .map_err(|error| Error::invalid(format!("the body must be a JSON object: {error}")))?;
        let mut take = |name: &str| {
            let key = fields.keys().find(|key| key.eq_ignore_ascii_case(name)).cloned()?;
            fields.swap_remove(&key).filter(|value| !value.is_null())
        };
        match take("registrationId") {
            None => {}
            Some(Value::String(id)) if id.eq_ignore_ascii_case(&self.id) => {}
            Some(_) => return Err(Error::invalid("registrationId must be that of the user name")),
        }
        let payload = take("payload");
        let signing_request = match SIGNING_REQUEST.into_iter().find_map(&mut take) {
            None => None,
            Some(Value::String(text)) => Some(signing_request(&text)?),
            Some(_) => return Err(Error::invalid("csr must be text: base64 of DER, or PEM")),
        };
        let tpm = take("tpm").map(serde_json::from_value).transpose();
        let tpm = tpm.map_err(|error| Error::invalid(format!("tpm is not what was expected: {error}")))?;
        Ok(Said { payload, tpm, signing_request })
    }
}
