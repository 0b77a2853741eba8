//! Error codes in MQTT's words: the return code of a CONNACK, and the status in `$iothub/twin/res/{status}/`.

use pollux_model::{Error, ErrorCode};
use pollux_mqtt::ConnectRefusal;
use pollux_services::Context;
use serde_json::{Value, json};

/// The CONNACK that refuses a CONNECT (MQTT 3.1.1, table 3.1). What a device may not know looks like a wrong key.
pub(super) const fn refusal(code: ErrorCode) -> ConnectRefusal {
    match code {
        ErrorCode::InvalidArgument
        | ErrorCode::TooLarge
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
        | ErrorCode::QueryInvalid => ConnectRefusal::BadUserNameOrPassword,
        ErrorCode::Unauthorized
        | ErrorCode::Forbidden
        | ErrorCode::NotFound
        | ErrorCode::ResourceNotFound
        | ErrorCode::EnrollmentNotFound
        | ErrorCode::EnrollmentGroupNotFound
        | ErrorCode::RegistrationNotFound
        | ErrorCode::OperationNotFound
        | ErrorCode::EnrollmentDisabled
        | ErrorCode::DeviceNotFound
        | ErrorCode::ModuleNotFound
        | ErrorCode::DeviceDisabled
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
        | ErrorCode::DeadLetterNotFound => ConnectRefusal::NotAuthorized,
        ErrorCode::PreconditionFailed
        | ErrorCode::Throttled
        | ErrorCode::QuotaExceeded
        | ErrorCode::Unavailable
        | ErrorCode::Internal
        | ErrorCode::ResourceExists
        | ErrorCode::ResourceInUse
        | ErrorCode::EnrollmentExists
        | ErrorCode::AllocationFailed
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
        | ErrorCode::RelationshipExists => ConnectRefusal::ServerUnavailable,
    }
}

/// The status of a twin request that failed. The hub article documents 400, 429 and 5xx; the others are HTTP's.
pub(crate) const fn twin(code: ErrorCode) -> u16 {
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
        | ErrorCode::QueryInvalid => 400,
        ErrorCode::Unauthorized => 401,
        ErrorCode::Forbidden | ErrorCode::EnrollmentDisabled | ErrorCode::DeviceDisabled => 403,
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
        | ErrorCode::DeadLetterNotFound => 404,
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
        | ErrorCode::RelationshipExists => 409,
        ErrorCode::PreconditionFailed => 412,
        ErrorCode::TooLarge => 413,
        ErrorCode::Throttled | ErrorCode::QuotaExceeded => 429,
        ErrorCode::Internal => 500,
        ErrorCode::AllocationFailed => 502,
        ErrorCode::Unavailable => 503,
    }
}

/// The body of a twin request's failure. The tracking id is also logged.
pub(crate) fn twin_envelope(context: &Context, error: &Error) -> Value {
    let tracking_id = context.random.uuid();
    let status = twin(error.code);
    tracing::debug!(%tracking_id, status, "twin request refused: {error}");
    json!({
        "errorCode": u32::from(status) * 1000 + 1,
        "trackingId": tracking_id.to_string(),
        "message": error.message,
        "timestampUtc": context.clock.now(),
    })
}
