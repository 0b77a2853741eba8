use serde_json::json;

use super::*;
use crate::twins::{PatchComponent, PublishTelemetry};

#[tokio::test]
async fn a_twin_is_shown_as_adt_shows_it() {
    let world = World::new().await;
    let now = world.tick();
    let body = json!({
        "$dtId": "r1", "$etag": "ignored", "Temperature": 20.5,
        "$metadata": { "$model": ROOM, "Temperature": { "lastUpdateTime": "1999-01-01T00:00:00Z", "sourceTime": "2024-05-01T10:20:30Z" } },
        "sensor": { "Unit": "C", "$metadata": {} },
    });
    let twin = world.put("r1", body).await.unwrap();
    assert_eq!(
        twin.document,
        json!({
            "Temperature": 20.5,
            "sensor": { "Unit": "C", "$metadata": { "$lastUpdateTime": now, "Unit": { "lastUpdateTime": now } } },
            "$metadata": {
                "$model": ROOM, "$lastUpdateTime": now,
                "Temperature": { "lastUpdateTime": now, "sourceTime": "2024-05-01T10:20:30Z" },
            },
        })
    );
    assert_eq!(
        twin.document.as_object().unwrap().keys().next_back().unwrap(),
        "$metadata",
        "contents come first"
    );
    let world = world.again().await;
    assert_eq!(world.twins.get_twin(&world.admin, &world.instance, "r1").await.unwrap(), twin);
}

#[tokio::test]
async fn every_violation_is_told_and_nothing_is_made() {
    let world = World::new().await;
    let body = json!({ "$metadata": { "$model": ROOM }, "Temperature": "warm", "Colour": 1, "sensor": { "$metadata": {} } });
    let error = world.put("r1", body).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::ValidationFailed);
    let lines: Vec<&str> = error.message.lines().collect();
    assert_eq!(lines.len(), 3, "{error}");
    assert_eq!(lines[0], "Invalid twin specified");
    assert!(lines.contains(&"Colour does not appear on the DTDL for Twin."), "{error}");
    assert!(
        lines.iter().any(|line| line.starts_with("Expected value of type double for Temperature on Twin.")),
        "{error}"
    );
    for (body, expected) in [
        (json!([]), ErrorCode::InvalidArgument),
        (json!({}), ErrorCode::ValidationFailed),
        (json!({ "$metadata": { "$model": 7 } }), ErrorCode::ValidationFailed),
        (json!({ "$metadata": { "$model": "dtmi:example:Nowhere;1" } }), ErrorCode::ValidationFailed),
        (json!({ "$metadata": { "$model": "no dtmi\nat all" } }), ErrorCode::ValidationFailed),
        (json!({ "$metadata": { "$model": FLOOR }, "$strange": 1 }), ErrorCode::ValidationFailed),
        (
            json!({ "$metadata": { "$model": FLOOR, "Level": { "sourceTime": "yesterday" } }, "Level": 1 }),
            ErrorCode::ValidationFailed,
        ),
        (
            json!({ "$metadata": { "$model": ROOM }, "sensor": { "$metadata": {} }, "Name": "x".repeat(33 * 1024) }),
            ErrorCode::TooLarge,
        ),
    ] {
        assert_eq!(code(world.put("r1", body.clone()).await), expected, "{body}");
    }
    for id in ["", "a/b", "a\nb", &"x".repeat(129)] {
        assert_eq!(code(world.put(id, floor()).await), ErrorCode::InvalidArgument, "{id}");
    }
    assert_eq!(
        code(world.twins.get_twin(&world.admin, &world.instance, "r1").await),
        ErrorCode::TwinNotFound
    );
}

#[tokio::test]
async fn put_replaces_unless_told_not_to() {
    let world = World::new().await;
    let first = world.put("r1", room()).await.unwrap();
    let put = PutTwin { id: "r1".into(), document: floor(), if_none_match: true };
    assert_eq!(
        code(world.twins.put_twin(&world.admin, &world.instance, put).await),
        ErrorCode::PreconditionFailed
    );
    let second = world.put("r1", floor()).await.unwrap();
    assert_ne!(first.etag, second.etag);
    assert_eq!(world.get("r1").await["$metadata"]["$model"], FLOOR);
    assert!(world.get("r1").await.get("sensor").is_none());
}

#[tokio::test]
async fn delete_heeds_etag_and_relationships() {
    let world = World::new().await;
    let delete = async |id: &str, etag: Option<&Etag>| {
        world.twins.delete_twin(&world.admin, &world.instance, id, etag.cloned()).await
    };
    let twin = world.put("f1", floor()).await.unwrap();
    world.put("r1", room()).await.unwrap();
    world.relate("f1", "x", json!({ "$relationshipName": "contains", "$targetId": "r1" })).await.unwrap();
    assert_eq!(code(delete("f1", None).await), ErrorCode::RelationshipsNotDeleted);
    assert_eq!(code(delete("r1", None).await), ErrorCode::RelationshipsNotDeleted);
    world.twins.delete_relationship(&world.admin, &world.instance, "f1", "x", None).await.unwrap();
    assert_eq!(code(delete("f1", Some(&Etag::new("other"))).await), ErrorCode::PreconditionFailed);
    delete("f1", Some(&twin.etag)).await.unwrap();
    assert_eq!(code(delete("f1", None).await), ErrorCode::TwinNotFound);
}

