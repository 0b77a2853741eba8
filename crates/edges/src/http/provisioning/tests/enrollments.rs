//! The service API: enrollments, groups, registration records.

use super::*;

/// Every route of the service API.
const SURFACE: [(&str, &str); 22] = [
    ("GET", "/enrollments/e"),
    ("PUT", "/enrollments/e"),
    ("DELETE", "/enrollments/e"),
    ("POST", "/enrollments/query"),
    ("POST", "/enrollments/e/attestationmechanism"),
    ("GET", "/enrollmentGroups/g"),
    ("PUT", "/enrollmentGroups/g"),
    ("DELETE", "/enrollmentGroups/g"),
    ("POST", "/enrollmentGroups/query"),
    ("POST", "/enrollmentgroups/g/attestationmechanism"),
    ("GET", "/registrations/r"),
    ("DELETE", "/registrations/r"),
    ("POST", "/registrations/g/query"),
    ("POST", "/enrollments"),
    ("POST", "/enrollmentGroups"),
    ("POST", "/registrations/r/explain"),
    ("POST", "/enrollmentGroups/g/explain"),
    ("GET", "/audit"),
    ("POST", "/audit"),
    ("GET", "/stats"),
    ("GET", "/revocations"),
    ("POST", "/revocations"),
];

fn individual(id: &str) -> Value {
    json!({ "registrationId": id, "attestation": { "type": "symmetricKey" } })
}

#[tokio::test]
async fn no_service_route_opens_without_a_good_credential() {
    let dps = Dps::new().await;
    let edge = &dps.0;
    let owner = edge.target.policy(OWNER).unwrap().primary().bytes();
    let bad = [
        None,
        Some("SharedAccessSignature nonsense".to_owned()),
        Some("Bearer abc".to_owned()),
        Some(sas::sign("localhost", b"another key of no one", edge.expiry(), Some(OWNER))),
        Some(sas::sign("localhost", &owner, 1, Some(OWNER))),
        Some(sas::sign("other.example.com", &owner, edge.expiry(), Some(OWNER))),
        Some(sas::sign("localhost", &owner, edge.expiry(), Some("nobody"))),
    ];
    for (method, path) in SURFACE {
        for token in &bad {
            let headers: Vec<_> = token.iter().map(|token| ("authorization", token.as_str())).collect();
            let body = json!({ "query": "*", "attestation": { "type": "symmetricKey" } }).to_string();
            let answer = edge.send(method, &format!("{path}?api-version=2021-10-01"), &headers, body).await;
            refused(&answer, 401, 401_002);
        }
    }
    refused(&dps.call("GET", "/enrollments/e", &[], None).await, 404, 404_201);
}

#[tokio::test]
async fn an_enrollment_is_created_read_changed_and_deleted() {
    let dps = Dps::new().await;
    let body = json!({
        "registrationId": "Dev-1",
        "deviceId": "named",
        "attestation": { "type": "symmetricKey" },
        "initialTwin": { "tags": { "a": 1 }, "properties": { "desired": { "b": 2, "$version": 1 } } },
        "reprovisionPolicy": { "updateHubAssignment": true, "migrateDeviceData": false },
        "optionalDeviceInformation": { "line": 4 },
        "capabilities": { "iotEdge": true },
        "iotHubHostName": "localhost",
        "allocationPolicy": "static",
    });
    let made = dps.call("PUT", "/enrollments/Dev-1", &[], Some(body)).await.is(200);
    let shown = made.json();
    assert_eq!(made.header("etag"), shown["etag"].as_str().unwrap());
    assert_eq!((&shown["registrationId"], &shown["deviceId"]), (&json!("dev-1"), &json!("named")));
    assert_eq!(shown["initialTwin"], json!({ "tags": { "a": 1 }, "properties": { "desired": { "b": 2 } } }));
    assert_eq!(shown["iotHubs"], json!(["localhost"]));
    assert_eq!(shown["reprovisionPolicy"]["migrateDeviceData"], false);
    let key = shown["attestation"]["symmetricKey"]["primaryKey"].as_str().unwrap();

    let read = dps.call("GET", "/enrollments/dev-1", &[], None).await.is(200);
    assert!(!read.text.contains(key), "GET tells the key");
    let keys = dps.call("POST", "/enrollments/dev-1/attestationmechanism", &[], None).await.is(200).json();
    assert_eq!(keys["symmetricKey"]["primaryKey"], key);

    let mut wanted = read.json();
    wanted["deviceId"] = json!("renamed");
    refused(&dps.call("PUT", "/enrollments/dev-1", &[], Some(wanted.clone())).await, 409, 409_201);
    refused(
        &dps.call("PUT", "/enrollments/dev-1", &[("if-match", "\"AAAA\"")], Some(wanted.clone())).await,
        412,
        412_001,
    );
    let etag = made.header("etag").to_owned();
    let changed = dps
        .call("PUT", "/ENROLLMENTS/dev-1", &[("if-match", &etag)], Some(wanted.clone()))
        .await
        .is(200)
        .json();
    assert_eq!(
        (&changed["deviceId"], &changed["createdDateTimeUtc"]),
        (&json!("renamed"), &shown["createdDateTimeUtc"])
    );
    assert_eq!(changed["attestation"], shown["attestation"], "the keys stay");
    let bare = changed["etag"].as_str().unwrap().trim_matches('"').to_owned();
    dps.call("PUT", "/enrollments/dev-1", &[("if-match", &bare)], Some(wanted.clone())).await.is(200);

    refused(&dps.call("DELETE", "/enrollments/dev-1", &[("if-match", &etag)], None).await, 412, 412_001);
    dps.call("DELETE", "/enrollments/dev-1", &[("if-match", "*")], None).await.is(204);
    refused(&dps.call("GET", "/enrollments/dev-1", &[], None).await, 404, 404_201);
    refused(&dps.call("DELETE", "/enrollments/dev-1", &[], None).await, 404, 404_201);
    refused(&dps.call("PUT", "/enrollments/dev-1", &[("if-match", "*")], Some(wanted)).await, 412, 412_001);
}

