//! What answers look like, as recorded.

use super::*;

fn version_4() -> Value {
    json!({ "@id": "dtmi:a;1", "@type": "Interface", "@context": ["dtmi:dtdl:context;4"] })
}

#[tokio::test]
async fn models() {
    let edge = Edge::new().await;
    let made = edge.call("POST", "/models", &[], Some(json!([room_model()]))).await;
    assert_eq!(made.status, StatusCode::CREATED);
    assert_eq!(made.header("content-type"), "application/json; charset=utf-8");
    let described = &made.body[0];
    assert_eq!(described["displayName"], json!({ "en": "Room" }));
    assert_eq!(described["description"], json!({}));
    assert_eq!(described["decommissioned"], false);
    assert!(described["uploadTime"].as_str().unwrap().ends_with("+00:00"));
    assert!(described.get("model").is_none());

    let path = "/models/dtmi%3Aexample%3ARoom%3B1";
    let got = edge.call("GET", path, &[], None).await;
    assert_eq!(&got.body, described);
    let whole = edge.call("GET", &format!("{path}?includeModelDefinition=true"), &[], None).await;
    assert_eq!(whole.body["model"]["@context"], json!(["dtmi:dtdl:context;2"]));
    let list = edge.call("GET", "/models?includeModelDefinition=false", &[], None).await;
    assert_eq!(list.body, json!({ "value": [described], "nextLink": null }));
    let list = edge.call("GET", "/models?dependenciesFor=dtmi%3Aexample%3ARoom%3B1", &[], None).await;
    assert_eq!(list.body["value"].as_array().unwrap().len(), 1);

    for (method, path, body, status, code) in [
        ("POST", "/models", Some(json!([room_model()])), 409, "ModelIdAlreadyExists"),
        ("POST", "/models", Some(json!([{}])), 400, "DTDLParserError"),
        ("POST", "/models", Some(json!([])), 400, "InvalidArgument"),
        ("POST", "/models", Some(json!({})), 400, "InvalidArgument"),
        ("POST", "/models", None, 400, "BadRequest"),
        ("POST", "/models", Some(json!([version_4()])), 400, "ModelVersionNotSupported"),
        ("GET", "/models/", None, 400, "MissingArgument"),
        ("DELETE", "/models/", None, 400, "MissingArgument"),
        ("GET", "/models/dtmi%3Aa%3B1", None, 404, "ModelNotFound"),
        ("GET", "/models?includeModelDefinition=perhaps", None, 400, "InvalidArgument"),
        ("DELETE", "/models/dtmi%3Aa%3B1", None, 404, "ModelNotFound"),
        (
            "PATCH",
            "/models/dtmi%3Aa%3B1",
            Some(json!([{ "op": "replace", "path": "/decommissioned", "value": true }])),
            404,
            "ModelNotFound",
        ),
    ] {
        let answer = edge.call(method, path, &[], body).await;
        assert_eq!((answer.status.as_u16(), answer.code()), (status, code), "{method} {path}");
    }
    let decommission = json!([{ "op": "replace", "path": "/decommissioned", "value": true }]);
    let answer = edge.call("PATCH", path, &[], Some(decommission)).await;
    assert_eq!((answer.status, answer.body), (StatusCode::NO_CONTENT, Value::Null));
    assert_eq!(edge.call("DELETE", path, &[], None).await.status, StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn twins() {
    let edge = Edge::with_model().await;
    let made = edge.call("PUT", "/digitaltwins/room%201", &[("if-none-match", "*")], Some(room())).await;
    assert_eq!(made.status, StatusCode::OK, "{made:?}");
    let names: Vec<&String> = made.body.as_object().unwrap().keys().collect();
    assert_eq!(names, ["$dtId", "$etag", "Temperature", "$metadata"]);
    assert_eq!(
        (&made.body["$dtId"], made.body["$etag"].as_str().unwrap()),
        (&json!("room 1"), made.header("etag"))
    );
    assert!(made.header("etag").starts_with("W/\""));
    let got = edge.call("GET", "/digitaltwins/room%201", &[], None).await;
    assert_eq!((&got.body, got.header("etag")), (&made.body, made.header("etag")));

    let again = edge.call("PUT", "/digitaltwins/room%201", &[("if-none-match", "*")], Some(room())).await;
    assert_eq!((again.status, again.code()), (StatusCode::PRECONDITION_FAILED, "PreconditionFailed"));
    let odd = edge.call("PUT", "/digitaltwins/room%201", &[("if-none-match", "\"x\"")], Some(room())).await;
    assert_eq!((odd.status, odd.code()), (StatusCode::BAD_REQUEST, "InvalidArgument"));

    let patch = || Some(json!([{ "op": "replace", "path": "/Temperature", "value": 21 }]));
    let stale = [("if-match", "W/\"7e67a355-f19c-4c19-8a10-2d69b2d2253f\"")];
    let answer = edge.call("PATCH", "/digitaltwins/room%201", &stale, patch()).await;
    assert_eq!((answer.status, answer.code()), (StatusCode::PRECONDITION_FAILED, "PreconditionFailed"));
    let answer =
        edge.call("PATCH", "/digitaltwins/room%201", &[("if-match", made.header("etag"))], patch()).await;
    assert_eq!((answer.status, &answer.body), (StatusCode::NO_CONTENT, &Value::Null));
    assert_ne!(answer.header("etag"), made.header("etag"));
    let answer = edge.call("PATCH", "/digitaltwins/room%201", &[("if-match", "*")], patch()).await;
    assert_eq!(answer.status, StatusCode::NO_CONTENT);

    let answer = edge.call("DELETE", "/digitaltwins/room%201", &stale, None).await;
    assert_eq!((answer.status, answer.code()), (StatusCode::PRECONDITION_FAILED, "PreconditionFailed"));
    assert_eq!(edge.call("DELETE", "/digitaltwins/room%201", &[], None).await.status, StatusCode::NO_CONTENT);
    let answer = edge.call("GET", "/digitaltwins/room%201", &[], None).await;
    assert_eq!((answer.status, answer.code()), (StatusCode::NOT_FOUND, "DigitalTwinNotFound"));
}

#[tokio::test]
async fn bad_twins_and_patches() {
    let edge = Edge::with_model().await;
    edge.call("PUT", "/digitaltwins/t", &[], Some(room())).await;
    let body = json!({ "$metadata": { "$model": ROOM }, "LowestTemperature": 68, "Name": 5 });
    let answer = edge.call("PUT", "/digitaltwins/t", &[], Some(body)).await;
    assert_eq!((answer.status, answer.code()), (StatusCode::BAD_REQUEST, "ValidationFailed"));
    let error = &answer.body["error"];
    assert_eq!(error["message"], "Invalid twin specified");
    assert_eq!(error["details"].as_array().unwrap().len(), 2);
    let first = json!({ "code": "ValidationFailed", "message": "LowestTemperature does not appear on the DTDL for Twin." });
    assert_eq!(error["details"][0], first);
    let answer = edge.call("PUT", "/digitaltwins/t", &[], Some(json!([{}]))).await;
    assert_eq!((answer.status, answer.code()), (StatusCode::BAD_REQUEST, "InvalidArgument"));

    for (patch, code) in [
        (json!([{}]), "JsonPatchInvalid"),
        (json!([{ "op": "move", "path": "/Temperature" }]), "JsonPatchInvalid"),
        (json!([{ "op": "replace", "path": "/Name", "value": "never set" }]), "JsonPatchInvalid"),
        (json!([{ "op": "replace", "path": "/Temperature", "value": "warm" }]), "ValidationFailed"),
    ] {
        let answer = edge.call("PATCH", "/digitaltwins/t", &[], Some(patch)).await;
        assert_eq!((answer.status, answer.code()), (StatusCode::BAD_REQUEST, code));
    }
    for patch in [json!(["Temperature"]), json!({ "op": "add" })] {
        let answer = edge.call("PATCH", "/digitaltwins/t", &[], Some(patch)).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST);
        assert_eq!(answer.header("content-type"), "application/problem+json; charset=utf-8");
        assert_eq!(answer.body["status"], 400);
        assert!(answer.body["errors"].is_object() && answer.body.get("error").is_none());
    }
}

#[tokio::test]
async fn relationships() {
    let edge = Edge::with_model().await;
    for id in ["a", "b"] {
        edge.call("PUT", &format!("/digitaltwins/{id}"), &[], Some(room())).await;
    }
    let path = "/digitaltwins/a/relationships/x";
    let body = json!({ "$relationshipName": "beside", "$targetId": "b", "door": true });
    let made = edge.call("PUT", path, &[("if-none-match", "*")], Some(body.clone())).await;
    assert_eq!(made.status, StatusCode::OK, "{made:?}");
    let expected = json!({
        "$relationshipId": "x", "$etag": made.header("etag"), "$sourceId": "a", "$relationshipName": "beside",
        "$targetId": "b", "door": true,
    });
    assert_eq!(made.body, expected);
    let again = edge.call("PUT", path, &[("if-none-match", "*")], Some(body)).await;
    assert_eq!((again.status, again.code()), (StatusCode::PRECONDITION_FAILED, "PreconditionFailed"));
    assert_eq!(edge.call("GET", path, &[], None).await.body, expected);
    let list = edge.call("GET", "/digitaltwins/a/relationships?relationshipName=beside", &[], None).await;
    assert_eq!(list.body, json!({ "value": [expected], "nextLink": null }));
    let incoming = edge.call("GET", "/digitaltwins/b/incomingrelationships", &[], None).await;
    assert_eq!(
        incoming.body["value"],
        json!([{
            "$relationshipId": "x", "$sourceId": "a", "$relationshipName": "beside",
            "$relationshipLink": "/digitaltwins/a/relationships/x",
        }])
    );
    let answer = edge.call("DELETE", "/digitaltwins/b", &[], None).await;
    assert_eq!((answer.status, answer.code()), (StatusCode::BAD_REQUEST, "RelationshipsNotDeleted"));
    let answer = edge.call("PATCH", path, &[], Some(json!([]))).await;
    assert_eq!(answer.status, StatusCode::NO_CONTENT);
    for (path, body, code) in [
        (
            "/digitaltwins/z/relationships/x",
            json!({ "$relationshipName": "beside", "$targetId": "b" }),
            "DigitalTwinNotFound",
        ),
        (
            "/digitaltwins/a/relationships/y",
            json!({ "$relationshipName": "beside", "$targetId": "z" }),
            "TargetDigitalTwinNotFound",
        ),
        ("/digitaltwins/a/relationships/y", json!({ "$targetId": "b" }), "InvalidArgument"),
        (
            "/digitaltwins/a/relationships/y",
            json!({ "$relationshipName": "above", "$targetId": "b" }),
            "ValidationFailed",
        ),
    ] {
        assert_eq!(edge.call("PUT", path, &[], Some(body)).await.code(), code);
    }
    assert_eq!(edge.call("DELETE", path, &[], None).await.status, StatusCode::NO_CONTENT);
    assert_eq!(edge.call("GET", path, &[], None).await.code(), "RelationshipNotFound");
}

#[tokio::test]
async fn pages_have_links_that_lead_on() {
    let edge = Edge::new().await;
    let models: Vec<Value> = (1..=3)
        .map(|number| json!({ "@id": format!("dtmi:example:M;{number}"), "@type": "Interface", "@context": "dtmi:dtdl:context;2" }))
        .collect();
    edge.call("POST", "/models", &[], Some(Value::Array(models))).await;
    let size = [("max-items-per-page", "2")];
    let first = edge.call("GET", "/models?includeModelDefinition=true", &size, None).await;
    assert_eq!(first.body["value"].as_array().unwrap().len(), 2);
    let link = first.body["nextLink"].as_str().unwrap();
    let path = link.strip_prefix("https://twins.example.com:8443").unwrap();
    assert!(
        path.starts_with("/models?includeModelDefinition=true&api-version=2020-10-31&continuationToken="),
        "{path}"
    );
    let bearer = format!("Bearer {}", edge.token);
    let last = edge.raw("GET", path, &[("authorization", &bearer)], Body::empty()).await;
    assert_eq!((last.body["value"].as_array().unwrap().len(), &last.body["nextLink"]), (1, &Value::Null));
    assert!(last.body["value"][0].get("model").is_some(), "what was asked for is kept");
    let bent = edge.raw("GET", &format!("{path}x"), &[("authorization", &bearer)], Body::empty()).await;
    assert_eq!(bent.code(), "BadRequest");
    let answer = edge.call("GET", "/models", &[("max-items-per-page", "none")], None).await;
    assert_eq!(answer.code(), "InvalidArgument");
}

#[tokio::test]
async fn queries() {
    let edge = Edge::with_model().await;
    for id in ["a", "b", "c"] {
        edge.call("PUT", &format!("/digitaltwins/{id}"), &[], Some(room())).await;
    }
    let text = json!({ "query": "SELECT * FROM DIGITALTWINS" });
    let first = edge.call("POST", "/query", &[("max-items-per-page", "2")], Some(text)).await;
    assert_eq!((first.status, first.body["value"].as_array().unwrap().len()), (StatusCode::OK, 2));
    first.header("query-charge").parse::<f64>().unwrap();
    let rest = edge
        .call("POST", "/query", &[], Some(json!({ "continuationToken": first.body["continuationToken"] })))
        .await;
    assert_eq!(
        (rest.body["value"].as_array().unwrap().len(), &rest.body["continuationToken"]),
        (1, &Value::Null)
    );
    for (body, code) in [
        (json!({ "query": "foo" }), "SqlQueryError"),
        (json!({ "query": 5 }), "InvalidArgument"),
        (json!({}), "InvalidArgument"),
        (json!([]), "InvalidArgument"),
        (json!({ "continuationToken": "made up" }), "BadRequest"),
    ] {
        let answer = edge.call("POST", "/query", &[], Some(body)).await;
        assert_eq!((answer.status, answer.code()), (StatusCode::BAD_REQUEST, code));
    }
}

#[tokio::test]
async fn telemetry_and_event_routes() {
    let edge = Edge::with_model().await;
    edge.call("PUT", "/digitaltwins/t", &[], Some(room())).await;
    let message = || Some(json!({ "anything": 5 }));
    let headers = [("message-id", "m1"), ("telemetry-source-time", "2020-11-25 10:03:54.074027")];
    assert_eq!(
        edge.call("POST", "/digitaltwins/t/telemetry", &headers, message()).await.status,
        StatusCode::NO_CONTENT
    );
    assert_eq!(
        edge.call("POST", "/digitaltwins/t/telemetry", &[], message()).await.code(),
        "InvalidArgument"
    );
    assert_eq!(
        edge.call("POST", "/digitaltwins/z/telemetry", &headers, message()).await.code(),
        "DigitalTwinNotFound"
    );
    let answer = edge.call("POST", "/digitaltwins/t/components/c/telemetry", &headers, message()).await;
    assert_eq!(answer.code(), "ComponentNotFound");

    assert_eq!(
        edge.call("GET", "/eventroutes", &[], None).await.body,
        json!({ "value": [], "nextLink": null })
    );
    assert_eq!(edge.call("GET", "/eventroutes/r", &[], None).await.code(), "EventRouteNotFound");
    assert_eq!(edge.call("DELETE", "/eventroutes/r", &[], None).await.code(), "EventRouteNotFound");
    assert_eq!(edge.call("PUT", "/eventroutes/r", &[], Some(json!({}))).await.code(), "InvalidArgument");
    let route = json!({ "endpointName": "none", "filter": "true" });
    let answer = edge.call("PUT", "/eventroutes/r", &[], Some(route)).await;
    assert_eq!(answer.code(), "EventRouteEndpointInvalid");
}

/// Article "Create event routes and filters" writes `/eventRoutes`; ids are not touched.
#[tokio::test]
async fn paths_compare_without_case_and_ids_with_it() {
    let edge = Edge::with_model().await;
    edge.call("PUT", "/DigitalTwins/Tw", &[], Some(room())).await;
    assert_eq!(edge.call("GET", "/digitaltwins/Tw", &[], None).await.body["$dtId"], "Tw");
    assert_eq!(edge.call("GET", "/DIGITALTWINS/tw", &[], None).await.code(), "DigitalTwinNotFound");
    for (method, path, status, code) in [
        ("GET", "/eventRoutes", 200, None),
        ("DELETE", "/eventRoutes/R", 404, Some("EventRouteNotFound")),
        ("GET", "/digitaltwins/Tw/incomingRelationships?x=1", 200, None),
        ("GET", "/digitalTwins/Tw/relationships/Relationships", 404, Some("RelationshipNotFound")),
        ("GET", "/Jobs/Imports/Cancel", 404, None),
        ("GET", "/Graph/Counts", 200, None),
        ("PUT", "/Query", 405, Some("MethodNotAllowed")),
        ("GET", "/No/Such/Path", 404, Some("NotFound")),
    ] {
        let answer = edge.versioned("2023-10-31", method, path, &[], None).await;
        assert_eq!(answer.status.as_u16(), status, "{path} {answer:?}");
        if let Some(code) = code {
            assert_eq!(answer.code(), code, "{path}");
        }
    }
}

/// Article "Digital twins and their twin graph": `sourceTime` is of 2022-05-31.
#[tokio::test]
async fn source_times_are_taken_and_shown_by_the_versions_that_have_them() {
    let edge = Edge::with_model().await;
    let (path, time) = ("/digitaltwins/t", "2024-01-01T00:00:00Z");
    let twin =
        json!({ "$metadata": { "$model": ROOM, "Temperature": { "sourceTime": time } }, "Temperature": 1 });
    let shown = |answer: &Answer| answer.body["$metadata"]["Temperature"].get("sourceTime").cloned();
    let new = edge.versioned("2022-05-31", "PUT", path, &[], Some(twin.clone())).await;
    assert_eq!(shown(&new), Some(json!(time)));
    assert_eq!(shown(&edge.call("GET", path, &[], None).await), None);
    edge.call("PUT", path, &[], Some(twin)).await;
    assert_eq!(shown(&edge.versioned("2023-10-31", "GET", path, &[], None).await), None);
    let set = json!([{ "op": "add", "path": "/$metadata/Temperature/sourceTime", "value": time }]);
    let old = edge.call("PATCH", path, &[], Some(set.clone())).await;
    assert_eq!((old.status, old.code()), (StatusCode::BAD_REQUEST, "JsonPatchInvalid"));
    let new = edge.versioned("2023-10-31", "PATCH", path, &[], Some(set)).await;
    assert_eq!(new.status, StatusCode::NO_CONTENT);
    assert_eq!(shown(&edge.versioned("2023-06-30", "GET", path, &[], None).await), Some(json!(time)));
}

#[tokio::test]
async fn a_twin_is_deleted_with_its_relationships_only_where_that_is_asked_for() {
    let edge = Edge::with_model().await;
    for id in ["a", "b"] {
        edge.call("PUT", &format!("/digitaltwins/{id}"), &[], Some(room())).await;
    }
    let body = json!({ "$relationshipName": "beside", "$targetId": "b" });
    edge.call("PUT", "/digitaltwins/a/relationships/x", &[], Some(body)).await;
    for (query, code) in [
        ("", "RelationshipsNotDeleted"),
        ("?deleteRelationships=false", "RelationshipsNotDeleted"),
        ("?deleteRelationships=yes", "InvalidArgument"),
    ] {
        let answer = edge.call("DELETE", &format!("/digitaltwins/b{query}"), &[], None).await;
        assert_eq!((answer.status, answer.code()), (StatusCode::BAD_REQUEST, code), "{query}");
    }
    let answer = edge.call("DELETE", "/digitaltwins/b?deleteRelationships=true", &[], None).await;
    assert_eq!(answer.status, StatusCode::NO_CONTENT);
    assert_eq!(edge.call("DELETE", "/digitaltwins/a", &[], None).await.status, StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn bodies_about_twins_are_small_and_a_twin_with_itself_is_not_allowed() {
    let edge = Edge::with_model().await;
    edge.call("PUT", "/digitaltwins/a", &[], Some(room())).await;
    let long = "x".repeat(33 * 1024);
    for (method, path, body) in [
        ("PUT", "/digitaltwins/a", json!({ "$metadata": { "$model": ROOM }, "Name": long })),
        ("PATCH", "/digitaltwins/a", json!([{ "op": "add", "path": "/Name", "value": long }])),
        ("PUT", "/digitaltwins/a/relationships/x", json!({ "$relationshipName": long })),
        ("POST", "/digitaltwins/a/telemetry", json!({ "a": long })),
        (
            "PATCH",
            "/digitaltwins/a",
            json!([{ "op": "add", "path": "/Name", "value": "x".repeat(5 * 1024) }]),
        ),
    ] {
        let answer = edge.call(method, path, &[("message-id", "m")], Some(body)).await;
        assert_eq!((answer.status, answer.code()), (StatusCode::PAYLOAD_TOO_LARGE, "PayloadTooLarge"));
    }
    let body = json!({ "$relationshipName": "beside", "$targetId": "a" });
    let answer = edge.call("PUT", "/digitaltwins/a/relationships/x", &[], Some(body)).await;
    assert_eq!((answer.status, answer.code()), (StatusCode::BAD_REQUEST, "OperationNotAllowed"));
}

/// A condition that is not understood is one that does not hold: it must never count as none.
#[tokio::test]
async fn a_condition_that_is_no_etag_holds_for_nothing() {
    let edge = Edge::with_model().await;
    let made = edge.call("PUT", "/digitaltwins/r", &[], Some(room())).await;
    let etag = made.header("etag").to_owned();
    let bare = etag.trim_start_matches("W/").trim_matches('"').to_owned();
    let patch = || Some(json!([{ "op": "add", "path": "/Name", "value": "x" }]));
    let cut = format!("W/\"{bare}");
    let several = format!("{etag}, W/\"other\"");
    let (wide, long) = (format!("W/\"{bare}é\""), format!("\"{}\"", "a".repeat(8000)));
    let malformed = [
        "é", "", " ", "\"", "\"\"", "W/", "W/\"", "w/*", "W/*", "**", "\u{fffd}", &cut, &several, &wide,
        &long,
    ];
    for given in malformed {
        for (method, body) in [("PATCH", patch()), ("DELETE", None)] {
            let answer = edge.call(method, "/digitaltwins/r", &[("if-match", given)], body).await;
            assert_eq!(answer.status, StatusCode::PRECONDITION_FAILED, "{method} {given:?}: {answer:?}");
            assert_eq!(answer.code(), "PreconditionFailed", "{method} {given:?}");
        }
    }
    let still = edge.call("GET", "/digitaltwins/r", &[], None).await;
    assert_eq!(still.header("etag"), etag);
    for given in ["é", "", "W/\"*\"", "\u{fffd}", &etag] {
        let again = edge.call("PUT", "/digitaltwins/r", &[("if-none-match", given)], Some(room())).await;
        assert_eq!((again.status, again.code()), (StatusCode::BAD_REQUEST, "InvalidArgument"), "{given:?}");
    }
    // In any of the dresses that clients give it, it holds.
    for given in [etag.as_str(), &bare, &format!("\"{bare}\""), &format!("  {etag} ")] {
        let answer = edge.call("GET", "/digitaltwins/r", &[], None).await;
        assert_eq!(answer.header("etag"), etag, "nothing is changed by what changes nothing");
        let remove = json!([{ "op": "replace", "path": "/NoSuch", "value": 1 }]);
        let answer = edge.call("PATCH", "/digitaltwins/r", &[("if-match", given)], Some(remove)).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "past its condition, {given:?}: {answer:?}");
    }
    let gone = edge.call("DELETE", "/digitaltwins/r", &[("if-match", &bare)], None).await;
    assert_eq!(gone.status, StatusCode::NO_CONTENT);
}
