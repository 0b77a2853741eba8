//! Import and export jobs: shapes and refusals; lines of files. That they work is tested in the services, and with clients.

use pollux_services::hub::{IdentityLines as _, ImportMode, Imported, LineParts};
use serde_json::{Value, json};

use super::{Hub, refused};
use crate::http::hub::registry_jobs::Lines;

#[tokio::test]
async fn a_job_is_made_shown_listed_and_cancelled() {
    let hub = Hub::new().await;
    let uri = "https://plant.blob.core.windows.net/c?sv=1&sig=secret";
    let body = json!({ "type": "export", "outputBlobContainerUri": uri, "excludeKeysInExport": true });
    let made = hub.call("POST", "/jobs/create", &[], Some(body.clone())).await.is(200);
    assert!(!made.text.contains("secret"), "{}", made.text);
    let made = made.json();
    let id = made["jobId"].as_str().unwrap();
    assert_eq!(
        (&made["type"], &made["status"], &made["progress"]),
        (&json!("export"), &json!("enqueued"), &json!(0))
    );
    assert_eq!(made["outputBlobContainerUri"], "https://plant.blob.core.windows.net/c");
    assert_eq!((&made["outputBlobName"], &made["endTimeUtc"]), (&json!("devices.txt"), &Value::Null));
    refused(&hub.call("POST", "/jobs/create", &[], Some(body)).await, 403, "JobQuotaExceeded");
    assert_eq!(hub.call("GET", &format!("/jobs/{id}"), &[], None).await.is(200).json(), made);
    assert_eq!(hub.call("GET", "/jobs", &[], None).await.is(200).json(), json!([made]));
    hub.call("DELETE", &format!("/jobs/{id}"), &[], None).await.is(200);
    refused(&hub.call("GET", "/jobs/none", &[], None).await, 404, "JobNotFound");
    refused(&hub.call("DELETE", "/jobs/none", &[], None).await, 404, "JobNotFound");
    let other = hub.0.call("registryRead", "DELETE", &format!("/jobs/{id}"), &[], None).await;
    refused(&other, 401, "IotHubUnauthorizedAccess");
}

#[tokio::test]
async fn what_is_no_job_is_refused() {
    let hub = Hub::new().await;
    let uri = "https://plant.blob.core.windows.net/c?sig=secret";
    for body in [
        json!({}),
        json!({ "type": "fly" }),
        json!({ "type": "export" }),
        json!({ "type": "import", "outputBlobContainerUri": uri }),
        json!({ "type": "export", "outputBlobContainerUri": "https://127.0.0.1/c" }),
        json!({ "type": "export", "outputBlobContainerUri": uri, "outputBlobName": "../x" }),
        json!({ "type": "export", "outputBlobContainerUri": uri, "storageAuthenticationType": "magic" }),
        json!({ "type": "export", "outputBlobContainerUri": uri, "storageAuthenticationType": "identityBased" }),
    ] {
        let answer = hub.call("POST", "/jobs/create", &[], Some(body)).await;
        refused(&answer, 400, "ArgumentInvalid");
        assert!(!answer.text.contains("secret"), "{}", answer.text);
    }
}

/// The article, "Import behavior": one that is not there is made whatever the etag.
#[tokio::test]
async fn an_identity_is_made_or_changed_under_its_etag() {
    let hub = Hub::new().await;
    let item = |etag: &str| json!([{ "id": "n", "importMode": "createOrUpdateIfMatchETag", "eTag": etag }]);
    hub.call("POST", "/devices", &[], Some(item("any"))).await.is(200);
    let stale = hub.call("POST", "/devices", &[], Some(item("any"))).await.is(400).json();
    assert_eq!(stale["errors"][0]["errorCode"], "PreconditionFailed");
    let etag = hub.call("GET", "/devices/n", &[], None).await.is(200).json()["etag"].clone();
    hub.call("POST", "/devices", &[], Some(item(etag.as_str().unwrap()))).await.is(200);
}

