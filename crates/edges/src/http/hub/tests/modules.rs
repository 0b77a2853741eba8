//! Modules: identities, twins, methods, many at once, queries.

use serde_json::{Value, json};

use super::{Hub, refused};

const PATH: &str = "/devices/d/modules/m";

impl Hub {
    async fn module(&self, id: &str) -> Value {
        let path = format!("/devices/d/modules/{id}");
        self.call("PUT", &path, &[], Some(json!({ "deviceId": "d", "moduleId": id }))).await.is(200).json()
    }
}

async fn hub() -> Hub {
    let hub = Hub::new().await;
    hub.created("d").await;
    hub
}

#[tokio::test]
async fn a_module_is_created_read_changed_and_deleted() {
    let hub = hub().await;
    let body = json!({ "deviceId": "d", "moduleId": "m", "managedBy": "IotEdge" });
    let made = hub.call("PUT", PATH, &[], Some(body.clone())).await.is(200);
    let shown = made.json();
    assert_eq!(made.header("etag"), format!("\"{}\"", shown["etag"].as_str().unwrap()));
    assert_eq!(
        [&shown["deviceId"], &shown["moduleId"], &shown["managedBy"], &shown["connectionState"]],
        ["d", "m", "IotEdge", "Disconnected"]
    );
    assert_eq!(shown["authentication"]["type"], "sas");
    assert!(shown["authentication"]["symmetricKey"]["primaryKey"].is_string());
    assert!(shown["generationId"].as_str().unwrap().bytes().all(|b| b.is_ascii_digit()));
    assert_eq!(hub.call("GET", PATH, &[], None).await.is(200).json(), shown);
    assert_eq!(hub.call("GET", "/devices/d/MODULES", &[], None).await.is(200).json(), json!([shown]));
    assert_eq!(hub.call("GET", "/devices", &[], None).await.is(200).json().as_array().unwrap().len(), 1);

    refused(&hub.call("PUT", PATH, &[], Some(body.clone())).await, 409, "ModuleAlreadyExistsOnDevice");
    let stale = [("if-match", "\"AAAA\"")];
    refused(&hub.call("PUT", PATH, &stale, Some(body.clone())).await, 412, "PreconditionFailed");
    let etag = made.header("etag").to_owned();
    let mut wanted = shown.clone();
    wanted["managedBy"] = json!("me");
    let changed = hub.call("PUT", PATH, &[("if-match", &etag)], Some(wanted)).await.is(200).json();
    assert_eq!((&changed["managedBy"], &changed["authentication"]), (&json!("me"), &shown["authentication"]));
    assert_eq!(changed["generationId"], shown["generationId"]);
    refused(&hub.call("DELETE", PATH, &[("if-match", &etag)], None).await, 412, "PreconditionFailed");
    hub.call("DELETE", PATH, &[("if-match", "\"*\"")], None).await.is(204);
    for method in ["GET", "DELETE"] {
        refused(&hub.call(method, PATH, &[], None).await, 404, "ModuleNotFound");
    }
    refused(&hub.call("PUT", PATH, &[("if-match", "*")], Some(body)).await, 404, "ModuleNotFound");
}

#[tokio::test]
async fn what_is_no_module_is_refused() {
    let hub = hub().await;
    let body = |device: &str, module: &str| Some(json!({ "deviceId": device, "moduleId": module }));
    refused(&hub.call("PUT", "/devices/e/modules/m", &[], body("e", "m")).await, 404, "DeviceNotFound");
    refused(&hub.call("GET", "/devices/e/modules/m", &[], None).await, 404, "DeviceNotFound");
    refused(&hub.call("GET", "/devices/e/modules", &[], None).await, 404, "DeviceNotFound");
    for wrong in [body("e", "m"), body("d", "n")] {
        refused(&hub.call("PUT", PATH, &[], wrong).await, 400, "ArgumentInvalid");
    }
    let long = "x".repeat(129);
    refused(&hub.call("GET", &format!("{PATH}%20"), &[], None).await, 400, "ArgumentInvalid");
    refused(&hub.call("GET", &format!("/devices/d/modules/{long}"), &[], None).await, 400, "ArgumentInvalid");
    let managed = json!({ "deviceId": "d", "moduleId": "m", "managedBy": long });
    refused(&hub.call("PUT", PATH, &[], Some(managed)).await, 400, "ArgumentInvalid");
    // One segment that decodes to two ids names nothing.
    hub.module("m").await;
    for path in ["/devices/d%2Fm", "/twins/d%2Fm", "/devices/d%2Fmodules%2Fm"] {
        refused(&hub.call("GET", path, &[], None).await, 400, "ArgumentInvalid");
    }
    for path in [format!("{PATH}/more"), "/twins/d/modules".to_owned(), "/twins/d/modules/m/more".to_owned()]
    {
        refused(&hub.call("GET", &path, &[], None).await, 404, "NotFound");
    }
    assert_eq!(hub.call("POST", PATH, &[], None).await.status, 405);
}

