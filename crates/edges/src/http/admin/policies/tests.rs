//! Policies, event hubs and consumer groups as the operator handles them.

use serde_json::{Value, json};

use crate::http::admin::fixture::Operator;

const HUB: &str = "/admin/resources/events/events1/event-hubs/deviceevents";

/// The policies that there are, in the places they are at.
const HOLDERS: [(&str, &str); 4] = [
    ("/admin/resources/hub/hub1", "ServiceConnect"),
    ("/admin/resources/dps/dps1", "EnrollmentRead"),
    ("/admin/resources/events/events1", "Listen"),
    (HUB, "Send"),
];

#[tokio::test]
async fn a_policy_is_put_shown_rolled_over_and_deleted() {
    let operator = Operator::new().await;
    for (holder, right) in HOLDERS {
        let path = format!("{holder}/policies/own");
        operator.call("GET", &path, Value::Null).await.is(404);
        let made = operator.call("PUT", &path, json!({ "rights": [right] })).await.is(200).json();
        assert_eq!((&made["name"], &made["rights"]), (&json!("own"), &json!([right])));
        assert_eq!(operator.get(&path).await, made);
        let renew = format!("{path}/regenerate-key");
        let renewed = operator.call("POST", &renew, json!({ "key": "secondary" })).await.is(200).json();
        assert_eq!(renewed["keys"]["primary"], made["keys"]["primary"]);
        assert_ne!(renewed["keys"]["secondary"], made["keys"]["secondary"]);
        operator.call("POST", &renew, json!({ "key": "both" })).await.is(400);
        operator.call("DELETE", &path, Value::Null).await.is(200);
        operator.call("DELETE", &path, Value::Null).await.is(404);
        operator.call("POST", &renew, json!({ "key": "primary" })).await.is(404);
        operator.call("PUT", &path, json!({})).await.is(400);
        operator.call("PUT", &path, json!({ "name": "other", "rights": [right] })).await.is(400);
        operator.call("PUT", &path, json!({ "rights": ["Everything"] })).await.is(400);
    }
    let root = "/admin/resources/events/events1/policies/RootManageSharedAccessKey";
    let refused = operator.call("DELETE", root, Value::Null).await.is(400).json();
    assert!(refused["error"]["message"].as_str().unwrap().contains("it stays"), "{refused}");
    operator.call("GET", "/admin/resources/twins/twins1/policies", Value::Null).await.is(400);
    operator.call("GET", "/admin/resources/nothing/x/policies", Value::Null).await.is(400);
    operator.call("GET", "/admin/resources/hub/nothere/policies", Value::Null).await.is(404);
}

#[tokio::test]
async fn consumer_groups_and_event_hubs_come_and_go() {
    let operator = Operator::new().await;
    let groups = format!("{HUB}/consumer-groups");
    let group = format!("{groups}/alarms");
    operator.call("PUT", &group, Value::Null).await.is(200);
    operator.call("PUT", &group, json!({})).await.is(200);
    operator.call("PUT", &group, json!({ "colour": "red" })).await.is(400);
    let all = json!({ "value": [{ "name": "$Default" }, { "name": "alarms" }] });
    assert_eq!(operator.get(&groups).await, all);
    operator.call("DELETE", &group, Value::Null).await.is(200);
    operator.call("DELETE", &group, Value::Null).await.is(404);
    operator.call("DELETE", &format!("{groups}/$Default"), Value::Null).await.is(400);
    for n in 1..20 {
        operator.call("PUT", &format!("{groups}/g{n}"), Value::Null).await.is(200);
    }
    let refused = operator.call("PUT", &group, Value::Null).await.is(403).json();
    assert_eq!(refused["error"]["code"], "QuotaExceeded");

    let hubs = "/admin/resources/events/events1/event-hubs";
    let audit = format!("{hubs}/audit");
    operator.call("GET", &audit, Value::Null).await.is(404);
    operator.call("PUT", &audit, json!({ "partitions": 2, "retentionBytes": 10 })).await.is(200);
    operator.call("PUT", &audit, json!({ "partitions": 3, "retentionBytes": 0 })).await.is(200);
    let shown = operator.get(&audit).await;
    assert_eq!((&shown["partitions"], &shown["retentionBytes"]), (&json!(3), &Value::Null));
    assert_eq!(operator.get(hubs).await["value"].as_array().unwrap().len(), 3);
    operator.call("PUT", &audit, json!({ "partitions": 2 })).await.is(400);
    operator.call("DELETE", &audit, Value::Null).await.is(200);
}

#[tokio::test]
async fn keys_are_only_where_they_are_asked_for() {
    let operator = Operator::new().await;
    let policy = format!("{HUB}/policies/own");
    let made = operator.call("PUT", &policy, json!({ "rights": ["Send"] })).await.is(200).json();
    let secret = made["keys"]["primary"].as_str().unwrap();
    for path in [
        "/admin/resources",
        "/admin/resources/events",
        "/admin/resources/functions",
        "/admin/resources/events/events1/policies",
        "/admin/resources/events/events1/event-hubs",
        HUB,
        &format!("{HUB}/policies"),
    ] {
        let text = operator.call("GET", path, Value::Null).await.is(200).text;
        assert!(!text.contains("keys") && !text.contains(secret), "{path}: {text}");
    }
    for (method, path) in
        [("PUT", format!("{HUB}/consumer-groups/g")), ("PUT", HUB.to_owned()), ("DELETE", policy)]
    {
        let text = operator.call(method, &path, Value::Null).await.is(200).text;
        assert!(!text.contains("keys") && !text.contains(secret), "{method} {path}: {text}");
    }
    let whole = operator.get("/admin/resources/events/events1").await;
    assert!(whole["policies"][0]["keys"]["primary"].is_string(), "{whole}");
}

#[tokio::test]
async fn nothing_opens_without_the_admin_key() {
    let operator = Operator::new().await;
    let mut routes = vec![
        ("GET", "/admin/resources/events/events1/event-hubs".to_owned()),
        ("GET", HUB.to_owned()),
        ("PUT", HUB.to_owned()),
        ("DELETE", HUB.to_owned()),
        ("GET", format!("{HUB}/consumer-groups")),
        ("PUT", format!("{HUB}/consumer-groups/g")),
        ("DELETE", format!("{HUB}/consumer-groups/g")),
    ];
    for (holder, _) in HOLDERS {
        routes.push(("GET", format!("{holder}/policies")));
        for method in ["GET", "PUT", "DELETE"] {
            routes.push((method, format!("{holder}/policies/own")));
        }
        routes.push(("POST", format!("{holder}/policies/own/regenerate-key")));
    }
    for (method, path) in routes {
        operator.0.send(method, &path, &[], "{}").await.is(401);
        operator.0.send(method, &path, &[("authorization", "Bearer wrong")], "{}").await.is(401);
    }
}
