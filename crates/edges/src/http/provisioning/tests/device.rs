//! The device API.

use super::*;

#[tokio::test]
async fn a_device_of_a_group_registers_and_is_assigned() {
    let dps = Dps::new().await;
    let key = dps.group("line").await.derive("Dev-1");
    let done = dps.registered("Dev-1", &key).await;
    assert_eq!(done["status"], "assigned");
    let state = &done["registrationState"];
    assert_eq!((&state["registrationId"], &state["deviceId"]), (&json!("Dev-1"), &json!("Dev-1")));
    assert_eq!(
        (&state["assignedHub"], &state["substatus"]),
        (&json!("localhost"), &json!("initialAssignment"))
    );

    let token = dps.device_token(dps.scope(), "Dev-1", &key);
    let path = format!("/{}/registrations/Dev-1", dps.scope());
    let looked_up =
        dps.device("POST", &path, Some(&token), &json!({ "registrationId": "dev-1" })).await.is(200);
    assert_eq!(&looked_up.json(), state);
    let as_operator = dps.call("GET", "/registrations/dev-1", &[], None).await.is(200);
    // The device is told besides through which group it came, and by what.
    let mut told = as_operator.json();
    told["symmetricKey"] = json!({ "enrollmentGroupId": "line" });
    assert_eq!(&told, state);
}

#[tokio::test]
async fn no_device_route_opens_without_a_good_credential() {
    let dps = Dps::new().await;
    let key = dps.group("line").await.derive("d");
    let (scope, other) = (dps.scope().to_owned(), Key::from_bytes(b"another key of no one"));
    let stale = sas::sign(&format!("{scope}/registrations/d"), &key.bytes(), 1, None);
    let bad = [
        None,
        Some("SharedAccessSignature nonsense".to_owned()),
        Some("Bearer abc".to_owned()),
        Some(stale),
        Some(dps.device_token(&scope, "d", &other)),
        Some(dps.device_token(&scope, "other", &key)),
        Some(dps.device_token("0ne00000000", "d", &key)),
        Some(dps.0.token(OWNER)),
    ];
    let body = json!({ "registrationId": "d" });
    for (method, path) in [("PUT", "d/register"), ("POST", "d"), ("GET", "d/operations/1")] {
        for token in &bad {
            let answer =
                dps.device(method, &format!("/{scope}/registrations/{path}"), token.as_deref(), &body).await;
            refused(&answer, 401, 401_002);
        }
        let unknown_scope = dps.device_token("0ne00000000", "d", &key);
        let answer = dps
            .device(method, &format!("/0ne00000000/registrations/{path}"), Some(&unknown_scope), &body)
            .await;
        refused(&answer, 401, 401_002);
    }
    refused(&dps.call("GET", "/registrations/d", &[], None).await, 404, 404_202);
}

#[tokio::test]
async fn bad_requests_of_a_device_are_refused() {
    let dps = Dps::new().await;
    let key = dps.group("line").await.derive("d");
    let (token, base) =
        (dps.device_token(dps.scope(), "d", &key), format!("/{}/registrations/d", dps.scope()));
    let register = format!("{base}/register");
    for body in [
        json!({ "registrationId": "other" }),
        json!({ "registrationId": 1 }),
        json!([]),
        json!({ "registrationId": "d", "tpm": { "endorsementKey": "x" } }),
    ] {
        refused(&dps.device("PUT", &register, Some(&token), &body).await, 400, 400_004);
    }
    let large = json!({ "payload": "x".repeat(17 * 1024) });
    refused(&dps.device("PUT", &register, Some(&token), &large).await, 413, 413_001);
    refused(
        &dps.device("GET", &format!("{base}/operations/none"), Some(&token), &json!({})).await,
        404,
        404_203,
    );
    refused(&dps.device("POST", &base, Some(&token), &json!({})).await, 404, 404_202);
    refused(&dps.device("DELETE", &register, Some(&token), &json!({})).await, 405, 405_001);
    let headers = [("authorization", token.as_str())];
    refused(&dps.0.send("PUT", &register, &headers, "").await, 400, 400_004);
    dps.0.send("PUT", &format!("{register}?api-version=2019-03-31"), &headers, "").await.is(202);
}

#[tokio::test]
async fn a_disabled_enrollment_lets_nobody_in() {
    let dps = Dps::new().await;
    let body = json!({
        "registrationId": "d", "attestation": { "type": "symmetricKey" }, "provisioningStatus": "disabled",
    });
    let made = dps.call("PUT", "/enrollments/d", &[], Some(body)).await.is(200).json();
    let key = Key::from_base64(made["attestation"]["symmetricKey"]["primaryKey"].as_str().unwrap()).unwrap();
    let token = dps.device_token(dps.scope(), "d", &key);
    let path = format!("/{}/registrations/d/register", dps.scope());
    refused(&dps.device("PUT", &path, Some(&token), &json!({})).await, 401, 401_003);
}