#[tokio::test]
async fn a_twin_goes_with_its_relationships_where_that_is_asked_for_all_or_none() {
    let world = World::within(tempfile::tempdir().unwrap(), Limits { cascade: 3, ..Limits::default() });
    world.twins.create_models(&world.admin, &world.instance, models()).await.unwrap();
    let delete = async |id: &str, etag: Option<&str>| {
        let etag = etag.map(Etag::new);
        world.twins.delete_twin_with_relationships(&world.admin, &world.instance, id, etag).await
    };
    let outgoing = async |id: &str| {
        let page = world
            .twins
            .relationships(&world.admin, &world.instance, id, None, Default::default())
            .await
            .unwrap();
        page.items.len()
    };
    for id in ["f1", "f2"] {
        world.put(id, floor()).await.unwrap();
    }
    for (number, room_id) in ["r1", "r2", "r3"].into_iter().enumerate() {
        world.put(room_id, room()).await.unwrap();
        let contains = json!({ "$relationshipName": "contains", "$targetId": room_id });
        world.relate("f1", &format!("x{number}"), contains).await.unwrap();
    }
    world.relate("f1", "up", json!({ "$relationshipName": "above", "$targetId": "f2" })).await.unwrap();
    assert_eq!(code(delete("f1", None).await), ErrorCode::QuotaExceeded, "four of them");
    assert_eq!(code(delete("r1", Some("other")).await), ErrorCode::PreconditionFailed);
    assert_eq!(outgoing("f1").await, 4, "nothing went");
    delete("r1", None).await.unwrap();
    assert_eq!(outgoing("f1").await, 3);
    delete("f1", None).await.unwrap();
    world.twins.delete_twin(&world.admin, &world.instance, "f2", None).await.unwrap();
    assert_eq!(code(delete("f1", None).await), ErrorCode::TwinNotFound);
}

#[tokio::test]
async fn the_id_in_a_body_is_the_twins() {
    let world = World::new().await;
    let with =
        |id: Value| json!({ "$dtId": id, "$metadata": { "$model": ROOM }, "sensor": { "$metadata": {} } });
    world.put("r1", with(json!("r1"))).await.unwrap();
    for other in [json!("r2"), json!(1), json!(null)] {
        assert_eq!(code(world.put("r1", with(other)).await), ErrorCode::InvalidArgument);
    }
    let said = world.put("r1", with(json!("r2"))).await.unwrap_err().message;
    assert_eq!(said, "The $dtId of the body is 'r2', and not the id of the twin, 'r1'.");
}

#[tokio::test]
async fn components_are_read_and_patched_alone() {
    let world = World::new().await;
    let mut labelled = room();
    labelled["Labels"] = json!({ "a": "b" });
    world.put("r1", labelled).await.unwrap();
    let patch = async |twin: &str, component: &str, patch: Value| {
        let patch = PatchComponent { twin: twin.into(), component: component.into(), patch, if_match: None };
        world.twins.patch_component(&world.admin, &world.instance, patch).await
    };
    let now = world.tick();
    let etag = patch("r1", "sensor", json!([{ "op": "add", "path": "/Value", "value": 3 }])).await.unwrap();
    let component = world.twins.component(&world.admin, &world.instance, "r1", "sensor").await.unwrap();
    assert_eq!(component.etag, etag);
    assert_eq!(
        component.document,
        json!({ "Value": 3, "$metadata": { "$lastUpdateTime": now, "Value": { "lastUpdateTime": now } } })
    );
    assert_eq!(world.get("r1").await["$metadata"]["$lastUpdateTime"], now);
    for (twin, name, document, expected) in [
        ("r1", "sensor", json!([{ "op": "add", "path": "/Other", "value": 3 }]), ErrorCode::ValidationFailed),
        (
            "r1",
            "sensor",
            json!([{ "op": "add", "path": "/$metadata/x", "value": 3 }]),
            ErrorCode::JsonPatchInvalid,
        ),
        (
            "r1",
            "nothing",
            json!([{ "op": "replace", "path": "/Value", "value": 3 }]),
            ErrorCode::JsonPatchInvalid,
        ),
        ("r1", "Labels", json!([{ "op": "add", "path": "/c", "value": "d" }]), ErrorCode::JsonPatchInvalid),
        (
            "r1",
            "$metadata",
            json!([{ "op": "replace", "path": "/$model", "value": HOTEL_ROOM }]),
            ErrorCode::JsonPatchInvalid,
        ),
        ("r2", "sensor", json!([{ "op": "replace", "path": "/Value", "value": 3 }]), ErrorCode::TwinNotFound),
    ] {
        assert_eq!(code(patch(twin, name, document).await), expected);
    }
    for (twin, name, expected) in
        [("r1", "Temperature", ErrorCode::ComponentNotFound), ("r2", "sensor", ErrorCode::TwinNotFound)]
    {
        assert_eq!(code(world.twins.component(&world.admin, &world.instance, twin, name).await), expected);
    }
}

#[tokio::test]
async fn telemetry_needs_a_twin_a_component_and_an_id() {
    let world = World::new().await;
    world.put("r1", room()).await.unwrap();
    let publish = async |twin: &str, component: Option<&str>, message_id: &str| {
        let telemetry = PublishTelemetry {
            twin: twin.into(),
            component: component.map(Into::into),
            message_id: message_id.into(),
            source_time: Some("2020-11-25 10:03:54.074027".into()),
            payload: r#"{ "anything": 5 }"#.into(),
        };
        world.twins.publish_telemetry(&world.admin, &world.instance, telemetry).await
    };
    publish("r1", None, "m").await.unwrap();
    publish("r1", Some("sensor"), "m").await.unwrap();
    assert_eq!(code(publish("r1", Some("Name"), "m").await), ErrorCode::ComponentNotFound);
    assert_eq!(code(publish("r2", None, "m").await), ErrorCode::TwinNotFound);
    assert_eq!(code(publish("r1", None, "").await), ErrorCode::InvalidArgument);
}
