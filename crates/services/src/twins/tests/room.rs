//! How many twins and relationships an instance may have.

use serde_json::json;

use super::*;
use crate::twins::Fragment;

fn above(target: &str) -> Value {
    json!({ "$relationshipName": "above", "$targetId": target })
}

async fn delete(world: &World, id: &str) {
    world.twins.delete_twin(&world.admin, &world.instance, id, None).await.unwrap();
}

#[tokio::test]
async fn what_is_one_too_many_is_refused_until_another_goes() {
    let world = World::bounded(Limits { twins: 40, relationships: 2, ..Limits::default() }).await;
    for number in 0..40 {
        world.put(&format!("f{number}"), floor()).await.unwrap();
    }
    let full = world.put("one-too-many", floor()).await.unwrap_err();
    assert!(full.code == ErrorCode::TwinLimitReached && full.message.contains("40"), "{full}");
    // What is there can be changed and replaced.
    world.put("f0", json!({ "$metadata": { "$model": FLOOR }, "Level": 3 })).await.unwrap();
    world.patch("f0", json!([{ "op": "replace", "path": "/Level", "value": 4 }])).await.unwrap();
    delete(&world, "f39").await;
    world.put("another", floor()).await.unwrap();
    assert_eq!(code(world.put("f39", floor()).await), ErrorCode::TwinLimitReached);

    world.relate("f0", "a", above("f1")).await.unwrap();
    world.relate("f0", "b", above("f2")).await.unwrap();
    let full = world.relate("f0", "c", above("f3")).await.unwrap_err();
    assert!(full.code == ErrorCode::QuotaExceeded && full.message.contains("2 relationships"), "{full}");
    world.relate("f0", "b", above("f3")).await.unwrap();
    // After a restart they are counted again.
    let World { folder, twins, .. } = world;
    drop(twins);
    let world = World::within(folder, Limits { twins: 40, ..Limits::default() });
    assert_eq!(code(world.put("f39", floor()).await), ErrorCode::TwinLimitReached);
    let World { folder, twins, .. } = world;
    drop(twins);
    World::within(folder, Limits { twins: 0, ..Limits::default() }).put("f39", floor()).await.unwrap();
}

#[tokio::test]
async fn a_twin_has_so_many_relationships_out_and_in() {
    let few = Limits { outgoing_relationships: 2, incoming_relationships: 1, ..Limits::default() };
    let world = World::bounded(few).await;
    for number in 0..6 {
        world.put(&format!("f{number}"), floor()).await.unwrap();
    }
    world.relate("f0", "a", above("f1")).await.unwrap();
    world.relate("f0", "b", above("f2")).await.unwrap();
    let full = world.relate("f0", "c", above("f3")).await.unwrap_err();
    assert_eq!(full.code, ErrorCode::QuotaExceeded);
    assert!(full.message.contains("2 outgoing relationships") && full.message.contains("'f0'"), "{full}");
    let full = world.relate("f4", "a", above("f1")).await.unwrap_err();
    assert_eq!(full.code, ErrorCode::QuotaExceeded);
    assert!(full.message.contains("1 incoming relationships") && full.message.contains("'f1'"), "{full}");
    // What is there can be replaced and led elsewhere, if there is room; what goes makes some.
    world.relate("f0", "b", above("f2")).await.unwrap();
    world.relate("f0", "b", above("f3")).await.unwrap();
    assert_eq!(code(world.relate("f0", "b", above("f1")).await), ErrorCode::QuotaExceeded);
    world.twins.delete_relationship(&world.admin, &world.instance, "f0", "a", None).await.unwrap();
    world.relate("f4", "a", above("f1")).await.unwrap();
    // The same holds for a graph from a file.
    let line = |source: &str, id: &str, target: &str| {
        format!(
            "{{\"$sourceId\":\"{source}\",\"$relationshipId\":\"{id}\",\"$targetId\":\"{target}\",\
             \"$relationshipName\":\"above\"}}\n"
        )
    };
    let import = async |lines: &[String]| {
        let text = format!("{{\"Section\":\"Relationships\"}}\n{}", lines.concat());
        let fragment = Fragment { bytes: text.into(), before: 1 };
        world.twins.import_graph(&world.admin, &world.instance, fragment).await
    };
    let crowded = import(&[line("f4", "b", "f5"), line("f2", "a", "f5")]).await;
    assert_eq!(code(crowded), ErrorCode::QuotaExceeded);
    assert_eq!(import(&[line("f4", "a", "f1"), line("f4", "b", "f5")]).await.unwrap().relationships, 1);
    assert_eq!(code(import(&[line("f4", "c", "f2")]).await), ErrorCode::QuotaExceeded);
}

/// One twin that very many lead to is not counted for each.
#[tokio::test]
async fn any_number_where_there_is_no_limit() {
    let none = Limits { outgoing_relationships: 0, incoming_relationships: 64, ..Limits::default() };
    let world = World::bounded(none).await;
    world.put("hub", floor()).await.unwrap();
    for number in 0..65 {
        world.put(&format!("f{number}"), floor()).await.unwrap();
        let made = world.relate(&format!("f{number}"), "a", above("hub")).await;
        if number < 64 {
            made.unwrap();
        } else {
            assert_eq!(code(made), ErrorCode::QuotaExceeded);
        }
    }
}

#[tokio::test]
async fn an_import_fills_the_room_and_may_be_run_again_when_it_is_full() {
    let world = World::bounded(Limits { twins: 3, ..Limits::default() }).await;
    let import = async |count: usize| {
        let mut text = "{\"Section\":\"Twins\"}\n".to_owned();
        for number in 0..count {
            text.push_str(&format!("{{\"$dtId\":\"f{number}\",\"$metadata\":{{\"$model\":\"{FLOOR}\"}}}}\n"));
        }
        let fragment = Fragment { bytes: text.into(), before: 1 };
        world.twins.import_graph(&world.admin, &world.instance, fragment).await
    };
    assert_eq!(code(import(4).await), ErrorCode::TwinLimitReached);
    assert_eq!(import(3).await.unwrap().twins, 3);
    let again = import(3).await.unwrap();
    assert_eq!((again.twins, again.unchanged), (0, 3));
    assert_eq!(code(import(4).await), ErrorCode::TwinLimitReached);
}
