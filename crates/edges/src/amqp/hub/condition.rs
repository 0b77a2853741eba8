//! Errors of a hub in the words that its clients know (`amqp_common_errors.js` of npm's azure-iot-amqp-base): where they have
//! words of their own, those; else the ones of event hubs.

use pollux_amqp::Symbol;
use pollux_amqp::performative::{Error as AmqpError, condition};
use pollux_model::{Error, ErrorCode};

/// The condition and text of an error.
pub(in crate::amqp) fn hub_error(error: &Error) -> AmqpError {
    AmqpError::new(condition_of(error.code), error.message.clone())
}

const fn condition_of(code: ErrorCode) -> Symbol {
    match code {
        ErrorCode::DeviceNotFound => condition::NOT_FOUND,
        ErrorCode::DeviceDisabled => condition::UNAUTHORIZED_ACCESS,
        ErrorCode::Throttled => condition::DEVICE_CONTAINER_THROTTLED,
        ErrorCode::QueueFull => condition::RESOURCE_LIMIT_EXCEEDED,
        ErrorCode::MessageLockLost => condition::MESSAGE_LOCK_LOST,
        ErrorCode::PreconditionFailed => condition::AZURE_PRECONDITION_FAILED,
        code => super::super::condition::condition_of(code),
    }
}
