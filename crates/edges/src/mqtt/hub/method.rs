//! A device answers a direct method: `$iothub/methods/res/{status}/?$rid={id}` with JSON (Azure article "Communicate with an
//! IoT hub using the MQTT protocol", "Respond to a direct method").

use pollux_services::hub::MethodAnswer;
use serde_json::Value;

use crate::mqtt::session::Close;
use crate::mqtt::topic;

/// The id it was asked under, and the answer. `rest` is what follows `res/`.
///
/// A status that is no number, or an answer that is no JSON, is against the protocol.
pub(super) fn answer(rest: &str, payload: &[u8]) -> Result<(u64, MethodAnswer), Close> {
    let (status, query) =
        rest.split_once('/').ok_or_else(|| Close::because("a method's answer without a $rid"))?;
    let status = status.parse().map_err(|_| Close::because("a method's answer whose status is no number"))?;
    let id = u64::from_str_radix(topic::request_id(query)?, 16);
    // An id that is none of ours: nobody waits for it.
    let id = id.unwrap_or_default();
    let payload = match payload.trim_ascii() {
        [] => Value::Null,
        text => serde_json::from_slice(text)
            .map_err(|error| Close::because(format!("a method's answer that is no JSON: {error}")))?,
    };
    Ok((id, MethodAnswer { status, payload }))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn answers_of_the_sdks_are_read() {
        let (id, said) = answer("200/?$rid=1f", br#"{"a":1}"#).unwrap();
        assert_eq!((id, said), (31, MethodAnswer { status: 200, payload: json!({ "a": 1 }) }));
        let (id, said) = answer("-5/?$rid=zz", b"").unwrap();
        assert_eq!((id, said), (0, MethodAnswer { status: -5, payload: Value::Null }));
    }

    #[test]
    fn what_is_no_answer_ends_the_connection() {
        for (rest, payload) in
            [("200", "{}"), ("ok/?$rid=1", "{}"), ("200/?rid=1", "{}"), ("200/?$rid=1", "{")]
        {
            assert!(answer(rest, payload.as_bytes()).is_err(), "{rest} {payload}");
        }
    }
}
