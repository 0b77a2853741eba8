//! Queues of devices and of feedback, as services and devices see them.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use pollux_model::resource::{IsoDuration, Properties, Resource, ResourceKind};
use pollux_model::{Clock as _, DeviceId, ErrorCode};
use pollux_store::messages::Which;
use serde_json::{Value, json};

use super::*;
use crate::caller::{Caller, DeviceProof, Identity};
use crate::fixture::World;
use crate::hub::{DeviceCommand, DeviceInput, DeviceLink};

struct Hubs {
    world: World,
    hub: Arc<Resource>,
}

fn input(id: &str) -> DeviceInput {
    DeviceInput::new(id)
}

fn message(text: &str, ack: Ack) -> CloudMessage {
    CloudMessage {
        system: MessageProperties { message_id: Some(text.to_owned()), ..MessageProperties::default() },
        ack,
        properties: vec![("name".to_owned(), "value".to_owned())],
        body: Bytes::copy_from_slice(text.as_bytes()),
    }
}

fn texts(received: &Received) -> Vec<&str> {
    received.messages.iter().map(|message| std::str::from_utf8(&message.payload).unwrap()).collect()
}

impl Hubs {
    async fn new() -> Self {
        let world = World::new().await;
        let hub = world.resource(ResourceKind::Hub, "hub1");
        let it = Self { world, hub };
        it.service().create_device(&Caller::admin(), &it.hub, input("d")).await.unwrap();
        it
    }

    /// The same with other options of the hub.
    async fn with(change: impl FnOnce(&mut CloudToDevice)) -> Self {
        let mut it = Self::new().await;
        let mut hub = (*it.hub).clone();
        let Properties::Hub(properties) = &mut hub.properties else { panic!("no hub") };
        change(&mut properties.cloud_to_device);
        it.hub = Arc::new(hub);
        it
    }

    fn service(&self) -> &Hub {
        &self.world.services.hub
    }

    fn device(&self) -> (Caller, DeviceId) {
        let (hub, id) = (self.hub.name.clone(), DeviceId::parse("d").unwrap());
        let identity = Identity::Device {
            hub,
            id: id.clone().into(),
            generation_id: "1".to_owned(),
            by: DeviceProof::Key,
        };
        (Caller::own(identity), id)
    }

    async fn send(&self, text: &str, ack: Ack) -> pollux_model::Result<()> {
        self.service().send_message(&Caller::admin(), &self.hub, "d", message(text, ack)).await
    }

    async fn receive(&self, by: LockedBy, most: usize) -> Received {
        let (caller, id) = self.device();
        self.service().receive_messages(&caller, &self.hub, &id, by, most).await.unwrap()
    }

    async fn settle(&self, token: &Etag, settle: Settle) -> Result<(), ErrorCode> {
        let (caller, id) = self.device();
        let settled = self.service().settle_message(&caller, &self.hub, &id, token, settle).await;
        settled.map_err(|error| error.code)
    }

    async fn take_back(&self) {
        let (caller, id) = self.device();
        self.service().take_back_messages(&caller, &self.hub, &id).await.unwrap();
    }

    async fn feedback(&self) -> Option<(Etag, Value)> {
        let batch = self.service().receive_feedback(&Caller::admin(), &self.hub).await.unwrap()?;
        Some((batch.lock_token, serde_json::from_str(&batch.body).unwrap()))
    }

    /// Status and message of each record; the feedback is completed.
    async fn told(&self) -> Vec<(String, String)> {
        let Some((token, records)) = self.feedback().await else { return Vec::new() };
        self.service().settle_feedback(&Caller::admin(), &self.hub, &token, Settle::Complete).await.unwrap();
        let text = |record: &Value, name: &str| record[name].as_str().unwrap().to_owned();
        let record = |record: &Value| (text(record, "statusCode"), text(record, "originalMessageId"));
        let mut told: Vec<_> = records.as_array().unwrap().iter().map(record).collect();
        told.sort();
        told
    }

    async fn count(&self) -> u64 {
        let device = self.service().existing(&self.hub, &self.device().1).await.unwrap();
        self.service().presence(&self.hub, &device).await.unwrap().messages
    }
}