#[tokio::test]
async fn bad_enrollments_are_refused_and_say_what_to_change() {
    let dps = Dps::new().await;
    let with = |name: &str, value: Value| {
        let mut body = individual("e");
        body[name] = value;
        body
    };
    let table = [
        (json!({ "registrationId": "e" }), "attestation"),
        (json!([]), "JSON"),
        (with("registrationId", json!("other")), "registrationId"),
        (with("attestation", json!({})), "attestation.type"),
        (with("attestation", json!({ "type": "x509", "x509": {} })), "clientCertificates"),
        (with("attestation", json!({ "type": "tpm", "tpm": {} })), "endorsementKey"),
        (
            with("attestation", json!({ "type": "symmetricKey", "symmetricKey": { "primaryKey": "x" } })),
            "primaryKey",
        ),
        (with("deviceId", json!("a b")), "device id"),
        (with("provisioningStatus", json!("asleep")), "provisioningStatus"),
        (with("allocationPolicy", json!("random")), "allocationPolicy"),
        (with("allocationPolicy", json!("custom")), "webhookUrl"),
        (with("iotHubs", json!(["nowhere.example.com"])), "not linked"),
        (with("initialTwin", json!({ "tags": [] })), "JSON"),
    ];
    for (body, hint) in table {
        let answer = dps.call("PUT", "/enrollments/e", &[], Some(body)).await;
        refused(&answer, 400, 400_004);
        assert!(answer.text.contains(hint), "{} does not speak of {hint}", answer.text);
    }
    refused(&dps.call("PUT", "/enrollments/bad%20id", &[], Some(individual("bad id"))).await, 400, 400_004);
    refused(&dps.call("GET", "/enrollments/e", &[], None).await, 404, 404_201);
}

#[tokio::test]
async fn groups_keep_their_webhook_and_keys() {
    let dps = Dps::new().await;
    let hook = json!({ "webhookUrl": "https://example.com/api/f?code=1", "apiVersion": "2019-03-31" });
    let body = json!({
        "enrollmentGroupId": "line",
        "attestation": { "type": "symmetricKey", "symmetricKey": { "primaryKey": "MDEyMzQ1Njc4OWFiY2RlZg==" } },
        "allocationPolicy": "custom",
        "customAllocationDefinition": hook,
        "iotHubs": ["localhost"],
    });
    let made = dps.call("PUT", "/enrollmentGroups/line", &[], Some(body)).await.is(200).json();
    assert_eq!(made["attestation"]["symmetricKey"]["primaryKey"], "MDEyMzQ1Njc4OWFiY2RlZg==");
    let read = dps.call("GET", "/enrollmentGroups/LINE", &[], None).await.is(200).json();
    assert_eq!((&read["allocationPolicy"], &read["customAllocationDefinition"]), (&json!("custom"), &hook));
    let keys =
        dps.call("POST", "/enrollmentgroups/line/attestationmechanism", &[], None).await.is(200).json();
    assert_eq!(keys, made["attestation"]);
    let etag = read["etag"].as_str().unwrap().to_owned();
    let changed =
        dps.call("PUT", "/enrollmentGroups/line", &[("if-match", &etag)], Some(read)).await.is(200).json();
    assert_eq!(changed["attestation"], made["attestation"]);
    refused(&dps.call("DELETE", "/enrollmentGroups/line", &[("if-match", &etag)], None).await, 412, 412_001);
    dps.call("DELETE", "/enrollmentGroups/line", &[], None).await.is(204);
    refused(&dps.call("GET", "/enrollmentGroups/line", &[], None).await, 404, 404_201);
}

