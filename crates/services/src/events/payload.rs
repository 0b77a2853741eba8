//! An event between the wire and the log: what is stored of a message, and the message that readers get.
//!
//! ```text
//!   sent      header | delivery-annotations | message-annotations | bare message | footer
//!   stored             delivery-annotations | message-annotations | bare message | footer
//!   received           delivery-annotations | message-annotations | bare message | footer
//!                      + what is told of      + where it stands
//!                        the partition
//! ```
//!
//! The bare message (properties, application properties, body) goes through untouched, bit for bit. Delivery annotations
//! and footers come through Azure as well (`test_send_amqp_annotated_message` in the tests of PyPI's azure-eventhub).

use bytes::{Bytes, BytesMut};
use pollux_amqp::{Annotations, Message, Sections, Symbol, Value};
use pollux_eventlog::Record;
use pollux_model::{Error, ErrorCode, Result};

const SEQUENCE_NUMBER: &str = "x-opt-sequence-number";
const OFFSET: &str = "x-opt-offset";
const ENQUEUED: &str = "x-opt-enqueued-time";
const PARTITION_KEY: &str = "x-opt-partition-key";
const PUBLISHER: &str = "x-opt-publisher";
/// What says where an event stands: the service's to say, not the sender's.
const OURS: [&str; 5] = [SEQUENCE_NUMBER, OFFSET, ENQUEUED, PARTITION_KEY, PUBLISHER];
/// Most characters of a partition key (Azure: "Quotas and limits").
const LONGEST_KEY: usize = 128;

/// An event that was sent, ready to be stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stored {
    pub(super) partition_key: Option<Box<str>>,
    pub(super) payload: Bytes,
}

impl Stored {
    /// Takes a message apart. Everything in it is looked at: what readers cannot decode is refused here.
    pub(super) fn from_message(message: Bytes, publisher: Option<&str>) -> Result<Self> {
        let sections = Sections::find(message).map_err(malformed)?;
        sections.properties().map_err(malformed)?;
        sections.application_properties().map_err(malformed)?;
        sections.body().map_err(malformed)?;
        let delivery = sections.delivery_annotations().map_err(malformed)?;
        let mut annotations = sections.message_annotations().map_err(malformed)?;
        let footer = sections.footer().map_err(malformed)?;
        let partition_key = key_of(&annotations)?;
        annotations.0.retain(|(key, _)| !is_ours(key));
        if let Some(name) = publisher
            && let Some(symbol) = Symbol::new(PUBLISHER)
        {
            annotations.push(symbol, name);
        }
        let payload = whole(delivery, annotations, sections.bare(), footer);
        Ok(Self { partition_key, payload })
    }
}

fn key_of(annotations: &Annotations) -> Result<Option<Box<str>>> {
    match annotations.get(PARTITION_KEY) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(key)) if key.chars().count() <= LONGEST_KEY => Ok(Some(key.as_str().into())),
        Some(Value::String(_)) => {
            let text = format!("the partition key is longer than {LONGEST_KEY} characters");
            Err(Error::new(ErrorCode::InvalidArgument, text))
        }
        Some(_) => Err(Error::new(ErrorCode::InvalidArgument, "x-opt-partition-key must be a string")),
    }
}

fn is_ours(key: &pollux_amqp::AnnotationKey) -> bool {
    matches!(key, pollux_amqp::AnnotationKey::Symbol(name) if OURS.contains(&name.as_str()))
}

/// The messages in a batch (message format 0x80013700): each is an encoded message in a data section of its own. The
/// outer message's partition key is that of all.
pub(super) fn open_batch(message: Bytes, publisher: Option<&str>) -> Result<Vec<Stored>> {
    let outer = Sections::find(message).map_err(malformed)?;
    let shared = key_of(&outer.message_annotations().map_err(malformed)?)?;
    let pollux_amqp::Body::Data(inner) = outer.body().map_err(malformed)? else {
        return Err(Error::new(ErrorCode::InvalidArgument, "a batch carries its messages in data sections"));
    };
    let open = |message: Bytes| {
        let mut stored = Stored::from_message(message, publisher)?;
        stored.partition_key = shared.clone().or(stored.partition_key);
        Ok(stored)
    };
    inner.into_iter().map(open).collect()
}

/// The message that readers of a stored event get; `told` is what they are told beside it, as delivery annotations.
pub fn to_message(record: &Record, told: &Annotations) -> Result<Bytes> {
    let sections = Sections::find(record.payload.clone()).map_err(malformed)?;
    let mut delivery = sections.delivery_annotations().map_err(malformed)?;
    delivery.0.retain(|(key, _)| told.0.iter().all(|(ours, _)| ours != key));
    delivery.0.extend(told.0.iter().cloned());
    let mut annotations = sections.message_annotations().map_err(malformed)?;
    annotations.push(Symbol::from_static(SEQUENCE_NUMBER), Value::Long(record.sequence_number));
    annotations.push(Symbol::from_static(OFFSET), record.offset.to_string());
    annotations.push(Symbol::from_static(ENQUEUED), Value::Timestamp(record.enqueued_time.as_millis()));
    if let Some(key) = &record.partition_key {
        annotations.push(Symbol::from_static(PARTITION_KEY), key.to_string());
    }
    let footer = sections.footer().map_err(malformed)?;
    Ok(whole(delivery, annotations, sections.bare(), footer))
}

