//! A stored event as a `CloudEvents` 1.0 document. The stored form is the binary mode of the AMQP binding: attributes are
//! application properties whose names begin with `cloudEvents:`, the data is the body.

use bytes::Bytes;
use percent_encoding::percent_decode_str;
use pollux_amqp::{Message, Value as Amqp};
use serde_json::{Map, Value};

/// What names of attributes begin with in application properties ("AMQP Protocol Binding for CloudEvents", 3.1.3).
pub(crate) const PREFIX: &str = "cloudEvents:";
/// What stands between host and twin in the source of telemetry.
pub(crate) const OF_TWIN: &str = "/digitaltwins/";
/// What stands between twin and relationship in a subject.
pub(crate) const OF_RELATIONSHIP: &str = "/relationships/";

/// The event in structured mode: one JSON object, the data in it as it is stored. `None` for what is no such event.
pub(super) fn structured(payload: &Bytes) -> Option<String> {
    let message = Message::decode(payload.clone()).ok()?;
    let attributes: Map<String, Value> =
        attributes(&message).map(|(name, value)| (name.to_owned(), value.into())).collect();
    let data = message.body.as_bytes()?;
    let (mut text, data) = (Value::Object(attributes).to_string(), std::str::from_utf8(&data).ok()?);
    // The data is JSON already and passes as it was written: its numbers would not survive being read.
    text.truncate(text.len().checked_sub(1)?);
    text.push_str(",\"data\":");
    text.push_str(data);
    text.push('}');
    Some(text)
}

/// The twin that a notification is of.
pub(super) fn twin_of(message: &Message) -> Option<String> {
    let attribute =
        |name: &str| attributes(message).find(|(known, _)| *known == name).map(|(_, value)| value);
    if let Some((_, twin)) = attribute("source").and_then(|source| source.split_once(OF_TWIN)) {
        return Some(percent_decode_str(twin).decode_utf8_lossy().into_owned());
    }
    let subject = attribute("subject")?;
    Some(subject.split_once(OF_RELATIONSHIP).map_or(subject, |(twin, _)| twin).to_owned())
}

fn attributes(message: &Message) -> impl Iterator<Item = (&str, &str)> {
    let properties = message.application_properties.0.iter();
    properties.filter_map(|(name, value)| match value {
        Amqp::String(text) => Some((name.strip_prefix(PREFIX)?, text.as_str())),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use pollux_amqp::{ApplicationProperties, Body};

    use super::*;

    fn message(attributes: &[(&str, &str)]) -> Message {
        let named = |(name, value): &(&str, &str)| (format!("{PREFIX}{name}"), Amqp::from(*value));
        Message {
            application_properties: ApplicationProperties(attributes.iter().map(named).collect()),
            body: Body::data(r#"{"n":12345678901234567890.10}"#),
            ..Message::default()
        }
    }

    #[test]
    fn the_data_passes_as_it_was_written() {
        let event = message(&[("id", "1"), ("subject", "a \"quoted\" twin")]).encode();
        let expected = r#"{"id":"1","subject":"a \"quoted\" twin","data":{"n":12345678901234567890.10}}"#;
        assert_eq!(structured(&event).unwrap(), expected);
        assert_eq!(structured(&Bytes::from_static(b"nothing")), None);
    }

    #[test]
    fn the_twin_is_found_in_source_or_subject() {
        let of = |attributes: &[(&str, &str)]| twin_of(&message(attributes)).unwrap();
        assert_eq!(of(&[("source", "h/digitaltwins/r%201"), ("subject", "sensor")]), "r 1");
        assert_eq!(of(&[("source", "h"), ("subject", "r 1")]), "r 1");
        assert_eq!(of(&[("source", "h"), ("subject", "r 1/relationships/x")]), "r 1");
        assert_eq!(twin_of(&message(&[])), None);
    }
}
