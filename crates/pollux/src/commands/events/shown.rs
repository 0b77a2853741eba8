//! Events as JSON, for eyes and programs.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use pollux_amqp::{AnnotationKey, Body, Message, Value as Amqp};
use pollux_model::Timestamp;
use serde_json::{Map, Value, json};

/// An event with its place, properties and body.
pub(super) fn event(partition: &str, message: &Message) -> Value {
    let place = |name: &str| message.message_annotations.get(name).map(value);
    let mut shown = Map::new();
    shown.insert("partition".to_owned(), json!(partition));
    for (name, annotation) in [
        ("sequenceNumber", "x-opt-sequence-number"),
        ("offset", "x-opt-offset"),
        ("enqueuedTime", "x-opt-enqueued-time"),
        ("partitionKey", "x-opt-partition-key"),
    ] {
        if let Some(value) = place(annotation) {
            shown.insert(name.to_owned(), value);
        }
    }
    let annotations = message.message_annotations.0.iter().filter_map(|(key, one)| match key {
        AnnotationKey::Symbol(name) if !name.as_str().starts_with("x-opt-") => {
            Some((name.as_str().to_owned(), value(one)))
        }
        _ => None,
    });
    put(&mut shown, "annotations", annotations.collect());
    put(&mut shown, "system", system(message));
    let properties = message.application_properties.0.iter();
    put(&mut shown, "properties", properties.map(|(name, one)| (name.clone(), value(one))).collect());
    shown.insert("body".to_owned(), body(&message.body));
    Value::Object(shown)
}

fn put(shown: &mut Map<String, Value>, name: &str, part: Map<String, Value>) {
    if !part.is_empty() {
        shown.insert(name.to_owned(), Value::Object(part));
    }
}

fn system(message: &Message) -> Map<String, Value> {
    let mut system = Map::new();
    let Some(properties) = &message.properties else { return system };
    let mut say = |name: &str, text: Option<&str>| {
        if let Some(text) = text {
            system.insert(name.to_owned(), json!(text));
        }
    };
    say("contentType", properties.content_type.as_ref().map(|symbol| symbol.as_str()));
    say("contentEncoding", properties.content_encoding.as_ref().map(|symbol| symbol.as_str()));
    say("to", properties.to.as_deref());
    say("subject", properties.subject.as_deref());
    system
}

/// As [`bytes`].
fn body(body: &Body) -> Value {
    match body {
        Body::Empty => Value::Null,
        Body::Data(_) => bytes(&body.as_bytes().unwrap_or_default()),
        Body::Value(one) => value(one),
        Body::Sequence(lists) => lists.iter().map(|list| list.iter().map(value).collect::<Value>()).collect(),
    }
}

/// JSON where it is JSON, text where it is text, base64 otherwise.
pub(crate) fn bytes(bytes: &[u8]) -> Value {
    match std::str::from_utf8(bytes) {
        Ok(text) => serde_json::from_str(text).unwrap_or_else(|_| json!(text)),
        Err(_) => json!({ "base64": BASE64.encode(bytes) }),
    }
}

/// As JSON that says the same, or nearly.
pub(crate) fn value(value: &Amqp) -> Value {
    match value {
        Amqp::Null => Value::Null,
        Amqp::Bool(one) => json!(one),
        Amqp::Ulong(one) => json!(one),
        Amqp::Float(one) => json!(one),
        Amqp::Double(one) => json!(one),
        Amqp::Char(one) => json!(one),
        Amqp::Uuid(one) => json!(one),
        Amqp::Timestamp(millis) => json!(Timestamp::from_millis(*millis).to_string()),
        Amqp::Binary(one) => bytes(one),
        Amqp::List(list) => list.iter().map(self::value).collect(),
        Amqp::Array(array) => array.elements().iter().map(self::value).collect(),
        Amqp::Map(map) => {
            let entry = |(key, one): &(Amqp, Amqp)| {
                let key = self::value(key);
                (key.as_str().map_or_else(|| key.to_string(), str::to_owned), self::value(one))
            };
            Value::Object(map.iter().map(entry).collect())
        }
        Amqp::Described(one) => self::value(&one.value),
        Amqp::Decimal32(one) => json!({ "base64": BASE64.encode(one) }),
        Amqp::Decimal64(one) => json!({ "base64": BASE64.encode(one) }),
        Amqp::Decimal128(one) => json!({ "base64": BASE64.encode(one) }),
        one => one.as_i64().map_or_else(|| json!(one.as_str()), |number| json!(number)),
    }
}
