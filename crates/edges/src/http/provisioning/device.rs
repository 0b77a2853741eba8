//! The device API: a device registers, asks what became of it, looks up its record.
//!
//! Azure REST reference, "Runtime Registration". A refusal tells nothing of what exists: an unknown ID scope, an
//! unknown device and a wrong key look alike.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{AUTHORIZATION, HeaderValue, RETRY_AFTER};
use http::request::Parts;
use http::{HeaderMap, StatusCode};
use pollux_model::registration::RegistrationStatus;
use pollux_model::resource::{Properties, Resource};
use pollux_model::sas::SasToken;
use pollux_model::{Error, ErrorCode, RegistrationId, Result, ids};
use pollux_services::provisioning::contract::{device_registration_state, operation_state};
use pollux_services::provisioning::{OperationStatus, RegisterRequest, TpmKeys};
use pollux_services::{Caller, Services};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{json as document, tagged};
use crate::http::body;
use crate::http::rest::Parameters;
use crate::http::target::Target;
use crate::peer::Peer;
use crate::provisioning_status;
use crate::registering::{Tpm, is_before_reprovisioning, signing_request};

/// Room for the keys of a TPM in a registration, in bytes.
const TPM_ROOM: usize = 16 * 1024;

/// A device that proved who it is.
struct Device {
    dps: Arc<Resource>,
    caller: Caller,
    id: RegistrationId,
    parameters: Parameters,
    body: Body,
}

/// What a registering device sends.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct RegisterBody {
    registration_id: Option<String>,
    payload: Option<Value>,
    tpm: Option<Tpm>,
    /// See [`signing_request`].
    #[serde(alias = "clientCertificateCsr")]
    csr: Option<String>,
}

/// `PUT …/register`: begins a registration or joins the one that runs.
pub(super) async fn register(
    services: &Arc<Services>,
    request: Request,
    scope: &str,
    id: &str,
) -> Result<Response> {
    let request = match challenge(services, request, scope, id).await? {
        Challenged::Answered(response) => return Ok(response),
        Challenged::No(request) => request,
    };
    let device = attested(services, request, scope, id).await?;
    let force =
        device.parameters.get("forceRegistration").is_some_and(|text| text.eq_ignore_ascii_case("true"));
    let RegisterBody { payload, tpm, csr, .. } = read(services, device.body, id).await?;
    let storage_root_key = tpm.map(|tpm| tpm.storage_root()).transpose()?;
    let payload = payload.filter(|payload| !payload.is_null());
    let signing_request = csr.as_deref().map(signing_request).transpose()?;
    let stays = device.parameters.get("api-version").is_some_and(is_before_reprovisioning);
    let wanted = RegisterRequest { payload, force, stays, storage_root_key, signing_request };
    let status = services.provisioning.register(&device.caller, &device.dps, wanted).await?;
    let mut response = accepted(services, &status);
    // Whatever the operation came to meanwhile, a registration is polled for.
    *response.status_mut() = StatusCode::ACCEPTED;
    Ok(response)
}

/// `GET …/operations/{operation}`.
pub(super) async fn operation(
    services: &Arc<Services>,
    request: Request,
    scope: &str,
    id: &str,
    operation: &str,
) -> Result<Response> {
    let device = attested(services, request, scope, id).await?;
    let provisioning = &services.provisioning;
    let status = provisioning.operation_status(&device.caller, &device.dps, &device.id, operation).await?;
    Ok(accepted(services, &status))
}

/// `POST /{idScope}/registrations/{id}`: the record as it stands.
pub(super) async fn look_up(
    services: &Arc<Services>,
    request: Request,
    scope: &str,
    id: &str,
) -> Result<Response> {
    let device = attested(services, request, scope, id).await?;
    read(services, device.body, id).await?;
    let record = services.provisioning.own_registration(&device.caller, &device.dps, &device.id).await?;
    Ok(tagged(&device_registration_state(&record), &record.etag))
}

