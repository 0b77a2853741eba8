//! Who may do what: each role of a token and each shared access policy, on each route.

use std::net::{IpAddr, Ipv4Addr};

use pollux_model::{Etag, Timestamp};
use pollux_services::issuer::GrantRequest;
use pollux_store::secrets::Secret;
use pollux_store::{Batch, Expect, Write};

use super::*;

/// The `dataActions` of Azure's roles, behind `Microsoft.Devices/IotHubs/` (article "Azure built-in roles for Internet of
/// Things").
const ROLES: [(&str, &[&str]); 5] = [
    ("IoT Hub Data Contributor", &["*"]),
    ("IoT Hub Data Reader", &["*/read", "fileUpload/notifications/action"]),
    ("IoT Hub Registry Contributor", &["devices/*"]),
    ("IoT Hub Twin Contributor", &["twins/*"]),
    ("Azure Event Hubs Data Owner", &[]),
];

/// Policies of a new hub and their rights: `r`egistry read, registry `w`rite, `s`ervice connect.
const POLICIES: [(&str, &str); 4] =
    [("iothubowner", "rws"), ("service", "s"), ("registryRead", "r"), ("registryReadWrite", "rw")];

/// The actions that a route needs, and the rights of a policy.
fn needs(method: &str, path: &str) -> (&'static [&'static str], &'static str) {
    let words: Vec<&str> = path.split('/').skip(1).collect();
    match (method, &*words) {
        ("POST", ["devices"]) => (&["devices/write", "devices/delete"], "w"),
        ("POST", ["devices", "query"]) => (&["twins/read"], "s"),
        ("POST", ["devices", _, "applyConfigurationContent"]) => {
            (&["configurations/applyToEdgeDevice/action"], "ws")
        }
        ("DELETE", ["devices", _, "commands"]) => (&["cloudToDeviceMessages/queue/purge/action"], "s"),
        ("GET", ["devices", ..]) => (&["devices/read"], "r"),
        ("PUT", ["devices", ..]) => (&["devices/write"], "w"),
        ("DELETE", ["devices", ..]) => (&["devices/delete"], "w"),
        ("POST", ["twins" | "digitaltwins", ..]) => (&["directMethods/invoke/action"], "s"),
        ("GET", ["twins" | "digitaltwins", ..]) => (&["twins/read"], "s"),
        ("PATCH" | "PUT", ["twins" | "digitaltwins", ..]) => (&["twins/write"], "s"),
        ("POST", ["configurations", "testQueries"]) => (&["configurations/testQueries/action"], "r"),
        ("GET", ["configurations", ..]) => (&["configurations/read"], "r"),
        ("PUT", ["configurations", ..]) => (&["configurations/write"], "ws"),
        ("DELETE", ["configurations", ..]) => (&["configurations/delete"], "ws"),
        ("GET", ["statistics", ..]) => (&["statistics/read"], "r"),
        ("POST", ["messages", "devicebound"]) => (&["cloudToDeviceMessages/send/action"], "s"),
        (_, ["messages", _, "feedback", ..]) => (&["cloudToDeviceMessages/feedback/action"], "s"),
        (_, ["messages", _, "filenotifications", ..]) => (&["fileUpload/notifications/action"], "s"),
        ("GET", ["jobs", ..]) => (&["jobs/read"], "r"),
        ("DELETE", ["jobs", ..]) | ("POST", ["jobs", _, _, "cancel"]) => (&["jobs/delete"], "w"),
        ("PUT" | "POST", ["jobs", ..]) => (&["jobs/write"], "w"),
        ("GET", ["no", ..]) => (&[], ""),
        _ => panic!("{method} {path}"),
    }
}