#[tokio::test]
async fn a_device_has_so_many_modules_and_no_more() {
    let hub = hub().await;
    for at in 0..50 {
        hub.module(&format!("m{at}")).await;
    }
    let body = |id: &str| Some(json!({ "deviceId": "d", "moduleId": id }));
    refused(&hub.call("PUT", PATH, &[], body("m")).await, 413, "TooManyModulesOnDevice");
    let again = hub.call("PUT", "/devices/d/modules/m7", &[], body("m7")).await;
    refused(&again, 409, "ModuleAlreadyExistsOnDevice");
    // It takes them along.
    hub.call("DELETE", "/devices/d", &[], None).await.is(204);
    refused(&hub.call("GET", "/devices/d/modules/m7", &[], None).await, 404, "DeviceNotFound");
    hub.created("d").await;
    assert_eq!(hub.call("GET", "/devices/d/modules", &[], None).await.is(200).json(), json!([]));
}

#[tokio::test]
async fn a_module_has_a_twin_of_its_own() {
    let hub = hub().await;
    refused(&hub.call("GET", "/twins/d/modules/m", &[], None).await, 404, "ModuleNotFound");
    let identity = hub.module("m").await;
    let got = hub.call("GET", "/twins/d/modules/m", &[], None).await.is(200);
    let twin = got.json();
    assert_eq!([&twin["deviceId"], &twin["moduleId"], &twin["status"]], ["d", "m", "enabled"]);
    assert_eq!(twin["deviceEtag"], identity["etag"]);
    assert!(twin.get("capabilities").is_none());
    let etag = got.header("etag").to_owned();
    let patch = json!({ "tags": { "site": "x" }, "properties": { "desired": { "rate": 5 } } });
    let changed = hub.call("PATCH", "/twins/d/modules/m", &[("if-match", &etag)], Some(patch.clone())).await;
    let changed = changed.is(200).json();
    assert_eq!(
        (&changed["tags"]["site"], &changed["properties"]["desired"]["rate"]),
        (&json!("x"), &json!(5))
    );
    assert_eq!(changed["properties"]["desired"]["$version"], 2);
    let stale = hub.call("PATCH", "/twins/d/modules/m", &[("if-match", &etag)], Some(patch)).await;
    refused(&stale, 412, "PreconditionFailed");
    let mut whole = changed;
    whole["properties"]["desired"] = json!({});
    let replaced = hub.call("PUT", "/twins/d/modules/m", &[], Some(whole)).await.is(200).json();
    assert!(replaced["properties"]["desired"].get("rate").is_none());
    for wrong in [json!({ "moduleId": "n" }), json!({ "deviceId": "e" })] {
        refused(&hub.call("PATCH", "/twins/d/modules/m", &[], Some(wrong)).await, 400, "ArgumentInvalid");
    }
    let of_device = hub.call("GET", "/twins/d", &[], None).await.is(200).json();
    assert_eq!(
        (&of_device["version"], of_device.get("moduleId")),
        (&json!(1), None),
        "the device's is another"
    );

    let ask = json!({ "methodName": "reboot" });
    let path = |id: &str| format!("/twins/d/modules/{id}/methods");
    refused(&hub.call("POST", &path("m"), &[], Some(ask.clone())).await, 404, "DeviceNotOnline");
    refused(&hub.call("POST", &path("n"), &[], Some(ask)).await, 404, "ModuleNotFound");
}

