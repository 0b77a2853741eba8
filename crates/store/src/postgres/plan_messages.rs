//! Statements about messages in queues, and about what MQTT connections leave.

use std::sync::LazyLock;

use pollux_model::message::{MessageQueue, QueuedMessage};
use pollux_model::{DeviceId, ResourceName};

use super::noun::Noun;
use super::plan::{Param, Steps, Wants, key, value, word};
use crate::batch::{Expect, Write};
use crate::error::Mismatch;
use crate::messages::State;

const KEYS: [&str; 3] = ["hub", "queue", "sequence"];
static MESSAGES: LazyLock<Noun> = LazyLock::new(|| {
    let columns = ["etag", "expires", "locked_until", "held", "document", "payload"];
    Noun::new("queued_messages", &KEYS, &columns, &["etag"])
});
/// The same without the payload, which stays.
static STATES: LazyLock<Noun> = LazyLock::new(|| {
    let columns = ["etag", "expires", "locked_until", "held", "document"];
    Noun::new("queued_messages", &KEYS, &columns, &["etag"])
});
static SESSIONS: LazyLock<Noun> =
    LazyLock::new(|| Noun::new("mqtt_sessions", &["hub", "device"], &["document"], &[]));

/// Makes whoever else adds to the device's queue wait until this batch is committed, and whoever deletes the device.
const DEVICE_STAYS: &str = "SELECT 1 FROM devices WHERE hub = $1 AND id = $2 FOR NO KEY UPDATE";
/// Makes only the latter wait.
const DEVICE_IS_KEPT: &str = "SELECT 1 FROM devices WHERE hub = $1 AND id = $2 FOR KEY SHARE";
const ENQUEUE: &str =
    "INSERT INTO queued_messages (hub, queue, sequence, etag, expires, locked_until, held, document, payload)
    SELECT $1::text, $2::text, greatest($3::bigint, coalesce(max(sequence) + 1, $3::bigint)), $4::text, $5::bigint,
        $6::bigint, $7::boolean, $8::text, $9::bytea
    FROM queued_messages WHERE hub = $1::text AND queue = $2::text HAVING count(*) < $10::bigint";
const DELETE_QUEUE: &str = "DELETE FROM queued_messages WHERE hub = $1 AND queue = $2";

/// Adds the steps of a write about one of these.
pub(super) fn write<'a>(steps: &mut Steps<'a, '_>, write: &'a Write, text: &'a str) {
    match write {
        Write::EnqueueMessage { hub, message, most } => {
            let queue = message.queue.as_str();
            steps.add(DEVICE_STAYS, key(hub, queue), Wants::Row(Mismatch::Absent));
            let mut params = message_key(hub, &message.queue, message.sequence);
            params.extend(state(message, text));
            params.extend([value(message.payload.as_slice()), value(i64::from(*most))]);
            steps.add(ENQUEUE, params, Wants::Row(Mismatch::QueueFull));
        }
        Write::PutMessage { hub, message, expect } => {
            let keys = || message_key(hub, &message.queue, message.sequence);
            let mut columns = state(message, text);
            if matches!(expect, Expect::Present | Expect::Etag(_)) {
                return steps.put(&STATES, keys, columns, expect);
            }
            columns.push(value(message.payload.as_slice()));
            steps.put(&MESSAGES, keys, columns, expect);
        }
        Write::DeleteMessage { hub, queue, sequence, expect } => {
            steps.delete(&MESSAGES, || message_key(hub, queue, *sequence), expect);
        }
        Write::PutMqttSession { hub, session } => {
            steps.add(DEVICE_IS_KEPT, key(hub, session.device_id()), Wants::Row(Mismatch::Absent));
            steps.put(&SESSIONS, || key(hub, &session.device), vec![value(text)], &Expect::Any);
        }
        Write::DeleteMqttSession { hub, device } => {
            steps.delete(&SESSIONS, || key(hub, device), &Expect::Any);
        }
        _ => {}
    }
}

/// What goes with a device. Its row is gone already, so nobody adds to the queue any more.
pub(super) fn delete_device<'a>(steps: &mut Steps<'a, '_>, hub: &'a ResourceName, id: &'a DeviceId) {
    steps.add(DELETE_QUEUE, key(hub, id), Wants::Anything);
    steps.delete(&SESSIONS, || key(hub, id), &Expect::Any);
}

fn message_key<'a>(hub: &'a ResourceName, queue: &'a MessageQueue, sequence: i64) -> Vec<Param<'a>> {
    vec![value(hub.as_str()), word(queue.as_str()), value(sequence)]
}

fn state<'a>(message: &'a QueuedMessage, text: &'a str) -> Vec<Param<'a>> {
    let State { expires, locked_until, held } = State::of(message);
    vec![word(&message.etag), value(expires), value(locked_until), value(held), value(text)]
}