/// What each can read: some look at it before they ask who may.
fn body(method: &str, path: &str) -> Value {
    match (method, path) {
        ("POST", "/devices") => json!([{ "id": "d", "importMode": "create" }]),
        ("PATCH", "/digitaltwins/d") => json!([]),
        (_, "/configurations/c") => json!({ "id": "c", "content": { "deviceContent": {} } }),
        _ => json!({
            "deviceId": "d", "moduleId": path.ends_with("/m").then_some("m"), "query": "SELECT * FROM devices",
            "methodName": "x", "jobId": "j", "type": "export", "queryCondition": "*",
        }),
    }
}

/// A token of the built-in issuer's, for hubs, that carries a role.
async fn bearer(edge: &Edge, role: &str) -> String {
    let stored = Secret {
        scope: "client".to_owned(),
        id: role.to_owned(),
        value: json!({ "secret": "s", "roles": [role] }).to_string(),
        etag: Etag::new("1"),
        created: Timestamp::from_secs(1_700_000_000),
    };
    let put = Write::PutSecret { secret: Box::new(stored), expect: Expect::Absent };
    edge.services.context.store.commit(Batch::from(put)).await.unwrap();
    let issuer = &edge.services.issuer;
    issuer.load().await.unwrap();
    let request = GrantRequest {
        tenant: issuer.tenant(),
        grant_type: Some("client_credentials".to_owned()),
        client_id: Some(role.to_owned()),
        client_secret: Some("s".to_owned()),
        scope: Some("https://iothubs.azure.net/.default".to_owned()),
    };
    let token = issuer.grant(&request, IpAddr::V4(Ipv4Addr::LOCALHOST)).await.unwrap();
    format!("Bearer {}", token.access_token)
}

/// Calls each route with a token; `may` says whether it is let in, `told` what is said where it is not.
async fn each_route(
    edge: &Edge,
    token: &str,
    may: impl Fn(&str, &str) -> bool,
    told: impl Fn(&str, &str) -> String,
) {
    for (method, path) in SURFACE {
        let (uri, headers) = (format!("{path}?api-version=2021-04-12"), [("authorization", token)]);
        let answer = edge.send(method, &uri, &headers, body(method, path).to_string()).await;
        assert_eq!(answer.status != 401, may(method, path), "{method} {path} {token}: {}", answer.text);
        if answer.status == 401 {
            refused(&answer, 401, "IotHubUnauthorizedAccess");
            let told = told(method, path);
            assert!(answer.text.contains(&told), "{method} {path}: {told}: {}", answer.text);
        }
    }
}

#[tokio::test]
async fn a_role_may_what_its_actions_are() {
    let hub = Hub::new().await;
    let held = |patterns: &[&str], action: &str| {
        patterns.iter().any(|pattern| match (pattern.strip_prefix('*'), pattern.strip_suffix('*')) {
            (Some(end), _) => action.ends_with(end),
            (None, Some(begin)) => action.starts_with(begin),
            (None, None) => action == *pattern,
        })
    };
    for (role, patterns) in ROLES {
        let token = bearer(&hub.0, role).await;
        let may =
            |method: &str, path: &str| needs(method, path).0.iter().all(|action| held(patterns, action));
        let told = |method: &str, path: &str| {
            let actions = needs(method, path).0;
            let lacking = actions.iter().find(|action| !held(patterns, action)).unwrap();
            format!("IoT Hub Data Contributor on hub 'hub1', for Microsoft.Devices/IotHubs/{lacking}")
        };
        each_route(&hub.0, &token, may, told).await;
    }
}

#[tokio::test]
async fn a_policy_may_what_its_rights_amount_to() {
    let hub = Hub::new().await;
    for (policy, rights) in POLICIES {
        let may =
            |method: &str, path: &str| needs(method, path).1.chars().all(|right| rights.contains(right));
        let told = |method: &str, path: &str| {
            let lacking = needs(method, path).1.chars().find(|right| !rights.contains(*right)).unwrap();
            let right = match lacking {
                'r' => "RegistryRead",
                'w' => "RegistryWrite",
                _ => "ServiceConnect",
            };
            format!("the caller lacks the right {right} on hub 'hub1'")
        };
        each_route(&hub.0, &hub.0.token(policy), may, told).await;
    }
}
