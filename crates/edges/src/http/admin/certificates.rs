//! Certificates of authorities over the admin API: those a provisioning service or a hub trusts.

use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Json, Router};
use http::HeaderMap;
use http::header::ETAG;
use pollux_model::enrollment::Der;
use pollux_model::resource::{CaCertificate, ResourceKind};
use pollux_model::{Error, ErrorCode, ResourceName, Result};
use pollux_services::Caller;
use pollux_services::provisioning::{Expect, contract};
use pollux_services::resources::CertificateHolder;
use serde::Deserialize;
use serde_json::{Value, json};

use super::resources::named;
use super::{Admin, nothing, refusal};
use crate::http::body;
use crate::http::rest::IfMatch;

const ALL: &str = "/admin/resources/{kind}/{name}/certificates";

pub(super) fn routes() -> Router<Admin> {
    Router::new()
        .route(ALL, get(list))
        .route(&format!("{ALL}/{{certificate}}"), get(show).put(change).delete(delete))
        .route(&format!("{ALL}/{{certificate}}/{{deed}}"), post(change))
}

/// What stands in the path.
#[derive(Deserialize)]
struct Place {
    kind: String,
    name: String,
    #[serde(default)]
    certificate: String,
    /// What is done with one that is there.
    deed: Option<String>,
}

impl Place {
    /// Whose certificates, with the name that the holder borrows.
    fn whose(&self) -> Result<(ResourceKind, ResourceName)> {
        Ok((self.kind.parse()?, named(&self.name)?))
    }
}

const fn holder((kind, name): &(ResourceKind, ResourceName)) -> CertificateHolder<'_> {
    CertificateHolder { kind: *kind, name }
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
    let found = || {
        let whose = place.whose()?;
        admin.services.resources.certificates(&caller, holder(&whose))
    };
    super::answer(found().map(|all| json!({ "value": all.iter().map(view).collect::<Vec<_>>() })))
}

async fn show(
    State(admin): State<Admin>,
    Path(place): Path<Place>,
    Extension(caller): Extension<Caller>,
) -> Response {
    let found = |whose| admin.services.resources.certificate(&caller, holder(&whose), &place.certificate);
    shown(place.whose().and_then(found))
}

/// Adds or replaces one; or asks for the code that proves possession; or proves it.
async fn change(
    State(admin): State<Admin>,
    Path(place): Path<Place>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let changed = async {
        let (whose, name, expect) = (place.whose()?, &*place.certificate, expected(&headers)?);
        let of = holder(&whose);
        let resources = &admin.services.resources;
        match place.deed.as_deref() {
            None => {
                let Said { certificate, is_verified } = read(&admin, body).await?;
                resources.put_certificate(&caller, of, name, &certificate, is_verified, expect).await
            }
            Some("verification-code") => resources.make_verification_code(&caller, of, name, expect).await,
            Some("verify") => {
                let Said { certificate, .. } = read(&admin, body).await?;
                resources.verify_certificate(&caller, of, name, &certificate, expect).await
            }
            Some(_) => Err(Error::new(ErrorCode::NotFound, "use verification-code or verify")),
        }
    };
    shown(changed.await)
}

async fn delete(
    State(admin): State<Admin>,
    Path(place): Path<Place>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
) -> Response {
    let gone = async {
        let (whose, expect) = (place.whose()?, expected(&headers)?);
        let resources = &admin.services.resources;
        resources.delete_certificate(&caller, holder(&whose), &place.certificate, expect).await
    };
    nothing(gone.await)
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
