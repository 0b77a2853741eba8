//! How each service says no, read into one shape.
//!
//! | service | body |
//! |---|---|
//! | hub | `{"Message": "ErrorCode:DeviceNotFound;…", "ExceptionMessage": "…"}` |
//! | DPS | `{"errorCode": 404201, "trackingId": "…", "message": "…", "timestampUtc": "…"}` |
//! | digital twins | `{"error": {"code": "…", "message": "…"}}`, or RFC 7807 `{"type", "title", "errors": {…}}` |
//! | token issuer | `{"error": "invalid_client", "error_description": "…"}` (RFC 6749) |

use std::error::Error as _;
use std::fmt;

use serde_json::Value;
use url::Url;

use super::{Response, status_text};

/// Why a request failed.
#[derive(Debug, thiserror::Error)]
pub enum RestError {
    /// The service answered with 400 or more.
    #[error(transparent)]
    Service(Box<ServiceError>),
    /// The token issuer answered with 400 or more.
    #[error("no token: {0}")]
    Token(Box<ServiceError>),
    /// No answer: not reachable, TLS failed, timed out, or broken off.
    #[error("{url}: {cause}")]
    Transport {
        /// Where it went.
        url: String,
        /// The whole chain of causes.
        cause: String,
    },
    /// The answer is longer than this client takes.
    #[error("the answer of {url} is longer than {max} bytes")]
    TooLong {
        /// Who answered.
        url: String,
        /// In bytes.
        max: usize,
    },
    /// The request could not be made from what was given.
    #[error("{0}")]
    Setup(String),
}

impl RestError {
    pub(super) fn transport(url: &Url, error: &reqwest::Error) -> Self {
        // reqwest's own text says little; the cause is at the end of the chain.
        let mut cause = if error.is_timeout() { "timed out".to_owned() } else { "no answer".to_owned() };
        let mut next = error.source();
        while let Some(error) = next {
            cause = format!("{cause}: {error}");
            next = error.source();
        }
        // Without the query: a function's key may be in it.
        let mut url = url.clone();
        url.set_query(None);
        Self::Transport { url: url.to_string(), cause }
    }

    /// The status the service answered with, if it did.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Service(error) | Self::Token(error) => Some(error.status),
            Self::Transport { .. } | Self::TooLong { .. } | Self::Setup(_) => None,
        }
    }
}

/// What a service said when it said no.
#[derive(Debug, Clone)]
pub struct ServiceError {
    /// The status code.
    pub status: u16,
    /// The service's own code: `DeviceNotFound`, `404201`, `DigitalTwinNotFound`.
    pub code: Option<String>,
    /// The service's own words.
    pub message: String,
    /// The whole answer.
    pub response: Response,
}

impl std::error::Error for ServiceError {}

impl fmt::Display for ServiceError {
    /// `404 Not Found: DeviceNotFound: Device d1 is not registered`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&status_text(self.status))?;
        if let Some(code) = &self.code {
            write!(f, ": {code}")?;
        }
        if self.message.is_empty() { Ok(()) } else { write!(f, ": {}", self.message) }
    }
}

impl ServiceError {
    pub(super) fn read(response: Response) -> Self {
        let (code, message) = envelope(&response.body);
        let code = code.or_else(|| response.header("x-ms-error-code").map(str::to_owned));
        Self { status: response.status, code, message, response }
    }

    /// Seconds after which the service wants to be asked again.
    #[must_use]
    pub fn retry_after(&self) -> Option<u64> {
        self.response.header("retry-after")?.parse().ok()
    }
}

/// Code and message of an error body, whichever service wrote it.
fn envelope(body: &Value) -> (Option<String>, String) {
    let text = |value: &Value| match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    };
    let error = &body["error"];
    if error.is_object() {
        return (text(&error["code"]), text(&error["message"]).unwrap_or_default());
    }
    if error.is_string() {
        return (text(error), text(&body["error_description"]).unwrap_or_default());
    }
    if let Some(message) = text(&body["Message"]) {
        return hub_message(&message, text(&body["ExceptionMessage"]));
    }
    if let Some(message) = text(&body["message"]) {
        return (text(&body["errorCode"]).or_else(|| text(&body["code"])), message);
    }
    if let Some(title) = text(&body["title"]) {
        let detail = text(&body["detail"]).or_else(|| text(&body["errors"]));
        return (None, detail.map_or_else(|| title.clone(), |detail| format!("{title} {detail}")));
    }
    (None, text(body).unwrap_or_default())
}

/// `ErrorCode:DeviceNotFound;E2E…` taken apart.
fn hub_message(message: &str, exception: Option<String>) -> (Option<String>, String) {
    match message.strip_prefix("ErrorCode:").map(|rest| rest.split_once(';').unwrap_or((rest, ""))) {
        Some((code, rest)) => {
            let words =
                if rest.trim().is_empty() { exception.unwrap_or_default() } else { rest.trim().to_owned() };
            (Some(code.trim().to_owned()), words)
        }
        None => (None, message.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_envelope_gives_code_and_words() {
        for (body, code, message) in [
            (
                json!({"Message": "ErrorCode:DeviceNotFound;Device d1 is gone", "ExceptionMessage": "T:1"}),
                Some("DeviceNotFound"),
                "Device d1 is gone",
            ),
            (
                json!({"Message": "ErrorCode:DeviceNotFound", "ExceptionMessage": "T:1"}),
                Some("DeviceNotFound"),
                "T:1",
            ),
            (
                json!({"errorCode": 404_201, "trackingId": "x", "message": "Enrollment not found."}),
                Some("404201"),
                "Enrollment not found.",
            ),
            (
                json!({"error": {"code": "DigitalTwinNotFound", "message": "no twin"}}),
                Some("DigitalTwinNotFound"),
                "no twin",
            ),
            (
                json!({"error": "invalid_client", "error_description": "wrong secret"}),
                Some("invalid_client"),
                "wrong secret",
            ),
            (json!({"title": "Validation.", "errors": {"a": ["b"]}}), None, r#"Validation. {"a":["b"]}"#),
            (json!("plain text"), None, "plain text"),
            (Value::Null, None, ""),
            (json!({"odd": 1}), None, r#"{"odd":1}"#),
            (json!([1]), None, "[1]"),
        ] {
            assert_eq!(envelope(&body), (code.map(str::to_owned), message.to_owned()), "{body}");
        }
    }
}
