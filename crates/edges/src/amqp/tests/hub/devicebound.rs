//! What the cloud sends a device, over AMQP.

use pollux_model::DeviceId;
use pollux_model::message::MessageQueue;
use pollux_services::hub::cloud_to_device::CloudMessage;
use pollux_store::messages::Which;

use super::*;

const ADDRESS: &str = "/devices/dev-1/messages/devicebound";

/// A device that was sent a message, with a link that has credit for it.
async fn receiving_one(world: &World) -> (Peer, LinkId) {
    let device = world.device("dev-1").await;
    let message = CloudMessage { body: "once".into(), ..CloudMessage::default() };
    world.services.hub.send_message(&Caller::admin(), &world.hub, "dev-1", message).await.unwrap();
    let mut peer = world.connect(&device);
    peer.open().await;
    let link = peer.attach_receiver(ADDRESS).await;
    peer.machine.grant(link, 1);
    (peer, link)
}

#[tokio::test]
async fn messages_come_as_credit_is_given_and_what_is_not_settled_comes_again() {
    let (world, _folder) = World::new().await;
    let device = world.device("dev-1").await;
    let hub = &world.services.hub;
    for number in 0..4 {
        let message = CloudMessage { body: format!("{number}").into(), ..CloudMessage::default() };
        hub.send_message(&Caller::admin(), &world.hub, "dev-1", message).await.unwrap();
    }
    let mut peer = world.connect(&device);
    peer.open().await;
    let link = peer.attach_receiver(ADDRESS).await;
    let next = async |peer: &mut Peer, link, state: Option<DeliveryState>| {
        peer.machine.grant(link, 1);
        loop {
            if let Event::Delivery(delivery) = peer.next().await.unwrap() {
                let message = Message::decode(delivery.payload).unwrap();
                if let Some(state) = state {
                    peer.machine.settle(link, delivery.id, state);
                    // Before there is more credit.
                    while let Some(output) = peer.machine.take_output() {
                        peer.stream.write_all(&output).await.unwrap();
                    }
                }
                let count = message.header.unwrap().delivery_count.unwrap();
                let body = message.body.as_bytes().unwrap();
                return (String::from_utf8(body.to_vec()).unwrap(), count);
            }
        }
    };
    let came = |text: &str, count| (text.to_owned(), count);
    assert_eq!(next(&mut peer, link, Some(DeliveryState::Accepted)).await, came("0", 0));
    assert_eq!(next(&mut peer, link, Some(DeliveryState::Released)).await, came("1", 0));
    assert_eq!(next(&mut peer, link, None).await, came("1", 1), "what is given back comes first");
    assert_eq!(next(&mut peer, link, Some(DeliveryState::Rejected(None))).await, came("2", 0));
    peer.machine.detach(link, None);
    let link = peer.attach_receiver(ADDRESS).await;
    assert_eq!(
        next(&mut peer, link, Some(DeliveryState::Accepted)).await,
        came("1", 2),
        "it was in its hands"
    );
    assert_eq!(next(&mut peer, link, None).await, came("3", 0));
    drop(peer);
    let mut again = world.connect(&device);
    again.open().await;
    let link = again.attach_receiver(ADDRESS).await;
    assert_eq!(next(&mut again, link, Some(DeliveryState::Accepted)).await, came("3", 1));
}

#[tokio::test]
async fn what_a_device_accepts_is_done_though_it_hangs_up_at_once() {
    let (world, _folder) = World::new().await;
    let (mut peer, link) = receiving_one(&world).await;
    let delivery = loop {
        if let Event::Delivery(delivery) = peer.next().await.unwrap() {
            break delivery;
        }
    };
    peer.machine.settle(link, delivery.id, DeliveryState::Accepted);
    while let Some(output) = peer.machine.take_output() {
        peer.stream.write_all(&output).await.unwrap();
    }
    drop(peer);
    let queue = MessageQueue::Device(DeviceId::parse("dev-1").unwrap());
    let emptied = async {
        let store = &world.services.context.store;
        while !store.messages(&world.hub.name, &queue, Which::All, 1).await.unwrap().is_empty() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), emptied).await.expect("what was accepted is done");
}

/// As a later connection of the device would.
#[tokio::test]
async fn a_later_link_takes_what_an_earlier_one_has_in_its_hands() {
    let (world, _folder) = World::new().await;
    let (mut peer, first) = receiving_one(&world).await;
    assert_eq!(peer.delivery().await.header.unwrap().delivery_count, Some(0));
    let options = LinkOptions {
        source: Some(Source::at(ADDRESS)),
        target: Some(Target::at("peer")),
        ..LinkOptions::default()
    };
    let session = peer.session.unwrap();
    let second = peer.machine.attach_receiver(session, "later".to_owned(), options).unwrap();
    assert_eq!(peer.detached(first).await, condition::LINK_STOLEN.as_str());
    while !matches!(peer.next().await, Some(Event::Attached(attached)) if attached.link == second) {}
    peer.machine.grant(second, 1);
    assert_eq!(peer.delivery().await.header.unwrap().delivery_count, Some(1));
    assert!(world.is_connected("dev-1").await);
}
