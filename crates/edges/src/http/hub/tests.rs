//! The routes against services over a SQLite store: shapes, statuses, headers. Rules are tested where they live.

use pollux_model::resource::ResourceKind;
use pollux_model::sas;
use serde_json::{Value, json};

mod configurations;
mod digital_twins;
mod jobs;
mod modules;

use super::router;
use crate::http::rest::fixture::{Answer, Edge};

mod files;
mod messages;
mod registry_jobs;
mod rights;

/// Every route of the hub's service API.
const SURFACE: [(&str, &str); 47] = [
    ("GET", "/devices"),
    ("POST", "/devices"),
    ("POST", "/twins/d/methods"),
    ("GET", "/devices/d"),
    ("PUT", "/devices/d"),
    ("DELETE", "/devices/d"),
    ("POST", "/devices/query"),
    ("GET", "/twins/d"),
    ("PATCH", "/twins/d"),
    ("PUT", "/twins/d"),
    ("GET", "/devices/d/modules"),
    ("GET", "/devices/d/modules/m"),
    ("PUT", "/devices/d/modules/m"),
    ("DELETE", "/devices/d/modules/m"),
    ("GET", "/twins/d/modules/m"),
    ("PATCH", "/twins/d/modules/m"),
    ("PUT", "/twins/d/modules/m"),
    ("POST", "/twins/d/modules/m/methods"),
    ("GET", "/digitaltwins/d"),
    ("PATCH", "/digitaltwins/d"),
    ("POST", "/digitaltwins/d/commands/c"),
    ("POST", "/digitaltwins/d/components/t/commands/c"),
    ("GET", "/configurations"),
    ("GET", "/configurations/c"),
    ("PUT", "/configurations/c"),
    ("DELETE", "/configurations/c"),
    ("POST", "/configurations/testQueries"),
    ("POST", "/devices/d/applyConfigurationContent"),
    ("GET", "/statistics/devices"),
    ("GET", "/statistics/service"),
    ("POST", "/messages/devicebound"),
    ("DELETE", "/devices/d/commands"),
    ("GET", "/messages/serviceBound/feedback"),
    ("DELETE", "/messages/serviceBound/feedback/x"),
    ("POST", "/messages/serviceBound/feedback/x/abandon"),
    ("GET", "/messages/serviceBound/filenotifications"),
    ("DELETE", "/messages/serviceBound/filenotifications/x"),
    ("POST", "/messages/serviceBound/filenotifications/x/abandon"),
    ("PUT", "/jobs/v2/j"),
    ("GET", "/jobs/v2/j"),
    ("POST", "/jobs/v2/j/cancel"),
    ("GET", "/jobs/v2/query"),
    ("POST", "/jobs/create"),
    ("GET", "/jobs"),
    ("GET", "/jobs/x"),
    ("DELETE", "/jobs/x"),
    ("GET", "/no/such/path"),
];

struct Hub(Edge);

impl Hub {
    async fn new() -> Self {
        Self(Edge::new(ResourceKind::Hub, router).await)
    }

    async fn call(&self, method: &str, path: &str, headers: &[(&str, &str)], body: Option<Value>) -> Answer {
        self.0.call("iothubowner", method, path, headers, body).await
    }

    async fn created(&self, id: &str) -> Value {
        self.call("PUT", &format!("/devices/{id}"), &[], Some(json!({ "deviceId": id }))).await.is(200).json()
    }
}

#[track_caller]
fn refused(answer: &Answer, status: u16, name: &str) {
    assert_eq!(
        (answer.status.as_u16(), answer.header("iothub-errorcode")),
        (status, name),
        "{}",
        answer.text
    );
    let message = answer.json()["Message"].as_str().unwrap().to_owned();
    assert!(message.starts_with(&format!("ErrorCode:{name};")), "{message}");
}

