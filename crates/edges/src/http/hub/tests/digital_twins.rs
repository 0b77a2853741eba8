//! Digital twins: what is shown of a device twin, what a patch comes to, what is refused.

use serde_json::{Value, json};

use super::{Hub, refused};

const PATH: &str = "/digitaltwins/d";

impl Hub {
    async fn patched(&self, operations: Value) -> Value {
        let answer = self.call("PATCH", PATH, &[], Some(operations)).await.is(202);
        assert!(answer.header("etag").starts_with('"') && answer.header("location") == PATH);
        self.call("GET", "/twins/d", &[], None).await.is(200).json()["properties"]["desired"].take()
    }

    async fn shown(&self) -> Value {
        self.call("GET", PATH, &[], None).await.is(200).json()
    }
}

#[tokio::test]
async fn a_digital_twin_is_a_device_twin_seen_otherwise() {
    let hub = Hub::new().await;
    hub.created("d").await;
    assert_eq!(hub.shown().await, json!({"$dtId": "d", "$metadata": {"$model": ""}}));
    let desired = json!({"fan": {"a": 1}, "comp": {"__t": "c", "p": 5, "q": 6}});
    hub.call("PATCH", "/twins/d", &[], Some(json!({"properties": {"desired": desired}}))).await.is(200);
    let twin = hub.shown().await;
    assert_eq!(twin["$metadata"]["fan"], json!({"desiredValue": {"a": 1}, "desiredVersion": 2}));
    assert_eq!(
        twin["comp"],
        json!({"$metadata": {
            "p": {"desiredValue": 5, "desiredVersion": 2},
            "q": {"desiredValue": 6, "desiredVersion": 2},
        }})
    );
    assert_eq!(twin.get("fan"), None);
}

#[tokio::test]
async fn a_patch_changes_what_is_desired() {
    let hub = Hub::new().await;
    hub.created("d").await;
    let part = |desired: &Value, name: &str| desired.get(name).cloned();
    let desired = hub
        .patched(json!([
            {"op": "add", "path": "/comp/p", "value": {"x": 1}},
            {"op": "add", "path": "/other", "value": {"q": 1, "$metadata": {}}},
            {"op": "add", "path": "/root", "value": 3},
        ]))
        .await;
    assert_eq!(part(&desired, "comp"), Some(json!({"p": {"x": 1}, "__t": "c"})));
    assert_eq!(part(&desired, "other"), Some(json!({"q": 1, "__t": "c"})));
    assert_eq!(part(&desired, "root"), Some(json!(3)));
    let desired = hub
        .patched(json!([
            {"op": "replace", "path": "/comp/p", "value": {"y": 2}},
            {"op": "remove", "path": "/other/q"},
            {"op": "remove", "path": "/root"},
        ]))
        .await;
    assert_eq!(part(&desired, "comp"), Some(json!({"p": {"y": 2}, "__t": "c"})));
    assert_eq!((part(&desired, "other"), part(&desired, "root")), (None, None));
    let etag = hub.call("GET", PATH, &[], None).await.is(200).header("etag").to_owned();
    let patch = json!([{"op": "add", "path": "/root", "value": 1}]);
    hub.call("PATCH", PATH, &[("if-match", &etag)], Some(patch.clone())).await.is(202);
    refused(&hub.call("PATCH", PATH, &[("if-match", &etag)], Some(patch)).await, 412, "PreconditionFailed");
}

#[tokio::test]
async fn what_is_no_patch_or_command_is_refused() {
    let hub = Hub::new().await;
    hub.created("d").await;
    hub.patched(
        json!([{"op": "add", "path": "/comp/p", "value": 1}, {"op": "add", "path": "/prop", "value": 1}]),
    )
    .await;
    let name = "InvalidDigitalTwinJsonPatch";
    for (operations, name) in [
        (json!({}), name),
        (json!([]), name),
        (json!([{"op": "add", "path": "/a"}]), name),
        (json!([{"op": "copy", "from": "/prop", "path": "/a"}]), name),
        (json!([{"op": "add", "path": "", "value": 1}]), name),
        (json!([{"op": "add", "path": "/a/b/c", "value": 1}]), name),
        (json!([{"op": "add", "path": "/a-b", "value": 1}]), name),
        (json!([{"op": "add", "path": "/a", "value": [1]}]), name),
        (json!([{"op": "add", "path": "/a", "value": {"b": null}}]), name),
        (json!([{"op": "add", "path": "/a", "value": {"$metadata": {"b": 1}}}]), name),
        (json!([{"op": "remove", "path": "/a"}]), name),
        (json!([{"op": "remove", "path": "/comp/a"}]), name),
        (json!([{"op": "add", "path": "/comp", "value": 1}]), "ArgumentInvalid"),
        (json!([{"op": "add", "path": "/prop/a", "value": 1}]), "ArgumentInvalid"),
    ] {
        refused(&hub.call("PATCH", PATH, &[], Some(operations.clone())).await, 400, name);
    }
    refused(&hub.call("GET", "/digitaltwins/none", &[], None).await, 404, "DeviceNotFound");
    refused(&hub.call("GET", "/digitaltwins/d~m", &[], None).await, 404, "ModuleNotFound");
    refused(&hub.call("GET", "/digitaltwins/d~m~n", &[], None).await, 400, "ArgumentInvalid");
    for (path, status, name) in [
        ("/digitaltwins/d/commands/c", 404, "DeviceNotOnline"),
        ("/digitaltwins/d/components/comp/commands/c", 404, "DeviceNotOnline"),
        ("/digitaltwins/none/commands/c", 404, "DeviceNotFound"),
        ("/digitaltwins/d/commands/c?responseTimeoutInSeconds=4", 400, "ArgumentInvalid"),
        ("/digitaltwins/d/commands/c?responseTimeoutInSeconds=x", 400, "ArgumentInvalid"),
    ] {
        refused(&hub.call("POST", path, &[], Some(json!(1))).await, status, name);
    }
}
