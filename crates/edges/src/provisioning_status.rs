//! The provisioning service's device API: one table from error codes to its statuses and six-digit codes, one envelope.
//! HTTPS, MQTT and AMQP share both.
//!
//! The envelope is what the SDKs for C, C# and FreeRTOS show of the real service:
//! `{"errorCode":401002,"trackingId":"…","message":"…","timestampUtc":"…"}`. The first three digits of a code are the
//! status; 401002, 404201 and 429001 are the real service's, the last digits of the others are ours.

use pollux_model::{Error, ErrorCode};
use pollux_services::Context;
use serde_json::{Value, json};

use crate::registering::Reply;

/// HTTP status and error code.
pub(crate) const fn status(code: ErrorCode) -> (u16, u32) {
    match code {
        ErrorCode::InvalidArgument
        | ErrorCode::JsonPatchInvalid
        | ErrorCode::SelfRelationship
        | ErrorCode::MissingArgument
        | ErrorCode::ContinuationInvalid
        | ErrorCode::ModelVersionUnsupported
        | ErrorCode::QueryTimeout
        | ErrorCode::EventRouteIdInvalid
        | ErrorCode::EventRouteEndpointInvalid
        | ErrorCode::EventRouteFilterInvalid
        | ErrorCode::QueryInvalid => (400, 400_004),
        ErrorCode::ModelInvalid | ErrorCode::ValidationFailed => (400, 400_005),
        ErrorCode::Unauthorized => (401, 401_002),
        ErrorCode::EnrollmentDisabled | ErrorCode::DeviceDisabled => (401, 401_003),
        ErrorCode::Forbidden => (403, 403_001),
        ErrorCode::EnrollmentNotFound | ErrorCode::EnrollmentGroupNotFound => (404, 404_201),
        ErrorCode::RegistrationNotFound => (404, 404_202),
        ErrorCode::OperationNotFound => (404, 404_203),
        ErrorCode::NotFound
        | ErrorCode::ResourceNotFound
        | ErrorCode::DeviceNotFound
        | ErrorCode::ModuleNotFound
        | ErrorCode::DeviceNotOnline
        | ErrorCode::DeviceTimeout
        | ErrorCode::QueueFull
        | ErrorCode::MessageLockLost
        | ErrorCode::StorageNotConfigured
        | ErrorCode::UploadLimitReached
        | ErrorCode::UploadNotFound
        | ErrorCode::BlobNotFound
        | ErrorCode::ConfigurationNotFound
        | ErrorCode::ConfigurationExists
        | ErrorCode::ConfigurationLimitReached
        | ErrorCode::ConfigurationTargetInvalid
        | ErrorCode::ConfigurationContentInvalid
        | ErrorCode::ConfigurationContentImmutable
        | ErrorCode::ConfigurationMetricInvalid
        | ErrorCode::EventHubNotFound
        | ErrorCode::ReceiverDisplaced
        | ErrorCode::ModelNotFound
        | ErrorCode::TwinNotFound
        | ErrorCode::RelationshipNotFound
        | ErrorCode::TargetTwinNotFound
        | ErrorCode::ComponentNotFound
        | ErrorCode::ImportJobNotFound
        | ErrorCode::DeleteJobNotFound
        | ErrorCode::JobNotFound
        | ErrorCode::EventRouteNotFound
        | ErrorCode::FunctionNotFound
        | ErrorCode::DeadLetterNotFound => (404, 404_001),
        ErrorCode::EnrollmentExists => (409, 409_201),
        ErrorCode::ResourceExists
        | ErrorCode::ResourceInUse
        | ErrorCode::DeviceExists
        | ErrorCode::ModuleExists
        | ErrorCode::ModuleLimitReached
        | ErrorCode::ModelExists
        | ErrorCode::ModelReferenced
        | ErrorCode::ModelReferencesInUse
        | ErrorCode::TwinLimitReached
        | ErrorCode::ModelDecommissioned
        | ErrorCode::RelationshipsNotDeleted
        | ErrorCode::JobLimitReached
        | ErrorCode::JobExists
        | ErrorCode::ActiveJobLimitReached
        | ErrorCode::RelationshipExists => (409, 409_001),
        ErrorCode::PreconditionFailed => (412, 412_001),
        ErrorCode::TooLarge => (413, 413_001),
        ErrorCode::Throttled => (429, 429_001),
        ErrorCode::QuotaExceeded => (429, 429_002),
        ErrorCode::Internal => (500, 500_001),
        ErrorCode::AllocationFailed => (502, 502_001),
        ErrorCode::Unavailable => (503, 503_001),
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