#[tokio::test]
async fn lists_come_page_by_page() {
    let dps = Dps::new().await;
    for at in 0..5 {
        dps.call("PUT", &format!("/enrollments/e{at}"), &[], Some(individual(&format!("e{at}"))))
            .await
            .is(200);
    }
    let (mut seen, mut token) = (Vec::new(), None::<String>);
    for _ in 0..4 {
        let mut headers = vec![("x-ms-max-item-count", "2")];
        headers.extend(token.as_deref().map(|token| ("x-ms-continuation", token)));
        let answer =
            dps.call("POST", "/enrollments/query", &headers, Some(json!({ "query": "*" }))).await.is(200);
        assert_eq!(answer.header("x-ms-item-type"), "enrollment");
        let rows = answer.json().as_array().unwrap().clone();
        seen.extend(rows.iter().map(|row| row["registrationId"].as_str().unwrap().to_owned()));
        token = answer.headers.get("x-ms-continuation").map(|value| value.to_str().unwrap().to_owned());
        let Some(token) = &token else { break };
        let (headers, body) = ([("x-ms-continuation", token.as_str())], json!({ "query": "*" }));
        refused(&dps.call("POST", "/enrollmentGroups/query", &headers, Some(body)).await, 400, 400_004);
    }
    assert_eq!((seen, token), (["e0", "e1", "e2", "e3", "e4"].map(String::from).to_vec(), None));

    let all = json!({ "query": "select * from enrollments" });
    assert_eq!(
        dps.call("POST", "/enrollments/query", &[], Some(all)).await.is(200).json().as_array().unwrap().len(),
        5
    );
    for bad in
        ["", "SELECT", "SELECT * FROM devices", "SELECT * FROM enrollments WHERE a = 1", "DROP TABLE x"]
    {
        refused(
            &dps.call("POST", "/enrollments/query", &[], Some(json!({ "query": bad }))).await,
            400,
            400_004,
        );
    }
    dps.group("line").await;
    let groups =
        dps.call("POST", "/enrollmentGroups/query", &[], Some(json!({ "query": "*" }))).await.is(200);
    assert_eq!(
        (groups.header("x-ms-item-type"), &groups.json()[0]["enrollmentGroupId"]),
        ("enrollmentGroup", &json!("line"))
    );
}

#[tokio::test]
async fn records_of_a_group_are_listed_and_deleted() {
    let dps = Dps::new().await;
    let key = dps.group("line").await;
    for id in ["r1", "r2"] {
        assert_eq!(dps.registered(id, &key.derive(id)).await["status"], "assigned");
    }
    let asked = Some(json!({ "query": "SELECT * FROM deviceRegistrations" }));
    let rows = dps.call("POST", "/registrations/LINE/query", &[], asked).await.is(200);
    assert_eq!(rows.header("x-ms-item-type"), "deviceRegistration");
    let ids: Vec<_> =
        rows.json().as_array().unwrap().iter().map(|row| row["registrationId"].clone()).collect();
    assert_eq!(ids, ["r1", "r2"]);
    let read = dps.call("GET", "/registrations/r1", &[], None).await.is(200);
    assert_eq!(read.json()["status"], "assigned");
    refused(&dps.call("DELETE", "/registrations/r1", &[("if-match", "AAAA")], None).await, 412, 412_001);
    let etag = read.json()["etag"].as_str().unwrap().to_owned();
    dps.call("DELETE", "/registrations/r1", &[("if-match", &etag)], None).await.is(204);
    refused(&dps.call("GET", "/registrations/r1", &[], None).await, 404, 404_202);
    refused(&dps.call("DELETE", "/registrations/r1", &[], None).await, 404, 404_202);
    refused(&dps.call("GET", "/nothing", &[], None).await, 404, 404_001);
    refused(&dps.call("PATCH", "/enrollments/e", &[], None).await, 405, 405_001);
}
