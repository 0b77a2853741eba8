//! Errors of the services in AMQP's words and Event Hubs' own.
//!
//! Which condition a client takes for what: `_pyamqp/error.py` and `_pyamqp/constants.py` of PyPI's azure-eventhub,
//! `errors.ts` of npm's @azure/core-amqp; "com.microsoft:*" from Azure article "Event Hubs messaging exceptions".

use pollux_amqp::Symbol;
use pollux_amqp::performative::{Error as AmqpError, condition};
use pollux_model::{Error, ErrorCode};

/// The condition and text of an error.
pub(super) fn amqp_error(error: &Error) -> AmqpError {
    AmqpError::new(condition_of(error.code), error.message.clone())
}

/// The condition of a code.
pub(super) const fn condition_of(code: ErrorCode) -> Symbol {
    match code {
        ErrorCode::InvalidArgument => condition::ARGUMENT_ERROR,
        ErrorCode::Unauthorized | ErrorCode::Forbidden => condition::UNAUTHORIZED_ACCESS,
        ErrorCode::TooLarge => condition::LINK_MESSAGE_SIZE_EXCEEDED,
        ErrorCode::Throttled => condition::SERVER_BUSY,
        ErrorCode::QuotaExceeded => condition::RESOURCE_LIMIT_EXCEEDED,
        ErrorCode::PreconditionFailed => condition::PRECONDITION_FAILED,
        ErrorCode::ReceiverDisplaced => condition::LINK_STOLEN,
        ErrorCode::NotFound | ErrorCode::ResourceNotFound | ErrorCode::EventHubNotFound => {
            condition::NOT_FOUND
        }
        // What else there is comes from services that do not speak AMQP here; unavailable is worth trying again.
        _ => condition::INTERNAL_ERROR,
    }
}

/// The status code that answers on `$cbs` and `$management` bear, as HTTP has them.
pub(super) const fn status_of(code: ErrorCode) -> i32 {
    match code {
        ErrorCode::InvalidArgument => 400,
        ErrorCode::Unauthorized | ErrorCode::Forbidden | ErrorCode::DeviceDisabled => 401,
        ErrorCode::NotFound | ErrorCode::ResourceNotFound | ErrorCode::EventHubNotFound => 404,
        ErrorCode::Throttled | ErrorCode::Unavailable => 503,
        _ => 500,
    }
}
