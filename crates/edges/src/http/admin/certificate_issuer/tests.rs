use pollux_testkit::pki::Authority;
use serde_json::json;

use crate::http::admin::fixture::Operator;

const NOW: i64 = 1_700_000_000;

#[tokio::test]
async fn an_issuer_is_set_shown_without_its_key_and_taken_away() {
    let operator = Operator::new().await;
    let root = Authority::root("root", NOW, |_| {});
    let other = Authority::root("other", NOW, |_| {});
    let place = "/admin/resources/dps/dps1/issuer";
    operator.call("GET", place, json!({})).await.is(404);
    for wrong in [
        json!({}),
        json!({ "certificate": root.pem(), "key": "no key" }),
        json!({ "certificate": root.pem(), "key": other.key_pem() }),
        json!({ "certificate": "no certificate", "key": root.key_pem() }),
        json!({ "certificate": root.pem(), "key": root.key_pem(), "days": 0 }),
        json!({ "certificate": root.pem(), "key": root.key_pem(), "other": 1 }),
    ] {
        operator.call("PUT", place, wrong).await.is(400);
    }
    let right = json!({ "certificate": root.pem(), "key": root.key_pem(), "days": 7 });
    let made = operator.call("PUT", place, right.clone()).await.is(200).json();
    assert_eq!((&made["days"], &made["info"]["subjectName"]), (&json!(7), &json!("CN=root")));
    let shown = operator.call("GET", place, json!({})).await.is(200).json();
    assert_eq!(shown, made);
    assert!(shown.get("key").is_none());
    operator.call("PUT", "/admin/resources/dps/none/issuer", right).await.is(404);
    operator.call("DELETE", place, json!({})).await.is(204);
    operator.call("DELETE", place, json!({})).await.is(404);
}