fn pair(status: &str, id: &str) -> (String, String) {
    (status.to_owned(), id.to_owned())
}

#[tokio::test]
async fn messages_come_in_their_order_and_are_gone_once_they_are_completed() {
    let it = Hubs::new().await;
    for text in ["one", "two", "three"] {
        it.send(text, Ack::None).await.unwrap();
    }
    assert_eq!(it.count().await, 3);
    let first = it.receive(LockedBy::Request, 1).await;
    assert_eq!((texts(&first), first.next), (vec!["one"], None));
    let got = &first.messages[0];
    assert_eq!((got.properties.len(), got.delivery_count), (1, 0));
    let others = it.receive(LockedBy::Request, 9).await;
    assert_eq!(texts(&others), ["two", "three"], "what is locked is not seen");
    let nothing = it.receive(LockedBy::Request, 9).await;
    let until = it.world.clock.now().plus(Duration::from_secs(60));
    assert_eq!((texts(&nothing).len(), nothing.next), (0, Some(until)));
    it.settle(&got.etag, Settle::Complete).await.unwrap();
    assert_eq!(it.settle(&got.etag, Settle::Complete).await, Err(ErrorCode::MessageLockLost));
    assert_eq!((it.count().await, it.told().await), (2, Vec::new()));
}

#[tokio::test]
async fn a_lock_runs_out_without_a_count_and_an_abandoned_message_counts() {
    let it = Hubs::with(|options| options.max_delivery_count = 2).await;
    it.send("one", Ack::Full).await.unwrap();
    let first = it.receive(LockedBy::Request, 1).await.messages.remove(0);
    it.world.clock.advance(Duration::from_secs(60));
    assert_eq!(it.settle(&first.etag, Settle::Complete).await, Err(ErrorCode::MessageLockLost));
    let again = it.receive(LockedBy::Request, 1).await.messages.remove(0);
    assert_eq!((again.delivery_count, again.payload.as_slice()), (0, b"one".as_slice()));
    it.settle(&again.etag, Settle::Release).await.unwrap();
    let again = it.receive(LockedBy::Request, 1).await.messages.remove(0);
    it.settle(&again.etag, Settle::Abandon).await.unwrap();
    let again = it.receive(LockedBy::Request, 1).await.messages.remove(0);
    assert_eq!(again.delivery_count, 1);
    assert_eq!(it.told().await, []);
    it.settle(&again.etag, Settle::Abandon).await.unwrap();
    assert_eq!(it.receive(LockedBy::Request, 1).await, Received::default());
    assert_eq!(it.told().await, [pair("DeliveryCountExceeded", "one")]);
}

#[tokio::test]
async fn a_request_says_how_long_the_message_is_its_own_within_bounds() {
    let it = Hubs::new().await;
    let (caller, id) = it.device();
    let receive = async |seconds| {
        let lock = Some(Duration::from_secs(seconds));
        it.service().receive_message(&caller, &it.hub, &id, lock).await.unwrap()
    };
    it.send("one", Ack::None).await.unwrap();
    for (asked, held) in [(5, 5), (0, 1), (4000, 300)] {
        assert!(receive(asked).await.is_some(), "{asked}");
        it.world.clock.advance(Duration::from_secs(held) - Duration::from_millis(1));
        assert!(receive(5).await.is_none(), "{asked}: it is held for {held} seconds");
        it.world.clock.advance(Duration::from_millis(1));
    }
}

#[tokio::test]
async fn a_new_connection_takes_back_what_the_one_before_held() {
    let it = Hubs::new().await;
    for text in ["one", "two"] {
        it.send(text, Ack::None).await.unwrap();
    }
    let held = it.receive(LockedBy::Connection, 9).await.messages;
    let (one, two) = (&held[0].etag, &held[1].etag);
    // As long as nobody else has it, a connection may take its time.
    it.world.clock.advance(Duration::from_secs(600));
    it.settle(one, Settle::Complete).await.unwrap();
    it.take_back().await;
    assert_eq!(it.settle(two, Settle::Complete).await, Err(ErrorCode::MessageLockLost));
    let again = it.receive(LockedBy::Connection, 9).await;
    assert_eq!((texts(&again), again.messages[0].delivery_count), (vec!["two"], 1));
    // A request's lock is not a connection's to take.
    it.settle(&again.messages[0].etag, Settle::Release).await.unwrap();
    let request = it.receive(LockedBy::Request, 9).await.messages.remove(0);
    it.take_back().await;
    it.settle(&request.etag, Settle::Complete).await.unwrap();
}

