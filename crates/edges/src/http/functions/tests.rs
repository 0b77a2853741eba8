//! The webhook's door, and the operator's routes for function apps.

use std::sync::Arc;

use axum::Router;
use pollux_model::function::DeadLetter;
use pollux_model::resource::{Properties, ResourceKind};
use pollux_model::{ResourceName, Timestamp};
use pollux_services::{Caller, Services};
use pollux_store::{Batch, Write};
use serde_json::{Value, json};

use super::router;
use crate::http::About;
use crate::http::rest::fixture::{Answer, Edge};

const MODEL: &str = "dtmi:example:Probe;1";
const PATH: &str = "/api/DpsAdtAllocationFunc";

fn key(edge: &Edge) -> String {
    match &edge.target.properties {
        Properties::Functions(app) => app.keys.primary.reveal().to_owned(),
        _ => panic!("not a function app"),
    }
}

async fn with_model() -> Edge {
    let edge = Edge::new(ResourceKind::Functions, router).await;
    let instance = edge.services.context.table.serving(ResourceKind::Twins, "localhost").unwrap();
    let model = json!({
        "@id": MODEL, "@type": "Interface", "@context": "dtmi:dtdl:context;2",
        "contents": [{ "@type": "Property", "name": "Temperature", "schema": "double" }],
    });
    edge.services.twins.create_models(&Caller::admin(), &instance.name, vec![model]).await.unwrap();
    edge
}

fn request(id: &str) -> Value {
    json!({
        "enrollmentGroup": { "enrollmentGroupId": "g" },
        "deviceRuntimeContext": { "registrationId": id, "payload": { "modelId": MODEL } },
        "linkedHubs": ["hub1.example.com", "hub2.example.com"],
    })
}

#[tokio::test]
async fn a_function_is_called_with_its_key_in_either_place() {
    let edge = with_model().await;
    let key = key(&edge);
    let encoded: String = url::form_urlencoded::byte_serialize(key.as_bytes()).collect();
    let by_code =
        edge.send("POST", &format!("{PATH}?code={encoded}"), &[], request("d1").to_string()).await.is(200);
    assert_eq!(by_code.json()["iotHubHostName"], "hub1.example.com");
    assert_eq!(by_code.json()["initialTwin"]["tags"], json!({ "dtmi": MODEL, "dtId": "d1" }));
    assert!(by_code.header("content-type").starts_with("application/json"));
    let headers = [("x-functions-key", key.as_str())];
    edge.send("GET", PATH, &headers, request("d2").to_string()).await.is(200);
}

#[tokio::test]
async fn no_function_opens_without_its_key() {
    let edge = with_model().await;
    for path in [PATH, "/api/Other"] {
        for method in ["GET", "POST"] {
            for query in ["", "?code=", "?code=wrong"] {
                edge.send(method, &format!("{path}{query}"), &[], request("d").to_string()).await.is(401);
            }
            edge.send(method, path, &[("x-functions-key", "wrong")], request("d").to_string()).await.is(401);
        }
    }
    let twins = edge.services.context.table.serving(ResourceKind::Twins, "localhost").unwrap();
    assert!(
        edge.services.twins.get_twin(&Caller::admin(), &twins.name, "d").await.is_err(),
        "a twin was made"
    );
}

#[tokio::test]
async fn bad_calls_are_answered_in_words() {
    let edge = with_model().await;
    let key = key(&edge);
    let headers = [("x-functions-key", key.as_str())];
    edge.send("POST", "/api/Other", &headers, "{}").await.is(404);
    edge.send("POST", "/other", &headers, "{}").await.is(404);
    edge.send("PUT", PATH, &headers, "{}").await.is(405);
    edge.send("POST", PATH, &headers, "{").await.is(400);
    edge.send("POST", PATH, &headers, "x".repeat(2 * 1024 * 1024)).await.is(413);
    let empty = edge.send("POST", PATH, &headers, "").await.is(400);
    assert_eq!(empty.text, "Registration ID not provided for the device.");
    let mut hubless = request("d");
    hubless["linkedHubs"] = json!([]);
    let answer = edge.send("POST", PATH, &headers, hubless.to_string()).await.is(400);
    assert_eq!(answer.text, "No hub group defined for the enrollment.");
}

fn admin(services: Arc<Services>) -> Router {
    let about = About {
        connections: Arc::new(|| json!({})),
        metrics: Arc::new(String::new),
        readiness: Arc::default(),
    };
    crate::http::admin::router(services, about)
}

struct Operator(Edge);

impl Operator {
    async fn new() -> Self {
        Self(Edge::new(ResourceKind::Functions, admin).await)
    }

