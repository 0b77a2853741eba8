//! Identities, credentials, live connections, telemetry and its routes, the outbox.

use std::sync::Arc;

use parking_lot::Mutex;
use pollux_model::device::{Device, Status};
use pollux_model::event::OutboxEntry;
use pollux_model::resource::ResourceKind;
use pollux_model::sas::{self, SasToken};
use pollux_model::{DeviceAddress, Error, ErrorCode, Etag, Key};
use pollux_services::Caller;
use pollux_services::caller::Identity;
use pollux_services::hub::telemetry::Telemetry;
use pollux_services::hub::{
    AuthenticationInput, DeviceCommand, DeviceInput, DeviceLink, DeviceRow, TwinInput,
};
use pollux_services::provisioning::Expect;
use pollux_services::resources::CertificateHolder;
use pollux_store::{Batch, Write};
use pollux_testkit::pki::{Authority, Leaf};
use pollux_x509::Chain;
use serde_json::json;

use crate::world::{World, declared, device_keys, json_message};

/// The edge's end of a connection that writes down what it is told.
#[derive(Debug, Default)]
pub(crate) struct Link(Mutex<Vec<DeviceCommand>>);

impl Link {
    pub(crate) fn taken(&self) -> Vec<DeviceCommand> {
        std::mem::take(&mut self.0.lock())
    }

    pub(crate) fn closed(&self) -> bool {
        matches!(self.taken().as_slice(), [.., DeviceCommand::Close { .. }])
    }
}

impl DeviceLink for Link {
    fn deliver(&self, command: DeviceCommand) {
        self.0.lock().push(command);
    }
}

pub(crate) fn input(id: &str) -> DeviceInput {
    DeviceInput::new(id)
}

pub(crate) async fn create(world: &World, id: &str) {
    world.services.hub.create_device(&world.admin, &world.hub(), input(id)).await.unwrap();
}

pub(crate) fn id(text: &str) -> DeviceAddress {
    DeviceAddress::parse(text).unwrap()
}

#[tokio::test]
async fn an_identity_keeps_its_generation_and_changes_its_etag() {
    let world = World::new().await;
    let (hub, service) = (world.hub(), &world.services.hub);
    let made = service.create_device(&world.admin, &hub, input("d")).await.unwrap();
    assert_eq!(
        service.create_device(&world.admin, &hub, input("d")).await.unwrap_err().code,
        ErrorCode::DeviceExists
    );
    let stale = Some(Etag::new("other"));
    let refused = service.update_device(&world.admin, &hub, input("d"), stale.clone()).await.unwrap_err();
    assert_eq!(refused.code, ErrorCode::PreconditionFailed);
    let changed = service
        .update_device(&world.admin, &hub, input("d"), Some(made.identity.etag.clone()))
        .await
        .unwrap();
    assert_eq!(changed.identity.generation_id, made.identity.generation_id);
    assert_eq!(device_keys(&changed), device_keys(&made), "keys that are not named stay");
    assert_ne!(changed.identity.etag, made.identity.etag);
    assert_eq!(
        service.delete_device(&world.admin, &hub, "d", stale).await.unwrap_err().code,
        ErrorCode::PreconditionFailed
    );
    service.delete_device(&world.admin, &hub, "d", Some(changed.identity.etag)).await.unwrap();
    world.tick();
    let again = service.create_device(&world.admin, &hub, input("d")).await.unwrap();
    let number = |text: &str| text.parse::<u64>().unwrap();
    assert!(number(&again.identity.generation_id) > number(&made.identity.generation_id));
}

