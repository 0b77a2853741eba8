use serde_json::json;

use super::*;
use crate::twins::{Paging, PatchRelationship};

async fn building() -> World {
    let world = World::new().await;
    world.put("f1", floor()).await.unwrap();
    for id in ["r1", "r2", "r3"] {
        world.put(id, room()).await.unwrap();
    }
    world
}

fn contains(target: &str) -> Value {
    json!({ "$relationshipName": "contains", "$targetId": target, "$sourceId": "ignored", "since": 2020 })
}

#[tokio::test]
async fn the_model_and_both_ends_are_checked() {
    let world = building().await;
    world.relate("f1", "a", contains("r1")).await.unwrap();
    for (source, document, expected) in [
        ("nowhere", contains("r1"), ErrorCode::TwinNotFound),
        ("f1", contains("nowhere"), ErrorCode::TargetTwinNotFound),
        ("f1", contains("f1"), ErrorCode::SelfRelationship),
        ("f1", json!({ "$targetId": "r1" }), ErrorCode::InvalidArgument),
        ("f1", json!([]), ErrorCode::InvalidArgument),
        ("f1", json!({ "$relationshipName": "unknown", "$targetId": "r1" }), ErrorCode::ValidationFailed),
        (
            "f1",
            json!({ "$relationshipName": "contains", "$targetId": "r1", "since": "x" }),
            ErrorCode::ValidationFailed,
        ),
        (
            "f1",
            json!({ "$relationshipName": "contains", "$targetId": "r1", "colour": 1 }),
            ErrorCode::ValidationFailed,
        ),
        ("r1", contains("r2"), ErrorCode::ValidationFailed),
    ] {
        assert_eq!(code(world.relate(source, "b", document.clone()).await), expected, "{document}");
    }
    world.put("f2", floor()).await.unwrap();
    assert_eq!(
        code(world.relate("f1", "b", contains("f2")).await),
        ErrorCode::ValidationFailed,
        "not a room"
    );
    let again = PutRelationship {
        source: "f1".into(),
        id: "a".into(),
        document: contains("r2"),
        if_none_match: true,
    };
    assert_eq!(
        code(world.twins.put_relationship(&world.admin, &world.instance, again).await),
        ErrorCode::PreconditionFailed
    );
}

#[tokio::test]
async fn properties_are_patched_and_checked() {
    let world = building().await;
    world.relate("f1", "a", contains("r1")).await.unwrap();
    let patch = async |source: &str, id: &str, patch: Value, if_match: Option<Etag>| {
        let patch = PatchRelationship { source: source.into(), id: id.into(), patch, if_match };
        world.twins.patch_relationship(&world.admin, &world.instance, patch).await
    };
    let add = json!([{ "op": "add", "path": "/by", "value": "me" }]);
    let etag = patch("f1", "a", add.clone(), None).await.unwrap();
    let found = world.twins.relationship(&world.admin, &world.instance, "f1", "a").await.unwrap();
    assert_eq!((found.properties, &found.etag), (json!({ "since": 2020, "by": "me" }), &etag));
    assert_ne!(patch("f1", "a", json!([]), Some(etag.clone())).await.unwrap(), etag);
    for (source, id, document, if_match, expected) in [
        ("f1", "a", add.clone(), Some(etag), ErrorCode::PreconditionFailed),
        ("f1", "b", add.clone(), None, ErrorCode::RelationshipNotFound),
        ("f2", "a", add.clone(), None, ErrorCode::TwinNotFound),
        (
            "f1",
            "a",
            json!([{ "op": "add", "path": "/$targetId", "value": "r2" }]),
            None,
            ErrorCode::JsonPatchInvalid,
        ),
        ("f1", "a", json!([{ "op": "remove", "path": "/other" }]), None, ErrorCode::JsonPatchInvalid),
        (
            "f1",
            "a",
            json!([{ "op": "add", "path": "/since", "value": "x" }]),
            None,
            ErrorCode::ValidationFailed,
        ),
    ] {
        assert_eq!(code(patch(source, id, document, if_match).await), expected);
    }
}

