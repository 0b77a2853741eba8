//! Cloud-to-device messages, feedback and telemetry over HTTPS.

use std::net::{Ipv4Addr, SocketAddr};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use pollux_eventlog::{ReadFrom, ReadLimit, StreamName};
use pollux_model::sas;
use pollux_testkit::pki::Authority;
use serde_json::{Value, json};

use super::{Hub, refused};
use crate::http::rest::fixture::Answer;
use crate::peer::Peer;

const BOUND: &str = "/devices/d/messages/deviceBound";

pub(super) struct Device {
    pub(super) hub: Hub,
    key: Vec<u8>,
}

impl Device {
    pub(super) async fn new() -> Self {
        let hub = Hub::new().await;
        let made = hub.created("d").await;
        hub.created("e").await;
        let key = STANDARD.decode(made["authentication"]["symmetricKey"]["primaryKey"].as_str().unwrap());
        Self { hub, key: key.unwrap() }
    }

    fn token(&self) -> String {
        sas::sign("localhost/devices/d", &self.key, self.hub.0.expiry(), None)
    }

    pub(super) async fn call(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Answer {
        let token = self.token();
        let mut all = vec![("authorization", token.as_str())];
        all.extend(headers);
        let joint = if path.contains('?') { '&' } else { '?' };
        let path = format!("{path}{joint}api-version=2021-04-12");
        self.hub.0.send(method, &path, &all, body.to_owned()).await
    }

    async fn sent(&self, headers: &[(&str, &str)], body: &str) -> Answer {
        let token = self.hub.0.token("service");
        let mut all = vec![("authorization", token.as_str())];
        all.extend(headers);
        self.hub.0.send("POST", "/messages/devicebound?api-version=2016-02-03", &all, body.to_owned()).await
    }

    /// The lock token of the next message, and its body.
    async fn next(&self) -> Option<(String, String)> {
        let answer = self.call("GET", BOUND, &[], "").await;
        if answer.status == 204 {
            return None;
        }
        let etag = answer.header("etag").trim_matches('"').to_owned();
        Some((etag, answer.is(200).text))
    }

    async fn events(&self) -> Vec<bytes::Bytes> {
        let stream = StreamName::new("events1/deviceevents").unwrap();
        let mut all = Vec::new();
        for partition in 0..4 {
            let limit = ReadLimit { records: 100, bytes: 1024 * 1024 };
            let log = &self.hub.0.services.context.log;
            let records = log.read(&stream, partition, &ReadFrom::Earliest, limit).await.unwrap();
            all.extend(records.into_iter().map(|record| record.payload));
        }
        all
    }
}

const TO: (&str, &str) = ("iothub-to", "/devices/d/messages/devicebound");

/// As unknown as any other that is not there: whoever asks has not shown who it is.
#[tokio::test]
async fn who_has_an_id_that_none_can_have_is_unknown() {
    let device = Device::new().await;
    for id in ["d%2F%2Ffoo", "a%20b", "nobody"] {
        for (method, path) in [("POST", "events"), ("GET", "deviceBound")] {
            let answer = device.call(method, &format!("/devices/{id}/messages/{path}"), &[], "").await;
            assert_eq!(answer.status, 401, "{id} {path}: {}", answer.text);
        }
    }
}

#[tokio::test]
async fn a_message_is_sent_received_and_settled() {
    let device = Device::new().await;
    assert_eq!(device.next().await, None);
    let headers = [
        TO,
        ("iothub-messageid", "m-1"),
        ("iothub-correlationid", "c-1"),
        ("iothub-userid", "me"),
        ("iothub-ack", "full"),
        ("iothub-contenttype", "text/plain"),
        ("iothub-app-level", "info"),
    ];
    device.sent(&headers, "one").await.is(204);
    let answer = device.call("GET", BOUND, &[], "").await.is(200);
    assert_eq!(answer.text, "one");
    for (name, value) in &headers[1..] {
        assert_eq!(answer.header(name), *value, "{name}");
    }
    assert_eq!(answer.header("iothub-to"), "/devices/d/messages/devicebound");
    assert_eq!(answer.header("iothub-deliverycount"), "0");
    let shown = device.hub.call("GET", "/devices/d", &[], None).await.is(200).json();
    assert_eq!(shown["cloudToDeviceMessageCount"], 1);
    let twin = device.hub.call("GET", "/twins/d", &[], None).await.is(200).json();
    assert_eq!(twin["cloudToDeviceMessageCount"], 1);
    let etag = answer.header("etag").trim_matches('"').to_owned();
    device.call("POST", &format!("{BOUND}/{etag}/abandon"), &[], "").await.is(204);
    refused(&device.call("DELETE", &format!("{BOUND}/{etag}"), &[], "").await, 412, "DeviceMessageLockLost");
    let again = device.call("GET", BOUND, &[], "").await.is(200);
    assert_eq!(again.header("iothub-deliverycount"), "1");
    let etag = again.header("etag").trim_matches('"').to_owned();
    device.call("DELETE", &format!("{BOUND}/{etag}"), &[], "").await.is(204);
    assert_eq!(device.next().await, None);
    device.sent(&headers, "two").await.is(204);
    let (etag, _) = device.next().await.unwrap();
    device.call("DELETE", &format!("{BOUND}/{etag}?reject"), &[], "").await.is(204);

    // One that says little has the headers all the same, and the body's own are HTTP's too.
    let plain = [TO, ("iothub-contenttype", "application/json"), ("iothub-contentencoding", "utf-8")];
    device.sent(&plain, "{}").await.is(204);
    let bad = device.call("GET", BOUND, &[("iothub-messagelocktimeout", "soon")], "").await;
    refused(&bad, 400, "ArgumentInvalid");
    let answer = device.call("GET", BOUND, &[("iothub-messagelocktimeout", "5")], "").await.is(200);
    for (name, value) in [
        ("content-type", "application/json"),
        ("content-encoding", "utf-8"),
        ("iothub-ack", "none"),
        ("iothub-messageid", ""),
        ("iothub-correlationid", ""),
        ("iothub-userid", ""),
    ] {
        assert_eq!(answer.header(name), value, "{name}");
    }
    let etag = answer.header("etag").trim_matches('"').to_owned();
    device.call("DELETE", &format!("{BOUND}/{etag}"), &[], "").await.is(204);

    let feedback = device.hub.call("GET", "/messages/serviceBound/feedback", &[], None).await.is(200);
    assert_eq!(feedback.header("content-type"), "application/vnd.microsoft.iothub.feedback.json");
    let records = feedback.json();
    let code = |record: &Value| record["statusCode"].as_str().unwrap().to_owned();
    let mut codes: Vec<_> = records.as_array().unwrap().iter().map(code).collect();
    // Of one moment: in any order.
    codes.sort();
    assert_eq!(codes, ["Rejected", "Success"]);
    let token = feedback.header("etag").trim_matches('"');
    let path = format!("/messages/serviceBound/feedback/{token}");
    device.hub.call("POST", &format!("{path}/abandon"), &[], None).await.is(204);
    refused(&device.hub.call("DELETE", &path, &[], None).await, 412, "DeviceMessageLockLost");
    let again = device.hub.call("GET", "/messages/serviceBound/feedback", &[], None).await.is(200);
    let path = format!("/messages/serviceBound/feedback/{}", again.header("etag").trim_matches('"'));
    device.hub.call("DELETE", &path, &[], None).await.is(204);
    device.hub.call("GET", "/messages/serviceBound/feedback", &[], None).await.is(204);
}

#[tokio::test]
async fn what_is_no_message_is_refused() {
    let device = Device::new().await;
    for headers in [
        vec![],
        vec![("iothub-to", "/devices/d/messages/events")],
        vec![TO, ("iothub-ack", "perhaps")],
        vec![TO, ("iothub-expiry", "soon")],
    ] {
        refused(&device.sent(&headers, "x").await, 400, "ArgumentInvalid");
    }
    refused(
        &device.sent(&[("iothub-to", "/devices/f/messages/devicebound")], "x").await,
        404,
        "DeviceNotFound",
    );
    refused(&device.sent(&[TO], &"x".repeat(64 * 1024 + 1)).await, 413, "MessageTooLarge");
    for _ in 0..50 {
        device.sent(&[TO], "x").await.is(204);
    }
    refused(&device.sent(&[TO], "x").await, 403, "DeviceMaximumQueueDepthExceeded");
    let purged = device.hub.call("DELETE", "/devices/d/commands", &[], None).await.is(200).json();
    assert_eq!(purged, json!({ "totalMessagesPurged": 50, "deviceId": "d", "moduleId": null }));
    assert_eq!(device.next().await, None);
    refused(&device.call("PUT", BOUND, &[], "").await, 405, "InvalidOperation");
}

/// What a device may ask for itself, and nobody else of it.
#[tokio::test]
async fn no_path_of_a_device_opens_to_others() {
    let device = Device::new().await;
    let edge = &device.hub.0;
    let tokens = [
        None,
        Some("SharedAccessSignature nonsense".to_owned()),
        Some("Bearer abc".to_owned()),
        Some(sas::sign("localhost/devices/d", b"no one's key at all", edge.expiry(), None)),
        Some(sas::sign("localhost/devices/e", &device.key, edge.expiry(), None)),
        Some(sas::sign("localhost/devices/d", &device.key, 1, None)),
        Some(edge.token("service")),
        Some(edge.token("registryReadWrite")),
    ];
    for (method, path) in [
        ("GET", BOUND),
        ("DELETE", "/devices/d/messages/devicebound/x"),
        ("POST", "/devices/d/messages/devicebound/x/abandon"),
        ("POST", "/devices/d/messages/events"),
    ] {
        let path = format!("{path}?api-version=2021-04-12");
        for token in &tokens {
            let headers: Vec<_> = token.iter().map(|token| ("authorization", token.as_str())).collect();
            refused(&edge.send(method, &path, &headers, "").await, 401, "IotHubUnauthorizedAccess");
        }
        // A device's own token is no service's, and is good for no other device.
        let own = device.token();
        let other = path.replace("/d/", "/e/");
        let headers = [("authorization", own.as_str())];
        refused(&edge.send(method, &other, &headers, "").await, 401, "IotHubUnauthorizedAccess");
    }
    // A policy that may act for devices acts for each.
    device.hub.0.call("device", "GET", BOUND, &[], None).await.is(204);
}

#[tokio::test]
async fn a_device_with_a_certificate_needs_no_token() {
    let device = Device::new().await;
    let moment = device.hub.0.services.context.clock.now().as_secs();
    let leaf = Authority::root("root", moment, |_| {}).leaf("x509", |_| {});
    let print = pollux_x509::Certificate::from_der(&leaf.der).unwrap().sha256_thumbprint();
    let authentication = json!({ "type": "selfSigned", "x509Thumbprint": { "primaryThumbprint": print } });
    let body = json!({ "deviceId": "x509", "authentication": authentication });
    device.hub.call("PUT", "/devices/x509", &[], Some(body)).await.is(200);
    let peer = Peer::showing(SocketAddr::from((Ipv4Addr::LOCALHOST, 1)), vec![leaf.der]);
    let path = |id: &str| format!("/devices/{id}/messages/events?api-version=2021-04-12");
    let sent = device.hub.0.send_from(peer.clone(), "POST", &path("x509"), &[], "1").await;
    sent.is(204);
    let other = device.hub.0.send_from(peer, "POST", &path("d"), &[], "1").await;
    refused(&other, 401, "IotHubUnauthorizedAccess");
}

#[tokio::test]
async fn telemetry_is_durable_when_it_is_answered() {
    let device = Device::new().await;
    let headers = [
        ("iothub-to", "/devices/d/messages/events"),
        ("iothub-messageid", "mid-1"),
        ("iothub-contenttype", "application/json"),
        ("iothub-contentencoding", "utf-8"),
        ("iothub-app-alert", "high"),
        ("dt-subject", "thermostat1"),
    ];
    let events = "/devices/d/messages/events";
    device.call("POST", events, &headers, r#"{"t":1}"#).await.is(204);
    let holds = |hay: &[u8], needle: &str| hay.windows(needle.len()).any(|part| part == needle.as_bytes());
    let found = device.events().await;
    for part in ["mid-1", "application/json", "alert", "high", "thermostat1", r#"{"t":1}"#] {
        assert!(found.len() == 1 && holds(&found[0], part), "{part}");
    }
    let batch = [("content-type", "application/vnd.microsoft.iothub.json")];
    let body = json!([
        { "body": STANDARD.encode("two"), "properties": { "iothub-app-Case": "Kept", "iothub-messageid": "mid-2" } },
        { "body": "three", "base64Encoded": false },
    ]);
    device.call("POST", events, &batch, &body.to_string()).await.is(204);
    let found = device.events().await;
    assert_eq!(found.len(), 3);
    for part in ["two", "Case", "Kept", "mid-2"] {
        assert!(holds(&found[1], part), "{part}");
    }
    assert!(holds(&found[2], "three"));
    for bad in [
        json!({}),
        json!([{ "body": "no base64!" }]),
        json!([{ "body": 1 }]),
        json!([{ "body": "" }, { "properties": {} }]),
        Value::Null,
    ] {
        refused(&device.call("POST", events, &batch, &bad.to_string()).await, 400, "ArgumentInvalid");
    }
    let large = "x".repeat(256 * 1024 + 1);
    refused(&device.call("POST", events, &[], &large).await, 413, "MessageTooLarge");
    assert_eq!(device.events().await.len(), 3);
}