    async fn call(&self, method: &str, path: &str, body: Option<Value>) -> Answer {
        let key = format!("Bearer {}", self.0.services.authority.reveal_admin_key().unwrap().reveal());
        let path = format!("/admin/resources/functions/functions1{path}");
        let body = body.map(|body| body.to_string()).unwrap_or_default();
        self.0.send(method, &path, &[("authorization", &key)], body).await
    }
}

#[tokio::test]
async fn settings_are_set_shown_and_removed() {
    let operator = Operator::new().await;
    assert_eq!(operator.call("GET", "/settings", None).await.is(200).json(), json!({ "settings": {} }));
    let url = json!({ "value": "https://localhost" });
    operator.call("PUT", "/settings/ADT_SERVICE_URL", Some(url)).await.is(204);
    let shown = operator.call("GET", "/settings", None).await.is(200).json();
    assert_eq!(shown, json!({ "settings": { "ADT_SERVICE_URL": "https://localhost" } }));
    for (name, body) in [
        ("ADT_SERVICE_URL", json!({ "value": "ftp://nowhere" })),
        ("ADT_SERVICE_URL", json!({})),
        ("EVENTHUB_CONNECTIONSTRING", json!({ "value": "Endpoint=sb://localhost/;SharedAccessKeyName=x" })),
        ("PATH", json!({ "value": "x" })),
    ] {
        operator.call("PUT", &format!("/settings/{name}"), Some(body)).await.is(400);
    }
    operator.call("DELETE", "/settings/ADT_SERVICE_URL", None).await.is(204);
    assert_eq!(operator.call("GET", "/settings", None).await.is(200).json(), json!({ "settings": {} }));
}

#[tokio::test]
async fn dead_letters_are_listed_shown_replayed_and_forgotten() {
    let operator = Operator::new().await;
    let name = |text: &str| ResourceName::parse(text).unwrap();
    for at in 0..3 {
        let letter = DeadLetter {
            id: 0,
            app: name("functions1").into(),
            function: "ingest".into(),
            namespace: name("events1").into(),
            event_hub: "deviceevents".into(),
            partition: 0,
            sequence_number: at,
            enqueued: Timestamp::from_secs(1),
            failed: Timestamp::from_secs(2),
            attempts: 5,
            reason: "no AMQP message".into(),
            payload: b"garbage".to_vec(),
        };
        let write = Write::PutDeadLetter { letter: Box::new(letter) };
        operator.0.services.context.store.commit(Batch::from(write)).await.unwrap();
    }
    let first = operator.call("GET", "/dead-letters?function=ingest&limit=2", None).await.is(200).json();
    assert_eq!(first["value"].as_array().unwrap().len(), 2);
    let next = first["next"].as_str().unwrap();
    let rest = operator.call("GET", &format!("/dead-letters?after={next}"), None).await.is(200).json();
    assert_eq!(rest["value"].as_array().unwrap().len(), 1);
    assert_eq!(
        operator.call("GET", "/dead-letters?function=retire", None).await.is(200).json()["value"],
        json!([])
    );
    operator.call("GET", "/dead-letters?function=allocate", None).await.is(404);
    operator.call("GET", "/dead-letters?after=x", None).await.is(400);

    let id = first["value"][0]["id"].as_i64().unwrap();
    let shown = operator.call("GET", &format!("/dead-letters/{id}"), None).await.is(200).json();
    assert_eq!((&shown["payload"], &shown["attempts"]), (&json!("Z2FyYmFnZQ=="), &json!(5)));
    operator.call("POST", &format!("/dead-letters/{id}/replay"), None).await.is(400);
    let again = operator.call("GET", &format!("/dead-letters/{id}"), None).await.is(200).json();
    assert_eq!(again["attempts"], 6);
    operator.call("DELETE", &format!("/dead-letters/{id}"), None).await.is(204);
    operator.call("GET", &format!("/dead-letters/{id}"), None).await.is(404);
    operator.call("DELETE", &format!("/dead-letters/{id}"), None).await.is(404);
    operator.call("GET", "/dead-letters/x", None).await.is(400);
}

#[tokio::test]
async fn no_operator_route_opens_without_the_admin_key() {
    let operator = Operator::new().await;
    for (method, path) in [
        ("GET", "/settings"),
        ("PUT", "/settings/ADT_SERVICE_URL"),
        ("DELETE", "/settings/ADT_SERVICE_URL"),
        ("GET", "/dead-letters"),
        ("GET", "/dead-letters/1"),
        ("DELETE", "/dead-letters/1"),
        ("POST", "/dead-letters/1/replay"),
    ] {
        let path = format!("/admin/resources/functions/functions1{path}");
        operator.0.send(method, &path, &[], "{}").await.is(401);
        operator.0.send(method, &path, &[("authorization", "Bearer wrong")], "{}").await.is(401);
    }
}
