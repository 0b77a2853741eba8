//! Telemetry, twin, subscriptions.

use bytes::Bytes;
use pollux_model::resource::ResourceKind;
use pollux_model::{Clock as _, ErrorCode};
use pollux_services::Caller;
use pollux_services::hub::{MethodAnswer, MethodInput, TwinInput};
use pollux_services::resources::{PolicyHolder, WhichKey};
use rmqtt_codec::v3::Packet;
use serde_json::json;

use crate::device::packet;
use crate::world::{World, address, connect, eventually, holds};

const EVENTS: &str = "devices/d1/messages/events/";

#[tokio::test]
async fn telemetry_is_durable_when_it_is_acknowledged() {
    let world = World::new().await;
    let good = world.device("d1").await;
    let mut device = world.connected(&good).await;
    let bag = "%24.mid=mid1&%24.cid=c1&%24.ct=application%2Fjson&%24.ce=utf-8&%24.sub=thermostat1&%24.zz=q&alert%20te=a%2Fb%20c%26d";
    device.acknowledged(&format!("{EVENTS}{bag}"), r#"{"t":1}"#).await;
    let events = world.events().await;
    assert_eq!(events.len(), 1);
    for part in
        ["mid1", "c1", "application/json", "utf-8", "thermostat1", "alert te", "a/b c&d", r#"{"t":1}"#]
    {
        assert!(holds(&events[0], part), "{part}");
    }
    assert!(!holds(&events[0], "zz"), "system properties nobody knows are dropped");
    // Without the slash, and as one SDK writes the id.
    device.acknowledged("devices/d1/messages/events", "2").await;
    device.acknowledged("devices/%641/messages/events/a&b=", "3").await;
    assert_eq!(world.events().await.len(), 3);
}

#[tokio::test]
async fn a_hundred_publishes_are_acknowledged_and_kept_in_their_order() {
    let world = World::new().await;
    let good = world.device("d1").await;
    let mut device = world.connected(&good).await;
    let (packets, ids): (Vec<_>, Vec<_>) = (0..300).map(|n| device.publish(EVENTS, format!("<{n}>"))).unzip();
    device.send(packets).await;
    for id in ids {
        assert!(matches!(device.recv().await, Some(Packet::PublishAck { packet_id }) if packet_id == id));
    }
    let events = world.events().await;
    assert_eq!(events.len(), 300);
    for (n, event) in events.iter().enumerate() {
        assert!(holds(event, &format!("<{n}>")), "{n}");
    }
}

#[tokio::test]
async fn what_came_before_the_goodbye_is_kept() {
    let world = World::new().await;
    let good = world.device("d1").await;
    let (mut device, serving) = world.dial();
    assert_eq!(device.connect(world.hub_connect(&good)).await, 0);
    let messages = (0..700).map(|n| packet(EVENTS, Bytes::from(n.to_string()), None));
    device.send(messages.chain([Packet::Disconnect])).await;
    drop(device);
    serving.await.unwrap();
    assert_eq!(world.events().await.len(), 700);
}

#[tokio::test]
async fn a_retained_message_is_marked() {
    let world = World::new().await;
    let mut device = world.connected(&world.device("d1").await).await;
    let (Packet::Publish(mut publish), _) = device.publish(EVENTS, "x") else { panic!() };
    publish.retain = true;
    device.send([Packet::Publish(publish)]).await;
    assert!(matches!(device.recv().await, Some(Packet::PublishAck { .. })));
    assert!(holds(&world.events().await[0], "mqtt-retain"));
}

#[tokio::test]
async fn messages_that_must_not_be_close_the_connection() {
    let world = World::new().await;
    let good = world.device("d1").await;
    world.device("d2").await;
    let large = "x".repeat(256 * 1024 + 1);
    for (topic, body) in [
        ("devices/d2/messages/events/", "another device's"),
        ("devices/d1/messages/eventsx", "no such topic"),
        ("devices/d1/modules/m/messages/events/", "a module's"),
        ("some/topic", "no such topic"),
        ("devices/d1/messages/events/a=%zz", "a malformed bag"),
        ("$iothub/twin/GET/", "no request id"),
        ("$iothub/twin/PATCH/properties/desired/?$rid=1", "{}"),
        (EVENTS, &large),
    ] {
        let mut device = world.connected(&good).await;
        device.acknowledged(EVENTS, "good").await;
        let (packet, _) = device.publish(topic, body.to_owned());
        device.send([packet]).await;
        assert!(device.recv().await.is_none(), "{topic}: {}", &body[..10.min(body.len())]);
    }
    let events = world.events().await;
    assert!(events.len() == 8 && events.iter().all(|event| holds(event, "good")));
    let mut device = world.connected(&good).await;
    device.acknowledged(EVENTS, "x".repeat(256 * 1024)).await;
}

#[tokio::test]
async fn qos_2_closes_the_connection() {
    let world = World::new().await;
    let mut device = world.connected(&world.device("d1").await).await;
    let (Packet::Publish(mut publish), _) = device.publish(EVENTS, "x") else { panic!() };
    publish.qos = rmqtt_codec::types::QoS::ExactlyOnce;
    device.send([Packet::Publish(publish)]).await;
    assert!(device.recv().await.is_none());
    assert!(world.events().await.is_empty());
}

#[tokio::test]
async fn only_own_filters_are_granted() {
    let world = World::new().await;
    let mut device = world.connected(&world.device("d1").await).await;
    for (filter, granted) in [
        ("devices/d1/messages/devicebound/#", true),
        ("$iothub/twin/res/#", true),
        ("$iothub/twin/PATCH/properties/desired/#", true),
        ("$iothub/methods/POST/#", true),
        ("devices/d2/messages/devicebound/#", false),
        ("devices/+/messages/devicebound/#", false),
        ("$dps/registrations/res/#", false),
        ("#", false),
    ] {
        assert_eq!(device.subscribe(filter).await, granted, "{filter}");
    }
}

#[tokio::test]
async fn the_twin_is_read_and_reported_to_in_order() {
    let world = World::new().await;
    let mut device = world.connected(&world.device("d1").await).await;
    assert!(device.subscribe("$iothub/twin/res/#").await);
    let (topic, twin) = device.ask("$iothub/twin/GET/?$rid=a%20b", " ").await;
    assert_eq!(topic, "$iothub/twin/res/200/?$rid=a%20b");
    assert_eq!(twin, json!({"desired": {"$version": 1}, "reported": {"$version": 1}}));
    let report = "$iothub/twin/PATCH/properties/reported/?$rid=";
    let patches = (0..20).map(|n| packet(&format!("{report}{n}"), format!(r#"{{"last":{n}}}"#).into(), None));
    device.send(patches).await;
    for n in 0..20 {
        let (topic, body) = device.message().await;
        assert_eq!((topic, body.len()), (format!("$iothub/twin/res/204/?$rid={n}&$version={}", n + 2), 0));
    }
    let (_, twin) = device.ask("$iothub/twin/GET/?$rid=2", "").await;
    assert_eq!(twin["reported"], json!({"last": 19, "$version": 21}));
    for (query, shown) in [("$metadata=true", true), ("%24metadata=True", true), ("$metadata=false", false)] {
        let (_, twin) = device.ask(&format!("$iothub/twin/GET/?$rid=3&{query}"), "").await;
        assert_eq!(twin["reported"]["$metadata"]["last"]["$lastUpdated"].is_string(), shown, "{query}");
    }
    for body in ["", "[]", "3", "{", r#"{"a.b":1}"#] {
        let (topic, error) = device.ask(&format!("{report}x"), body).await;
        assert_eq!(topic, "$iothub/twin/res/400/?$rid=x", "{body}");
        assert!(error["message"].is_string() && error["errorCode"].is_number(), "{error}");
    }
    let large = json!({"a": {"b": "x".repeat(4000)}, "c": vec!["y".repeat(4000); 10]}).to_string();
    let (topic, _) = device.ask(&format!("{report}z"), large).await;
    assert_eq!(topic, "$iothub/twin/res/413/?$rid=z");
}

#[tokio::test]
async fn desired_properties_come_to_those_who_subscribed() {
    let world = World::new().await;
    let mut device = world.connected(&world.device("d1").await).await;
    let hub = world.resource(ResourceKind::Hub);
    let patch = |value: serde_json::Value| {
        let input = TwinInput { desired: value.as_object().cloned(), ..TwinInput::default() };
        let (services, hub) = (&world.services, &hub);
        async move { services.hub.patch_twin(&Caller::admin(), hub, &address("d1"), input, None).await.unwrap() }
    };
    patch(json!({"nobody": "listens"})).await;
    device.acknowledged(EVENTS, "and nothing came before this").await;
    assert!(device.subscribe("$iothub/twin/PATCH/properties/desired/#").await);
    patch(json!({"x": 1, "nobody": null})).await;
    patch(json!({"x": 2})).await;
    for (version, body) in
        [(3, json!({"x": 1, "nobody": null, "$version": 3})), (4, json!({"x": 2, "$version": 4}))]
    {
        let (topic, payload) = device.message().await;
        assert_eq!(topic, format!("$iothub/twin/PATCH/properties/desired/?$version={version}"));
        assert_eq!(serde_json::from_slice::<serde_json::Value>(&payload).unwrap(), body);
    }
}

/// npm's azure-iot-device reads its twin before it subscribes.
#[tokio::test]
async fn what_changes_between_reading_and_subscribing_comes_with_the_subscription() {
    let world = World::new().await;
    let mut device = world.connected(&world.device("d1").await).await;
    let hub = world.resource(ResourceKind::Hub);
    let patch = async |value: serde_json::Value| {
        let input = TwinInput { desired: value.as_object().cloned(), ..TwinInput::default() };
        let services = &world.services;
        services.hub.patch_twin(&Caller::admin(), &hub, &address("d1"), input, None).await.unwrap();
    };
    assert!(device.subscribe("$iothub/twin/res/#").await);
    assert_eq!(device.ask("$iothub/twin/GET/?$rid=1", "").await.0, "$iothub/twin/res/200/?$rid=1");
    patch(json!({"x": 1})).await;
    patch(json!({"x": 2})).await;
    assert!(device.subscribe("$iothub/methods/POST/#").await);
    assert!(device.subscribe("$iothub/twin/PATCH/properties/desired/#").await);
    patch(json!({"x": 3})).await;
    for version in 2..=4 {
        let topic = format!("$iothub/twin/PATCH/properties/desired/?$version={version}");
        assert_eq!(device.message().await.0, topic);
    }
}

#[tokio::test]
async fn the_model_a_device_announces_is_kept() {
    let world = World::new().await;
    let good = world.device("d1").await;
    let token = world.token("localhost/devices/d1", &good.key, 60);
    let (mut device, _) = world.dial();
    let user = "localhost/d1/?api-version=2020-09-30&model-id=dtmi:com:example:Thermostat;1";
    assert_eq!(device.connect(connect("d1", user, &token)).await, 0);
    let hub = world.resource(ResourceKind::Hub);
    let twin = world.services.hub.twin(&Caller::admin(), &hub, &address("d1")).await.unwrap();
    assert_eq!(twin["modelId"], "dtmi:com:example:Thermostat;1");
    assert_eq!(twin["connectionState"], "Connected");
    device.forget(EVENTS, "x").await;
    eventually(|| async { world.events().await.len() == 1 }).await;
    assert!(holds(&world.events().await[0], "dtmi:com:example:Thermostat;1"));
}

#[tokio::test]
async fn a_method_is_asked_of_those_who_listen_and_its_answer_comes_back() {
    let world = World::new().await;
    let mut device = world.connected(&world.device("d1").await).await;
    let hub = world.resource(ResourceKind::Hub);
    let invoke = async |name: &str, response: u64| {
        let input = MethodInput {
            name: name.to_owned(),
            payload: Some(json!({ "on": true })),
            response_timeout: Some(response),
            connect_timeout: None,
        };
        let answer = world.services.hub.invoke_method(&Caller::admin(), &hub, &address("d1"), input).await;
        answer.map_err(|error| error.code)
    };
    assert_eq!(invoke("early", 5).await.unwrap_err(), ErrorCode::DeviceNotOnline);
    assert_eq!(invoke("none", 4).await.unwrap_err(), ErrorCode::InvalidArgument);
    assert_eq!(invoke("", 5).await.unwrap_err(), ErrorCode::InvalidArgument);
    assert!(device.subscribe("$iothub/methods/POST/#").await);
    let answering = async {
        let (topic, payload) = device.message().await;
        let id = topic.strip_prefix("$iothub/methods/POST/a%2Fb/?$rid=").unwrap().to_owned();
        assert_eq!(payload, json!({ "on": true }).to_string());
        device.acknowledged("$iothub/methods/res/200/?$rid=999", "{}").await;
        device.acknowledged(&format!("$iothub/methods/res/207/?$rid={id}"), r#"{"done":1}"#).await;
    };
    let (answer, ()) = tokio::join!(invoke("a/b", 30), answering);
    assert_eq!(answer.unwrap(), MethodAnswer { status: 207, payload: json!({ "done": 1 }) });
    // What it answers may be as long as what it is asked with.
    for (length, good) in [(128 * 1024, true), (128 * 1024 + 1, false)] {
        let answering = async {
            let (topic, _) = device.message().await;
            let id = topic.split_once("$rid=").unwrap().1.to_owned();
            let text = format!("\"{}\"", "x".repeat(length - 2));
            device.acknowledged(&format!("$iothub/methods/res/200/?$rid={id}"), text).await;
        };
        let (answer, ()) = tokio::join!(invoke("long", 30), answering);
        assert_eq!(answer.map(drop), if good { Ok(()) } else { Err(ErrorCode::TooLarge) }, "{length}");
    }
    // It goes away while it is asked.
    let leaving = async {
        device.message().await;
        device.send([Packet::Disconnect]).await;
        device.closed().await;
    };
    let (answer, ()) = tokio::join!(invoke("late", 30), leaving);
    assert_eq!(answer.unwrap_err(), ErrorCode::DeviceNotOnline);
}

/// What a policy's key let in goes with the key; who came by a key of its own stays.
#[tokio::test]
async fn a_key_of_a_policy_that_is_made_anew_ends_what_it_let_in() {
    let world = World::new().await;
    let tasks = tokio_util::task::TaskTracker::new();
    world.services.start(&world.shutdown, &tasks);
    let mut other = world.connected(&world.device("d2").await).await;
    world.device("d1").await;
    let hub = world.resource(ResourceKind::Hub);
    let expiry = world.clock.now().as_secs() + 60;
    let key = hub.policy("device").unwrap().primary().bytes();
    let token = pollux_model::sas::sign("localhost/devices/d1", &key, expiry, Some("device"));
    let (mut device, serving) = world.dial();
    assert_eq!(device.connect(connect("d1", "localhost/d1/?api-version=2021-04-12", &token)).await, 0);
    device.acknowledged(EVENTS, "1").await;
    let holder = PolicyHolder { kind: ResourceKind::Hub, resource: &hub.name, event_hub: None };
    let resources = &world.services.resources;
    resources.regenerate_policy_key(&Caller::admin(), holder, "device", WhichKey::Secondary).await.unwrap();
    device.acknowledged(EVENTS, "2").await;
    resources.regenerate_policy_key(&Caller::admin(), holder, "device", WhichKey::Primary).await.unwrap();
    device.closed().await;
    serving.await.unwrap();
    let (mut again, _) = world.dial();
    assert_eq!(again.connect(connect("d1", "localhost/d1/?api-version=2021-04-12", &token)).await, 5);
    other.acknowledged("devices/d2/messages/events/", "3").await;
}
