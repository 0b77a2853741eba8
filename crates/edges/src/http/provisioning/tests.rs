//! The routes against services over a SQLite store: shapes, statuses, headers. Rules are tested where they live.

use pollux_model::resource::{Properties, ResourceKind};
use pollux_model::{Key, sas};
use serde_json::{Value, json};

use super::router;
use crate::http::rest::fixture::{Answer, Edge};

mod device;
mod enrollments;

/// The policy of a first start.
const OWNER: &str = "provisioningserviceowner";

struct Dps(Edge);

impl Dps {
    async fn new() -> Self {
        Self(Edge::new(ResourceKind::Dps, router).await)
    }

    fn scope(&self) -> &str {
        match &self.0.target.properties {
            Properties::Dps(dps) => &dps.id_scope,
            _ => panic!("not a provisioning service"),
        }
    }

    async fn call(&self, method: &str, path: &str, headers: &[(&str, &str)], body: Option<Value>) -> Answer {
        self.0.call(OWNER, method, path, headers, body).await
    }

    /// An enrollment group; returns its primary key.
    async fn group(&self, id: &str) -> Key {
        let body = json!({ "enrollmentGroupId": id, "attestation": { "type": "symmetricKey" } });
        let made = self.call("PUT", &format!("/enrollmentGroups/{id}"), &[], Some(body)).await.is(200).json();
        Key::from_base64(made["attestation"]["symmetricKey"]["primaryKey"].as_str().unwrap()).unwrap()
    }

    /// A device's token for a scope.
    fn device_token(&self, scope: &str, id: &str, key: &Key) -> String {
        sas::sign(&format!("{scope}/registrations/{id}"), &key.bytes(), self.0.expiry(), None)
    }

    async fn device(&self, method: &str, path: &str, token: Option<&str>, body: &Value) -> Answer {
        let headers: Vec<_> = token.map(|token| ("authorization", token)).into_iter().collect();
        self.0.send(method, &format!("{path}?api-version=2019-03-31"), &headers, body.to_string()).await
    }

    /// Registers over the device API and polls to the end; the last answer.
    async fn registered(&self, id: &str, key: &Key) -> Value {
        let base = format!("/{}/registrations/{id}", self.scope());
        let token = self.device_token(self.scope(), id, key);
        let begun = self
            .device("PUT", &format!("{base}/register"), Some(&token), &json!({ "registrationId": id }))
            .await;
        let begun = begun.is(202).json();
        assert_eq!(begun["status"], "assigning");
        let operation = format!("{base}/operations/{}", begun["operationId"].as_str().unwrap());
        loop {
            let answer = self.device("GET", &operation, Some(&token), &json!({})).await;
            if answer.status == 200 {
                return answer.json();
            }
            assert_eq!((answer.status.as_u16(), answer.header("retry-after")), (202, "1"));
            tokio::task::yield_now().await;
        }
    }
}

#[track_caller]
fn refused(answer: &Answer, status: u16, code: u32) {
    assert_eq!(answer.status.as_u16(), status, "{}", answer.text);
    let body = answer.json();
    assert_eq!(
        (&body["errorCode"], answer.header("x-ms-error-code")),
        (&json!(code), code.to_string().as_str())
    );
    assert!(body["message"].as_str().is_some_and(|message| !message.is_empty()), "{body}");
    assert!(body["trackingId"].is_string() && body["timestampUtc"].is_string(), "{body}");
}