#[tokio::test]
async fn who_is_that_device() {
    let world = World::new().await;
    create(&world, "d").await;
    create(&world, "off").await;
    let mut off = input("off");
    off.status = Some(Status::Disabled);
    world.services.hub.update_device(&world.admin, &world.hub(), off, None).await.unwrap();
    let hub = world.hub();
    let own = device_keys(&world.device("d").await.unwrap());
    let off = device_keys(&world.device("off").await.unwrap()).primary;
    let policy = |name: &str| hub.policy(name).unwrap().keys.primary.clone();
    let wrong = Key::from_bytes(b"another key of no one");
    let (good, refused) = (None, Some(ErrorCode::Unauthorized));
    let table = [
        ("d", "localhost/devices/d", own.primary.clone(), None, 1, good),
        ("d", "localhost/devices/d", own.secondary.clone(), None, 1, good),
        ("d", "LOCALHOST:8883/devices/d/", own.primary.clone(), None, 1, good),
        ("d", "localhost/devices/d", wrong.clone(), None, 1, refused),
        ("d", "localhost/devices/d", own.primary.clone(), None, 0, refused),
        ("d", "localhost/devices/D", own.primary.clone(), None, 1, refused),
        ("d", "localhost/devices/off", own.primary.clone(), None, 1, refused),
        ("d", "localhost", own.primary.clone(), None, 1, refused),
        ("d", "elsewhere.example.com/devices/d", own.primary.clone(), None, 1, refused),
        ("none", "localhost/devices/none", own.primary.clone(), None, 1, refused),
        ("d", "localhost", policy("device"), Some("device"), 1, good),
        ("d", "localhost/devices/d", policy("iothubowner"), Some("iothubowner"), 1, good),
        ("d", "localhost", policy("service"), Some("service"), 1, refused),
        ("d", "localhost", policy("device"), Some("iothubowner"), 1, refused),
        ("off", "localhost/devices/off", off, None, 1, Some(ErrorCode::DeviceDisabled)),
    ];
    for (at, (device, resource, key, policy, seconds, expected)) in table.into_iter().enumerate() {
        let text = sas::sign(resource, &key.bytes(), 1_700_000_000 + seconds, policy);
        let answer =
            world.services.hub.authenticate_device(&hub, &id(device), &SasToken::parse(&text).unwrap()).await;
        assert_eq!(answer.err().map(|error| error.code), expected, "{at}: {resource}");
    }
}

#[tokio::test]
async fn whose_certificate_is_that() {
    const NOW: i64 = 1_700_000_000;
    let world = World::new().await;
    let (root, other) = (Authority::root("root", NOW, |_| {}), Authority::root("root", NOW, |_| {}));
    let line = root.intermediate("line", |_| {});
    let certificate_authority = |name: &str| DeviceInput {
        authentication: Some(AuthenticationInput::CertificateAuthority),
        ..input(name)
    };
    let hub = world.hub();
    for name in ["d", "other"] {
        world.services.hub.create_device(&world.admin, &hub, certificate_authority(name)).await.unwrap();
    }
    create(&world, "by-key").await;
    let chain = |leaf: &Leaf, above: &[&Authority]| {
        let above: Vec<_> = above.iter().map(|one| one.der()).collect();
        Chain::read(std::iter::once(leaf.der.as_slice()).chain(above.iter().map(Vec::as_slice))).unwrap()
    };
    let own = line.leaf("d", |_| {});
    let good = chain(&own, &[&line]);
    let believed = async |name: &str, chain: &Chain| {
        let service = &world.services.hub;
        service.authenticate_device_by_certificate(&world.hub(), &id(name), chain).await
    };
    let code = |answer: Result<(Caller, Device), Error>| answer.err().map(|error| error.code);
    let refused = Some(ErrorCode::Unauthorized);
    let put = async |root: &Authority, verified: bool| {
        let of = CertificateHolder { kind: ResourceKind::Hub, name: &hub.name };
        let resources = &world.services.resources;
        resources
            .put_certificate(&world.admin, of, "factory", &root.pem(), verified, Expect::Any)
            .await
            .unwrap();
    };
    assert_eq!(code(believed("d", &good).await), refused, "the hub has none");
    put(&root, false).await;
    assert_eq!(code(believed("d", &good).await), refused, "nobody proved to have its key");
    put(&root, true).await;
    let (caller, _) = believed("d", &good).await.unwrap();
    for (name, chain) in [
        ("other", &good),
        ("by-key", &chain(&line.leaf("by-key", |_| {}), &[&line])),
        ("d", &chain(&own, &[])),
        ("d", &chain(&other.leaf("d", |_| {}), &[])),
        ("d", &chain(&line.leaf("D", |_| {}), &[&line])),
    ] {
        assert_eq!(code(believed(name, chain).await), refused, "{name}");
    }
    let sent =
        world.services.hub.telemetry(&caller, &world.hub(), &id("d"), vec![Telemetry::default()]).await;
    assert_eq!(sent.durable, 1);
    let events = world.events("deviceevents").await;
    let method = events.last().unwrap().message_annotations.get("iothub-connection-auth-method");
    assert!(method.unwrap().as_str().unwrap().contains("\"type\":\"x509\""));
    put(&other, true).await;
    assert_eq!(code(believed("d", &good).await), refused, "another authority of that name");
}

