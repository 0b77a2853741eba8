//! The admin API, the dispatcher and health, over HTTP.

use pollux_testkit::TestServer;
use reqwest::Method;
use serde_json::{Value, json};

struct Admin<'s> {
    server: &'s TestServer,
    http: reqwest::Client,
    key: String,
}

impl<'s> Admin<'s> {
    fn of(server: &'s TestServer) -> Self {
        Self { server, http: server.http(), key: server.connections().admin.key }
    }

    async fn call(&self, method: Method, path: &str, body: Option<Value>) -> (u16, Value) {
        let mut request =
            self.http.request(method, format!("{}{path}", self.server.url())).bearer_auth(&self.key);
        if let Some(body) = body {
            request = request.json(&body);
        }
        let answer = request.send().await.unwrap();
        let status = answer.status().as_u16();
        assert!(answer.headers().contains_key("x-ms-request-id"));
        (status, answer.json().await.unwrap_or_default())
    }

    async fn get(&self, path: &str) -> Value {
        let (status, body) = self.call(Method::GET, path, None).await;
        assert_eq!(status, 200, "{path}: {body}");
        body
    }
}

#[tokio::test]
async fn resources_come_and_go() {
    let server = TestServer::start().await;
    let admin = Admin::of(&server);
    assert_eq!(admin.get("/admin/resources").await["value"].as_array().unwrap().len(), 5);
    let hub = json!({ "name": "hub2", "group": "plant", "hostName": "hub2.example.com" });
    let (status, made) = admin.call(Method::POST, "/admin/resources/hub", Some(hub.clone())).await;
    assert_eq!((status, &made["hostName"]), (201, &json!("hub2.example.com")));
    assert_eq!(admin.call(Method::POST, "/admin/resources/hub", Some(hub)).await.0, 409);
    let link = "/admin/resources/dps/dps1/linked-hubs/hub2";
    let (status, linked) = admin.call(Method::PUT, link, Some(json!({ "allocationWeight": 7 }))).await;
    assert_eq!((status, &linked["linkedHubs"][1]["allocationWeight"]), (200, &json!(7)));
    let (status, refused) = admin.call(Method::DELETE, "/admin/groups/plant", None).await;
    assert_eq!((status, &refused["error"]["code"]), (409, &json!("ResourceInUse")));
    assert_eq!(admin.call(Method::DELETE, link, None).await.0, 200);
    let preview = admin.get("/admin/groups/plant").await;
    assert_eq!(
        preview["resources"],
        json!([
            { "kind": "hub", "name": "hub2", "hostName": "hub2.example.com", "holds": 0 }
        ])
    );
    let stale =
        admin.http.delete(format!("{}/admin/resources/hub/hub2", server.url())).bearer_auth(&admin.key);
    assert_eq!(stale.header("if-match", "\"other\"").send().await.unwrap().status(), 412);
    assert_eq!(admin.call(Method::DELETE, "/admin/groups/plant", None).await.0, 200);
    assert_eq!(admin.call(Method::GET, "/admin/resources/hub/hub2", None).await.0, 404);

    let event_hub = "/admin/resources/events/events1/event-hubs/audit";
    let (status, namespace) = admin.call(Method::PUT, event_hub, Some(json!({ "partitions": 2 }))).await;
    assert_eq!((status, &namespace["eventHubs"][2]["partitions"]), (200, &json!(2)));
    let endpoint = json!({ "namespace": "events1", "eventHub": "audit" });
    let endpoints = "/admin/resources/hub/hub1/endpoints/audit";
    assert_eq!(admin.call(Method::PUT, endpoints, Some(endpoint)).await.0, 200);
    let route = json!({ "source": "TwinChangeEvents", "endpoint": "audit", "condition": "a = 1 AND" });
    let routes = "/admin/resources/hub/hub1/routes/audit";
    let (status, refused) = admin.call(Method::PUT, routes, Some(route)).await;
    assert_eq!(status, 400);
    assert!(refused["error"]["message"].as_str().unwrap().contains("condition"), "{refused}");
    let connections = admin.get("/admin/connections").await;
    assert_eq!(connections, serde_json::to_value(server.connections()).unwrap());
    assert_eq!(admin.get("/admin/health").await["store"], "ok");
}

#[tokio::test]
async fn nobody_but_the_operator_gets_in() {
    let server = TestServer::start().await;
    let http = server.http();
    for path in ["/admin/resources", "/admin/connections", "/admin/groups/default", "/admin/nowhere"] {
        for key in [None, Some(""), Some("AAAA"), Some("Bearer")] {
            let mut request = http.get(format!("{}{path}", server.url()));
            if let Some(key) = key {
                request = request.bearer_auth(key);
            }
            let answer = request.send().await.unwrap();
            assert_eq!(answer.status(), 401, "{path} {key:?}");
            assert_eq!(answer.headers()["www-authenticate"], "Bearer");
        }
    }
}

#[tokio::test]
async fn a_request_goes_to_the_service_that_its_host_and_path_name() {
    let server = TestServer::start().await;
    let http = server.http();
    let status = async |host: &str, path: &str| {
        let request = http.get(format!("{}{path}", server.url())).header("host", host);
        request.send().await.unwrap().status().as_u16()
    };
    assert_eq!(status("localhost", "/nowhere").await, 404);
    assert_eq!(status("unknown.example.com", "/health").await, 200);
    assert_eq!(status("unknown.example.com", "/devices/d1").await, 404);
    assert_eq!(status("unknown.example.com", "/admin/resources").await, 404);
    // Without a credential every service says 401: it was reached.
    for (host, path) in [
        ("localhost", "/devices/d1?api-version=2021-04-12"),
        ("127.0.0.1:8443", "/digitaltwins/t1?api-version=2023-10-31"),
        ("localhost", "/enrollments/e1?api-version=2021-10-01"),
        ("hub1.azure-devices.net", "/devices/d1?api-version=2021-04-12"),
        ("twins1.digitaltwins.test", "/digitaltwins/t1?api-version=2023-10-31"),
    ] {
        assert_eq!(status(host, path).await, 401, "{host}{path}");
    }
    let operator =
        http.get(format!("{}/admin/resources", server.url())).header("host", "hub1.azure-devices.net");
    let operator = operator.bearer_auth(server.connections().admin.key).send().await.unwrap();
    assert_eq!(operator.status(), 401, "a hub's name is the hub's alone: it knows no admin key");
    assert_eq!(status("localhost", "/ready").await, 200);
    let metrics = http.get(format!("{}/metrics", server.url())).send().await.unwrap();
    assert_eq!(metrics.status(), 200, "this machine may read the figures");
}
