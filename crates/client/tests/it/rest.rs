//! The REST client against a small HTTP server.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::routing::any;
use pollux_client::rest::{Paging, RestError, RestOptions, TokenSource};
use pollux_client::{ConnectionString, Rest};
use pollux_model::sas::SasToken;
use serde_json::{Value, json};
use tokio::net::TcpListener;

async fn serve(router: Router) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    format!("http://{address}")
}

fn json_answer(status: u16, body: &Value) -> Response {
    let headers = [("content-type", "application/json"), ("etag", "\"e1\"")];
    (StatusCode::from_u16(status).unwrap(), headers, body.to_string()).into_response()
}

/// Answers with what it was sent.
async fn echo(request: Request) -> Response {
    let header = |name: &str| request.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
    let body = json!({
        "method": request.method().as_str(),
        "path": request.uri().to_string(),
        "authorization": header("authorization"),
        "if-match": header("if-match"),
        "content-type": header("content-type"),
    });
    json_answer(200, &body)
}

fn policy() -> ConnectionString {
    "HostName=hub1.localhost:8443;SharedAccessKeyName=iothubowner;SharedAccessKey=a2V5".parse().unwrap()
}

fn versioned() -> RestOptions {
    RestOptions { api_version: Some("2021-04-12".to_owned()), ..RestOptions::default() }
}

#[tokio::test]
async fn a_request_carries_token_version_and_precondition() {
    let base = serve(Router::new().fallback(any(echo))).await;
    let rest = Rest::sas(&base, &policy(), versioned()).unwrap();
    let request = rest.put("/devices/d%201?x=1").if_match("\"AAA=\"").query("y", "a b").json(json!({}));
    let answer = request.send().await.unwrap();
    assert_eq!((answer.status, answer.etag()), (200, Some("\"e1\"")));
    assert_eq!(answer.body["method"], "PUT");
    assert_eq!(answer.body["path"], "/devices/d%201?x=1&y=a+b&api-version=2021-04-12");
    assert_eq!(
        (&answer.body["if-match"], &answer.body["content-type"]),
        (&json!("\"AAA=\""), &json!("application/json"))
    );
    let token = SasToken::parse(answer.body["authorization"].as_str().unwrap()).unwrap();
    assert_eq!((token.resource.as_str(), token.key_name.as_deref()), ("hub1.localhost", Some("iothubowner")));
    assert!(token.signed_by(b"key"));

    let patch = rest.patch("/t?api-version=1").json_patch(json!([])).send().await.unwrap();
    assert_eq!(patch.body["path"], "/t?api-version=1");
    assert_eq!(patch.body["content-type"], "application/json-patch+json");
    let anonymous = Rest::anonymous(&base, RestOptions::default()).unwrap();
    assert_eq!(anonymous.delete("/x").send().await.unwrap().body["authorization"], Value::Null);
}

#[tokio::test]
async fn a_no_carries_what_the_service_said() {
    let gone =
        json!({"Message": "ErrorCode:DeviceNotFound;Device d1 not registered", "ExceptionMessage": "T"});
    let base = serve(Router::new().fallback(any(move || async move { json_answer(404, &gone) }))).await;
    let rest = Rest::sas(&base, &policy(), versioned()).unwrap();
    let error = rest.get("/devices/d1").send().await.unwrap_err();
    assert_eq!(error.to_string(), "404 Not Found: DeviceNotFound: Device d1 not registered");
    assert_eq!(error.status(), Some(404));
    assert_eq!(rest.get("/devices/d1").send_any().await.unwrap().status, 404);
}

