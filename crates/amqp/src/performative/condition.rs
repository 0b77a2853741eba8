//! Error conditions: the standard's (part 2, section 2.8.15 to 2.8.18), and those of Azure that its clients know.

use crate::value::Symbol;

/// Declares constants of type [`Symbol`].
macro_rules! conditions {
    ($($(#[$doc:meta])* $name:ident = $text:literal;)*) => {
        $($(#[$doc])* pub const $name: Symbol = Symbol::from_static($text);)*
    };
}

conditions! {
    /// A fault of this side.
    INTERNAL_ERROR = "amqp:internal-error";
    /// No such entity.
    NOT_FOUND = "amqp:not-found";
    /// No right to it.
    UNAUTHORIZED_ACCESS = "amqp:unauthorized-access";
    /// Bytes that cannot be decoded.
    DECODE_ERROR = "amqp:decode-error";
    /// More than a peer may have.
    RESOURCE_LIMIT_EXCEEDED = "amqp:resource-limit-exceeded";
    /// Against the meaning of the standard, or a second exclusive consumer.
    NOT_ALLOWED = "amqp:not-allowed";
    /// A field with a value that makes no sense.
    INVALID_FIELD = "amqp:invalid-field";
    /// Not offered here.
    NOT_IMPLEMENTED = "amqp:not-implemented";
    /// Another client works with it.
    RESOURCE_LOCKED = "amqp:resource-locked";
    /// Something asked for beforehand does not hold.
    PRECONDITION_FAILED = "amqp:precondition-failed";
    /// It was deleted meanwhile.
    RESOURCE_DELETED = "amqp:resource-deleted";
    /// Not permitted in this state.
    ILLEGAL_STATE = "amqp:illegal-state";
    /// The peer's max-frame-size leaves no room.
    FRAME_SIZE_TOO_SMALL = "amqp:frame-size-too-small";

    /// Closed by an operator.
    CONNECTION_FORCED = "amqp:connection:forced";
    /// No frame can be made out.
    CONNECTION_FRAMING_ERROR = "amqp:connection:framing-error";
    /// To be found elsewhere.
    CONNECTION_REDIRECT = "amqp:connection:redirect";

    /// More transfers than the window allows.
    SESSION_WINDOW_VIOLATION = "amqp:session:window-violation";
    /// Input for a link that was detached with an error.
    SESSION_ERRANT_LINK = "amqp:session:errant-link";
    /// An attach with a handle that has a link.
    SESSION_HANDLE_IN_USE = "amqp:session:handle-in-use";
    /// A handle without a link.
    SESSION_UNATTACHED_HANDLE = "amqp:session:unattached-handle";

    /// Detached by an operator.
    LINK_DETACH_FORCED = "amqp:link:detach-forced";
    /// More messages than the credit allows.
    LINK_TRANSFER_LIMIT_EXCEEDED = "amqp:link:transfer-limit-exceeded";
    /// A larger message than the link takes.
    LINK_MESSAGE_SIZE_EXCEEDED = "amqp:link:message-size-exceeded";
    /// To be found elsewhere.
    LINK_REDIRECT = "amqp:link:redirect";
    /// Attached elsewhere; also: a consumer with a higher epoch came.
    LINK_STOLEN = "amqp:link:stolen";

    /// It took too long.
    TIMEOUT = "com.microsoft:timeout";
    /// A bad argument.
    ARGUMENT_ERROR = "com.microsoft:argument-error";
    /// An argument out of bounds, such as a partition that does not exist.
    ARGUMENT_OUT_OF_RANGE = "com.microsoft:argument-out-of-range";
    /// Switched off.
    ENTITY_DISABLED = "com.microsoft:entity-disabled";
    /// Given up by the service.
    OPERATION_CANCELLED = "com.microsoft:operation-cancelled";
    /// Come back later.
    SERVER_BUSY = "com.microsoft:server-busy";
    /// The lock on a message ran out.
    MESSAGE_LOCK_LOST = "com.microsoft:message-lock-lost";
    /// The credential does not suffice.
    AUTH_FAILED = "com.microsoft:auth-failed";
    /// Something asked for beforehand does not hold; IoT Hub and Event Hubs say it so.
    AZURE_PRECONDITION_FAILED = "com.microsoft:precondition-failed";
    /// The publisher may send no more.
    PUBLISHER_REVOKED = "com.microsoft:publisher-revoked";
    /// IoT Hub: the device is there already.
    DEVICE_ALREADY_EXISTS = "com.microsoft:device-already-exists";
    /// IoT Hub: throttled.
    DEVICE_CONTAINER_THROTTLED = "com.microsoft:device-container-throttled";
    /// IoT Hub: no such hub.
    IOT_HUB_NOT_FOUND = "com.microsoft:iot-hub-not-found-error";
    /// IoT Hub: suspended.
    IOT_HUB_SUSPENDED = "com.microsoft:iot-hub-suspended";
    /// IoT Hub: the day's quota is used up.
    QUOTA_EXCEEDED = "com.microsoft:quota-exceeded";
}