#[tokio::test]
async fn feedback_tells_of_the_ends_that_were_asked_for() {
    let it = Hubs::new().await;
    for (text, ack) in
        [("a", Ack::None), ("b", Ack::Positive), ("c", Ack::Negative), ("d", Ack::Full), ("e", Ack::Full)]
    {
        it.send(text, ack).await.unwrap();
    }
    let mut arrivals = it.service().feedback_arrivals();
    let messages = it.receive(LockedBy::Request, 9).await.messages;
    for message in &messages[..4] {
        it.settle(&message.etag, Settle::Complete).await.unwrap();
    }
    it.settle(&messages[4].etag, Settle::Reject).await.unwrap();
    assert!(arrivals.has_changed().unwrap());
    arrivals.mark_unchanged();
    let (token, records) = it.feedback().await.unwrap();
    let device = it.service().existing(&it.hub, &it.device().1).await.unwrap();
    let success = |id: &str| {
        json!({
            "originalMessageId": id, "statusCode": "Success", "description": "Success", "deviceId": "d",
            "deviceGenerationId": device.identity.generation_id, "enqueuedTimeUtc": it.world.clock.now(),
        })
    };
    let records = records.as_array().unwrap();
    assert_eq!(records.len(), 3);
    assert!(records.contains(&success("b")) && records.contains(&success("d")), "{records:?}");
    assert!(it.feedback().await.is_none(), "it is locked");
    it.service().settle_feedback(&Caller::admin(), &it.hub, &token, Settle::Abandon).await.unwrap();
    assert!(arrivals.has_changed().unwrap());
    assert_eq!(it.told().await, [pair("Rejected", "e"), pair("Success", "b"), pair("Success", "d")]);
    assert_eq!(it.told().await, []);
    // Its own lock runs out too.
    it.send("f", Ack::Full).await.unwrap();
    let message = it.receive(LockedBy::Request, 1).await.messages.remove(0);
    it.settle(&message.etag, Settle::Complete).await.unwrap();
    let (late, _) = it.feedback().await.unwrap();
    it.world.clock.advance(Duration::from_secs(60));
    let settled = it.service().settle_feedback(&Caller::admin(), &it.hub, &late, Settle::Complete).await;
    assert_eq!(settled.unwrap_err().code, ErrorCode::MessageLockLost);
    assert_eq!(it.told().await, [pair("Success", "f")]);
}

#[tokio::test]
async fn more_feedback_than_one_message_holds_comes_in_several() {
    let it = Hubs::new().await;
    for round in 0..2 {
        for number in 0..40 {
            it.send(&format!("{round}-{number}"), Ack::Full).await.unwrap();
        }
        let messages = it.receive(LockedBy::Request, 99).await.messages;
        assert_eq!(messages.len(), 40);
        for message in messages {
            it.settle(&message.etag, Settle::Complete).await.unwrap();
        }
    }
    assert_eq!((it.told().await.len(), it.told().await.len(), it.told().await.len()), (64, 16, 0));
}

