//! The token issuer as OAuth 2.0 and OpenID Connect clients expect it (MSAL, azure-identity, the Azure CLI).
//!
//! ```text
//!   POST /{tenant}/oauth2/v2.0/token                          client credentials
//!   GET  /{tenant}/v2.0/.well-known/openid-configuration      discovery
//!   GET  /{tenant}/discovery/v2.0/keys                        JWKS
//!   GET  /common/discovery/instance                           which host names are one cloud
//! ```

use std::collections::HashMap;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Extension, Path, Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use http::header::{AUTHORIZATION, CACHE_CONTROL, RETRY_AFTER};
use http::{HeaderMap, StatusCode};
use percent_encoding::percent_decode_str;
use pollux_services::Services;
use pollux_services::issuer::{GrantError, GrantRequest};
use serde_json::{Value, json};

use super::admin::refusal;
use super::body;
use super::dispatch::{host_of, without_port};
use crate::peer::Peer;

/// The most a token request may take, in bytes.
const MAX_FORM: usize = 16 * 1024;

pub(super) fn router(services: Arc<Services>) -> Router {
    Router::new()
        .route("/{tenant}/oauth2/v2.0/token", post(token))
        .route("/{tenant}/v2.0/.well-known/openid-configuration", get(discovery))
        .route("/{tenant}/discovery/v2.0/keys", get(keys))
        .route("/common/discovery/instance", get(instance))
        .with_state(services)
}

async fn token(
    State(services): State<Arc<Services>>,
    Path(tenant): Path<String>,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let form = match body::of_stranger(body, MAX_FORM).await {
        Ok(form) => form,
        Err(error) => return oauth(StatusCode::BAD_REQUEST, "invalid_request", 900_144, &error.message),
    };
    let request = match grant_request(tenant, &form, &headers) {
        Ok(request) => request,
        Err(problem) => return oauth(StatusCode::BAD_REQUEST, "invalid_request", 900_144, problem),
    };
    match services.issuer.grant(&request, peer.address.ip().to_canonical()).await {
        Ok(token) => {
            let answer = json!({
                "token_type": "Bearer",
                "expires_in": token.expires_in,
                "ext_expires_in": token.expires_in,
                "access_token": token.access_token,
            });
            ([(CACHE_CONTROL, "no-store")], Json(answer)).into_response()
        }
        Err(error) => grant_refused(&error),
    }
}

/// The form's parameters, each at most once; the client may also name itself by HTTP Basic (RFC 6749, section 2.3.1).
fn grant_request(tenant: String, form: &[u8], headers: &HeaderMap) -> Result<GrantRequest, &'static str> {
    let mut fields: HashMap<String, String> = HashMap::new();
    for (name, value) in url::form_urlencoded::parse(form) {
        if fields.insert(name.into_owned(), value.into_owned()).is_some() {
            return Err("a parameter is given twice");
        }
    }
    let mut take = |name: &str| fields.remove(name).filter(|value| !value.is_empty());
    let mut request = GrantRequest {
        tenant,
        grant_type: take("grant_type"),
        client_id: take("client_id"),
        client_secret: take("client_secret"),
        scope: take("scope"),
    };
    if let Some(basic) =
        headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()?.strip_prefix("Basic "))
    {
        let (id, secret) = basic_credentials(basic).ok_or("the Basic credentials cannot be read")?;
        if request.client_secret.is_some() {
            return Err("the client proves itself in two ways");
        }
        (request.client_id, request.client_secret) = (Some(id), Some(secret));
    }
    Ok(request)
}

fn basic_credentials(basic: &str) -> Option<(String, String)> {
    let text = String::from_utf8(BASE64.decode(basic.trim()).ok()?).ok()?;
    let (id, secret) = text.split_once(':')?;
    let decode = |part: &str| percent_decode_str(part).decode_utf8().ok().map(std::borrow::Cow::into_owned);
    Some((decode(id)?, decode(secret)?))
}

/// The words and numbers Microsoft's identity platform uses (article "Microsoft Entra authentication and authorization
/// error codes"): clients log them.
fn grant_refused(error: &GrantError) -> Response {
    let bad = StatusCode::BAD_REQUEST;
    match error {
        GrantError::UnknownTenant => {
            oauth(bad, "invalid_request", 90_002, "Tenant not found. Check the tenant id.")
        }
        GrantError::Missing(name) => {
            let message = format!("The request body must contain the following parameter: '{name}'.");
            oauth(bad, "invalid_request", 900_144, &message)
        }
        GrantError::UnsupportedGrant => {
            oauth(bad, "unsupported_grant_type", 70_003, "The only grant supported is 'client_credentials'.")
        }
        GrantError::InvalidClient => oauth(
            StatusCode::UNAUTHORIZED,
            "invalid_client",
            7_000_215,
            "Unknown client or invalid client secret.",
        ),
        GrantError::InvalidScope => oauth(
            bad,
            "invalid_scope",
            70_011,
            "The scope names no service of this deployment. Use one such as 'https://digitaltwins.azure.net/.default'.",
        ),
        GrantError::TooManyAttempts { retry_after } => {
            let message = format!("Too many failed attempts. Try again in {retry_after} seconds.");
            let answer = oauth(StatusCode::TOO_MANY_REQUESTS, "temporarily_unavailable", 50_053, &message);
            ([(RETRY_AFTER, retry_after.to_string())], answer).into_response()
        }
        GrantError::Unavailable => {
            let message = "The server cannot issue a token now. Try again.";
            oauth(StatusCode::SERVICE_UNAVAILABLE, "temporarily_unavailable", 90_033, message)
        }
    }
}

fn oauth(status: StatusCode, error: &str, number: u32, message: &str) -> Response {
    let body = json!({
        "error": error,
        "error_description": format!("AADSTS{number}: {message}"),
        "error_codes": [number],
    });
    (status, [(CACHE_CONTROL, "no-store")], Json(body)).into_response()
}

async fn discovery(
    State(services): State<Arc<Services>>,
    Path(tenant): Path<String>,
    request: Request,
) -> Response {
    if !services.issuer.is_tenant(&tenant) {
        return grant_refused(&GrantError::UnknownTenant);
    }
    Json(services.issuer.discovery(&base(&services, &request))).into_response()
}

async fn keys(State(services): State<Arc<Services>>, Path(tenant): Path<String>) -> Response {
    if !services.issuer.is_tenant(&tenant) {
        return grant_refused(&GrantError::UnknownTenant);
    }
    match services.issuer.jwks().await {
        Ok(keys) => Json(keys).into_response(),
        Err(error) => refusal(&error),
    }
}

async fn instance(State(services): State<Arc<Services>>, request: Request) -> Json<Value> {
    let base = base(&services, &request);
    let host = base.trim_start_matches("https://");
    Json(json!({
        "tenant_discovery_endpoint":
            format!("{base}/{}/v2.0/.well-known/openid-configuration", services.issuer.tenant()),
        "api-version": "1.1",
        "metadata": [{ "preferred_network": host, "preferred_cache": host, "aliases": [host] }],
    }))
}

/// How the client reached us, if by a name of this machine; it must be able to follow the addresses we hand out.
fn base(services: &Services, request: &Request) -> String {
    let local = |host: &&str| services.context.table.is_local(without_port(host));
    let by_name = host_of(request).filter(local).map(|host| format!("https://{host}"));
    by_name.unwrap_or_else(|| services.issuer.authority().to_owned())
}
