use serde_json::json;

use super::*;
use crate::Right;
use crate::caller::Identity;
use crate::twins::{ListModels, Paging};
use pollux_model::resource::ResourceKind;

fn interface(id: &str, extends: &str) -> Value {
    json!({ "@id": id, "@type": "Interface", "@context": "dtmi:dtdl:context;2", "extends": extends })
}

#[tokio::test]
async fn uploaded_models_are_described_and_survive_a_restart() {
    let world = World::empty();
    let made = world.twins.create_models(&world.admin, &world.instance, models()).await.unwrap();
    assert_eq!(
        made.iter().map(|model| model.id.as_str()).collect::<Vec<_>>(),
        [SENSOR, ROOM, HOTEL_ROOM, FLOOR]
    );
    let world = world.again().await;
    let room = world.twins.model(&world.admin, &world.instance, ROOM).await.unwrap();
    assert_eq!(room, made[1]);
    assert_eq!(room.display_name.get("en").map(String::as_str), Some("Room"));
    assert_eq!(room.document["@id"], ROOM);
    let interface = world.twins.interface(&world.admin, &world.instance, HOTEL_ROOM).await.unwrap().unwrap();
    assert!(interface.properties.contains_key("Temperature"), "inherited");
}

#[tokio::test]
async fn bad_models_are_refused_whole() {
    let world = World::new().await;
    let create = async |documents| world.twins.create_models(&world.admin, &world.instance, documents).await;
    assert_eq!(code(create(vec![]).await), ErrorCode::InvalidArgument);
    assert_eq!(code(create(vec![json!({})]).await), ErrorCode::ModelInvalid);
    let fresh = interface("dtmi:example:Fresh;1", ROOM);
    assert_eq!(code(create(vec![fresh.clone(), interface(ROOM, SENSOR)]).await), ErrorCode::ModelExists);
    let dangling =
        create(vec![fresh.clone(), interface("dtmi:example:Other;1", "dtmi:example:Nowhere;1")]).await;
    let error = dangling.unwrap_err();
    assert_eq!(error.code, ErrorCode::ModelInvalid);
    assert!(error.message.contains("dtmi:example:Nowhere;1"), "{error}");
    assert_eq!(code(create(vec![fresh.clone(), fresh.clone()]).await), ErrorCode::ModelInvalid);
    assert_eq!(
        code(world.twins.model(&world.admin, &world.instance, "dtmi:example:Fresh;1").await),
        ErrorCode::ModelNotFound
    );
    create(vec![fresh]).await.unwrap();
}

#[tokio::test]
async fn versions_of_dtdl_are_taken_as_azure_takes_them_unless_told_otherwise() {
    let model = |version: u8| {
        json!({"@context": format!("dtmi:dtdl:context;{version}"), "@id": format!("dtmi:example:V{version};1"), "@type": "Interface",
            "contents": [{"@type": "Property", "name": "list", "schema": {"@type": "Array", "elementSchema": "double"}}]})
    };
    let world = World::empty();
    let create = async |world: &World, version| {
        world.twins.create_models(&world.admin, &world.instance, vec![model(version)]).await
    };
    create(&world, 3).await.unwrap();
    let refused = create(&world, 4).await.unwrap_err();
    assert_eq!(refused.code, ErrorCode::ModelVersionUnsupported);
    assert!(refused.message.contains("DTDL version 4 is not accepted here"), "{refused}");
    let twin = |list: Value| json!({"$metadata": {"$model": "dtmi:example:V3;1"}, "list": list});
    world.put("t", twin(json!([1, 2.5]))).await.unwrap();
    assert_eq!(code(world.put("t", twin(json!([1, "x"]))).await), ErrorCode::ValidationFailed);
    let limits = Limits { dtdl_version: 4, ..Limits::default() };
    let World { folder, twins, .. } = world;
    drop(twins);
    let world = World::within(folder, limits);
    create(&world, 4).await.unwrap();
    // What is stored stays when the setting is lowered.
    let world = world.again().await;
    world.twins.model(&world.admin, &world.instance, "dtmi:example:V4;1").await.unwrap();
}

#[tokio::test]
async fn numbers_and_sizes_have_limits() {
    let limits = Limits { models: 3, models_per_request: 2, model: 200, ..Limits::default() };
    let world = World::within(tempfile::tempdir().unwrap(), limits);
    let create = async |documents| world.twins.create_models(&world.admin, &world.instance, documents).await;
    let model = |number: u8| json!({ "@id": format!("dtmi:a;{number}"), "@type": "Interface", "@context": "dtmi:dtdl:context;2" });
    let mut long = model(1);
    long["description"] = "x".repeat(200).into();
    assert_eq!(code(create(vec![long]).await), ErrorCode::ModelInvalid);
    assert_eq!(code(create(vec![model(1), model(2), model(3)]).await), ErrorCode::QuotaExceeded);
    create(vec![model(1), model(2)]).await.unwrap();
    assert_eq!(code(create(vec![model(3), model(4)]).await), ErrorCode::QuotaExceeded);
    create(vec![model(3)]).await.unwrap();
    let dependencies_for = vec!["dtmi:a;1".to_owned(); 101];
    let list = ListModels { dependencies_for, paging: Paging::default() };
    assert_eq!(code(world.twins.models(&world.admin, &world.instance, list).await), ErrorCode::QuotaExceeded);
}

