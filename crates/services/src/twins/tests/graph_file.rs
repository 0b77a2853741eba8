//! Whole graphs as files.

use pollux_model::job::Section;
use pollux_model::resource::ResourceKind;

use super::*;
use crate::twins::{Fragment, Imported};

fn file(sections: &[(&str, Vec<Value>)]) -> String {
    let mut text = String::new();
    for (section, items) in sections {
        text.push_str(&format!("{}\n", json!({ "Section": section })));
        items.iter().for_each(|item| text.push_str(&format!("{item}\n")));
    }
    text
}

async fn import(world: &World, text: String) -> Result<Imported, Error> {
    let fragment = Fragment { bytes: text.into(), before: 1 };
    world.twins.import_graph(&world.admin, &world.instance, fragment).await
}

async fn export(world: &World) -> String {
    let mut export = world.twins.export_graph(&world.admin, &world.instance).unwrap();
    let mut text = String::new();
    while let Some(part) = export.next().await.unwrap() {
        text.push_str(std::str::from_utf8(&part).unwrap());
    }
    text
}

fn named(id: &str, mut twin: Value) -> Value {
    twin["$dtId"] = json!(id);
    twin
}

fn contains(source: &str, id: &str, target: &str) -> Value {
    json!({ "$dtId": source, "$relationshipId": id, "$relationshipName": "contains", "$targetId": target, "since": 3 })
}

/// In an order in which nothing comes before what it needs but the models.
fn graph() -> Vec<(&'static str, Vec<Value>)> {
    let mut backwards = models();
    backwards.reverse();
    let mut warm = named("r1", room());
    warm["Temperature"] = json!(21.5);
    warm["sensor"] = json!({ "$metadata": {}, "Unit": "C" });
    warm["$metadata"]["Temperature"] = json!({ "sourceTime": "2024-05-01T10:20:30Z" });
    vec![
        ("Models", backwards),
        ("Twins", vec![named("f1", floor()), warm, named("r2", room())]),
        ("Relationships", vec![contains("f1", "a", "r1"), contains("f1", "b", "r2")]),
    ]
}

fn figures(imported: &Imported) -> (u64, u64, u64, u64, usize) {
    let Imported { models, twins, relationships, unchanged, faults } = imported;
    (*models, *twins, *relationships, *unchanged, faults.len())
}

#[tokio::test]
async fn what_is_exported_is_imported_and_exported_the_same() {
    let world = World::empty();
    assert_eq!(figures(&import(&world, file(&graph())).await.unwrap()), (4, 3, 2, 0, 0));
    let counts = world.twins.graph_counts(&world.admin, &world.instance).await.unwrap();
    assert_eq!((counts.models, counts.twins, counts.relationships), (4, 3, 2));
    assert_eq!(world.get("r1").await["$metadata"]["Temperature"]["sourceTime"], "2024-05-01T10:20:30Z");
    let text = export(&world).await;
    assert!(text.starts_with("{\"Section\":\"Header\"}\n{\"fileVersion\":\"1.0.0\""), "{text}");
    assert!(!text.contains("$etag") && !text.contains("lastUpdateTime"), "{text}");
    let place = |id: &str| text.find(&format!("{{\"@id\":\"{id}\"")).unwrap();
    assert!(place(SENSOR) < place(ROOM) && place(ROOM) < place(HOTEL_ROOM), "each behind those it needs");
    let other = World::empty();
    assert_eq!(figures(&import(&other, text.clone()).await.unwrap()), (4, 3, 2, 0, 0));
    assert_eq!(export(&other).await, text);
}

