//! Cloud-to-device messages: delivered, acknowledged, kept while the device is away.

use pollux_model::DeviceId;
use pollux_model::message::{LockedBy, MessageQueue, QueuedMessage};
use pollux_model::resource::ResourceKind;
use pollux_services::Caller;
use pollux_services::hub::cloud_to_device::{Ack, CloudMessage, MessageProperties};
use pollux_store::messages::Which;
use rmqtt_codec::types::QoS;
use rmqtt_codec::v3::Packet;

use crate::device::Device;
use crate::world::{Credentials, World, eventually};

const FILTER: &str = "devices/d1/messages/devicebound/#";
const TOPIC: &str = "devices/d1/messages/devicebound/";
const TO: &str = "%24.to=%2Fdevices%2Fd1%2Fmessages%2Fdevicebound";

async fn send(world: &World, text: &str) {
    let message = CloudMessage { body: text.to_owned().into(), ack: Ack::Full, ..CloudMessage::default() };
    let hub = world.resource(ResourceKind::Hub);
    world.services.hub.send_message(&Caller::admin(), &hub, "d1", message).await.unwrap();
}

async fn queue(world: &World) -> Vec<QueuedMessage> {
    let hub = world.resource(ResourceKind::Hub);
    let queue = MessageQueue::Device(DeviceId::parse("d1").unwrap());
    world.services.context.store.messages(&hub.name, &queue, Which::All, 99).await.unwrap()
}

/// How many wait, and how often the first was abandoned, once that is so.
async fn settled(world: &World, count: usize, deliveries: u32) {
    eventually(|| async {
        let queue = queue(world).await;
        let free = queue.iter().all(|message| message.lock.is_none());
        free && queue.len() == count && queue.iter().all(|message| message.delivery_count == deliveries)
    })
    .await;
}

async fn listening(world: &World, good: &Credentials, qos: QoS) -> Device {
    let mut device = world.connected(good).await;
    assert!(device.subscribe_at(FILTER, qos).await);
    device
}

