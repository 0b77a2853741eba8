//! Certificates of authorities over the admin API: those a provisioning service trusts.

use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Json, Router};
use http::HeaderMap;
use http::header::ETAG;
use pollux_model::enrollment::Der;
use pollux_model::resource::CaCertificate;
use pollux_model::{ResourceName, Result};
use pollux_services::Caller;
use pollux_services::provisioning::{Expect, contract};
use serde::Deserialize;
use serde_json::{Value, json};

use super::resources::named;
use super::{Admin, nothing, refusal};
use crate::http::body;
use crate::http::rest::IfMatch;

const ALL: &str = "/admin/resources/dps/{name}/certificates";

pub(super) fn routes() -> Router<Admin> {
    Router::new()
        .route(ALL, get(list))
        .route(&format!("{ALL}/{{certificate}}"), get(show).put(put).delete(delete))
        .route(&format!("{ALL}/{{certificate}}/verification-code"), post(make_code))
        .route(&format!("{ALL}/{{certificate}}/verify"), post(verify))
}

/// What stands in the path.
#[derive(Deserialize)]
struct Place {
    name: String,
    #[serde(default)]
    certificate: String,
}

impl Place {
    fn dps(&self) -> Result<ResourceName> {
        named(&self.name)
    }
}

/// `CertificateBodyDescription` of ARM.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Said {
    /// PEM, or base64 of DER.
    certificate: String,
    #[serde(default)]
    is_verified: bool,
}

async fn list(
    State(admin): State<Admin>,
    Path(place): Path<Place>,
    Extension(caller): Extension<Caller>,
) -> Response {
    let found = || admin.services.resources.certificates(&caller, &place.dps()?);
    super::answer(found().map(|all| json!({ "value": all.iter().map(view).collect::<Vec<_>>() })))
}

async fn show(
    State(admin): State<Admin>,
    Path(place): Path<Place>,
    Extension(caller): Extension<Caller>,
) -> Response {
    shown(place.dps().and_then(|dps| admin.services.resources.certificate(&caller, &dps, &place.certificate)))
}

async fn put(
    State(admin): State<Admin>,
    Path(place): Path<Place>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let made = async {
        let Said { certificate, is_verified } = read(&admin, body).await?;
        let (dps, expect) = (place.dps()?, expected(&headers)?);
        let resources = &admin.services.resources;
        resources.put_certificate(&caller, &dps, &place.certificate, &certificate, is_verified, expect).await
    };
    shown(made.await)
}

async fn delete(
    State(admin): State<Admin>,
    Path(place): Path<Place>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
) -> Response {
    let gone = async {
        let (dps, expect) = (place.dps()?, expected(&headers)?);
        admin.services.resources.delete_certificate(&caller, &dps, &place.certificate, expect).await
    };
    nothing(gone.await)
}

async fn make_code(
    State(admin): State<Admin>,
    Path(place): Path<Place>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
) -> Response {
    let made = async {
        let (dps, expect) = (place.dps()?, expected(&headers)?);
        admin.services.resources.make_verification_code(&caller, &dps, &place.certificate, expect).await
    };
    shown(made.await)
}

async fn verify(
    State(admin): State<Admin>,
    Path(place): Path<Place>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let verified = async {
        let Said { certificate, .. } = read(&admin, body).await?;
        let (dps, expect) = (place.dps()?, expected(&headers)?);
        let resources = &admin.services.resources;
        resources.verify_certificate(&caller, &dps, &place.certificate, &certificate, expect).await
    };
    shown(verified.await)
}

async fn read(admin: &Admin, sent: Body) -> Result<Said> {
    body::json(sent, admin.services.context.limits.request_body).await
}

/// `If-Match`, or anything.
fn expected(headers: &HeaderMap) -> Result<Expect> {
    Ok(IfMatch::of(headers)?.etag().map_or(Expect::Any, Expect::Etag))
}

fn shown(result: Result<CaCertificate>) -> Response {
    let found = match result {
        Ok(found) => found,
        Err(error) => return refusal(&error),
    };
    ([(ETAG, format!("\"{}\"", found.etag))], Json(view(&found))).into_response()
}

/// What ARM calls `CertificateProperties`, with the name and, where one was asked for, the verification code.
fn view(one: &CaCertificate) -> Value {
    let Der(der) = &one.certificate;
    let said = contract::certificate_information(der);
    json!({
        "name": one.name,
        "subject": said["subjectName"],
        "expiry": said["notAfterUtc"],
        "thumbprint": said["sha1Thumbprint"],
        "isVerified": one.verified,
        "verificationCode": one.verification_code,
        "certificate": one.certificate,
        "created": one.created,
        "updated": one.updated,
        "etag": one.etag,
    })
}

#[cfg(test)]
mod tests;