#[tokio::test]
async fn lists_are_paged_and_follow_dependencies() {
    let world = World::new().await;
    let list = async |dependencies_for: &[&str], paging: Paging| {
        let dependencies_for = dependencies_for.iter().map(ToString::to_string).collect();
        world.twins.models(&world.admin, &world.instance, ListModels { dependencies_for, paging }).await
    };
    let ids =
        |items: &[crate::twins::ModelDescription]| items.iter().map(|m| m.id.clone()).collect::<Vec<_>>();
    let all = list(&[], Paging::default()).await.unwrap();
    assert_eq!((ids(&all.items).len(), all.continuation), (4, None));
    let needed = list(&[HOTEL_ROOM], Paging::default()).await.unwrap();
    assert_eq!(ids(&needed.items), [HOTEL_ROOM, ROOM, SENSOR]);
    assert_eq!(code(list(&["dtmi:example:Nowhere;1"], Paging::default()).await), ErrorCode::ModelNotFound);
    let (mut seen, mut paging) = (Vec::new(), Paging { continuation: None, limit: Some(3) });
    loop {
        let page = list(&[], paging).await.unwrap();
        assert!(page.items.len() <= 3);
        seen.extend(ids(&page.items));
        match page.continuation {
            Some(token) => paging = Paging { continuation: Some(token), limit: Some(3) },
            None => break,
        }
    }
    assert_eq!(seen, ids(&all.items));
}

#[tokio::test]
async fn a_model_in_use_by_another_stays_and_one_without_users_goes() {
    let world = World::new().await;
    let delete = async |id: &str| world.twins.delete_model(&world.admin, &world.instance, id).await;
    world.put("r1", room()).await.unwrap();
    let error = delete(ROOM).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::ModelReferenced);
    assert!(error.message.contains(HOTEL_ROOM));
    assert_eq!(code(delete("dtmi:example:Nowhere;1").await), ErrorCode::ModelNotFound);
    delete(HOTEL_ROOM).await.unwrap();
    delete(ROOM).await.unwrap();
    assert_eq!(code(delete(ROOM).await), ErrorCode::ModelNotFound);
    // The twin stays; it can lose what it has, and nothing else.
    assert_eq!(world.get("r1").await["$metadata"]["$model"], ROOM);
    assert_eq!(
        code(world.patch("r1", json!([{ "op": "add", "path": "/Name", "value": "x" }])).await),
        ErrorCode::ValidationFailed
    );
    assert_eq!(code(world.put("r2", room()).await), ErrorCode::ValidationFailed);
}

#[tokio::test]
async fn a_decommissioned_model_has_no_new_twins() {
    let world = World::new().await;
    let patch =
        async |patch: Value| world.twins.patch_model(&world.admin, &world.instance, ROOM, &patch).await;
    world.put("r1", room()).await.unwrap();
    let decommission = json!([{ "op": "replace", "path": "/decommissioned", "value": true }]);
    let in_use = patch(decommission.clone()).await.unwrap_err();
    assert_eq!(in_use.code, ErrorCode::ModelReferencesInUse);
    assert!(in_use.message.contains(HOTEL_ROOM), "{in_use}");
    world.twins.patch_model(&world.admin, &world.instance, HOTEL_ROOM, &decommission).await.unwrap();
    patch(decommission.clone()).await.unwrap();
    patch(decommission.clone()).await.unwrap();
    for bad in [
        json!([{ "op": "replace", "path": "/decommissioned", "value": false }]),
        json!([{ "op": "replace", "path": "/displayName", "value": "x" }]),
        json!([{ "op": "remove", "path": "/decommissioned" }]),
        json!([{}]),
    ] {
        assert_eq!(code(patch(bad).await), ErrorCode::JsonPatchInvalid);
    }
    let nowhere = world.twins.patch_model(&world.admin, &world.instance, "dtmi:a:b;1", &decommission).await;
    assert_eq!(code(nowhere), ErrorCode::ModelNotFound);
    assert_eq!(code(world.put("r2", room()).await), ErrorCode::ModelDecommissioned);
    world.patch("r1", json!([{ "op": "add", "path": "/Name", "value": "still alive" }])).await.unwrap();
    // A twin that is there is no new one.
    world.put("r1", room()).await.unwrap();
    let put = PutTwin { id: "r1".into(), document: room(), if_none_match: true };
    let there = world.twins.put_twin(&world.admin, &world.instance, put).await;
    assert_eq!(code(there), ErrorCode::PreconditionFailed);
    let put = PutTwin { id: "r2".into(), document: room(), if_none_match: true };
    let new = world.twins.put_twin(&world.admin, &world.instance, put).await;
    assert_eq!(code(new), ErrorCode::ModelDecommissioned);
    world.put("f1", floor()).await.unwrap();
    assert_eq!(code(world.put("f1", room()).await), ErrorCode::ModelDecommissioned);
    let world = world.again().await;
    assert!(world.twins.model(&world.admin, &world.instance, ROOM).await.unwrap().decommissioned);
}

#[tokio::test]
async fn rights_are_asked_for() {
    let world = World::new().await;
    let identity = Identity::Principal { issuer: "i".into(), subject: "s".into() };
    let reader = Caller::on_kind(identity.clone(), ResourceKind::Twins, vec![Right::TwinsRead]);
    let nobody = Caller::own(identity);
    world.twins.model(&reader, &world.instance, ROOM).await.unwrap();
    assert_eq!(code(world.twins.model(&nobody, &world.instance, ROOM).await), ErrorCode::Forbidden);
    assert_eq!(code(world.twins.delete_model(&reader, &world.instance, FLOOR).await), ErrorCode::Forbidden);
    let put = PutTwin { id: "r1".into(), document: room(), if_none_match: false };
    assert_eq!(code(world.twins.put_twin(&reader, &world.instance, put).await), ErrorCode::Forbidden);
    let elsewhere = ResourceName::parse("twins2").unwrap();
    assert_eq!(code(world.twins.model(&world.admin, &elsewhere, ROOM).await), ErrorCode::ResourceNotFound);
}