#[tokio::test]
async fn a_message_is_delivered_with_its_properties_and_gone_once_it_is_acknowledged() {
    let world = World::new().await;
    let good = world.device("d1").await;
    let mut device = listening(&world, &good, QoS::AtLeastOnce).await;
    let system = MessageProperties { message_id: Some("m 1".to_owned()), ..MessageProperties::default() };
    let properties = vec![("a/b".to_owned(), "c=d".to_owned())];
    let message = CloudMessage { system, ack: Ack::Full, properties, body: "one".into() };
    let hub = world.resource(ResourceKind::Hub);
    world.services.hub.send_message(&Caller::admin(), &hub, "d1", message).await.unwrap();
    let (id, topic, payload) = device.delivery().await;
    assert_eq!(topic, format!("{TOPIC}%24.mid=m%201&{TO}&iothub-ack=full&a%2Fb=c%3Dd"));
    assert_eq!((payload.as_ref(), queue(&world).await.len()), (b"one".as_slice(), 1));
    device.puback(id).await;
    eventually(|| async { queue(&world).await.is_empty() }).await;
    let feedback = world.services.hub.receive_feedback(&Caller::admin(), &hub).await.unwrap().unwrap();
    assert!(feedback.body.contains(r#""statusCode":"Success""#), "{}", feedback.body);
}

#[tokio::test]
async fn what_was_sent_before_comes_in_its_order_and_no_more_than_a_few_at_once() {
    let world = World::new().await;
    let good = world.device("d1").await;
    for number in 0..50 {
        send(&world, &number.to_string()).await;
    }
    let mut device = listening(&world, &good, QoS::AtLeastOnce).await;
    let mut open = Vec::new();
    for number in 0..16 {
        let (id, _, payload) = device.delivery().await;
        assert_eq!(payload, number.to_string());
        open.push(id);
    }
    // Nothing more comes until something is acknowledged.
    device.acknowledged("devices/d1/messages/events/", "still here").await;
    let held = queue(&world).await.iter().filter(|message| message.lock.is_some()).count();
    assert_eq!(held, 16);
    for number in 16..50 {
        device.puback(open.remove(0)).await;
        let (id, _, payload) = device.delivery().await;
        assert_eq!(payload, number.to_string());
        open.push(id);
    }
    for id in open {
        device.puback(id).await;
    }
    eventually(|| async { queue(&world).await.is_empty() }).await;
}

#[tokio::test]
async fn with_qos_0_it_is_done_when_it_is_on_its_way() {
    let world = World::new().await;
    let good = world.device("d1").await;
    let mut device = listening(&world, &good, QoS::AtMostOnce).await;
    for number in 0..40 {
        send(&world, &number.to_string()).await;
    }
    for number in 0..40 {
        assert_eq!(device.message().await.1, number.to_string());
    }
    eventually(|| async { queue(&world).await.is_empty() }).await;
}

#[tokio::test]
async fn a_session_outlives_its_connection_and_what_was_not_acknowledged_comes_again() {
    let world = World::new().await;
    let good = world.device("d1").await;
    let mut device = listening(&world, &good, QoS::AtLeastOnce).await;
    assert!(!device.session_present);
    send(&world, "one").await;
    device.delivery().await;
    drop(device);
    settled(&world, 1, 1).await;
    send(&world, "two").await;
    // It does not subscribe again.
    let mut device = world.connected(&good).await;
    assert!(device.session_present);
    let (first, _, payload) = device.delivery().await;
    assert_eq!(payload, "one");
    let (second, _, payload) = device.delivery().await;
    assert_eq!(payload, "two");
    device.puback(second).await;
    device.puback(first).await;
    eventually(|| async { queue(&world).await.is_empty() }).await;
    // A clean session begins with nothing, and leaves nothing.
    let mut clean = world.hub_connect(&good);
    clean.clean_session = true;
    let (mut device, _) = world.dial();
    assert_eq!((device.connect(clean.clone()).await, device.session_present), (0, false));
    send(&world, "three").await;
    device.acknowledged("devices/d1/messages/events/", "nothing came").await;
    assert!(device.subscribe_at(FILTER, QoS::AtLeastOnce).await);
    let (id, _, payload) = device.delivery().await;
    assert_eq!(payload, "three");
    device.puback(id).await;
    eventually(|| async { queue(&world).await.is_empty() }).await;
    let device = world.connected(&good).await;
    assert!(!device.session_present);
}

#[tokio::test]
async fn who_unsubscribes_hears_no_more() {
    let world = World::new().await;
    let good = world.device("d1").await;
    let mut device = listening(&world, &good, QoS::AtLeastOnce).await;
    let topic_filters = vec![FILTER.into()];
    device.send([Packet::Unsubscribe { packet_id: 999.try_into().unwrap(), topic_filters }]).await;
    assert!(matches!(device.recv().await, Some(Packet::UnsubscribeAck { .. })));
    send(&world, "one").await;
    device.acknowledged("devices/d1/messages/events/", "nothing came").await;
    settled(&world, 1, 0).await;
    drop(device);
    let mut device = world.connected(&good).await;
    assert!(device.session_present);
    device.acknowledged("devices/d1/messages/events/", "nothing came").await;
    settled(&world, 1, 0).await;
}

#[tokio::test]
async fn a_takeover_takes_over_what_the_other_held() {
    let world = World::new().await;
    let good = world.device("d1").await;
    let mut first = listening(&world, &good, QoS::AtLeastOnce).await;
    send(&world, "one").await;
    first.delivery().await;
    let mut second = world.connected(&good).await;
    let (id, _, payload) = second.delivery().await;
    assert_eq!(payload, "one");
    first.closed().await;
    second.puback(id).await;
    eventually(|| async { queue(&world).await.is_empty() }).await;
}

#[tokio::test]
async fn a_message_that_somebody_else_gives_back_is_delivered() {
    let world = World::new().await;
    let good = world.device("d1").await;
    send(&world, "one").await;
    let hub = world.resource(ResourceKind::Hub);
    let id = DeviceId::parse("d1").unwrap();
    let token = world.token("localhost/devices/d1", &good.key, 60);
    let token = pollux_model::sas::SasToken::parse(&token).unwrap();
    let (caller, _) = world.services.hub.authenticate_device(&hub, &id, &token).await.unwrap();
    let service = &world.services.hub;
    let held = service.receive_messages(&caller, &hub, &id, LockedBy::Request, 1).await.unwrap().messages;
    let mut device = listening(&world, &good, QoS::AtLeastOnce).await;
    device.acknowledged("devices/d1/messages/events/", "nothing came").await;
    let settle = pollux_services::hub::cloud_to_device::Settle::Abandon;
    service.settle_message(&caller, &hub, &id, &held[0].etag, settle).await.unwrap();
    assert_eq!(device.delivery().await.2, "one");
}

#[tokio::test]
async fn large_messages_do_not_overrun_a_slow_device() {
    let world = World::new().await;
    let good = world.device("d1").await;
    for number in 0..50 {
        send(&world, &format!("{number:02}").repeat(32 * 1024)).await;
    }
    let mut device = listening(&world, &good, QoS::AtMostOnce).await;
    for number in 0..50 {
        let (_, payload) = device.message().await;
        assert_eq!((&payload[..2], payload.len()), (format!("{number:02}").as_bytes(), 64 * 1024));
    }
    eventually(|| async { queue(&world).await.is_empty() }).await;
}