fn whole(delivery: Annotations, annotations: Annotations, bare: &Bytes, footer: Annotations) -> Bytes {
    let head =
        Message { delivery_annotations: delivery, message_annotations: annotations, ..Message::default() };
    let (head, tail) = (head.encode(), Message { footer, ..Message::default() }.encode());
    let mut whole = BytesMut::with_capacity(head.len() + bare.len() + tail.len());
    whole.extend_from_slice(&head);
    whole.extend_from_slice(bare);
    whole.extend_from_slice(&tail);
    whole.freeze()
}

#[expect(clippy::needless_pass_by_value, reason = "made for map_err")]
fn malformed(error: pollux_amqp::DecodeError) -> Error {
    Error::new(ErrorCode::InvalidArgument, format!("the message cannot be decoded: {error}"))
}

#[cfg(test)]
mod tests {
    use pollux_amqp::{ApplicationProperties, Body, Properties};
    use pollux_model::Timestamp;

    use super::*;

    fn message(key: Option<Value>) -> Message {
        let mut message = Message { body: Body::data("x"), ..Message::default() };
        message.message_annotations.push(Symbol::from_static("mine"), seven());
        message.message_annotations.push(Symbol::from_static(SEQUENCE_NUMBER), Value::Long(99));
        if let Some(key) = key {
            message.message_annotations.push(Symbol::from_static(PARTITION_KEY), key);
        }
        message.application_properties = ApplicationProperties(vec![
            ("f".to_owned(), Value::Float(f32::NAN)),
            ("d".to_owned(), Value::Decimal128([7; 16])),
        ]);
        message.properties = Some(Properties { to: Some("there".to_owned()), ..Properties::default() });
        message.delivery_annotations.push(Symbol::from_static("theirs"), seven());
        message.delivery_annotations.push(Symbol::from_static("told"), seven());
        message.footer.push(Symbol::from_static("sum"), seven());
        message
    }

    fn seven() -> Value {
        Value::Long(7)
    }

    #[test]
    fn what_is_received_is_what_was_sent_with_its_place() {
        let sent = message(Some(Value::from("k"))).encode();
        let bare = Sections::find(sent.clone()).unwrap().bare().clone();
        let stored = Stored::from_message(sent, None).unwrap();
        assert_eq!(stored.partition_key.as_deref(), Some("k"));
        let record = Record {
            sequence_number: 3,
            offset: 400,
            enqueued_time: Timestamp::from_secs(9),
            partition_key: stored.partition_key,
            payload: stored.payload,
        };
        let mut told = Annotations::default();
        told.push(Symbol::from_static("told"), Value::Long(8));
        let received = Sections::find(to_message(&record, &told).unwrap()).unwrap();
        assert_eq!(received.bare(), &bare, "bit for bit");
        let delivery = received.delivery_annotations().unwrap();
        assert_eq!(delivery.get("theirs"), Some(&seven()));
        assert_eq!((delivery.get("told"), delivery.0.len()), (Some(&Value::Long(8)), 2));
        assert_eq!(received.footer().unwrap().get("sum"), Some(&seven()));
        let annotations = received.message_annotations().unwrap();
        assert_eq!(annotations.get("mine"), Some(&Value::Long(7)));
        assert_eq!(annotations.get(SEQUENCE_NUMBER), Some(&Value::Long(3)), "not what the sender said");
        assert_eq!(annotations.get(OFFSET), Some(&Value::from("400")));
        assert_eq!(annotations.get(ENQUEUED), Some(&Value::Timestamp(9000)));
        assert_eq!(annotations.get(PARTITION_KEY), Some(&Value::from("k")));
    }

    #[test]
    fn a_batch_has_one_key_for_all() {
        let inner = vec![message(None).encode(), message(None).encode()];
        let mut outer = Message { body: Body::Data(inner), ..Message::default() };
        outer.message_annotations.push(Symbol::from_static(PARTITION_KEY), "all");
        let stored = open_batch(outer.encode(), Some("p1")).unwrap();
        assert_eq!(stored.len(), 2);
        assert!(stored.iter().all(|one| one.partition_key.as_deref() == Some("all")));
        let annotations = Sections::find(stored[0].payload.clone()).unwrap().message_annotations().unwrap();
        assert_eq!(annotations.get(PUBLISHER), Some(&Value::from("p1")));
    }

    #[test]
    fn what_readers_could_not_decode_is_refused() {
        let broken = Bytes::from_static(&[0x00, 0x53, 0x74, 0xc1, 0x03, 0x02, 0xa1, 0x7f]);
        assert!(Stored::from_message(broken, None).is_err());
        assert!(Stored::from_message(message(Some(Value::Int(1))).encode(), None).is_err());
        assert!(Stored::from_message(message(Some("k".repeat(129).into())).encode(), None).is_err());
        assert!(
            open_batch(Message { body: Body::Value(Value::Null), ..Message::default() }.encode(), None)
                .is_err()
        );
    }
}
