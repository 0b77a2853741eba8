//! Registration over MQTT.

use pollux_client::provisioning_device::{RegisterError, Registration};
use pollux_client::{Credential, register};
use pollux_model::sas::{SasToken, derive_key};
use pollux_mqtt::{Connection, Event};
use serde_json::{Value, json};

use crate::server::{agreeable, request_id, start, tell};

fn registration(key: &[u8]) -> Registration {
    let credential = Credential::Key(derive_key(key, "device-1"));
    Registration::new("0ne00000001", "device-1", credential).payload(json!({ "modelId": "dtmi:example:T;1" }))
}

fn answer(server: &mut Connection, topic: &str, status: &str, body: &Value) {
    let topic = format!("$dps/registrations/res/{status}/?$rid={}&retry-after=0", request_id(topic));
    tell(server, topic, &body.to_string());
}

#[tokio::test]
async fn a_device_is_assigned_after_some_polls() {
    let mut polls = 0;
    let (endpoint, mut events) = start(move |server, event| {
        agreeable(server, event);
        let Event::Publish(message) = event else { return true };
        if message.topic.starts_with("$dps/registrations/PUT/iotdps-register/?") {
            answer(server, &message.topic, "202", &json!({"operationId": "op.1", "status": "assigning"}));
            return true;
        }
        assert!(message.topic.starts_with("$dps/registrations/GET/iotdps-get-operationstatus/?"));
        assert!(message.topic.contains("operationId=op.1"));
        polls += 1;
        match polls {
            1 => answer(server, &message.topic, "429", &Value::Null),
            2 => answer(server, &message.topic, "202", &json!({"operationId": "op.1", "status": "assigning"})),
            _ => {
                let state = json!({"status": "assigned", "assignedHub": "hub1.localhost", "deviceId": "device-1",
                    "substatus": "initialAssignment", "payload": {"hello": 1}});
                let body = json!({"operationId": "op.1", "status": "assigned", "registrationState": state});
                answer(server, &message.topic, "200", &body);
            }
        }
        true
    })
    .await;
    let assignment = register(&endpoint, &registration(b"group key")).await.unwrap();
    assert_eq!((&*assignment.assigned_hub, &*assignment.device_id), ("hub1.localhost", "device-1"));
    assert_eq!(assignment.substatus.as_deref(), Some("initialAssignment"));
    assert_eq!(assignment.payload, Some(json!({"hello": 1})));
    let hops: Vec<_> = assignment.hops.iter().map(|hop| hop.name).collect();
    let expected = "tcp tls connect subscribe register wait poll wait poll wait poll";
    assert_eq!(hops.join(" "), expected);

    let Some(Event::Connect(connect)) = events.recv().await else { panic!("no CONNECT") };
    assert_eq!(connect.client_id, "device-1");
    assert!(
        connect.username.unwrap().starts_with("0ne00000001/registrations/device-1/api-version=2019-03-31&")
    );
    let token = SasToken::parse(std::str::from_utf8(&connect.password.unwrap()).unwrap()).unwrap();
    assert_eq!(token.resource, "0ne00000001/registrations/device-1");
    assert_eq!(token.key_name.as_deref(), Some("registration"));
    assert!(token.signed_by(&derive_key(b"group key", "device-1")));
    assert!(matches!(events.recv().await, Some(Event::Subscribe { .. })));
    let Some(Event::Publish(register)) = events.recv().await else { panic!("no registration") };
    let body: Value = serde_json::from_slice(&register.payload).unwrap();
    assert_eq!(body, json!({"registrationId": "device-1", "payload": {"modelId": "dtmi:example:T;1"}}));
}

#[tokio::test]
async fn a_no_is_told_with_its_words() {
    let body = json!({"errorCode": 401_002, "trackingId": "t", "message": "CONNECT failed"});
    let (endpoint, _events) = start(move |server, event| {
        agreeable(server, event);
        if let Event::Publish(message) = event {
            answer(server, &message.topic, "401", &body);
        }
        true
    })
    .await;
    let error = register(&endpoint, &registration(b"k")).await.unwrap_err();
    assert_eq!(error.to_string(), "the provisioning service answered 401: CONNECT failed");
}

#[tokio::test]
async fn a_failed_registration_says_why() {
    let state = json!({"status": "failed", "errorCode": 400_000, "errorMessage": "the webhook answered 500"});
    let body = json!({"operationId": "op", "status": "failed", "registrationState": state});
    let (endpoint, _events) = start(move |server, event| {
        agreeable(server, event);
        if let Event::Publish(message) = event {
            answer(server, &message.topic, "200", &body);
        }
        true
    })
    .await;
    let error = register(&endpoint, &registration(b"k")).await.unwrap_err();
    assert_eq!(error.to_string(), "the registration is failed: the webhook answered 500");
}

#[tokio::test]
async fn nonsense_and_silence_are_errors() {
    let (endpoint, _events) = start(|server, event| {
        agreeable(server, event);
        if let Event::Publish(message) = event {
            answer(server, &message.topic, "200", &json!("what?"));
        }
        true
    })
    .await;
    let error = register(&endpoint, &registration(b"k")).await.unwrap_err();
    assert!(matches!(error, RegisterError::BadAnswer("operationId")), "{error}");

    let (endpoint, _events) = start(|server, event| match event {
        Event::Publish(_) => false,
        event => agreeable(server, event),
    })
    .await;
    let error = register(&endpoint, &registration(b"k")).await.unwrap_err();
    assert!(matches!(error, RegisterError::Lost(_)), "{error}");
}
