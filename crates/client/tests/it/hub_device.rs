//! A device at its hub.

use pollux_client::hub_device::{HubError, HubOptions};
use pollux_client::{Credential, HubDevice, HubEvent, Properties};
use pollux_model::sas::SasToken;
use pollux_mqtt::{Connection, Event, Publish};
use serde_json::json;

use crate::server::{agreeable, request_id, start, tell};

fn hub(server: &mut Connection, event: &Event) -> bool {
    agreeable(server, event);
    match event {
        Event::Publish(message) => twin(server, message),
        Event::Subscribe { filters, .. } if filters[0].0.contains("desired") => {
            let topic = "$iothub/twin/PATCH/properties/desired/?$version=7".to_owned();
            tell(server, topic, r#"{"interval":5,"$version":7}"#);
        }
        Event::Subscribe { filters, .. } if filters[0].0.contains("methods") => {
            tell(server, "$iothub/methods/POST/reboot/?$rid=1f".to_owned(), r#"{"now":true}"#);
        }
        Event::Subscribe { filters, .. } if filters[0].0.contains("devicebound") => {
            tell(server, "devices/d1/messages/devicebound/%24.mid=m1&a=b".to_owned(), "hello");
        }
        _ => {}
    }
    true
}

fn twin(server: &mut Connection, message: &Publish) {
    let id = || request_id(&message.topic);
    if message.topic.starts_with("$iothub/twin/GET/") {
        let body = r#"{"desired":{"$version":4},"reported":{"$version":3}}"#;
        tell(server, format!("$iothub/twin/res/200/?$rid={}", id()), body);
    } else if message.topic.starts_with("$iothub/twin/PATCH/properties/reported/") {
        if &message.payload[..] == b"3" {
            tell(server, format!("$iothub/twin/res/400/?$rid={}", id()), "not an object");
        } else {
            tell(server, format!("$iothub/twin/res/204/?$rid={}&$version=4", id()), "");
        }
    }
}

fn options() -> HubOptions {
    let mut options = HubOptions::new("hub1.localhost", "d1", Credential::Key(b"key".to_vec()));
    options.model_id = Some("dtmi:example:T;1".to_owned());
    options
}

#[tokio::test]
async fn a_device_connects_and_sends_as_the_sdks_do() {
    let (endpoint, mut events) = start(hub).await;
    let (device, _hub_events) = HubDevice::connect(&endpoint, options()).await.unwrap();
    device.send(r#"{"Temperature":21}"#, &Properties::json().with("a b", "c")).await.unwrap();
    let Some(Event::Connect(connect)) = events.recv().await else { panic!("no CONNECT") };
    assert_eq!((connect.client_id.as_str(), connect.clean_session), ("d1", false));
    let user = connect.username.unwrap();
    assert!(
        user.starts_with("hub1.localhost/d1/?api-version=2021-04-12&model-id=dtmi%3Aexample%3AT%3B1&"),
        "{user}"
    );
    let token = SasToken::parse(std::str::from_utf8(&connect.password.unwrap()).unwrap()).unwrap();
    assert_eq!((token.resource.as_str(), token.key_name.as_deref()), ("hub1.localhost/devices/d1", None));
    assert!(token.signed_by(b"key"));
    let Some(Event::Publish(message)) = events.recv().await else { panic!("no message") };
    let bag = "%24.ct=application%2Fjson&%24.ce=utf-8&a%20b=c";
    assert_eq!(&*message.topic, format!("devices/d1/messages/events/{bag}"));
}

#[tokio::test]
async fn the_twin_is_read_and_reported_to() {
    let (endpoint, _events) = start(hub).await;
    let (device, _hub_events) = HubDevice::connect(&endpoint, options()).await.unwrap();
    let patch = json!({"firmware": "1"});
    let (twin, reported) = tokio::join!(device.twin(), device.report(&patch));
    assert_eq!(twin.unwrap()["desired"]["$version"], 4);
    assert_eq!(reported.unwrap(), Some(4));
    let error = device.report(&json!(3)).await.unwrap_err();
    assert!(matches!(&error, HubError::Refused { status: 400, body } if body == "not an object"), "{error}");
}

#[tokio::test]
async fn what_the_hub_sends_unasked_arrives() {
    let (endpoint, mut seen) = start(hub).await;
    let (device, mut events) = HubDevice::connect(&endpoint, options()).await.unwrap();
    device.subscribe_desired().await.unwrap();
    let patch = json!({"interval": 5, "$version": 7});
    assert_eq!(events.recv().await, Some(HubEvent::Desired { version: Some(7), patch }));
    device.subscribe_methods().await.unwrap();
    let (name, request_id, payload) = ("reboot".to_owned(), "1f".to_owned(), json!({"now": true}));
    assert_eq!(events.recv().await, Some(HubEvent::Method { name, request_id, payload }));
    device.respond("1f", 200, &json!({"ok": true})).await.unwrap();
    device.subscribe_messages().await.unwrap();
    let Some(HubEvent::Message { properties, body }) = events.recv().await else { panic!("no message") };
    assert_eq!(
        (properties.get("$.mid"), properties.get("a"), &body[..]),
        (Some("m1"), Some("b"), &b"hello"[..])
    );
    device.disconnect().await;
    assert_eq!(events.recv().await, None);
    while let Some(event) = seen.recv().await {
        if let Event::Publish(message) = event {
            assert_eq!(&*message.topic, "$iothub/methods/res/200/?$rid=1f");
            return;
        }
    }
    panic!("no answer to the method");
}

#[tokio::test]
async fn a_request_that_is_cut_off_fails() {
    let (endpoint, _events) = start(|server, event| {
        agreeable(server, event);
        !matches!(event, Event::Publish(_))
    })
    .await;
    let (device, _hub_events) = HubDevice::connect(&endpoint, options()).await.unwrap();
    let error = device.twin().await.unwrap_err();
    assert!(matches!(error, HubError::Device(_)), "{error}");
}