#[tokio::test]
async fn what_expires_is_dead_lettered_unless_somebody_holds_it() {
    let it = Hubs::with(|options| options.default_ttl_as_iso8601 = IsoDuration(120)).await;
    it.send("default", Ack::Full).await.unwrap();
    let mut short = message("short", Ack::Full);
    short.system.expiry = Some(it.world.clock.now().plus(Duration::from_secs(10)));
    it.service().send_message(&Caller::admin(), &it.hub, "d", short).await.unwrap();
    it.world.clock.advance(Duration::from_secs(10));
    let held = it.receive(LockedBy::Request, 9).await;
    assert_eq!(texts(&held), ["default"], "what has expired is not given out");
    it.service().expire_messages().await.unwrap();
    assert_eq!(it.told().await, [pair("Expired", "short")]);
    it.world.clock.advance(Duration::from_secs(55));
    it.settle(&held.messages[0].etag, Settle::Release).await.unwrap();
    let held = it.receive(LockedBy::Request, 9).await.messages.remove(0);
    it.world.clock.advance(Duration::from_secs(58));
    it.service().expire_messages().await.unwrap();
    assert_eq!(it.told().await, []);
    it.settle(&held.etag, Settle::Complete).await.unwrap();
    assert_eq!(it.told().await, [pair("Success", "default")]);
    // Feedback that nobody reads goes as well, and nothing tells of it.
    it.send("last", Ack::Full).await.unwrap();
    let message = it.receive(LockedBy::Request, 9).await.messages.remove(0);
    it.settle(&message.etag, Settle::Complete).await.unwrap();
    it.world.clock.advance(Duration::from_secs(3600));
    it.service().expire_messages().await.unwrap();
    let queue = pollux_model::message::MessageQueue::Feedback;
    let left = it.world.services.context.store.messages(&it.hub.name, &queue, Which::All, 9).await.unwrap();
    assert_eq!(left, []);
}

#[tokio::test]
async fn a_queue_has_a_bound_and_is_purged() {
    let it = Hubs::new().await;
    for number in 0..50 {
        it.send(&number.to_string(), Ack::Full).await.unwrap();
    }
    assert_eq!(it.send("one more", Ack::Full).await.unwrap_err().code, ErrorCode::QueueFull);
    let held = it.receive(LockedBy::Request, 1).await.messages.remove(0);
    let purge = async || it.service().purge_messages(&Caller::admin(), &it.hub, "d").await;
    assert_eq!(purge().await.unwrap(), 50);
    assert_eq!(purge().await.unwrap(), 0);
    assert_eq!(it.settle(&held.etag, Settle::Complete).await, Err(ErrorCode::MessageLockLost));
    let told = it.told().await;
    assert!(told.len() == 50 && told.iter().all(|(status, _)| status == "Purged"), "{told:?}");
    // What has expired makes room at once.
    let mut short = message("short", Ack::None);
    short.system.expiry = Some(it.world.clock.now());
    for _ in 0..51 {
        it.service().send_message(&Caller::admin(), &it.hub, "d", short.clone()).await.unwrap();
    }
    let missing = it.service().purge_messages(&Caller::admin(), &it.hub, "e").await;
    assert_eq!(missing.unwrap_err().code, ErrorCode::DeviceNotFound);
}

#[tokio::test]
async fn bad_messages_and_strangers_are_refused() {
    let it = Hubs::new().await;
    let send = async |id: &str, message: CloudMessage| {
        it.service().send_message(&Caller::admin(), &it.hub, id, message).await.map_err(|error| error.code)
    };
    assert_eq!(send("e", message("x", Ack::None)).await, Err(ErrorCode::DeviceNotFound));
    let large = CloudMessage { body: vec![0; 64 * 1024].into(), ..CloudMessage::default() };
    assert_eq!(send("d", large.clone()).await, Ok(()));
    let larger = CloudMessage { properties: vec![("a".into(), String::new())], ..large };
    assert_eq!(send("d", larger).await, Err(ErrorCode::TooLarge));
    for bad in [("", "x"), ("a\n", "x"), ("a", "x\r\ny")] {
        let properties = vec![(bad.0.to_owned(), bad.1.to_owned())];
        let bad = CloudMessage { properties, ..CloudMessage::default() };
        assert_eq!(send("d", bad).await, Err(ErrorCode::InvalidArgument));
    }
    let mut long = message("x", Ack::None);
    long.system.message_id = Some("x".repeat(129));
    assert_eq!(send("d", long).await, Err(ErrorCode::InvalidArgument));
    let (caller, id) = it.device();
    let service = it.service();
    let refused = service.send_message(&caller, &it.hub, "d", message("x", Ack::None)).await;
    assert_eq!(refused.unwrap_err().code, ErrorCode::Forbidden);
    assert_eq!(service.receive_feedback(&caller, &it.hub).await.unwrap_err().code, ErrorCode::Forbidden);
    assert_eq!(service.purge_messages(&caller, &it.hub, "d").await.unwrap_err().code, ErrorCode::Forbidden);
    let other = DeviceId::parse("other").unwrap();
    for id in [&other, &id] {
        let caller = if id == &other { caller.clone() } else { Caller::admin() };
        let received = service.receive_messages(&caller, &it.hub, id, LockedBy::Request, 1).await;
        assert_eq!(received.unwrap_err().code, ErrorCode::Forbidden);
        let settled = service.settle_message(&caller, &it.hub, id, "x", Settle::Complete).await;
        assert_eq!(settled.unwrap_err().code, ErrorCode::Forbidden);
    }
}

