//! Who gets in, and with which version of the API.

use super::*;

/// Every route, for those who must not pass.
const ROUTES: &[(&str, &str)] = &[
    ("GET", "/models"),
    ("POST", "/models"),
    ("GET", "/models/"),
    ("GET", "/models/dtmi%3Aa%3Bb;1"),
    ("PATCH", "/models/dtmi%3Aa%3Bb;1"),
    ("DELETE", "/models/dtmi%3Aa%3Bb;1"),
    ("GET", "/digitaltwins/t"),
    ("PUT", "/digitaltwins/t"),
    ("PATCH", "/digitaltwins/t"),
    ("DELETE", "/digitaltwins/t"),
    ("GET", "/digitaltwins/t/components/c"),
    ("PATCH", "/digitaltwins/t/components/c"),
    ("POST", "/digitaltwins/t/components/c/telemetry"),
    ("POST", "/digitaltwins/t/telemetry"),
    ("GET", "/digitaltwins/t/relationships"),
    ("GET", "/digitaltwins/t/relationships/r"),
    ("PUT", "/digitaltwins/t/relationships/r"),
    ("PATCH", "/digitaltwins/t/relationships/r"),
    ("DELETE", "/digitaltwins/t/relationships/r"),
    ("GET", "/digitaltwins/t/incomingrelationships"),
    ("GET", "/digitaltwins/t/history"),
    ("GET", "/digitaltwins/t/relationships/r/history"),
    ("POST", "/query"),
    ("GET", "/eventroutes"),
    ("GET", "/eventroutes/r"),
    ("PUT", "/eventroutes/r"),
    ("DELETE", "/eventroutes/r"),
    ("GET", "/jobs/imports"),
    ("GET", "/jobs/imports/j"),
    ("PUT", "/jobs/imports/j"),
    ("DELETE", "/jobs/imports/j"),
    ("POST", "/jobs/imports/j/cancel"),
    ("GET", "/jobs/deletions"),
    ("POST", "/jobs/deletions"),
    ("GET", "/jobs/deletions/j"),
    ("GET", "/graph"),
    ("POST", "/graph"),
    ("GET", "/graph/counts"),
    ("GET", "/eventRoutes"),
    ("GET", "/no/such/path"),
    ("PUT", "/query"),
];

#[tokio::test]
async fn nobody_gets_in_without_a_good_token() {
    let edge = Edge::new().await;
    let mut bent = format!("Bearer {}", edge.token);
    bent.pop();
    let unsigned = "Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiJ4In0.";
    for (method, path) in ROUTES {
        let path = format!("{path}?api-version=2023-10-31");
        for headers in [
            vec![],
            vec![("authorization", bent.as_str())],
            vec![("authorization", unsigned)],
            vec![("authorization", "SharedAccessSignature sr=x&sig=x&se=99999999999")],
            vec![("authorization", "Basic eDp5")],
        ] {
            let answer = edge.raw(method, &path, &headers, Body::empty()).await;
            assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{method} {path} {headers:?}");
            assert_eq!(answer.code(), "Unauthenticated");
            assert!(
                answer.header("www-authenticate").starts_with("Bearer authorization=\"https://"),
                "{answer:?}"
            );
        }
    }
}

#[tokio::test]
async fn versions_that_exist_are_spoken() {
    let edge = Edge::with_model().await;
    let versions =
        ["2020-10-31", "2021-06-30-preview", "2022-05-31", "2023-02-27-preview", "2023-06-30", "2023-10-31"];
    for version in versions {
        let answer = edge.versioned(version, "PUT", "/digitaltwins/t", &[], Some(room())).await;
        assert_eq!(answer.status, StatusCode::OK, "{version} {answer:?}");
        let times = version > "2022";
        assert_eq!(answer.body["$metadata"].get("$lastUpdateTime").is_some(), times, "{version}");
        let query = json!({ "query": "SELECT T FROM DIGITALTWINS T" });
        let answer = edge.versioned(version, "POST", "/query", &[], Some(query)).await;
        assert_eq!(
            answer.body["value"][0]["T"]["$metadata"].get("$lastUpdateTime").is_some(),
            times,
            "{version}"
        );
    }
    let bearer = format!("Bearer {}", edge.token);
    let headers = [("authorization", bearer.as_str())];
    for (path, code) in [
        ("/models", "ApiVersionUnspecified"),
        ("/models?api-version=2019-01-01", "UnsupportedApiVersion"),
        ("/models?api-version=", "UnsupportedApiVersion"),
    ] {
        let answer = edge.raw("GET", path, &headers, Body::empty()).await;
        assert_eq!((answer.status, answer.code()), (StatusCode::BAD_REQUEST, code));
    }
}

#[tokio::test]
async fn bodies_are_bounded_and_must_be_json() {
    let edge = Edge::with_model().await;
    let bearer = format!("Bearer {}", edge.token);
    let headers = [("authorization", bearer.as_str())];
    let send =
        async |body: Body| edge.raw("PUT", "/digitaltwins/t?api-version=2020-10-31", &headers, body).await;
    let answer = send(Body::from("x".repeat(1024 * 1024 + 1))).await;
    assert_eq!((answer.status, answer.code()), (StatusCode::PAYLOAD_TOO_LARGE, "PayloadTooLarge"));
    let answer = send(Body::from("[".repeat(30_000))).await;
    assert_eq!((answer.status, answer.code()), (StatusCode::BAD_REQUEST, "InvalidArgument"));
    let answer = send(Body::from(vec![0xff, 0xfe])).await;
    assert_eq!((answer.status, answer.code()), (StatusCode::BAD_REQUEST, "InvalidArgument"));
    let answer = send(Body::empty()).await;
    assert_eq!((answer.status, answer.code()), (StatusCode::BAD_REQUEST, "BadRequest"));
    assert_eq!(answer.body["error"]["message"], "A non-empty request body is required.");
}

#[tokio::test]
async fn wrong_paths_and_methods_are_told_apart() {
    let edge = Edge::new().await;
    let answer = edge.call("GET", "/digitaltwins/t/nothing", &[], None).await;
    assert_eq!((answer.status, answer.code()), (StatusCode::NOT_FOUND, "NotFound"));
    let answer = edge.call("POST", "/digitaltwins/t", &[], None).await;
    assert_eq!((answer.status, answer.code()), (StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed"));
    let answer = edge.call("GET", "/digitaltwins/%ff", &[], None).await;
    assert_eq!((answer.status, answer.code()), (StatusCode::BAD_REQUEST, "InvalidArgument"));
}