#[tokio::test]
async fn the_newest_connection_has_the_device() {
    let world = World::new().await;
    create(&world, "d").await;
    let (hub, service) = (world.hub(), &world.services.hub);
    let (caller, one, two) =
        (world.connected("d").await, Arc::new(Link::default()), Arc::new(Link::default()));
    let first = service.connect_device(&caller, &hub, &id("d"), one.clone()).await.unwrap();
    assert_eq!(service.connections.count(&hub.name).await, 1);
    let second = service.connect_device(&caller, &hub, &id("d"), two.clone()).await.unwrap();
    assert!(one.closed() && first.superseded() && !second.superseded());
    drop(first);
    assert!(
        service.connections.since(&hub.name, &id("d")).await.is_some(),
        "the older one takes nothing away"
    );
    drop(second);
    assert_eq!(service.connections.count(&hub.name).await, 0);
}

#[tokio::test]
async fn disable_and_delete_cut_the_connection() {
    let world = World::new().await;
    let (hub, service) = (world.hub(), &world.services.hub);
    for (name, disable) in [("disabled", true), ("deleted", false)] {
        create(&world, name).await;
        let (caller, link) = (world.connected(name).await, Arc::new(Link::default()));
        let _connection = service.connect_device(&caller, &hub, &id(name), link.clone()).await.unwrap();
        if disable {
            let mut off = input(name);
            off.status = Some(Status::Disabled);
            service.update_device(&world.admin, &hub, off, None).await.unwrap();
        } else {
            service.delete_device(&world.admin, &hub, name, None).await.unwrap();
        }
        assert!(link.closed(), "{name}");
        // Who was let in before that finds the door closed.
        assert!(service.connect_device(&caller, &hub, &id(name), link.clone()).await.is_err(), "{name}");
        assert_eq!(service.connections.count(&hub.name).await, 0, "{name}");
    }
}

#[tokio::test]
async fn a_device_of_another_generation_is_not_let_in() {
    let world = World::new().await;
    create(&world, "d").await;
    let old = world.connected("d").await;
    world.delete_device("d").await;
    create(&world, "d").await;
    let link = Arc::new(Link::default());
    let refused = world.services.hub.connect_device(&old, &world.hub(), &id("d"), link).await.unwrap_err();
    assert_eq!(refused.code, ErrorCode::Unavailable, "it may be let in the next time");
}

/// A world whose hub also leads to `all`, `hot` (twice) and `twins` of the namespace.
pub(crate) async fn with_routes() -> World {
    let world = World::new().await;
    let hubs = ["hot", "all", "twins"].map(|name| json!({ "name": name, "partitions": 1 }));
    let events = declared(ResourceKind::Events, json!({ "name": "events1", "eventHubs": hubs }));
    world.services.resources.apply(&world.admin, &events).await.unwrap();
    let endpoint = |name: &str| json!({ "name": name, "namespace": "events1", "eventHub": name });
    let route = |name: &str, source: &str, condition: &str, endpoint: &str| json!({ "name": name, "source": source, "condition": condition, "endpoint": endpoint });
    let endpoints = ["hot", "all", "twins"].map(endpoint);
    let hub = json!({
        "name": "hub1",
        "endpoints": endpoints,
        "routes": [
            route("all", "DeviceMessages", "true", "all"),
            route("created", "DeviceLifecycleEvents", "opType = 'createDeviceIdentity'", "all"),
            route("by-property", "DeviceMessages", "level = 'high' AND NOT $contentType = 'text/plain'", "hot"),
            route("by-body", "DeviceMessages", "$body.Temperature > 50", "hot"),
            route("by-twin", "DeviceMessages", "$twin.tags.site = 'oven'", "hot"),
            route("changes", "TwinChangeEvents", "true", "twins"),
        ],
    });
    world.services.resources.apply(&world.admin, &declared(ResourceKind::Hub, hub)).await.unwrap();
    world
}