#[tokio::test]
async fn lists_go_both_ways_and_in_pages() {
    let world = building().await;
    for (id, target) in [("a", "r1"), ("b", "r2"), ("c", "r3")] {
        world.relate("f1", id, contains(target)).await.unwrap();
    }
    world.put("f2", floor()).await.unwrap();
    world.relate("f1", "up", json!({ "$relationshipName": "above", "$targetId": "f2" })).await.unwrap();
    let list = async |name: Option<&str>, paging: Paging| {
        world.twins.relationships(&world.admin, &world.instance, "f1", name, paging).await
    };
    let (mut seen, mut paging) = (Vec::new(), Paging { continuation: None, limit: Some(2) });
    loop {
        let page = list(Some("contains"), paging).await.unwrap();
        seen.extend(page.items.into_iter().map(|found| found.id));
        match page.continuation {
            Some(token) => paging = Paging { continuation: Some(token), limit: Some(2) },
            None => break,
        }
    }
    assert_eq!(seen, ["a", "b", "c"]);
    assert_eq!(list(None, Paging::default()).await.unwrap().items.len(), 4);
    assert!(list(Some("b"), Paging::default()).await.unwrap().items.is_empty(), "an id is no name");
    let incoming = world
        .twins
        .incoming_relationships(&world.admin, &world.instance, "r2", Paging::default())
        .await
        .unwrap();
    assert_eq!((incoming.items[0].source.as_str(), incoming.items.len()), ("f1", 1));
    let nowhere =
        world.twins.incoming_relationships(&world.admin, &world.instance, "nowhere", Paging::default()).await;
    assert_eq!(code(nowhere), ErrorCode::TwinNotFound);
}

#[tokio::test]
async fn delete_heeds_the_etag() {
    let world = building().await;
    world.relate("f1", "a", contains("r1")).await.unwrap();
    let delete = async |source: &str, id: &str, etag: Option<Etag>| {
        world.twins.delete_relationship(&world.admin, &world.instance, source, id, etag).await
    };
    assert_eq!(code(delete("f1", "a", Some(Etag::new("other"))).await), ErrorCode::PreconditionFailed);
    assert_eq!(code(delete("f1", "b", None).await), ErrorCode::RelationshipNotFound);
    assert_eq!(code(delete("f2", "a", None).await), ErrorCode::TwinNotFound);
    delete("f1", "a", None).await.unwrap();
    assert_eq!(code(delete("f1", "a", None).await), ErrorCode::RelationshipNotFound);
}

/// Article "Manage models", sections "Update models" and "Twins without models": a graph moves to new models twin by twin, so a
/// relationship may stand meanwhile that could not be made; what is written is checked against the models of that moment.
#[tokio::test]
async fn a_change_of_model_leaves_relationships_and_each_write_is_checked_against_the_models_of_its_time() {
    let world = building().await;
    world.relate("f1", "a", contains("r1")).await.unwrap();
    let model = |model: &str| json!([{ "op": "replace", "path": "/$metadata/$model", "value": model }]);
    let patch = async |patch: Value| {
        let patch = PatchRelationship { source: "f1".into(), id: "a".into(), patch, if_match: None };
        world.twins.patch_relationship(&world.admin, &world.instance, patch).await
    };
    let since = || json!([{ "op": "replace", "path": "/since", "value": 2021 }]);
    // A subtype of the target still is a target.
    world.patch("r1", model(HOTEL_ROOM)).await.unwrap();
    world.relate("f1", "a", contains("r1")).await.unwrap();
    patch(since()).await.unwrap();
    // The source's new model knows no such relationship.
    world
        .patch(
            "f1",
            json!([
                { "op": "replace", "path": "/$metadata/$model", "value": ROOM },
                { "op": "add", "path": "/sensor", "value": { "$metadata": {} } },
            ]),
        )
        .await
        .unwrap();
    world.twins.relationship(&world.admin, &world.instance, "f1", "a").await.unwrap();
    assert_eq!(code(patch(since()).await), ErrorCode::ValidationFailed);
    assert_eq!(code(world.relate("f1", "a", contains("r1")).await), ErrorCode::ValidationFailed);
    world.twins.delete_relationship(&world.admin, &world.instance, "f1", "a", None).await.unwrap();
}

#[tokio::test]
async fn a_target_may_have_lost_its_model_and_a_source_may_not() {
    let world = building().await;
    world.relate("f1", "a", contains("r1")).await.unwrap();
    for model in [HOTEL_ROOM, ROOM] {
        world.twins.delete_model(&world.admin, &world.instance, model).await.unwrap();
    }
    world.relate("f1", "b", contains("r2")).await.unwrap();
    world.twins.delete_relationship(&world.admin, &world.instance, "f1", "b", None).await.unwrap();
    assert_eq!(code(world.relate("r1", "c", contains("f1")).await), ErrorCode::ValidationFailed);
}
