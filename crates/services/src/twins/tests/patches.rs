use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::twins::json_patch;

#[tokio::test]
async fn values_objects_and_maps_change_and_metadata_keeps_step() {
    let world = World::new().await;
    world
        .put(
            "r1",
            json!({
                "$metadata": { "$model": ROOM, "Temperature": { "sourceTime": "2024-01-01T00:00:00Z" } },
                "sensor": { "$metadata": {} }, "Temperature": 1, "Name": "a", "Size": { "Width": 1 },
            }),
        )
        .await
        .unwrap();
    let before = world.get("r1").await;
    let now = world.tick();
    world.patch("r1", json!([
        { "op": "replace", "path": "/Temperature", "value": 2 },
        { "op": "remove", "path": "/Name" },
        { "op": "add", "path": "/Size/Depth", "value": 4.5 },
        { "op": "add", "path": "/Labels", "value": {} },
        { "op": "add", "path": "/Labels/a~1b", "value": "slash" },
        { "op": "replace", "path": "/sensor/$metadata/Unit/sourceTime", "value": "2024-05-01T10:20:30Z" },
        { "op": "add", "path": "/sensor/Unit", "value": "C" },
    ])).await.unwrap();
    let after = world.get("r1").await;
    assert_eq!(after["Temperature"], 2);
    assert!(after.get("Name").is_none());
    assert_eq!(after["Size"], json!({ "Width": 1, "Depth": 4.5 }));
    assert_eq!(after["Labels"], json!({ "a/b": "slash" }));
    let metadata = &after["$metadata"];
    assert_eq!(
        metadata["Temperature"],
        json!({ "lastUpdateTime": now }),
        "the old source time spoke of the old value"
    );
    assert!(metadata.get("Name").is_none());
    assert_eq!(metadata["Size"]["lastUpdateTime"], now);
    assert_eq!(
        after["sensor"]["$metadata"]["Unit"],
        json!({ "lastUpdateTime": now, "sourceTime": "2024-05-01T10:20:30Z" })
    );
    assert_ne!(before["$metadata"]["$lastUpdateTime"], metadata["$lastUpdateTime"]);
}

#[tokio::test]
async fn what_cannot_be_applied_is_refused_and_nothing_changes() {
    let world = World::new().await;
    world
        .put("r1", json!({ "$metadata": { "$model": ROOM }, "sensor": { "$metadata": {} }, "Name": "a" }))
        .await
        .unwrap();
    let before = world.get("r1").await;
    let good = json!({ "op": "replace", "path": "/Name", "value": "b" });
    for (bad, expected) in [
        (json!({ "op": "replace", "path": "/Temperature", "value": 1 }), ErrorCode::JsonPatchInvalid),
        (json!({ "op": "remove", "path": "/Temperature" }), ErrorCode::JsonPatchInvalid),
        (json!({ "op": "add", "path": "/Size/Depth", "value": 1 }), ErrorCode::JsonPatchInvalid),
        (json!({ "op": "add", "path": "/Name/inner", "value": 1 }), ErrorCode::JsonPatchInvalid),
        (json!({ "op": "add", "path": "/Temperature", "value": "warm" }), ErrorCode::ValidationFailed),
        (json!({ "op": "add", "path": "/Temperature", "value": null }), ErrorCode::ValidationFailed),
        (json!({ "op": "add", "path": "/Unknown", "value": 1 }), ErrorCode::ValidationFailed),
        (json!({ "op": "remove", "path": "/sensor" }), ErrorCode::ValidationFailed),
        (json!({ "op": "add", "path": "/sensor", "value": {} }), ErrorCode::ValidationFailed),
        (json!({ "op": "replace", "path": "/$dtId", "value": "x" }), ErrorCode::JsonPatchInvalid),
        (json!({ "op": "replace", "path": "/$etag", "value": "x" }), ErrorCode::JsonPatchInvalid),
        (json!({ "op": "add", "path": "/$metadata", "value": {} }), ErrorCode::JsonPatchInvalid),
        (
            json!({ "op": "add", "path": "/$metadata/Name/lastUpdateTime", "value": "2024-01-01T00:00:00Z" }),
            ErrorCode::JsonPatchInvalid,
        ),
        (
            json!({ "op": "add", "path": "/$metadata/Name/sourceTime", "value": "soon" }),
            ErrorCode::JsonPatchInvalid,
        ),
        (
            json!({ "op": "add", "path": "/$metadata/Temperature/sourceTime", "value": "2024-01-01T00:00:00Z" }),
            ErrorCode::JsonPatchInvalid,
        ),
        (json!({ "op": "remove", "path": "/$metadata/$model" }), ErrorCode::JsonPatchInvalid),
        (
            json!({ "op": "replace", "path": "/$metadata/$model", "value": "dtmi:example:Nowhere;1" }),
            ErrorCode::ValidationFailed,
        ),
        (
            json!({ "op": "replace", "path": "/$metadata/$model", "value": FLOOR }),
            ErrorCode::ValidationFailed,
        ),
        (json!({ "op": "replace", "path": "/Name", "value": "x".repeat(40_000) }), ErrorCode::TooLarge),
        (json!({ "op": "test", "path": "/Name", "value": "a" }), ErrorCode::JsonPatchInvalid),
        (json!({ "op": "move", "path": "/Name", "from": "/Temperature" }), ErrorCode::JsonPatchInvalid),
        (json!({ "op": "copy", "path": "/Name", "from": "/Temperature" }), ErrorCode::JsonPatchInvalid),
        (json!({ "op": "add", "path": "/Name" }), ErrorCode::JsonPatchInvalid),
        (json!({ "op": "add", "path": "Name", "value": "x" }), ErrorCode::JsonPatchInvalid),
        (json!({ "op": "add", "path": "/Na~2me", "value": "x" }), ErrorCode::JsonPatchInvalid),
        (json!({ "op": "add", "path": "", "value": {} }), ErrorCode::JsonPatchInvalid),
        (json!({ "path": "/Name" }), ErrorCode::JsonPatchInvalid),
        (json!({}), ErrorCode::JsonPatchInvalid),
    ] {
        assert_eq!(code(world.patch("r1", json!([good, bad])).await), expected, "{bad}");
        assert_eq!(world.get("r1").await, before, "{bad}");
    }
    assert_eq!(code(world.patch("r1", json!({})).await), ErrorCode::JsonPatchInvalid);
    assert_eq!(code(world.patch("r2", json!([])).await), ErrorCode::TwinNotFound);
}

