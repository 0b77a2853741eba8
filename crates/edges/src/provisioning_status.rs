//! The provisioning service's device API: one table from error codes to its statuses and six-digit codes, one envelope.
//! HTTPS, MQTT and AMQP share both.
//!
//! The envelope is what the SDKs for C, C# and FreeRTOS show of the real service:
//! `{"errorCode":401002,"trackingId":"…","message":"…","timestampUtc":"…"}`. The first three digits of a code are the
//! status; 401002, 404201 and 429001 are the real service's, the last digits of the others are ours.

use pollux_model::{Error, ErrorCode};
use pollux_services::Context;
use serde_json::{Value, json};

use crate::class::Class;
use crate::registering::Reply;

/// HTTP status and error code.
pub(crate) const fn status(code: ErrorCode) -> (u16, u32) {
    match code {
        ErrorCode::ModelInvalid | ErrorCode::ValidationFailed => (400, 400_005),
        ErrorCode::EnrollmentDisabled | ErrorCode::DeviceDisabled => (401, 401_003),
        ErrorCode::EnrollmentNotFound | ErrorCode::EnrollmentGroupNotFound => (404, 404_201),
        ErrorCode::RegistrationNotFound => (404, 404_202),
        ErrorCode::OperationNotFound => (404, 404_203),
        ErrorCode::EnrollmentExists => (409, 409_201),
        ErrorCode::QuotaExceeded => (429, 429_002),
        other => match Class::of(other) {
            Class::Invalid => (400, 400_004),
            Class::Unauthorized => (401, 401_002),
            Class::Forbidden => (403, 403_001),
            Class::NotFound => (404, 404_001),
            Class::Conflict => (409, 409_001),
            Class::PreconditionFailed => (412, 412_001),
            Class::TooLarge => (413, 413_001),
            Class::TooMany => (429, 429_001),
            Class::Internal => (500, 500_001),
            Class::BadGateway => (502, 502_001),
            Class::Unavailable => (503, 503_001),
        },
    }
}

/// The envelope of an error. The tracking id is also logged, so that a device's answer leads to the log.
pub(crate) fn envelope(context: &Context, error: &Error) -> Value {
    let tracking_id = context.random.uuid();
    let (_, code) = status(error.code);
    tracing::info!(%tracking_id, code, "provisioning refused: {error}");
    json!({
        "errorCode": code,
        "trackingId": tracking_id.to_string(),
        "message": error.message,
        "timestampUtc": context.clock.now(),
    })
}

/// What is answered to a device whose request was refused.
pub(crate) fn refusal(context: &Context, error: &Error) -> Reply {
    Reply { status: status(error.code).0, body: envelope(context, error) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_begins_with_its_status() {
        for code in [
            ErrorCode::InvalidArgument,
            ErrorCode::Unauthorized,
            ErrorCode::OperationNotFound,
            ErrorCode::EnrollmentExists,
            ErrorCode::QuotaExceeded,
            ErrorCode::Unavailable,
        ] {
            let (status, number) = status(code);
            assert_eq!(u32::from(status), number / 1000, "{code:?}");
        }
    }
}
