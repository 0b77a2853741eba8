//! Certificates of authorities as the operator handles them.

use pollux_testkit::pki::Authority;
use serde_json::{Value, json};

use crate::http::admin::fixture::Operator;

const ALL: &str = "/admin/resources/dps/dps1/certificates";

#[tokio::test]
async fn a_certificate_is_added_proved_shown_and_deleted() {
    let operator = Operator::new().await;
    let root = Authority::root("Factory root", 1_700_000_000, |_| {});
    let one = format!("{ALL}/factory");
    operator.call("GET", &one, Value::Null).await.is(404);
    let made = operator.call("PUT", &one, json!({ "certificate": root.pem() })).await.is(200).json();
    assert_eq!((&made["name"], &made["isVerified"]), (&json!("factory"), &json!(false)));
    assert_eq!(made["subject"], "CN=Factory root");
    assert_eq!(made["thumbprint"].as_str().map(str::len), Some(40));
    let code = operator.call("POST", &format!("{one}/verification-code"), json!({})).await.is(200).json();
    let code = code["verificationCode"].as_str().unwrap().to_owned();
    operator.call("POST", &format!("{one}/other"), json!({})).await.is(404);
    let verify = format!("{one}/verify");
    operator.call("POST", &verify, json!({ "certificate": root.pem() })).await.is(400);
    operator.call("POST", &verify, json!({})).await.is(400);
    let proof = root.leaf(&code, |_| {});
    let proof = json!({ "certificate": pollux_model::enrollment::Der(proof.der) });
    assert_eq!(operator.call("POST", &verify, proof).await.is(200).json()["isVerified"], true);
    let listed = operator.get(ALL).await;
    assert_eq!(listed["value"].as_array().map(Vec::len), Some(1));
    operator.call("DELETE", &one, Value::Null).await.is(204);
    operator.call("DELETE", &one, Value::Null).await.is(404);
    operator.call("PUT", &one, json!({ "certificate": "junk" })).await.is(400);
    let other = |kind: &str| format!("/admin/resources/{kind}/{kind}1/certificates/x");
    let certificate = json!({ "certificate": root.pem() });
    operator.call("PUT", &other("hub"), certificate.clone()).await.is(200);
    operator.call("PUT", &other("twins"), certificate).await.is(400);
    operator
        .call("PUT", "/admin/resources/dps/none/certificates/x", json!({ "certificate": root.pem() }))
        .await
        .is(404);
}
