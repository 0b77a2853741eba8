//! Answers in ADT's form: JSON with an `ETag`, pages with a `nextLink`, errors in the envelope.

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_TYPE, ETAG, HeaderName, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderMap, StatusCode, Uri};
use pollux_model::{Error, ErrorCode, Etag};
use pollux_services::twins::Listing;
use serde_json::{Value, json};

use super::status;

const JSON: HeaderValue = HeaderValue::from_static("application/json; charset=utf-8");
const PROBLEM: HeaderValue = HeaderValue::from_static("application/problem+json; charset=utf-8");
const ERROR_CODE: HeaderName = HeaderName::from_static("x-ms-error-code");

pub(super) type Answer = Result<Response, Failure>;

/// A refusal, worded.
#[derive(Debug)]
pub(super) struct Failure(Box<Response>);

impl Failure {
    /// With a pointer to where a token can be had, for those who came without a good one.
    pub(super) fn with_challenge(error: Error, challenge: &str) -> Self {
        let mut failure = Self::from(error);
        let value =
            HeaderValue::from_str(challenge).ok().filter(|_| failure.0.status() == StatusCode::UNAUTHORIZED);
        if let Some(value) = value {
            failure.0.headers_mut().insert(WWW_AUTHENTICATE, value);
        }
        failure
    }
}

impl From<Error> for Failure {
    fn from(refused: Error) -> Self {
        let (status, code) = status::of(refused.code);
        let mut response = match refused.code {
            // The first line sums up, each further line is one finding.
            ErrorCode::ValidationFailed => findings(status, code, &refused.message),
            _ => error(status, code, &refused.message),
        };
        if matches!(status, StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS) {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        Self::from(response)
    }
}

impl From<Response> for Failure {
    fn from(response: Response) -> Self {
        Self(Box::new(response))
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        *self.0
    }
}

/// An error with a code of its own.
pub(super) fn error(status: StatusCode, code: &'static str, message: &str) -> Response {
    with_code(json(status, &json!({ "error": { "code": code, "message": message } })), code)
}

fn findings(status: StatusCode, code: &'static str, message: &str) -> Response {
    let mut lines = message.lines();
    let first = lines.next().unwrap_or_default();
    let details: Vec<Value> = lines.map(|line| json!({ "code": code, "message": line })).collect();
    let error = json!({ "code": code, "message": first, "details": details });
    with_code(json(status, &json!({ "error": error })), code)
}

fn with_code(mut response: Response, code: &'static str) -> Response {
    response.headers_mut().insert(ERROR_CODE, HeaderValue::from_static(code));
    response
}

/// What the real service says of a body that is not made of patch operations at all: RFC 7807, not the envelope.
pub(super) fn problem(field: &str, message: &str) -> Response {
    let problem = json!({
        "errors": { field: [message] },
        "type": "https://tools.ietf.org/html/rfc7231#section-6.5.1",
        "title": "One or more validation errors occurred.",
        "status": 400,
        "detail": null,
        "instance": null,
    });
    let mut response = json(StatusCode::BAD_REQUEST, &problem);
    response.headers_mut().insert(CONTENT_TYPE, PROBLEM);
    response
}

/// A JSON document.
pub(super) fn json(status: StatusCode, document: &Value) -> Response {
    text(status, document.to_string())
}

/// JSON text.
pub(super) fn text(status: StatusCode, text: String) -> Response {
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, JSON);
    response
}

/// A JSON document with an etag.
pub(super) fn tagged(document: &Value, etag: &Etag) -> Response {
    with_etag(json(StatusCode::OK, document), etag)
}

/// 204 with the etag of what was changed.
pub(super) fn changed(etag: &Etag) -> Response {
    with_etag(nothing(), etag)
}

/// 204.
pub(super) fn nothing() -> Response {
    StatusCode::NO_CONTENT.into_response()
}

/// With an etag.
pub(super) fn with_etag(mut response: Response, etag: &Etag) -> Response {
    if let Ok(value) = HeaderValue::from_str(&format!("W/\"{etag}\"")) {
        response.headers_mut().insert(ETAG, value);
    }
    response
}

/// `{value, nextLink}`: the link is the request's own with the token in it.
pub(super) fn page<T>(listing: Listing<T>, link: &Link, show: impl Fn(T) -> Value) -> Response {
    let next = listing.continuation.map(|token| link.with(&token));
    let value: Vec<Value> = listing.items.into_iter().map(show).collect();
    json(StatusCode::OK, &json!({ "value": value, "nextLink": next }))
}

/// What the link to a list's next page is made of.
#[derive(Debug, Clone)]
pub(super) struct Link {
    host: String,
    uri: Uri,
}

impl Link {
    /// Of a request, as its client addressed it; `host` where it did not say.
    pub(super) fn new(headers: &HeaderMap, uri: &Uri, host: &str) -> Self {
        let named = headers.get(http::header::HOST).and_then(|host| host.to_str().ok());
        let named = named.or_else(|| uri.authority().map(http::uri::Authority::as_str));
        Self { host: named.unwrap_or(host).to_owned(), uri: uri.clone() }
    }

    /// Another path of the same service, in the version that was asked for.
    pub(super) fn sibling(&self, path: &str, version: &str) -> String {
        format!("https://{}{path}?api-version={version}", self.host)
    }

    fn with(&self, token: &str) -> String {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        let given = url::form_urlencoded::parse(self.uri.query().unwrap_or_default().as_bytes());
        query.extend_pairs(given.filter(|(name, _)| name != super::call::CONTINUATION));
        query.append_pair(super::call::CONTINUATION, token);
        format!("https://{}{}?{}", self.host, self.uri.path(), query.finish())
    }
}
