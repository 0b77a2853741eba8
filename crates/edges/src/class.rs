//! What each error code is to HTTP, and to protocols that borrow its numbers: the one table that names them all. An edge whose
//! clients read words of its own has a table of those, and says of every other code what its class is called there: a code that
//! is new must be given a class here.

use http::StatusCode;
use pollux_model::ErrorCode;

/// What is wrong, as far as a caller can act on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Class {
    /// The request cannot be served as it is.
    Invalid,
    /// The caller is not known.
    Unauthorized,
    /// The caller may not.
    Forbidden,
    /// There is no such thing.
    NotFound,
    /// What is there is in the way.
    Conflict,
    /// What is there is not what the caller expects.
    PreconditionFailed,
    /// It is more than is taken.
    TooLarge,
    /// It comes too often, or there is too much of it.
    TooMany,
    /// A bug.
    Internal,
    /// Somebody else who had to answer failed.
    BadGateway,
    /// It may be served later.
    Unavailable,
}

impl Class {
    /// The class of a code.
    pub(crate) const fn of(code: ErrorCode) -> Self {
        use ErrorCode as E;
        match code {
            E::InvalidArgument
            | E::MissingArgument
            | E::ContinuationInvalid
            | E::ModelInvalid
            | E::ModelVersionUnsupported
            | E::JsonPatchInvalid
            | E::SelfRelationship
            | E::ValidationFailed
            | E::QueryInvalid
            | E::QueryTimeout
            | E::EventRouteIdInvalid
            | E::EventRouteEndpointInvalid
            | E::EventRouteFilterInvalid
            | E::ConfigurationTargetInvalid
            | E::ConfigurationContentInvalid
            | E::ConfigurationContentImmutable
            | E::ConfigurationMetricInvalid => Self::Invalid,
            E::Unauthorized => Self::Unauthorized,
            E::Forbidden | E::EnrollmentDisabled | E::DeviceDisabled => Self::Forbidden,
            E::NotFound
            | E::ResourceNotFound
            | E::EnrollmentNotFound
            | E::EnrollmentGroupNotFound
            | E::RegistrationNotFound
            | E::OperationNotFound
            | E::DeviceNotFound
            | E::ModuleNotFound
            | E::DeviceNotOnline
            | E::DeviceTimeout
            | E::QueueFull
            | E::MessageLockLost
            | E::StorageNotConfigured
            | E::UploadLimitReached
            | E::UploadNotFound
            | E::BlobNotFound
            | E::ConfigurationNotFound
            | E::EventHubNotFound
            | E::ReceiverDisplaced
            | E::ModelNotFound
            | E::TwinNotFound
            | E::RelationshipNotFound
            | E::TargetTwinNotFound
            | E::ComponentNotFound
            | E::ImportJobNotFound
            | E::DeleteJobNotFound
            | E::JobNotFound
            | E::EventRouteNotFound
            | E::FunctionNotFound
            | E::DeadLetterNotFound => Self::NotFound,
            E::ResourceExists
            | E::ResourceInUse
            | E::EnrollmentExists
            | E::DeviceExists
            | E::ModuleExists
            | E::ModuleLimitReached
            | E::ConfigurationExists
            | E::ConfigurationLimitReached
            | E::JobExists
            | E::JobLimitReached
            | E::ActiveJobLimitReached
            | E::ModelExists
            | E::ModelReferenced
            | E::ModelReferencesInUse
            | E::ModelDecommissioned
            | E::TwinLimitReached
            | E::RelationshipsNotDeleted
            | E::RelationshipExists => Self::Conflict,
            E::PreconditionFailed => Self::PreconditionFailed,
            E::TooLarge => Self::TooLarge,
            E::Throttled | E::QuotaExceeded => Self::TooMany,
            E::Internal => Self::Internal,
            E::AllocationFailed => Self::BadGateway,
            E::Unavailable => Self::Unavailable,
        }
    }

    /// Status and name of a code that none of an edge's routes asks for: it is said in the edge's own word that the request is
    /// wrong, unless something is missing or in the way.
    pub(crate) const fn unasked(self, wrong: &'static str) -> (StatusCode, &'static str) {
        match self {
            Self::NotFound => (StatusCode::NOT_FOUND, "NotFound"),
            Self::Conflict => (StatusCode::CONFLICT, "Conflict"),
            Self::Invalid
            | Self::Unauthorized
            | Self::Forbidden
            | Self::PreconditionFailed
            | Self::TooLarge
            | Self::TooMany
            | Self::Internal
            | Self::BadGateway
            | Self::Unavailable => (StatusCode::BAD_REQUEST, wrong),
        }
    }

    /// HTTP's status.
    pub(crate) const fn status(self) -> u16 {
        match self {
            Self::Invalid => 400,
            Self::Unauthorized => 401,
            Self::Forbidden => 403,
            Self::NotFound => 404,
            Self::Conflict => 409,
            Self::PreconditionFailed => 412,
            Self::TooLarge => 413,
            Self::TooMany => 429,
            Self::Internal => 500,
            Self::BadGateway => 502,
            Self::Unavailable => 503,
        }
    }
}