#[tokio::test]
async fn a_message_goes_once_to_each_endpoint_that_wants_it() {
    let world = with_routes().await;
    create(&world, "d").await;
    let with = |level: Option<&str>, body: serde_json::Value| {
        let mut message = json_message(&body);
        message.properties = level.map(|level| ("level".to_owned(), level.to_owned())).into_iter().collect();
        message
    };
    let mut plain = with(Some("high"), json!({ "Temperature": 99 }));
    plain.system.content_type = Some("text/plain".into());
    for (message, hot) in [
        (with(None, json!({ "Temperature": 20 })), false),
        (with(Some("high"), json!({})), true),
        // Both hot routes match: once.
        (with(Some("high"), json!({ "Temperature": 60 })), true),
        (with(None, json!({ "Temperature": 60 })), true),
        // Not JSON by its content type: the body is not looked into.
        (plain, false),
    ] {
        let before = (
            world.events("all").await.len(),
            world.events("hot").await.len(),
            world.events("deviceevents").await.len(),
        );
        world.send_message("d", message).await.unwrap();
        let after = (
            world.events("all").await.len(),
            world.events("hot").await.len(),
            world.events("deviceevents").await.len(),
        );
        assert_eq!(after, (before.0 + 1, before.1 + usize::from(hot), before.2 + 1));
    }
    let tags = json!({ "site": "oven" }).as_object().unwrap().clone();
    let patch = TwinInput { tags: Some(tags), ..TwinInput::default() };
    world.services.hub.patch_twin(&world.admin, &world.hub(), &id("d"), patch, None).await.unwrap();
    let before = world.events("hot").await.len();
    world.send("d", &json!({ "Temperature": 1 })).await;
    assert_eq!(world.events("hot").await.len(), before + 1, "the twin decides");
}

