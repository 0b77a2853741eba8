//! The admin API's status table.

use axum::response::Response;
use http::StatusCode;
use http::header::{HeaderValue, WWW_AUTHENTICATE};
use pollux_model::{Error, ErrorCode};

use crate::class::Class;
use crate::http::dispatch::refuse;

/// What the operator is answered: `{"error": {"code", "message"}}`.
pub(in crate::http) fn refusal(error: &Error) -> Response {
    let mut answer = refuse(status(error.code), &format!("{:?}", error.code), &error.message);
    if error.code == ErrorCode::Unauthorized {
        answer.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    answer
}

fn status(code: ErrorCode) -> StatusCode {
    if code == ErrorCode::QuotaExceeded {
        // Trying again does not help.
        return StatusCode::FORBIDDEN;
    }
    StatusCode::from_u16(Class::of(code).status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}