#[tokio::test]
async fn a_twin_is_patched_under_its_own_etag_and_the_identity_stays() {
    let hub = Hub::new().await;
    hub.created("d").await;
    let before = hub.call("GET", "/devices/d", &[], None).await.is(200).json();
    let item = |id: &str, mode: &str, etag: Option<&str>| {
        let mut item = json!({ "id": id, "importMode": mode, "status": "disabled", "tags": { "site": "x" } });
        if let Some(etag) = etag {
            item["twinETag"] = etag.into();
        }
        Some(json!([item]))
    };
    hub.call("POST", "/devices", &[], item("d", "updateTwin", None)).await.is(200);
    let twin = hub.call("GET", "/twins/d", &[], None).await.is(200).json();
    assert_eq!((&twin["tags"], &twin["status"]), (&json!({ "site": "x" }), &json!("enabled")));
    assert_eq!(hub.call("GET", "/devices/d", &[], None).await.is(200).json()["etag"], before["etag"]);
    let guarded = "updateTwinIfMatchETag";
    let etag = twin["etag"].as_str();
    hub.call("POST", "/devices", &[], item("d", guarded, etag)).await.is(200);
    for (id, etag, code) in [
        ("d", Some("stale"), "PreconditionFailed"),
        ("d", None, "ArgumentInvalid"),
        ("absent", Some("*"), "DeviceNotFound"),
    ] {
        let told = hub.call("POST", "/devices", &[], item(id, guarded, etag)).await.is(400).json();
        assert_eq!(told["errors"][0]["errorCode"], code);
    }
}

#[tokio::test]
async fn what_is_exported_can_be_imported() {
    let hub = Hub::new().await;
    hub.created("d").await;
    let patch = json!({ "tags": { "site": "x" }, "properties": { "desired": { "rate": 5 } } });
    hub.call("PATCH", "/twins/d", &[], Some(patch)).await.is(200);
    let services = &hub.0.services;
    let device = services.hub.device(&pollux_services::Caller::admin(), &hub.0.target, "d").await.unwrap();
    let all = LineParts { keys: true, twin: true };
    let text = Lines.write(&device, all);
    let line: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(
        (&line["id"], &line["status"], &line["tags"]),
        (&json!("d"), &json!("enabled"), &json!({ "site": "x" }))
    );
    assert_eq!(line["properties"]["desired"]["$version"], 2);
    let read = Lines.read(text.as_bytes()).unwrap();
    assert_eq!((read.device.as_str(), read.mode), ("d", ImportMode::CreateOrUpdate));
    assert_eq!(Value::Object(read.twin.desired.unwrap()), json!({ "rate": 5 }));
    let bare: Value = serde_json::from_str(&Lines.write(&device, LineParts { keys: false, ..all })).unwrap();
    assert_eq!(bare["authentication"]["symmetricKey"], json!({ "primaryKey": null, "secondaryKey": null }));
    // Whoever may not read twins sees none.
    let bare: Value = serde_json::from_str(&Lines.write(&device, LineParts { twin: false, ..all })).unwrap();
    for of_twin in ["twinETag", "tags", "properties"] {
        assert!(bare.get(of_twin).is_none(), "{of_twin}");
    }
    for (text, id) in
        [("nonsense", ""), (r#"{"id":"x","importMode":"fly"}"#, "x"), (r#"{"id":"y","status":1}"#, "y")]
    {
        let (device, error) = Lines.read(text.as_bytes()).unwrap_err();
        assert_eq!(device, id);
        let told: Value = serde_json::from_str(&Lines.error(&device, &error)).unwrap();
        assert_eq!((&told["deviceId"], &told["errorCode"]), (&json!(id), &json!("ArgumentInvalid")));
    }
}

#[tokio::test]
async fn the_place_of_a_device_is_exported_and_imported() {
    let hub = Hub::new().await;
    let edge = json!({ "deviceId": "gateway", "capabilities": { "iotEdge": true } });
    let made = hub.call("PUT", "/devices/gateway", &[], Some(edge)).await.is(200).json();
    let scope = made["deviceScope"].as_str().unwrap();
    let leaf = json!({ "deviceId": "leaf", "deviceScope": scope });
    hub.call("PUT", "/devices/leaf", &[], Some(leaf)).await.is(200);
    let (services, admin) = (&hub.0.services, pollux_services::Caller::admin());
    for (id, parents) in [("gateway", json!([])), ("leaf", json!([scope]))] {
        let device = services.hub.device(&admin, &hub.0.target, id).await.unwrap();
        let text = Lines.write(&device, LineParts { keys: true, twin: true });
        let line: Value = serde_json::from_str(&text).unwrap();
        assert_eq!((&line["deviceScope"], &line["parentScopes"]), (&json!(scope), &parents), "{id}");
        let Imported::Device(read) = Lines.read(text.as_bytes()).unwrap().identity else { panic!("{id}") };
        assert_eq!(read.scopes.device.as_deref(), Some(scope));
        assert_eq!(json!(read.scopes.parents), parents);
    }
}
