//! The admin API's status table.

use axum::response::Response;
use http::StatusCode;
use http::header::{HeaderValue, WWW_AUTHENTICATE};
use pollux_model::{Error, ErrorCode};

use crate::http::dispatch::refuse;

/// What the operator is answered: `{"error": {"code", "message"}}`.
pub(in crate::http) fn refusal(error: &Error) -> Response {
    let mut answer = refuse(status(error.code), &format!("{:?}", error.code), &error.message);
    if error.code == ErrorCode::Unauthorized {
        answer.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    answer
}

const fn status(code: ErrorCode) -> StatusCode {
    match code {
        ErrorCode::InvalidArgument
        | ErrorCode::ModelInvalid
        | ErrorCode::JsonPatchInvalid
        | ErrorCode::SelfRelationship
        | ErrorCode::MissingArgument
        | ErrorCode::ContinuationInvalid
        | ErrorCode::ModelVersionUnsupported
        | ErrorCode::QueryTimeout
        | ErrorCode::ValidationFailed
        | ErrorCode::EventRouteIdInvalid
        | ErrorCode::EventRouteEndpointInvalid
        | ErrorCode::EventRouteFilterInvalid
        | ErrorCode::QueryInvalid => StatusCode::BAD_REQUEST,
        ErrorCode::Unauthorized => StatusCode::UNAUTHORIZED,
        ErrorCode::Forbidden
        | ErrorCode::QuotaExceeded
        | ErrorCode::EnrollmentDisabled
        | ErrorCode::DeviceDisabled => StatusCode::FORBIDDEN,
        ErrorCode::NotFound
        | ErrorCode::ResourceNotFound
        | ErrorCode::EnrollmentNotFound
        | ErrorCode::EnrollmentGroupNotFound
        | ErrorCode::RegistrationNotFound
        | ErrorCode::OperationNotFound
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
        | ErrorCode::DeadLetterNotFound => StatusCode::NOT_FOUND,
        ErrorCode::ResourceExists
        | ErrorCode::ResourceInUse
        | ErrorCode::EnrollmentExists
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
        | ErrorCode::RelationshipExists => StatusCode::CONFLICT,
        ErrorCode::PreconditionFailed => StatusCode::PRECONDITION_FAILED,
        ErrorCode::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        ErrorCode::Throttled => StatusCode::TOO_MANY_REQUESTS,
        ErrorCode::AllocationFailed => StatusCode::BAD_GATEWAY,
        ErrorCode::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        ErrorCode::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}