#[tokio::test]
async fn no_route_opens_without_a_good_credential() {
    let hub = Hub::new().await;
    let edge = &hub.0;
    let owner = edge.target.policy("iothubowner").unwrap().primary().bytes();
    let bad = [
        None,
        Some("SharedAccessSignature nonsense".to_owned()),
        Some("Bearer abc".to_owned()),
        Some("Basic dTpw".to_owned()),
        Some(sas::sign("localhost", b"another key of no one", edge.expiry(), Some("iothubowner"))),
        Some(sas::sign("localhost", &owner, 1, Some("iothubowner"))),
        Some(sas::sign("localhost/devices/d", &owner, edge.expiry(), Some("iothubowner"))),
        Some(sas::sign("other.example.com", &owner, edge.expiry(), Some("iothubowner"))),
        Some(sas::sign("localhost", &owner, edge.expiry(), Some("nobody"))),
        // The right key without the right: `device` may connect and nothing else.
        Some(edge.token("device")),
    ];
    for (method, path) in SURFACE {
        for token in &bad {
            let headers: Vec<_> = token.iter().map(|token| ("authorization", token.as_str())).collect();
            let body = json!({ "deviceId": "d", "query": "SELECT * FROM devices" }).to_string();
            let answer = edge.send(method, &format!("{path}?api-version=2021-04-12"), &headers, body).await;
            let forbidden_nowhere = path == "/no/such/path" && answer.status == 404;
            if !forbidden_nowhere {
                refused(&answer, 401, "IotHubUnauthorizedAccess");
            }
        }
    }
}

#[tokio::test]
async fn a_device_is_created_read_changed_and_deleted() {
    let hub = Hub::new().await;
    let made = hub
        .call("PUT", "/devices/d1", &[], Some(json!({ "deviceId": "d1", "status": "disabled" })))
        .await
        .is(200);
    let shown = made.json();
    assert_eq!(made.header("etag"), format!("\"{}\"", shown["etag"].as_str().unwrap()));
    assert_eq!(shown["authentication"]["type"], "sas");
    assert_eq!(shown["connectionState"], "Disconnected");
    assert_eq!(shown["lastActivityTime"], "0001-01-01T00:00:00Z");
    assert!(shown["generationId"].as_str().unwrap().bytes().all(|b| b.is_ascii_digit()));
    assert_eq!(hub.call("GET", "/devices/d1", &[], None).await.is(200).json(), shown);

    refused(
        &hub.call("PUT", "/devices/d1", &[], Some(json!({ "deviceId": "d1" }))).await,
        409,
        "DeviceAlreadyExists",
    );
    let stale = [("if-match", "\"AAAA\"")];
    refused(&hub.call("PUT", "/devices/d1", &stale, Some(shown.clone())).await, 412, "PreconditionFailed");
    let mut wanted = shown.clone();
    wanted["status"] = json!("enabled");
    let etag = made.header("etag").to_owned();
    let changed = hub.call("PUT", "/devices/d1", &[("if-match", &etag)], Some(wanted)).await.is(200).json();
    assert_eq!(
        (&changed["status"], &changed["authentication"]),
        (&json!("enabled"), &shown["authentication"])
    );
    assert_ne!(changed["etag"], shown["etag"]);

    refused(
        &hub.call("DELETE", "/devices/d1", &[("if-match", &etag)], None).await,
        412,
        "PreconditionFailed",
    );
    hub.call("DELETE", "/devices/d1", &[("if-match", "\"*\"")], None).await.is(204);
    refused(&hub.call("GET", "/devices/d1", &[], None).await, 404, "DeviceNotFound");
    refused(&hub.call("DELETE", "/devices/d1", &[("if-match", "*")], None).await, 404, "DeviceNotFound");
    refused(&hub.call("PUT", "/devices/d1", &[("if-match", "*")], Some(shown)).await, 404, "DeviceNotFound");
}

