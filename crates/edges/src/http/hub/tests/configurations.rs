//! Configurations: shapes, statuses, conditions.

use serde_json::{Value, json};

use super::{Hub, refused};

const PATH: &str = "/configurations/chiller-1";

fn body(condition: &str) -> Value {
    json!({
        "id": "chiller-1",
        "labels": {"Version": "3.0"},
        "content": {"deviceContent": {"properties.desired.a": {"b": 1}}, "moduleContent": null, "modulesContent": {}},
        "targetCondition": condition,
        "priority": 10,
        "metrics": {"results": {"mine": 7}, "queries": {"mine": "SELECT deviceId FROM devices"}},
        "systemMetrics": {"results": {}},
        "etag": null,
    })
}

#[tokio::test]
async fn a_configuration_is_created_read_changed_and_deleted() {
    let hub = Hub::new().await;
    let made = hub.call("PUT", PATH, &[], Some(body("*"))).await.is(200);
    let shown = made.json();
    let etag = made.header("etag").to_owned();
    assert_eq!(etag, format!("\"{}\"", shown["etag"].as_str().unwrap()));
    assert_eq!(shown["content"], json!({"deviceContent": {"properties.desired.a": {"b": 1}}}));
    assert_eq!(
        (&shown["schemaVersion"], &shown["priority"], &shown["labels"]),
        (&json!("1.0"), &json!(10), &json!({"Version": "3.0"}))
    );
    hub.created("d").await;
    let found = hub.call("GET", PATH, &[], None).await.is(200).json();
    assert_eq!(
        found["systemMetrics"],
        json!({
            "results": {"targetedCount": 1, "appliedCount": 1},
            "queries": {
                "targetedCount": "select deviceId from devices",
                "appliedCount": "select deviceId from devices where configurations.[[chiller-1]].status = 'Applied'",
            },
        })
    );
    let mine = json!({"results": {"mine": 1}, "queries": {"mine": "SELECT deviceId FROM devices"}});
    assert_eq!(found["metrics"], mine);
    assert_eq!(hub.call("GET", "/CONFIGURATIONS?top=5", &[], None).await.is(200).json(), json!([found]));
    let twin = hub.call("GET", "/twins/d", &[], None).await.is(200).json();
    assert_eq!(twin["configurations"], json!({"chiller-1": {"status": "Applied"}}));
    assert_eq!(twin["properties"]["desired"]["a"], json!({"b": 1}));
    for query in found["systemMetrics"]["queries"].as_object().unwrap().values() {
        let rows =
            hub.call("POST", "/devices/query", &[], Some(json!({ "query": query }))).await.is(200).json();
        assert_eq!(rows, json!([{"deviceId": "d"}]));
    }

    refused(&hub.call("PUT", PATH, &[], Some(body("*"))).await, 409, "ConfigurationAlreadyExists");
    let stale = [("if-match", "\"AAAA\"")];
    refused(&hub.call("PUT", PATH, &stale, Some(body("*"))).await, 412, "PreconditionFailed");
    refused(&hub.call("DELETE", PATH, &stale, None).await, 412, "PreconditionFailed");
    let changed = hub.call("PUT", PATH, &[("if-match", &etag)], Some(body("deviceId = 'x'"))).await.is(200);
    assert_eq!(changed.json()["targetCondition"], "deviceId = 'x'");
    assert_eq!(changed.json()["createdTimeUtc"], shown["createdTimeUtc"]);
    hub.call("PUT", PATH, &[("if-match", "*")], Some(body("from devices where deviceId = 'd'")))
        .await
        .is(200);
    let found = hub.call("GET", PATH, &[], None).await.is(200).json();
    let targeted = &found["systemMetrics"]["queries"]["targetedCount"];
    assert_eq!(targeted, "select deviceId from devices where deviceId = 'd'");
    hub.call("DELETE", PATH, &[], None).await.is(204);
    for method in ["GET", "DELETE"] {
        refused(&hub.call(method, PATH, &[], None).await, 404, "ConfigurationNotFound");
    }
    refused(&hub.call("PUT", PATH, &stale, Some(body("*"))).await, 404, "ConfigurationNotFound");
    assert_eq!(hub.call("GET", "/configurations", &[], None).await.is(200).json(), json!([]));
}

#[tokio::test]
async fn what_is_no_configuration_is_refused() {
    let hub = Hub::new().await;
    let put = async |change: Value| {
        let mut body = body("*");
        body.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        hub.call("PUT", PATH, &[], Some(body)).await
    };
    for (change, name) in [
        (json!({"id": "other"}), "ArgumentInvalid"),
        (json!({"priority": 5_000_000_000_i64}), "ArgumentInvalid"),
        (json!({"labels": {"a": 1}}), "ArgumentInvalid"),
        (json!({"targetCondition": "tags."}), "InvalidConfigurationTargetCondition"),
        (json!({"content": {"deviceContent": {"a": 1}}}), "InvalidConfigurationContent"),
        (json!({"metrics": {"queries": {"m": "nothing"}}}), "InvalidConfigurationCustomMetricsQuery"),
    ] {
        refused(&put(change).await, 400, name);
    }
    refused(&hub.call("PUT", "/configurations/A%20B", &[], Some(json!({}))).await, 400, "ArgumentInvalid");
    refused(&hub.call("GET", "/configurations?top=0", &[], None).await, 400, "ArgumentInvalid");
    let asked = json!({"targetCondition": "tags.a = 1", "customMetricQueries": {"good": "SELECT * FROM devices", "bad": "?"}});
    let tested = hub.call("POST", "/configurations/testQueries", &[], Some(asked)).await.is(200).json();
    assert_eq!(tested["targetConditionError"], "");
    assert!(tested["customMetricQueryErrors"].as_object().unwrap().keys().eq(["bad"]));
}

#[tokio::test]
async fn content_goes_to_one_device() {
    let hub = Hub::new().await;
    hub.created("d").await;
    let path = "/devices/d/applyConfigurationContent";
    let content = json!({"deviceContent": {"properties.desired.a": 1}});
    hub.call("POST", path, &[], Some(content.clone())).await.is(204);
    let twin = hub.call("GET", "/twins/d", &[], None).await.is(200).json();
    assert_eq!((&twin["properties"]["desired"]["a"], twin.get("configurations")), (&json!(1), None));
    refused(&hub.call("POST", path, &[], Some(json!({}))).await, 400, "InvalidConfigurationContent");
    let absent = "/devices/none/applyConfigurationContent";
    refused(&hub.call("POST", absent, &[], Some(content)).await, 404, "DeviceNotFound");
}