#[tokio::test]
async fn a_message_carries_who_sent_it_and_what_it_is() {
    let world = World::new().await;
    create(&world, "d").await;
    let mut message = json_message(&json!({ "Temperature": 1 }));
    message.properties = vec![("b".into(), "2".into()), ("a".into(), "1".into())];
    message.system.message_id = Some("m1".into());
    world.send_message("d", message).await.unwrap();
    let events = world.events("deviceevents").await;
    let [event] = events.as_slice() else { panic!("{events:?}") };
    let annotation =
        |name: &str| event.message_annotations.get(name).and_then(|value| value.as_str().map(str::to_owned));
    let generation = world.device("d").await.unwrap().identity.generation_id;
    assert_eq!(annotation("iothub-connection-device-id").as_deref(), Some("d"));
    assert_eq!(annotation("iothub-connection-auth-generation-id"), Some(generation));
    assert_eq!(annotation("iothub-message-source").as_deref(), Some("Telemetry"));
    let method = annotation("iothub-connection-auth-method").unwrap();
    assert!(method.starts_with(r#"{"scope":"device","type":"sas","issuer":"iothub""#), "{method}");
    let properties = event.properties.as_ref().unwrap();
    assert_eq!(properties.content_type.as_ref().unwrap().as_str(), "application/json");
    assert_eq!(
        event.application_properties.get("a").and_then(|value| value.as_str().map(str::to_owned)).as_deref(),
        Some("1")
    );
    assert_eq!(&event.body.as_bytes().unwrap()[..], br#"{"Temperature":1}"#);
}

#[tokio::test]
async fn a_message_has_a_bound() {
    let world = World::new().await;
    create(&world, "d").await;
    let message = |size| Telemetry { body: vec![b'x'; size].into(), ..Telemetry::default() };
    world.send_message("d", message(256 * 1024)).await.unwrap();
    let refused = world.send_message("d", message(256 * 1024 + 1)).await.unwrap_err();
    assert_eq!(refused.code, ErrorCode::TooLarge);
    let mut long = message(256 * 1024 - 5);
    long.properties = vec![("abc".into(), "def".into())];
    assert_eq!(world.send_message("d", long).await.unwrap_err().code, ErrorCode::TooLarge);
    assert_eq!(world.events("deviceevents").await.len(), 1);
}

#[tokio::test]
async fn a_change_and_its_event_are_one() {
    let world = with_routes().await;
    create(&world, "d").await;
    world.delete_device("d").await;
    assert!(world.events("lifecycleevents").await.is_empty(), "nothing moved yet");
    let waiting = world.services.context.store.outbox(0, 10).await.unwrap();
    assert_eq!(waiting.len(), 2, "created to 'all', deleted to 'lifecycleevents'");
    assert_eq!(world.services.events.relay(0).await.unwrap(), 2);
    assert_eq!(world.services.events.relay(0).await.unwrap(), 0);
    let events = world.events("lifecycleevents").await;
    let [event] = events.as_slice() else { panic!("{events:?}") };
    let property =
        |name: &str| event.application_properties.get(name).and_then(|value| value.as_str()).unwrap();
    assert_eq!(
        (property("opType"), property("deviceId"), property("hubName")),
        ("deleteDeviceIdentity", "d", "hub1")
    );
    assert_eq!(world.events("all").await.len(), 1);
}

#[tokio::test]
async fn a_relay_that_crashed_between_append_and_forgetting_appends_nothing_twice() {
    let world = World::new().await;
    let entry = OutboxEntry {
        namespace: world.named(ResourceKind::Events, "events1").name.clone().into(),
        event_hub: "lifecycleevents".into(),
        partition_key: "d".into(),
        idempotency_key: *b"the same event..",
        payload: pollux_amqp::Message::default().encode().to_vec(),
    };
    for _ in 0..3 {
        let write = Write::Outbox(Box::new(entry.clone()));
        world.services.context.store.commit(Batch::from(write)).await.unwrap();
        world.services.events.relay(0).await.unwrap();
    }
    assert_eq!(world.events("lifecycleevents").await.len(), 1);
}

#[tokio::test]
async fn an_event_for_an_event_hub_that_is_gone_holds_up_nobody() {
    let world = World::new().await;
    let entry = |event_hub: &str, key: u8| {
        Write::Outbox(Box::new(OutboxEntry {
            namespace: world.named(ResourceKind::Events, "events1").name.clone().into(),
            event_hub: event_hub.into(),
            partition_key: "d".into(),
            idempotency_key: [key; 16],
            payload: pollux_amqp::Message::default().encode().to_vec(),
        }))
    };
    let batch = Batch::new().with(entry("gone", 1)).with(entry("lifecycleevents", 2));
    world.services.context.store.commit(batch).await.unwrap();
    assert_eq!(world.services.events.relay(0).await.unwrap(), 2);
    assert_eq!(world.services.events.relay(0).await.unwrap(), 0);
    assert_eq!(world.events("lifecycleevents").await.len(), 1);
}

#[tokio::test]
async fn queries_see_every_write_and_come_in_pages() {
    let world = World::new().await;
    for at in 0..7 {
        create(&world, &format!("d{at}")).await;
        let tags = json!({ "floor": at % 2 }).as_object().unwrap().clone();
        let patch = TwinInput { tags: Some(tags), ..TwinInput::default() };
        world
            .services
            .hub
            .patch_twin(&world.admin, &world.hub(), &id(&format!("d{at}")), patch, None)
            .await
            .unwrap();
    }
    let table = [
        ("SELECT * FROM devices", vec!["d0", "d1", "d2", "d3", "d4", "d5", "d6"]),
        ("SELECT * FROM devices WHERE tags.floor = 1", vec!["d1", "d3", "d5"]),
        ("SELECT * FROM devices WHERE deviceId IN ['d6', 'd2', 'none']", vec!["d2", "d6"]),
        ("SELECT * FROM devices WHERE deviceId = 'd4' AND tags.floor = 1", vec![]),
        ("SELECT * FROM devices WHERE status = 'disabled'", vec![]),
        ("SELECT TOP(3) * FROM devices", vec!["d0", "d1", "d2"]),
        ("SELECT TOP(2) * FROM devices WHERE deviceId IN ['d1', 'd3', 'd5']", vec!["d1", "d3"]),
    ];
    for (text, expected) in table {
        for limit in [1, 2, 100] {
            let (mut seen, mut after) = (Vec::new(), None::<String>);
            loop {
                let page = world
                    .services
                    .hub
                    .query(&world.admin, &world.hub(), text, after.as_deref(), limit)
                    .await
                    .unwrap();
                assert!(page.items.len() <= limit);
                seen.extend(page.items.into_iter().map(|row| match row {
                    DeviceRow::Twin(row) => row["deviceId"].as_str().unwrap().to_owned(),
                    DeviceRow::Job(row) | DeviceRow::Raw(row) => panic!("{row}"),
                }));
                after = page.next;
                if after.is_none() {
                    break;
                }
            }
            assert_eq!(seen, expected, "{text} by {limit}");
        }
    }
    let hub = &world.services.hub;
    let count =
        hub.query(&world.admin, &world.hub(), "SELECT COUNT() AS n FROM devices", None, 10).await.unwrap();
    assert_eq!(count.items, [DeviceRow::Raw(json!({ "n": 7 }))]);
    let refused = hub.query(&world.admin, &world.hub(), "SELECT * FROM nothing", None, 10).await.unwrap_err();
    assert_eq!(refused.code, ErrorCode::QueryInvalid);
    let forged =
        hub.query(&world.admin, &world.hub(), "SELECT TOP(3) * FROM devices", Some("forged"), 10).await;
    assert!(forged.is_err());
}

#[tokio::test]
async fn keys_of_a_device_are_checked_and_rolled() {
    let world = World::new().await;
    let key = Key::from_bytes(&[7; 32]);
    let mut with_key = input("d");
    with_key.authentication =
        Some(AuthenticationInput::Sas { primary: Some(key.reveal().into()), secondary: None });
    let made = world.services.hub.create_device(&world.admin, &world.hub(), with_key).await.unwrap();
    assert_eq!(device_keys(&made).primary, key);
    for bad in ["short", "????", &"A".repeat(200)] {
        let mut input = input("bad");
        input.authentication = Some(AuthenticationInput::Sas { primary: Some(bad.into()), secondary: None });
        let refused = world.services.hub.create_device(&world.admin, &world.hub(), input).await.unwrap_err();
        assert_eq!(refused.code, ErrorCode::InvalidArgument, "{bad}");
    }
    let caller = world.connected("d").await;
    let Identity::Device { generation_id, .. } = &caller.identity else { panic!("{caller:?}") };
    assert_eq!(*generation_id, made.identity.generation_id);
    let other =
        world.services.hub.telemetry(&caller, &world.hub(), &id("other"), vec![Telemetry::default()]).await;
    assert_eq!(other.refused.unwrap().code, ErrorCode::Forbidden);
}

#[tokio::test]
async fn what_no_route_takes_goes_to_the_built_in_endpoint() {
    let world = World::new().await;
    create(&world, "d").await;
    let hub = |body| declared(ResourceKind::Hub, body);
    let route = |condition: &str, endpoint: &str| json!({ "name": "deviceevents", "source": "DeviceMessages", "condition": condition, "endpoint": endpoint });
    let change = async |body| world.services.resources.apply(&world.admin, &hub(body)).await.unwrap();
    let send = async |level: &str| {
        let properties = vec![("level".to_owned(), level.to_owned())];
        world.send_message("d", Telemetry { properties, ..Telemetry::default() }).await.unwrap();
    };
    let count = async || {
        let built_in = world.events_of("hub1.hub/iothub-ehub-hub1", 4).await.len();
        (world.events("deviceevents").await.len(), built_in)
    };
    send("low").await;
    assert_eq!(count().await, (1, 1), "the hub of a first start has a route to either");
    let name = world.hub().name.clone();
    world.services.resources.delete_route(&world.admin, &name, "built-in").await.unwrap();
    change(json!({ "name": "hub1", "routes": [route("level = 'high'", "deviceevents")] })).await;
    send("low").await;
    send("high").await;
    assert_eq!(count().await, (2, 2));
    change(json!({ "name": "hub1", "fallbackRoute": false })).await;
    send("low").await;
    assert_eq!(count().await, (2, 2), "nobody wants it");
    change(json!({ "name": "hub1", "routes": [route("true", "events")] })).await;
    send("low").await;
    assert_eq!(count().await, (2, 3), "a route leads to the built-in endpoint");
    let fewer = hub(json!({ "name": "hub1", "events": { "partitions": 2 } }));
    assert!(world.services.resources.apply(&world.admin, &fewer).await.is_err(), "partitions only grow");
    change(json!({ "name": "hub1", "events": { "partitions": 6, "consumerGroups": ["g"] } })).await;
    assert_eq!(world.events_of("hub1.hub/iothub-ehub-hub1", 6).await.len(), 3);
}

#[tokio::test]
async fn what_is_routed_elsewhere_waits_for_its_endpoint() {
    let world = World::new().await;
    create(&world, "d").await;
    let change = async |body| {
        let hub = declared(ResourceKind::Hub, body);
        world.services.resources.apply(&world.admin, &hub).await
    };
    let endpoint = |name: &str, text: &str| json!({ "name": "hub1", "endpoints": [{ "name": name, "connectionString": text }] });
    let whole = "Endpoint=sb://ns.invalid/;SharedAccessKeyName=p;SharedAccessKey=a2V5;EntityPath=alarms";
    for (name, text) in [("events", whole), ("cloud", "Endpoint=sb://ns.invalid/"), ("cloud", "nonsense")] {
        assert_eq!(change(endpoint(name, text)).await.unwrap_err().code, ErrorCode::InvalidArgument);
    }
    change(endpoint("cloud", whole)).await.unwrap();
    let route = json!({ "name": "out", "source": "DeviceMessages", "endpoint": "cloud" });
    change(json!({ "name": "hub1", "routes": [route] })).await.unwrap();
    world.send_message("d", Telemetry::default()).await.unwrap();
    assert_eq!(world.events_of("hub1.hub/to.cloud", 4).await.len(), 1);
    assert_eq!(world.events("deviceevents").await.len(), 1, "and each other route has it as well");

    let hub = world.hub().name.clone();
    let resources = &world.services.resources;
    resources.delete_route(&world.admin, &hub, "out").await.unwrap();
    resources.delete_endpoint(&world.admin, (ResourceKind::Hub, &hub), "cloud").await.unwrap();
    let streams = world.services.context.log.streams().await.unwrap();
    assert!(!streams.iter().any(|(name, _)| name.as_str().contains("cloud")), "{streams:?}");
}

#[tokio::test]
async fn a_device_gets_the_faults_that_it_asks_for() {
    let world = World::new().await;
    create(&world, "d").await;
    let fault = |kind: &str, more: &[(&str, &str)]| {
        let kind = ("AzIoTHub_FaultOperationType", kind);
        let properties = std::iter::once(&kind).chain(more);
        let properties = properties.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Telemetry { properties, ..Telemetry::default() }
    };
    let lasting = [("AzIoTHub_FaultOperationDurationInSecs", "5")];
    for (kind, code) in [
        ("InvokeThrottling", ErrorCode::Throttled),
        ("InvokeMaxMessageQuota", ErrorCode::QuotaExceeded),
        ("InvokeAuthError", ErrorCode::Unauthorized),
    ] {
        world.send_message("d", fault(kind, &lasting)).await.unwrap();
        assert_eq!(world.send_message("d", Telemetry::default()).await.unwrap_err().code, code);
        world.clock.advance(std::time::Duration::from_secs(6));
        world.send_message("d", Telemetry::default()).await.unwrap();
    }
    let (caller, link) = (world.connected("d").await, Arc::new(Link::default()));
    let place =
        world.services.hub.connect_device(&caller, &world.hub(), &id("d"), Arc::clone(&link) as _).await;
    let _place = place.unwrap();
    world.send_message("d", fault("KillTcp", &[])).await.unwrap();
    world.until(async || link.closed().then_some(())).await;
}