#[tokio::test]
async fn a_crash_at_any_point_loses_nothing() {
    let mut it = Hubs::new().await;
    it.send("one", Ack::Full).await.unwrap();
    let restart = async |it: Hubs| {
        let now = it.world.clock.now();
        let world = it.world.restarted();
        world.clock.advance(now.since(world.clock.now()));
        world.services.load(&[]).await.unwrap();
        let hub = world.resource(ResourceKind::Hub, "hub1");
        Hubs { world, hub }
    };
    // It was sent; it was received and the device is gone with the server; it was abandoned; it was completed.
    it = restart(it).await;
    assert_eq!(texts(&it.receive(LockedBy::Connection, 9).await), ["one"]);
    it = restart(it).await;
    assert_eq!(texts(&it.receive(LockedBy::Connection, 9).await).len(), 0, "it is locked still");
    it.take_back().await;
    let held = it.receive(LockedBy::Request, 9).await.messages.remove(0);
    assert_eq!((held.payload.as_slice(), held.delivery_count), (b"one".as_slice(), 1));
    it = restart(it).await;
    it.settle(&held.etag, Settle::Abandon).await.unwrap();
    it = restart(it).await;
    let held = it.receive(LockedBy::Request, 9).await.messages.remove(0);
    assert_eq!(held.delivery_count, 2);
    it.settle(&held.etag, Settle::Complete).await.unwrap();
    it = restart(it).await;
    assert_eq!(it.receive(LockedBy::Request, 9).await, Received::default());
    assert!(it.feedback().await.is_some());
    it = restart(it).await;
    it.world.clock.advance(Duration::from_secs(60));
    assert_eq!(it.told().await, [pair("Success", "one")]);
}

/// Counts how often it is told that messages wait.
#[derive(Debug, Default)]
struct Link(Mutex<usize>);

impl DeviceLink for Link {
    fn deliver(&self, command: DeviceCommand) {
        if command == DeviceCommand::MessageWaiting {
            *self.0.lock() += 1;
        }
    }
}

#[tokio::test]
async fn the_live_connection_is_told_and_a_deleted_device_leaves_nothing() {
    let it = Hubs::new().await;
    let (_, id) = it.device();
    let device = it.service().existing(&it.hub, &id).await.unwrap();
    let (hub, generation_id) = (it.hub.name.clone(), device.identity.generation_id);
    let identity = Identity::Device { hub, id: id.clone().into(), generation_id, by: DeviceProof::Key };
    let link = Arc::new(Link::default());
    let caller = Caller::own(identity);
    let connection =
        it.service().connect_device(&caller, &it.hub, &id.clone().into(), link.clone()).await.unwrap();
    it.send("one", Ack::Full).await.unwrap();
    assert_eq!(*link.0.lock(), 1);
    let held = it.receive(LockedBy::Request, 1).await.messages.remove(0);
    it.settle(&held.etag, Settle::Abandon).await.unwrap();
    assert_eq!(*link.0.lock(), 2, "what a request gives back is the connection's to deliver");
    it.service()
        .keep_mqtt_session(
            &caller,
            &it.hub,
            &id.clone().into(),
            Some(vec![("devices/d/messages/devicebound/#".into(), 1)]),
        )
        .await
        .unwrap();
    drop(connection);
    it.service().delete_device(&Caller::admin(), &it.hub, "d", None).await.unwrap();
    it.service().create_device(&Caller::admin(), &it.hub, input("d")).await.unwrap();
    assert_eq!((it.count().await, it.receive(LockedBy::Request, 9).await), (0, Received::default()));
    assert_eq!(it.service().mqtt_session(&caller, &it.hub, &id.clone().into()).await.unwrap(), None);
    assert_eq!(it.told().await, []);
}
