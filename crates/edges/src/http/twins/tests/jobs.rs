//! Jobs and graph files, as clients see them. That jobs run is shown elsewhere: nothing works on them here.

use super::*;

const V: &str = "2023-10-31";

#[tokio::test]
async fn import_jobs() {
    let edge = Edge::new().await;
    let call = async |method: &str, path: &str, body: Option<Value>| {
        edge.versioned(V, method, path, &[], body).await
    };
    let job = json!({
        "inputBlobUri": "https://account.blob.core.windows.net/in/graph.ndjson?sv=1&sig=secret",
        "outputBlobUri": "https://account.blob.core.windows.net/out/log.ndjson?sv=1&sig=secret",
    });
    let added = call("PUT", "/jobs/imports/j%201", Some(job.clone())).await;
    assert_eq!(added.status, StatusCode::CREATED, "{added:?}");
    assert_eq!((&added.body["id"], &added.body["status"]), (&json!("j 1"), &json!("notstarted")));
    assert_eq!(added.body["inputBlobUri"], "https://account.blob.core.windows.net/in/graph.ndjson");
    assert!(!added.body.to_string().contains("secret"), "{added:?}");
    assert_eq!(call("GET", "/jobs/imports/j%201", None).await.body, added.body);
    let list = call("GET", "/jobs/imports", None).await;
    assert_eq!(list.body, json!({ "value": [added.body], "nextLink": null }));
    for (method, path, body, status, code) in [
        ("PUT", "/jobs/imports/other", Some(job.clone()), 400, "JobLimitReached"),
        ("PUT", "/jobs/imports/j%201", Some(job), 400, "ValidationFailed"),
        (
            "PUT",
            "/jobs/imports/x",
            Some(json!({ "inputBlobUri": "https://a.example/b" })),
            400,
            "ValidationFailed",
        ),
        (
            "PUT",
            "/jobs/imports/x",
            Some(json!({ "inputBlobUri": "http://10.0.0.1/a", "outputBlobUri": "https://a.example/b" })),
            400,
            "ValidationFailed",
        ),
        ("DELETE", "/jobs/imports/j%201", None, 400, "ValidationFailed"),
        ("GET", "/jobs/imports/none", None, 404, "ImportJobNotFound"),
        ("POST", "/jobs/imports/none/cancel", None, 404, "ImportJobNotFound"),
        ("GET", "/jobs/deletions/none", None, 404, "DeleteJobNotFound"),
    ] {
        let answer = call(method, path, body).await;
        assert_eq!((answer.status.as_u16(), answer.code()), (status, code), "{method} {path}");
    }
    let cancelled = call("POST", "/jobs/imports/j%201/cancel", None).await;
    assert_eq!((cancelled.status, &cancelled.body["status"]), (StatusCode::OK, &json!("cancelling")));
    assert_eq!(call("DELETE", "/jobs/imports/none", None).await.status, StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn delete_jobs() {
    let edge = Edge::new().await;
    let path = "/jobs/deletions?timeoutInMinutes=15";
    let added = edge.versioned(V, "POST", path, &[("operation-id", "all of it")], None).await;
    assert_eq!((added.status, &added.body["id"]), (StatusCode::ACCEPTED, &json!("all of it")));
    let link = "https://twins.example.com:8443/jobs/deletions/all%20of%20it?api-version=2023-10-31";
    assert_eq!(added.header("operation-location"), link);
    let got = edge.versioned(V, "GET", "/jobs/deletions/all%20of%20it", &[], None).await;
    assert_eq!((got.status, &got.body), (StatusCode::OK, &added.body));
    let again = edge.versioned(V, "POST", "/jobs/deletions", &[], None).await;
    assert_eq!((again.status, again.code()), (StatusCode::BAD_REQUEST, "JobLimitReached"));
    for minutes in ["14", "1441", "soon"] {
        let path = format!("/jobs/deletions?timeoutInMinutes={minutes}");
        assert_eq!(edge.versioned(V, "POST", &path, &[], None).await.status, StatusCode::BAD_REQUEST);
    }
}

#[tokio::test]
async fn graph_files() {
    let edge = Edge::with_model().await;
    let bearer = format!("Bearer {}", edge.token);
    let headers = [("authorization", bearer.as_str())];
    let mut twin = room();
    twin["$dtId"] = json!("a");
    let lines = format!("{}\n{twin}\n{{}}\n", json!({ "Section": "Twins" }));
    let path = "/graph?before=41&api-version=2023-10-31";
    let answer = edge.raw("POST", path, &headers, Body::from(lines)).await;
    let failed = answer.body["failed"][0].clone();
    assert_eq!((&answer.body["twins"], &failed["line"]), (&json!(1), &json!(43)), "{answer:?}");
    assert_eq!((&failed["section"], &failed["code"]), (&json!("Twins"), &json!("InvalidArgument")));
    let counts = edge.versioned(V, "GET", "/graph/counts", &[], None).await;
    assert_eq!(counts.body, json!({ "models": 1, "twins": 1, "relationships": 0 }));
    let bad = edge.raw("POST", path, &headers, Body::from("{}\n")).await;
    assert_eq!((bad.status, bad.code()), (StatusCode::BAD_REQUEST, "ValidationFailed"));
    let bad = edge.raw("POST", "/graph?before=x&api-version=2023-10-31", &headers, Body::empty()).await;
    assert_eq!((bad.status, bad.code()), (StatusCode::BAD_REQUEST, "InvalidArgument"));
}