/// 202 with `Retry-After` while the operation runs, else 200.
fn accepted(services: &Services, status: &OperationStatus) -> Response {
    let record = &status.registration;
    let running = record.status == RegistrationStatus::Assigning;
    let mut out = Map::new();
    out.insert("operationId".into(), json!(status.operation_id));
    out.insert("status".into(), json!(record.status.as_str()));
    if !running {
        out.insert("registrationState".into(), operation_state(status));
    }
    let mut response = document(&Value::Object(out));
    if running {
        *response.status_mut() = StatusCode::ACCEPTED;
        let seconds = services.context.limits.registration_retry_after_seconds;
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

/// What comes of a registration that may be a TPM's first.
enum Challenged {
    /// It is.
    Answered(Response),
    /// It is another one.
    No(Request),
}

/// A device that shows nothing but the public keys of its TPM is told what to sign with: 401, and `authenticationKey` beside
/// what any refusal says (`http.js` of npm's azure-iot-provisioning-device-http, `prov_transport_http_client.c` of the SDK
/// for C). Whom no enrollment knows by these keys is refused like any other.
async fn challenge(services: &Services, request: Request, scope: &str, id: &str) -> Result<Challenged> {
    let (parts, body) = request.into_parts();
    let shows = parts.extensions.get::<Peer>().is_some_and(Peer::shows);
    if shows || parts.headers.contains_key(AUTHORIZATION) {
        return Ok(Challenged::No(Request::from_parts(parts, body)));
    }
    let dps = provisioning_service(&parts, scope)?;
    // Nobody has proved anything yet: no more is read than a registration takes.
    let most = services.context.limits.registration_payload + TPM_ROOM;
    let bytes = body::of_stranger(body, most).await?;
    let Some(tpm) = parsed(&bytes, id).ok().and_then(|body| body.tpm) else {
        return Ok(Challenged::No(Request::from_parts(parts, Body::from(bytes))));
    };
    let (endorsement, storage_root) = (tpm.endorsement()?, tpm.storage_root()?);
    let keys = TpmKeys { endorsement: &endorsement, storage_root: &storage_root };
    let from = parts.extensions.get::<Peer>().map(|peer| peer.address.ip());
    let key = services.provisioning.tpm_challenge(&dps, id, keys, from).await?;
    let message =
        "sign a token with the key that the TPM makes of authenticationKey, and register again with it";
    let mut said =
        provisioning_status::envelope(&services.context, &Error::new(ErrorCode::Unauthorized, message));
    said["authenticationKey"] = json!(STANDARD.encode(key));
    said["keyName"] = json!("registration");
    let mut response = document(&said);
    *response.status_mut() = StatusCode::UNAUTHORIZED;
    Ok(Challenged::Answered(response))
}

async fn attested(services: &Arc<Services>, request: Request, scope: &str, id: &str) -> Result<Device> {
    let (parts, body) = request.into_parts();
    let dps = provisioning_service(&parts, scope)?;
    let peer = parts.extensions.get::<Peer>();
    let shown = peer.and_then(Peer::chain).filter(|_| !parts.headers.contains_key(AUTHORIZATION));
    let (provisioning, from) = (&services.provisioning, peer.map(|peer| peer.address.ip()));
    let caller = match shown {
        Some(Ok(chain)) => provisioning.attest_by_certificate(&dps, id, chain, from).await?,
        Some(Err(error)) => return Err(Error::new(ErrorCode::Unauthorized, error.to_string())),
        None => provisioning.attest_by_token(&dps, id, &token(&parts.headers)?, from).await?,
    };
    let parameters = Parameters::of(&parts.uri);
    parameters.check_version()?;
    Ok(Device { dps, caller, id: RegistrationId::parse(id)?, parameters, body })
}

/// The provisioning service of the request, if the ID scope in the path is its own.
fn provisioning_service(parts: &Parts, scope: &str) -> Result<Arc<Resource>> {
    let unknown = || {
        Error::new(ErrorCode::Unauthorized, format!("the ID scope '{}' is not known here", ids::shown(scope)))
    };
    let Target(dps) = parts.extensions.get::<Target>().cloned().ok_or_else(unknown)?;
    let own = matches!(&dps.properties, Properties::Dps(own) if own.id_scope.eq_ignore_ascii_case(scope));
    if own { Ok(dps) } else { Err(unknown()) }
}

fn token(headers: &HeaderMap) -> Result<SasToken> {
    let refused = |message: &str| Error::new(ErrorCode::Unauthorized, message);
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return Err(refused(
            "the request must carry one Authorization header with a shared access signature",
        ));
    };
    let text = value.to_str().map_err(|_| refused("the Authorization header is not plain ASCII"))?;
    SasToken::parse(text).map_err(|error| refused(&error.to_string()))
}

/// Reads the body; an empty one counts as `{}`.
async fn read(services: &Services, sent: Body, id: &str) -> Result<RegisterBody> {
    let bytes = body::read(sent, services.context.limits.request_body).await?;
    parsed(&bytes, id)
}

fn parsed(bytes: &[u8], id: &str) -> Result<RegisterBody> {
    if bytes.is_empty() {
        return Ok(RegisterBody::default());
    }
    let read: RegisterBody = serde_json::from_slice(bytes)
        .map_err(|error| Error::invalid(format!("the body is not the JSON expected: {error}")))?;
    if let Some(other) = read.registration_id.as_ref().filter(|said| !said.eq_ignore_ascii_case(id)) {
        let (said, path) = (ids::shown(other), ids::shown(id));
        return Err(Error::invalid(format!("the body's registrationId '{said}' is not the path's '{path}'")));
    }
    Ok(read)
}