#[tokio::test]
async fn a_twin_moves_to_another_model() {
    let world = World::new().await;
    world.put("r1", room()).await.unwrap();
    world
        .patch(
            "r1",
            json!([
                { "op": "add", "path": "/Stars", "value": 5 },
                { "op": "replace", "path": "/$metadata/$model", "value": HOTEL_ROOM },
            ]),
        )
        .await
        .unwrap();
    let twin = world.twins.get_twin(&world.admin, &world.instance, "r1").await.unwrap();
    assert_eq!(
        (twin.model.as_str(), &twin.document["$metadata"]["$model"]),
        (HOTEL_ROOM, &json!(HOTEL_ROOM))
    );
}

#[tokio::test]
async fn an_etag_lets_only_one_of_two_through() {
    let world = World::new().await;
    let twin = world.put("r1", room()).await.unwrap();
    let patch = |value: i32| PatchTwin {
        id: "r1".into(),
        patch: json!([{ "op": "add", "path": "/Temperature", "value": value }]),
        if_match: Some(twin.etag.clone()),
    };
    let etag = world.twins.patch_twin(&world.admin, &world.instance, patch(1)).await.unwrap();
    assert_ne!(etag, twin.etag);
    assert_eq!(
        code(world.twins.patch_twin(&world.admin, &world.instance, patch(2)).await),
        ErrorCode::PreconditionFailed
    );
    assert_eq!(world.get("r1").await["Temperature"], 1);
}

/// Two services over one store, as two nodes are: the lanes of one do not help the other.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_update_is_lost_between_two_nodes() {
    let world = World::new().await;
    world
        .put("r1", json!({ "$metadata": { "$model": ROOM }, "sensor": { "$metadata": {} }, "Labels": {} }))
        .await
        .unwrap();
    let nodes = [Arc::clone(&world.twins), Arc::new(Twins::new(Arc::clone(&world.twins.context)))];
    let patches = (0..60).map(|number: usize| {
        let (node, instance) = (Arc::clone(&nodes[number % 2]), world.instance.clone());
        tokio::spawn(async move {
            let operation = json!([{ "op": "add", "path": format!("/Labels/l{number}"), "value": "x" }]);
            let patch = PatchTwin { id: "r1".into(), patch: operation, if_match: None };
            node.patch_twin(&Caller::admin(), &instance, patch).await.map(drop)
        })
    });
    for patch in patches.collect::<Vec<_>>() {
        patch.await.unwrap().unwrap();
    }
    assert_eq!(world.get("r1").await["Labels"].as_object().unwrap().len(), 60);
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        "(/|~|[a-z$])*".prop_map(Value::from),
        prop_oneof!["add", "replace", "remove", "move"].prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        let name = prop_oneof!["op", "path", "value", "[a-z]"];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((name, inner), 0..4)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn any_patch_is_read_or_refused_and_applies_without_panic(patch in any_json(), root in any_json()) {
        if let (Ok(operations), Value::Object(mut root)) = (json_patch::parse(&patch), root) {
            for operation in operations {
                let _ = operation.apply(&mut root, &operation.path);
            }
        }
    }

    #[test]
    fn what_was_added_is_there_and_what_was_removed_is_not(
        names in prop::collection::vec("[a-z/~]{1,6}", 1..4), value in any::<i32>(),
    ) {
        let escaped: Vec<String> = names.iter().map(|name| name.replace('~', "~0").replace('/', "~1")).collect();
        let mut root = serde_json::Map::new();
        for depth in 1..=names.len() {
            let pointer = format!("/{}", escaped[..depth].join("/"));
            let value = if depth == names.len() { json!(value) } else { json!({}) };
            let parsed = json_patch::parse(&json!([{ "op": "add", "path": pointer, "value": value }])).unwrap();
            parsed[0].apply(&mut root, &parsed[0].path).unwrap();
        }
        let pointer = format!("/{}", escaped.join("/"));
        let mut document = Value::Object(root);
        prop_assert_eq!(document.pointer(&pointer), Some(&json!(value)));
        let parsed = json_patch::parse(&json!([{ "op": "remove", "path": pointer }])).unwrap();
        parsed[0].apply(document.as_object_mut().unwrap(), &parsed[0].path).unwrap();
        prop_assert_eq!(document.pointer(&pointer), None);
    }
}