#[tokio::test]
async fn ids_travel_percent_encoded_and_words_are_no_matter_of_case() {
    let hub = Hub::new().await;
    let id = "a#b%c?d:e";
    let path = "/Devices/a%23b%25c%3Fd%3Ae";
    hub.call("PUT", path, &[], Some(json!({ "deviceId": id }))).await.is(200);
    assert_eq!(hub.call("GET", path, &[], None).await.is(200).json()["deviceId"], id);
    assert_eq!(hub.call("GET", "/TWINS/a%23b%25c%3Fd%3Ae", &[], None).await.is(200).json()["deviceId"], id);
    hub.created("query").await;
    assert_eq!(hub.call("GET", "/devices/query", &[], None).await.is(200).json()["deviceId"], "query");
    let listed = hub.call("GET", "/devices/?top=1", &[], None).await.is(200).json();
    assert_eq!(listed.as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn every_kind_of_authentication_is_taken() {
    let hub = Hub::new().await;
    let print = "A".repeat(40);
    let key = "MDEyMzQ1Njc4OWFiY2RlZg==";
    let table = [
        (json!({ "type": "sas", "symmetricKey": { "primaryKey": key, "secondaryKey": "" } }), "sas"),
        (json!({ "symmetricKey": { "primaryKey": key } }), "sas"),
        (json!({ "x509Thumbprint": { "primaryThumbprint": print } }), "selfSigned"),
        (json!({ "type": "selfSigned", "x509Thumbprint": { "primaryThumbprint": print } }), "selfSigned"),
        (json!({ "type": "certificateAuthority", "symmetricKey": null }), "certificateAuthority"),
    ];
    for (at, (authentication, kind)) in table.into_iter().enumerate() {
        let body = json!({ "deviceId": format!("d{at}"), "authentication": authentication });
        let made = hub.call("PUT", &format!("/devices/d{at}"), &[], Some(body)).await.is(200).json();
        assert_eq!(made["authentication"]["type"], kind);
        if kind == "selfSigned" {
            assert_eq!(made["authentication"]["x509Thumbprint"]["primaryThumbprint"], print);
        }
    }
}

#[tokio::test]
async fn bad_bodies_are_refused_and_change_nothing() {
    let hub = Hub::new().await;
    let bodies = [
        json!({}),
        json!([]),
        json!({ "deviceId": "other" }),
        json!({ "deviceId": "d", "status": "asleep" }),
        json!({ "deviceId": "d", "statusReason": "x".repeat(129) }),
        json!({ "deviceId": "d", "authentication": { "type": "magic" } }),
        json!({ "deviceId": "d", "authentication": { "symmetricKey": { "primaryKey": "short" } } }),
        json!({ "deviceId": "d", "authentication": { "x509Thumbprint": { "primaryThumbprint": "zz" } } }),
        json!({ "deviceId": "d", "capabilities": { "iotEdge": "yes" } }),
    ];
    for body in bodies {
        refused(&hub.call("PUT", "/devices/d", &[], Some(body)).await, 400, "ArgumentInvalid");
    }
    let bad_id = json!({ "deviceId": "a b" });
    refused(&hub.call("PUT", "/devices/a%20b", &[], Some(bad_id)).await, 400, "ArgumentInvalid");
    refused(&hub.call("GET", "/devices/%FF", &[], None).await, 400, "ArgumentInvalid");
    let large = json!({ "deviceId": "d", "pad": "x".repeat(1024 * 1024) });
    refused(&hub.call("PUT", "/devices/d", &[], Some(large)).await, 413, "MessageTooLarge");
    assert_eq!(hub.call("GET", "/devices", &[], None).await.is(200).json(), json!([]));
    for top in ["0", "-1", "many"] {
        refused(&hub.call("GET", &format!("/devices?top={top}"), &[], None).await, 400, "ArgumentInvalid");
    }
}

#[tokio::test]
async fn paths_methods_and_versions_that_are_not_there() {
    let hub = Hub::new().await;
    refused(&hub.call("GET", "/nothing", &[], None).await, 404, "NotFound");
    refused(&hub.call("GET", "/devices/d/more", &[], None).await, 404, "NotFound");
    refused(&hub.call("PATCH", "/devices/d", &[], None).await, 405, "InvalidOperation");
    let token = hub.0.token("iothubowner");
    for path in ["/devices", "/devices?api-version=latest"] {
        let answer = hub.0.send("GET", path, &[("authentication", ""), ("authorization", &token)], "").await;
        refused(&answer, 400, "ArgumentInvalid");
    }
}

#[tokio::test]
async fn a_twin_is_read_patched_and_replaced() {
    let hub = Hub::new().await;
    hub.created("d").await;
    let first = hub.call("GET", "/twins/d", &[], None).await.is(200);
    let etag = first.header("etag").to_owned();
    assert_eq!(etag, format!("\"{}\"", first.json()["etag"].as_str().unwrap()));

    let patch = json!({ "tags": { "site": "a" }, "properties": { "desired": { "rate": 5, "old": 1, "$version": 7 } } });
    let patched =
        hub.call("PATCH", "/twins/d", &[("if-match", &etag)], Some(patch.clone())).await.is(200).json();
    assert_eq!(patched["tags"], json!({ "site": "a" }));
    assert_eq!(
        (&patched["properties"]["desired"]["rate"], &patched["properties"]["desired"]["$version"]),
        (&json!(5), &json!(2))
    );
    refused(
        &hub.call("PATCH", "/twins/d", &[("if-match", &etag)], Some(patch)).await,
        412,
        "PreconditionFailed",
    );

    let mut whole = patched;
    whole["properties"]["desired"].as_object_mut().unwrap().remove("old");
    whole["tags"] = json!({});
    let replaced = hub.call("PUT", "/twins/d", &[("if-match", "*")], Some(whole)).await.is(200).json();
    assert_eq!((&replaced["tags"], &replaced["properties"]["desired"]["rate"]), (&Value::Null, &json!(5)));
    assert!(replaced["properties"]["desired"].get("old").is_none());

    for bad in [
        json!({ "deviceId": "other" }),
        json!({ "tags": [] }),
        json!({ "tags": { "a.b": 1 } }),
        json!({ "properties": { "desired": { "$own": 1 } } }),
    ] {
        refused(&hub.call("PATCH", "/twins/d", &[], Some(bad)).await, 400, "ArgumentInvalid");
    }
    refused(&hub.call("GET", "/twins/none", &[], None).await, 404, "DeviceNotFound");
}

#[tokio::test]
async fn queries_come_page_by_page() {
    let hub = Hub::new().await;
    for at in 0..5 {
        hub.created(&format!("d{at}")).await;
    }
    let (query, mut seen, mut token) = ("SELECT * FROM devices", Vec::new(), None::<String>);
    for _ in 0..4 {
        let mut headers = vec![("x-ms-max-item-count", "2")];
        headers.extend(token.as_deref().map(|token| ("x-ms-continuation", token)));
        let answer =
            hub.call("POST", "/devices/query", &headers, Some(json!({ "query": query }))).await.is(200);
        assert_eq!(answer.header("x-ms-item-type"), "twin");
        seen.extend(
            answer.json().as_array().unwrap().iter().map(|row| row["deviceId"].as_str().unwrap().to_owned()),
        );
        token = answer.headers.get("x-ms-continuation").map(|value| value.to_str().unwrap().to_owned());
        if token.is_none() {
            break;
        }
        let other = json!({ "query": "SELECT deviceId FROM devices" });
        let headers = [("x-ms-continuation", token.as_deref().unwrap())];
        refused(&hub.call("POST", "/devices/query", &headers, Some(other)).await, 400, "ArgumentInvalid");
    }
    assert_eq!((seen, token), (["d0", "d1", "d2", "d3", "d4"].map(String::from).to_vec(), None));

    let columns = json!({ "query": "SELECT deviceId FROM devices WHERE deviceId = 'd3'" });
    let answer = hub.call("POST", "/devices/query", &[], Some(columns)).await.is(200);
    assert_eq!((answer.header("x-ms-item-type"), answer.json()), ("raw", json!([{ "deviceId": "d3" }])));
    for bad in [json!({ "query": "SELECT" }), json!({ "query": "" }), json!({}), json!({ "query": 1 })] {
        refused(&hub.call("POST", "/devices/query", &[], Some(bad)).await, 400, "ArgumentInvalid");
    }
    let headers = [("x-ms-max-item-count", "none")];
    refused(
        &hub.call("POST", "/devices/query", &headers, Some(json!({ "query": query }))).await,
        400,
        "ArgumentInvalid",
    );
}

#[tokio::test]
async fn statistics_count_devices() {
    let hub = Hub::new().await;
    hub.created("d1").await;
    hub.call("PUT", "/devices/d2", &[], Some(json!({ "deviceId": "d2", "status": "disabled" })))
        .await
        .is(200);
    let counts = hub.call("GET", "/statistics/devices", &[], None).await.is(200).json();
    assert_eq!(counts, json!({ "totalDeviceCount": 2, "enabledDeviceCount": 1, "disabledDeviceCount": 1 }));
    let live = hub.call("GET", "/statistics/service", &[], None).await.is(200).json();
    assert_eq!(live, json!({ "connectedDeviceCount": 0 }));
}

#[tokio::test]
async fn many_devices_at_once_are_done_each_for_itself() {
    let hub = Hub::new().await;
    let post = async |body: Value| hub.call("POST", "/devices", &[], Some(body)).await;
    let item = |id: &str, mode: &str| json!({ "id": id, "importMode": mode });
    for wrong in [
        json!([]),
        json!({}),
        json!([{ "importMode": "create" }]),
        json!([item("a", "create"), item("a", "update")]),
        Value::Array((0..101).map(|number| item(&format!("d{number}"), "create")).collect()),
    ] {
        refused(&post(wrong).await, 400, "ArgumentInvalid");
    }
    let mut with_twin = item("a", "create");
    with_twin["tags"] = json!({ "floor": 1 });
    with_twin["properties"] = json!({ "desired": { "rate": 5 } });
    let done = post(json!([with_twin, item("b", "createOrUpdate"), { "id": "c" }])).await.is(200).json();
    assert_eq!(done, json!({ "isSuccessful": true, "errors": [], "warnings": [] }));
    let twin = hub.call("GET", "/twins/a", &[], None).await.is(200).json();
    assert_eq!((&twin["tags"]["floor"], &twin["properties"]["desired"]["rate"]), (&json!(1), &json!(5)));
    let etag = hub.call("GET", "/devices/b", &[], None).await.is(200).json()["etag"].clone();
    let mut guarded = item("b", "updateIfMatchETag");
    (guarded["eTag"], guarded["status"]) = (etag, json!("disabled"));
    let some = json!([
        item("a", "create"),
        guarded,
        item("none", "delete"),
        item("c", "deleteIfMatchETag"),
        item("c2", "other"),
    ]);
    let answer = post(some).await.is(400).json();
    let told: Vec<_> = answer["errors"].as_array().unwrap().iter().map(|one| &one["errorCode"]).collect();
    assert_eq!(told, ["DeviceAlreadyExists", "DeviceNotFound", "ArgumentInvalid", "ArgumentInvalid"]);
    assert_eq!(hub.call("GET", "/devices/b", &[], None).await.is(200).json()["status"], "disabled");
}

#[tokio::test]
async fn a_method_of_a_device_that_is_not_there_has_no_answer() {
    let hub = Hub::new().await;
    let ask = async |id: &str, body: Value| {
        hub.call("POST", &format!("/twins/{id}/methods"), &[], Some(body)).await
    };
    let reboot = json!({ "methodName": "reboot" });
    refused(&ask("none", reboot.clone()).await, 404, "DeviceNotFound");
    hub.created("d").await;
    refused(&ask("d", reboot).await, 404, "DeviceNotOnline");
    for wrong in [
        json!({}),
        json!({ "methodName": "" }),
        json!({ "methodName": "a", "responseTimeoutInSeconds": 4 }),
        json!({ "methodName": "a", "connectTimeoutInSeconds": -1 }),
    ] {
        refused(&ask("d", wrong).await, 400, "ArgumentInvalid");
    }
    let large = json!({ "methodName": "a", "payload": "x".repeat(128 * 1024) });
    refused(&ask("d", large).await, 413, "MessageTooLarge");
}