#[tokio::test]
async fn a_bearer_token_is_fetched_once() {
    let fetched = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&fetched);
    let token = move |body: String| async move {
        assert_eq!(
            body,
            "grant_type=client_credentials&client_id=id&client_secret=s%26t&scope=https%3A%2F%2Fs%2F.default"
        );
        count.fetch_add(1, Ordering::SeqCst);
        json_answer(200, &json!({"token_type": "Bearer", "expires_in": "3600", "access_token": "jwt"}))
    };
    let base = serve(Router::new().route("/tenant/oauth2/v2.0/token", any(token)).fallback(any(echo))).await;
    let source = |path: &str| TokenSource::ClientCredentials {
        token_url: format!("{base}{path}"),
        client_id: "id".to_owned(),
        client_secret: "s&t".to_owned(),
        scope: "https://s/.default".to_owned(),
    };
    let rest = Rest::bearer(&base, source("/tenant/oauth2/v2.0/token"), RestOptions::default()).unwrap();
    for _ in 0..3 {
        assert_eq!(rest.get("/digitaltwins/t").send().await.unwrap().body["authorization"], "Bearer jwt");
    }
    assert_eq!(fetched.load(Ordering::SeqCst), 1);
    let wrong = Rest::bearer(&base, source("/other"), RestOptions::default()).unwrap();
    assert!(wrong.get("/x").send().await.unwrap_err().to_string().contains("without an access_token"));
}

#[tokio::test]
async fn pages_follow_each_other_in_every_way() {
    let by_header = |request: Request| async move {
        match request.headers().get("x-ms-continuation") {
            None => ([("x-ms-continuation", "c1")], "[1,2]").into_response(),
            Some(next) => {
                assert_eq!(next, "c1");
                assert_eq!(request.headers()["x-ms-max-item-count"], "2");
                "[3]".into_response()
            }
        }
    };
    let by_token = |body: String| async move {
        match serde_json::from_str::<Value>(&body).unwrap() {
            body if body["query"] == "SELECT *" => r#"{"value":[1],"continuationToken":"t1"}"#,
            body if body["continuationToken"] == "t1" => r#"{"value":[2],"continuationToken":null}"#,
            other => panic!("{other}"),
        }
    };
    let by_link = |request: Request| async move {
        match request.uri().query() {
            None => r#"{"value":[1],"nextLink":"/models?page=2"}"#,
            Some("page=2") => r#"{"value":[2,3],"nextLink":null}"#,
            Some(_) => r#"{"value":[],"nextLink":"http://elsewhere.test/models"}"#,
        }
    };
    let router = Router::new()
        .route("/devices/query", any(by_header))
        .route("/query", any(by_token))
        .route("/models", any(by_link));
    let rest = Rest::anonymous(&serve(router).await, RestOptions::default()).unwrap();
    let (path, query) = ("/devices/query".to_owned(), "SELECT * FROM devices".to_owned());
    let rows = rest.pages(Paging::Header { path, query }).page_size(2).collect(100).await.unwrap();
    assert_eq!(rows, [1, 2, 3]);
    let (path, query) = ("/query".to_owned(), "SELECT *".to_owned());
    assert_eq!(rest.pages(Paging::Token { path, query }).collect(100).await.unwrap(), [1, 2]);
    let models = |path: &str| rest.pages(Paging::Link { path: path.to_owned() });
    assert_eq!(models("/models").collect(100).await.unwrap(), [1, 2, 3]);
    assert_eq!(models("/models").collect(1).await.unwrap(), [1]);
    let error = models("/models?page=9").collect(100).await.unwrap_err();
    assert!(error.to_string().contains("does not belong"), "{error}");
}

#[tokio::test]
async fn what_cannot_work_is_said_before_or_after() {
    let setup = |base: &str| Rest::anonymous(base, RestOptions::default()).unwrap_err();
    assert!(matches!(setup("localhost"), RestError::Setup(_)));
    assert!(setup("https://localhost").to_string().contains("CA"));
    let keyless = "HostName=h".parse().unwrap();
    assert!(matches!(Rest::sas("http://h", &keyless, RestOptions::default()), Err(RestError::Setup(_))));

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let options = RestOptions { addresses: vec![("hub.test".to_owned(), address)], ..RestOptions::default() };
    let rest = Rest::anonymous(&format!("http://hub.test:{}", address.port()), options).unwrap();
    let error = rest.get("/x?code=secret").send().await.unwrap_err();
    assert!(matches!(error, RestError::Transport { .. }) && !error.to_string().contains("secret"), "{error}");
    assert!(matches!(rest.get("/x").header("a b", "c").send().await, Err(RestError::Setup(_))));
    assert!(matches!(rest.get("http://elsewhere.test/").send().await, Err(RestError::Setup(_))));
}
