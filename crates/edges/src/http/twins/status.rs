//! What each error is over HTTP: status and ADT's code. Sources: the OpenAPI document of ADT's data plane (its status
//! codes of each operation) and recorded sessions, which are right where they differ.

use http::StatusCode;
use pollux_model::ErrorCode;

use crate::class::Class;

/// Status and `error.code`.
pub(super) const fn of(code: ErrorCode) -> (StatusCode, &'static str) {
    use ErrorCode as E;
    match code {
        E::InvalidArgument => (StatusCode::BAD_REQUEST, "InvalidArgument"),
        E::ContinuationInvalid => (StatusCode::BAD_REQUEST, "BadRequest"),
        E::MissingArgument => (StatusCode::BAD_REQUEST, "MissingArgument"),
        E::Unauthorized => (StatusCode::UNAUTHORIZED, "Unauthenticated"),
        E::Forbidden => (StatusCode::FORBIDDEN, "AuthorizationFailed"),
        E::NotFound => (StatusCode::NOT_FOUND, "NotFound"),
        E::PreconditionFailed => (StatusCode::PRECONDITION_FAILED, "PreconditionFailed"),
        E::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "PayloadTooLarge"),
        E::Throttled => (StatusCode::TOO_MANY_REQUESTS, "QuotaReachedError"),
        E::QuotaExceeded => (StatusCode::BAD_REQUEST, "LimitExceeded"),
        E::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailable"),
        E::Internal => (StatusCode::INTERNAL_SERVER_ERROR, "InternalServerError"),

        E::ModelNotFound => (StatusCode::NOT_FOUND, "ModelNotFound"),
        E::ModelExists => (StatusCode::CONFLICT, "ModelIdAlreadyExists"),
        E::ModelInvalid => (StatusCode::BAD_REQUEST, "DTDLParserError"),
        E::ModelReferenced => (StatusCode::CONFLICT, "ModelReferencesNotDeleted"),
        E::ModelReferencesInUse => (StatusCode::CONFLICT, "ModelReferencesNotDecommissioned"),
        E::ModelVersionUnsupported => (StatusCode::BAD_REQUEST, "ModelVersionNotSupported"),
        E::ModelDecommissioned => (StatusCode::BAD_REQUEST, "ModelDecommissioned"),
        E::TwinNotFound => (StatusCode::NOT_FOUND, "DigitalTwinNotFound"),
        E::TwinLimitReached => (StatusCode::BAD_REQUEST, "TwinLimitReached"),
        E::RelationshipsNotDeleted => (StatusCode::BAD_REQUEST, "RelationshipsNotDeleted"),
        E::RelationshipNotFound => (StatusCode::NOT_FOUND, "RelationshipNotFound"),
        E::RelationshipExists => (StatusCode::CONFLICT, "RelationshipAlreadyExists"),
        E::SelfRelationship => (StatusCode::BAD_REQUEST, "OperationNotAllowed"),
        E::TargetTwinNotFound => (StatusCode::NOT_FOUND, "TargetDigitalTwinNotFound"),
        E::ComponentNotFound => (StatusCode::NOT_FOUND, "ComponentNotFound"),
        E::JsonPatchInvalid => (StatusCode::BAD_REQUEST, "JsonPatchInvalid"),
        E::ValidationFailed => (StatusCode::BAD_REQUEST, "ValidationFailed"),
        E::QueryInvalid => (StatusCode::BAD_REQUEST, "SqlQueryError"),
        E::QueryTimeout => (StatusCode::BAD_REQUEST, "TimeoutError"),
        E::ImportJobNotFound => (StatusCode::NOT_FOUND, "ImportJobNotFound"),
        E::DeleteJobNotFound => (StatusCode::NOT_FOUND, "DeleteJobNotFound"),
        E::JobLimitReached => (StatusCode::BAD_REQUEST, "JobLimitReached"),
        E::EventRouteNotFound => (StatusCode::NOT_FOUND, "EventRouteNotFound"),
        E::EventRouteIdInvalid => (StatusCode::BAD_REQUEST, "EventRouteIdInvalid"),
        E::EventRouteEndpointInvalid => (StatusCode::BAD_REQUEST, "EventRouteEndpointInvalid"),
        E::EventRouteFilterInvalid => (StatusCode::BAD_REQUEST, "EventRouteFilterInvalid"),

        // The instance itself, or what no route of this edge asks for.
        other => Class::of(other).unasked("BadRequest"),
    }
}