#[tokio::test]
async fn what_is_there_and_equal_stays_and_what_differs_is_a_fault() {
    let world = World::empty();
    import(&world, file(&graph())).await.unwrap();
    let before = world.get("r1").await;
    world.tick();
    assert_eq!(figures(&import(&world, file(&graph())).await.unwrap()), (0, 0, 0, 9, 0));
    assert_eq!(world.get("r1").await, before, "not even its times");
    let mut other = graph();
    other[0].1[0]["displayName"] = json!("another");
    other[1].1[2]["Name"] = json!("new");
    other[1].1.push(named("r3", room()));
    other[1].1.push(named("r3", room()));
    other[2].1[0]["since"] = json!(4);
    let imported = import(&world, file(&other)).await.unwrap();
    assert_eq!(figures(&imported), (0, 1, 0, 3 + 2 + 1 + 1, 3));
    let found: Vec<_> = imported
        .faults
        .iter()
        .map(|fault| (fault.section, fault.id.as_deref().unwrap(), fault.error.code))
        .collect();
    let wanted = [
        (Section::Models, FLOOR, ErrorCode::ModelExists),
        (Section::Twins, "r2", ErrorCode::PreconditionFailed),
        (Section::Relationships, "f1/a", ErrorCode::RelationshipExists),
    ];
    assert_eq!(found, wanted);
}

#[tokio::test]
async fn each_item_that_does_not_hold_is_told_with_its_line() {
    let world = World::new().await;
    let mut text = file(&[(
        "Twins",
        vec![named("r1", room()), json!({ "$dtId": "x" }), json!([]), named("f1", floor())],
    )]);
    text.push_str("{\"$dtId\":\n");
    text.push_str(&file(&[(
        "Relationships",
        vec![
            contains("f1", "a", "r1"),
            contains("f1", "b", "none"),
            contains("none", "b", "r1"),
            contains("r1", "c", "f1"),
            contains("f1", "d", "f1"),
            json!({ "$sourceId": "f1", "$relationshipId": "e", "$relationshipName": "above", "$targetId": "r1" }),
            json!({ "$relationshipId": "e", "$relationshipName": "above", "$targetId": "r1" }),
        ],
    )]));
    let imported = import(&world, text).await.unwrap();
    assert_eq!(figures(&imported), (0, 2, 2, 0, 8));
    let found: Vec<_> = imported.faults.iter().map(|fault| (fault.line, fault.error.code)).collect();
    use ErrorCode as E;
    let wanted = [
        (3, E::ValidationFailed),
        (4, E::InvalidArgument),
        (6, E::InvalidArgument),
        (9, E::TargetTwinNotFound),
        (10, E::TwinNotFound),
        (11, E::ValidationFailed),
        (12, E::SelfRelationship),
        (14, E::InvalidArgument),
    ];
    assert_eq!(found, wanted);
}

#[tokio::test]
async fn models_that_do_not_hold_together_are_none() {
    let world = World::empty();
    let needs = json!({ "@id": "dtmi:a:b;1", "@type": "Interface", "@context": "dtmi:dtdl:context;2",
        "extends": "dtmi:none:none;1" });
    let text = file(&[("Models", vec![models().remove(0), needs]), ("Twins", vec![])]);
    assert_eq!(code(import(&world, text).await), ErrorCode::ModelInvalid);
    let counts = world.twins.graph_counts(&world.admin, &world.instance).await.unwrap();
    assert_eq!(counts.models, 0);
    let nobody = Caller::on_kind(crate::caller::Identity::Admin, ResourceKind::Hub, Vec::new());
    let fragment = Fragment { bytes: "".into(), before: 1 };
    assert!(world.twins.import_graph(&nobody, &world.instance, fragment).await.is_err());
    assert!(world.twins.export_graph(&nobody, &world.instance).is_err());
}

#[tokio::test]
async fn a_large_graph_goes_in_pages_and_twins_that_were_related_twice_meet_once() {
    let world = World::new().await;
    let twins = (0..2300).map(|n| named(&format!("r{n}"), room())).chain([named("f1", floor())]).collect();
    let edges = (0..2300).map(|n| contains("f1", &format!("e{n}"), &format!("r{n}"))).collect();
    let text = file(&[("Twins", twins), ("Relationships", edges)]);
    assert_eq!(figures(&import(&world, text).await.unwrap()), (0, 2301, 2300, 0, 0));
    let text = export(&world).await;
    assert_eq!(text.lines().count(), 1 + 1 + 1 + 4 + 1 + 2301 + 1 + 2300);
    assert_eq!(figures(&import(&world, text).await.unwrap()), (0, 0, 0, 4 + 2301 + 2300, 0));
}