#[tokio::test]
async fn modules_come_among_many_at_once() {
    let hub = hub().await;
    let post = async |body: Value| hub.call("POST", "/devices", &[], Some(body)).await;
    let item = |id: &str, mode: &str| json!({ "id": "d", "moduleId": id, "importMode": mode });
    refused(&post(json!([item("a", "create"), item("a", "update")])).await, 400, "ArgumentInvalid");
    let mut with_twin = item("a", "create");
    (with_twin["managedBy"], with_twin["tags"]) = (json!("me"), json!({ "floor": 1 }));
    let all = json!([with_twin, item("b", "createOrUpdate"), { "id": "d", "importMode": "createOrUpdate" }]);
    assert_eq!(post(all).await.is(200).json()["isSuccessful"], true);
    let twin = hub.call("GET", "/twins/d/modules/a", &[], None).await.is(200).json();
    assert_eq!(twin["tags"]["floor"], 1);
    let module = hub.call("GET", "/devices/d/modules/a", &[], None).await.is(200).json();
    assert_eq!(module["managedBy"], "me");
    let mut elsewhere = item("a", "create");
    elsewhere["id"] = json!("none");
    let some = json!([item("a", "create"), item("none", "update"), item("b", "delete"), elsewhere]);
    let answer = post(some).await.is(400).json();
    let told: Vec<_> = answer["errors"].as_array().unwrap().iter().map(|one| &one["errorCode"]).collect();
    assert_eq!(told, ["ModuleAlreadyExistsOnDevice", "ModuleNotFound", "DeviceNotFound"]);
    assert_eq!(answer["errors"][1]["moduleId"], "none");
    refused(&hub.call("GET", "/devices/d/modules/b", &[], None).await, 404, "ModuleNotFound");
}

#[tokio::test]
async fn queries_find_modules_page_by_page() {
    let hub = hub().await;
    hub.created("e").await;
    for id in ["a", "b", "c"] {
        hub.module(id).await;
    }
    let body = json!({ "deviceId": "e", "moduleId": "a", "managedBy": "me" });
    hub.call("PUT", "/devices/e/modules/a", &[], Some(body)).await.is(200);
    let ask = async |query: &str, size: &str| {
        let (mut rows, mut token) = (Vec::new(), None::<String>);
        loop {
            let mut headers = vec![("x-ms-max-item-count", size)];
            headers.extend(token.as_deref().map(|token| ("x-ms-continuation", token)));
            let answer = hub.call("POST", "/devices/query", &headers, Some(json!({ "query": query }))).await;
            let answer = answer.is(200);
            let page = answer.json().as_array().unwrap().clone();
            assert!(page.len() <= size.parse().unwrap());
            rows.extend(page);
            match answer.headers.get("x-ms-continuation") {
                Some(next) => token = Some(next.to_str().unwrap().to_owned()),
                None => return rows,
            }
        }
    };
    let names = |rows: &[Value]| -> Vec<String> {
        rows.iter().map(|row| format!("{}/{}", row["deviceId"], row["moduleId"]).replace('"', "")).collect()
    };
    for size in ["1", "2", "3", "100"] {
        let all = ask("SELECT * FROM devices.modules", size).await;
        assert_eq!(names(&all), ["d/a", "d/b", "d/c", "e/a"], "{size}");
        let some = ask(
            "SELECT deviceId, moduleId FROM devices.modules WHERE deviceId IN ['e', 'd'] AND moduleId <> 'b'",
            size,
        );
        assert_eq!(names(&some.await), ["d/a", "d/c", "e/a"], "{size}");
        let groups = ask("SELECT moduleId, COUNT() AS n FROM devices.modules GROUP BY moduleId", size).await;
        let expected = [("a", 2), ("b", 1), ("c", 1)].map(|(id, n)| json!({ "moduleId": id, "n": n }));
        assert_eq!(groups, expected, "{size}");
        let two =
            ask("SELECT TOP 2 moduleId, COUNT() AS n FROM devices.modules GROUP BY moduleId", size).await;
        assert_eq!(two, expected[..2]);
    }
    let three = ask("SELECT TOP 3 * FROM devices.modules", "2").await;
    assert_eq!(names(&three), ["d/a", "d/b", "d/c"]);
    assert_eq!(ask("SELECT COUNT() FROM devices", "9").await, [json!({ "COUNT": 2 })]);
}
