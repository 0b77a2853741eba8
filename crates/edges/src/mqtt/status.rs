//! Error codes in MQTT's words: the return code of a CONNACK, and the status in `$iothub/twin/res/{status}/`.

use pollux_model::{Error, ErrorCode};
use pollux_mqtt::ConnectRefusal;
use pollux_services::Context;
use serde_json::{Value, json};

use crate::class::Class;

/// The CONNACK that refuses a CONNECT (MQTT 3.1.1, table 3.1). What a device may not know looks like a wrong key.
pub(super) const fn refusal(code: ErrorCode) -> ConnectRefusal {
    match Class::of(code) {
        Class::Invalid | Class::TooLarge => ConnectRefusal::BadUserNameOrPassword,
        Class::Unauthorized | Class::Forbidden | Class::NotFound => ConnectRefusal::NotAuthorized,
        Class::Conflict
        | Class::PreconditionFailed
        | Class::TooMany
        | Class::Internal
        | Class::BadGateway
        | Class::Unavailable => ConnectRefusal::ServerUnavailable,
    }
}

/// The status of a twin request that failed. The hub article documents 400, 429 and 5xx; the others are HTTP's.
pub(crate) const fn twin(code: ErrorCode) -> u16 {
    Class::of(code).status()
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
