//! Device twins: what a patch means, what is refused, who is told.

use std::sync::Arc;

use pollux_model::{ErrorCode, Etag};
use pollux_services::hub::{DeviceCommand, Removed, Show, TwinInput};
use serde_json::{Map, Value, json};

use crate::hub::{Link, create, id};
use crate::world::World;

fn map(value: Value) -> Map<String, Value> {
    value.as_object().unwrap().clone()
}

fn desired(value: Value) -> TwinInput {
    TwinInput { desired: Some(map(value)), ..TwinInput::default() }
}

async fn world() -> World {
    let world = World::new().await;
    create(&world, "d").await;
    world
}

impl World {
    async fn patch(&self, input: TwinInput) -> pollux_model::Result<pollux_model::device::Device> {
        self.services.hub.patch_twin(&self.admin, &self.hub(), &id("d"), input, None).await
    }

    async fn replace(&self, input: TwinInput) -> pollux_model::Result<pollux_model::device::Device> {
        self.services.hub.replace_twin(&self.admin, &self.hub(), &id("d"), input, None).await
    }
}

#[tokio::test]
async fn what_a_patch_means() {
    for (before, patch, after) in [
        (json!({}), json!({ "a": 1 }), json!({ "a": 1 })),
        (json!({ "a": 1 }), json!({ "a": null }), json!({})),
        (json!({ "a": 1 }), json!({ "b": null }), json!({ "a": 1 })),
        (json!({ "a": { "b": 1, "c": 2 } }), json!({ "a": { "b": 3 } }), json!({ "a": { "b": 3, "c": 2 } })),
        (json!({ "a": { "b": 1, "c": 2 } }), json!({ "a": { "b": null } }), json!({ "a": { "c": 2 } })),
        (json!({ "a": { "b": 1 } }), json!({ "a": 5 }), json!({ "a": 5 })),
        (json!({ "a": 5 }), json!({ "a": { "b": 1 } }), json!({ "a": { "b": 1 } })),
        (json!({}), json!({ "a": { "b": { "c": null, "d": 1 } } }), json!({ "a": { "b": { "d": 1 } } })),
        (json!({ "a": [1, 2] }), json!({ "a": [3] }), json!({ "a": [3] })),
        (json!({ "a": 1 }), json!({}), json!({ "a": 1 })),
    ] {
        let world = world().await;
        let both = |value: &Value| TwinInput {
            tags: Some(map(value.clone())),
            desired: Some(map(value.clone())),
            ..TwinInput::default()
        };
        world.patch(both(&before)).await.unwrap();
        let twin = world.patch(both(&patch)).await.unwrap().twin;
        assert_eq!(
            (json!(twin.tags), json!(twin.desired.properties)),
            (after.clone(), after),
            "{before} + {patch}"
        );
        assert_eq!((twin.desired.version, twin.version), (3, 3));
    }
}

#[tokio::test]
async fn what_is_refused_changes_nothing() {
    let world = world().await;
    let nested = |levels: usize| (0..levels).fold(json!(1), |inner, _| json!({ "a": inner }));
    let before = world.device("d").await.unwrap();
    let invalid = [
        json!({ "a.b": 1 }),
        json!({ "a b": 1 }),
        json!({ "$a": 1 }),
        json!({ "": 1 }),
        json!({ "a\u{0}": 1 }),
        json!({ "x".repeat(1025): 1 }),
        json!({ "a": { "b.c": 1 } }),
        json!({ "a": [{ "b.c": 1 }] }),
        json!({ "a": "x".repeat(4097) }),
        json!({ "a": 4_503_599_627_370_496_i64 }),
        json!({ "a": -4_503_599_627_370_497_i64 }),
        json!({ "a": u64::MAX }),
        nested(11),
    ];
    for patch in invalid {
        for input in
            [desired(patch.clone()), TwinInput { tags: Some(map(patch.clone())), ..TwinInput::default() }]
        {
            let error = world.patch(input).await.unwrap_err();
            assert_eq!(error.code, ErrorCode::InvalidArgument, "{patch}");
        }
    }
    assert_eq!(world.device("d").await.unwrap(), before);
    for good in [
        nested(10),
        json!({ "x".repeat(1024): "y".repeat(4096) }),
        json!({ "n": 4_503_599_627_370_495_i64, "m": -4_503_599_627_370_496_i64, "f": 1.5, "b": true }),
    ] {
        world.patch(desired(good)).await.unwrap();
    }
}

#[tokio::test]
async fn each_part_has_its_own_bound() {
    let world = world().await;
    let filled = |bytes: usize| {
        let keys = (0..bytes / 1000).map(|at| (format!("k{at:03}"), json!("x".repeat(996))));
        keys.collect::<Map<_, _>>()
    };
    let tags = |bytes| TwinInput { tags: Some(filled(bytes)), ..TwinInput::default() };
    assert_eq!(world.patch(tags(9000)).await.unwrap_err().code, ErrorCode::TooLarge);
    world.patch(tags(8000)).await.unwrap();
    let properties = |bytes| TwinInput { desired: Some(filled(bytes)), ..TwinInput::default() };
    assert_eq!(world.patch(properties(33_000)).await.unwrap_err().code, ErrorCode::TooLarge);
    world.patch(properties(32_000)).await.unwrap();
    // It is what would be stored that counts, not the patch.
    let more = desired(json!({ "more": "x".repeat(2000) }));
    assert_eq!(world.patch(more).await.unwrap_err().code, ErrorCode::TooLarge);
    let caller = world.connected("d").await;
    let reported = world.services.hub.report(&caller, &world.hub(), &id("d"), filled(33_000)).await;
    assert_eq!(reported.unwrap_err().code, ErrorCode::TooLarge);
}

#[tokio::test]
async fn etags_guard_the_service_side_and_reports_do_not_move_them() {
    let world = world().await;
    let first = world.device("d").await.unwrap().twin.service_etag;
    let caller = world.connected("d").await;
    world.services.hub.report(&caller, &world.hub(), &id("d"), map(json!({ "fw": 1 }))).await.unwrap();
    let patch = async |etag: &Etag| {
        let input = desired(json!({ "a": 1 }));
        world.services.hub.patch_twin(&world.admin, &world.hub(), &id("d"), input, Some(etag.clone())).await
    };
    let changed = patch(&first).await.unwrap();
    assert_eq!(patch(&first).await.unwrap_err().code, ErrorCode::PreconditionFailed);
    patch(&changed.twin.service_etag).await.unwrap();
}

#[tokio::test]
async fn the_device_is_told_of_each_change_in_order() {
    let world = world().await;
    let (caller, link) = (world.connected("d").await, Arc::new(Link::default()));
    let _connection =
        world.services.hub.connect_device(&caller, &world.hub(), &id("d"), link.clone()).await.unwrap();
    let changes = (0..20).map(|at| world.patch(desired(json!({ "n": at }))));
    for change in futures_util::future::join_all(changes).await {
        change.unwrap();
    }
    let versions: Vec<u64> = link
        .taken()
        .into_iter()
        .map(|command| match command {
            DeviceCommand::Desired { version, .. } => version,
            DeviceCommand::MessageWaiting => panic!("nobody sent it a message"),
            DeviceCommand::Close { reason } => panic!("{reason}"),
        })
        .collect();
    assert_eq!(versions, (2..22).collect::<Vec<_>>());
    world.patch(TwinInput { tags: Some(map(json!({ "a": 1 }))), ..TwinInput::default() }).await.unwrap();
    assert!(link.taken().is_empty(), "tags are none of its business");

    world.patch(desired(json!({ "n": null, "keep": 1, "go": { "x": 1, "y": 2 } }))).await.unwrap();
    link.taken();
    let device = world.replace(desired(json!({ "keep": 1, "go": { "x": 1 }, "new": [1] }))).await.unwrap();
    assert_eq!(json!(device.twin.desired.properties), json!({ "keep": 1, "go": { "x": 1 }, "new": [1] }));
    assert!(device.twin.tags.is_empty());
    let told = link.taken();
    let [DeviceCommand::Desired { patch, version }] = told.as_slice() else { panic!("{told:?}") };
    // What stays is named again, what went is null.
    let whole = json!({ "keep": 1, "go": { "x": 1, "y": null }, "new": [1] });
    assert_eq!((patch, *version), (&whole, device.twin.desired.version));
}

#[tokio::test]
async fn a_part_that_is_null_is_emptied() {
    let world = world().await;
    let given = Some(map(json!({ "a": 1, "b": { "c": 2 } })));
    world.patch(TwinInput { tags: given.clone(), desired: given, ..TwinInput::default() }).await.unwrap();
    let (caller, link) = (world.connected("d").await, Arc::new(Link::default()));
    let place =
        world.services.hub.connect_device(&caller, &world.hub(), &id("d"), link.clone()).await.unwrap();
    let removed = |tags, desired| TwinInput { removed: Removed { tags, desired }, ..TwinInput::default() };
    let twin = world.patch(removed(true, false)).await.unwrap().twin;
    assert_eq!((twin.tags.len(), twin.desired.properties.len()), (0, 2));
    assert!(link.taken().is_empty());
    let twin = world.patch(removed(false, true)).await.unwrap().twin;
    assert_eq!((twin.desired.properties.len(), twin.desired.version), (0, 3));
    let told = link.taken();
    let [DeviceCommand::Desired { patch, version: 3 }] = told.as_slice() else { panic!("{told:?}") };
    assert_eq!(patch, &json!({ "a": null, "b": null }));
    drop(place);
}

#[tokio::test]
async fn metadata_tells_when_each_property_changed() {
    let world = world().await;
    let first = world.tick();
    world.patch(desired(json!({ "a": { "b": 1 }, "c": 1 }))).await.unwrap();
    let second = world.tick();
    let twin = world.patch(desired(json!({ "a": { "b": 2 } }))).await.unwrap().twin;
    let at = |path: &str| json!(twin.desired.metadata).pointer(path).cloned().unwrap_or(Value::Null);
    assert_eq!((at("/a/b/$lastUpdated"), at("/a/b/$lastUpdatedVersion")), (json!(second), json!(3)));
    assert_eq!((at("/a/$lastUpdated"), at("/$lastUpdated")), (json!(second), json!(second)));
    assert_eq!((at("/c/$lastUpdated"), at("/c/$lastUpdatedVersion")), (json!(first), json!(2)));
    let twin = world.patch(desired(json!({ "a": null }))).await.unwrap().twin;
    assert!(json!(twin.desired.metadata).pointer("/a").is_none());
}

#[tokio::test]
async fn a_device_reads_and_reports_its_own_twin() {
    let world = world().await;
    world
        .patch(TwinInput {
            tags: Some(map(json!({ "secret": 1 }))),
            desired: Some(map(json!({ "rate": 5 }))),
            ..TwinInput::default()
        })
        .await
        .unwrap();
    let (caller, hub) = (world.connected("d").await, world.hub());
    let service = &world.services.hub;
    let reported = service.report(&caller, &hub, &id("d"), map(json!({ "fw": { "v": 1 } }))).await.unwrap();
    assert_eq!(reported, 2);
    service.report(&caller, &hub, &id("d"), map(json!({ "fw": { "v": null, "w": 2 } }))).await.unwrap();
    let own = service.own_twin(&caller, &hub, &id("d"), Show::Properties).await.unwrap();
    assert_eq!(
        own,
        json!({ "desired": { "rate": 5, "$version": 2 }, "reported": { "fw": { "w": 2 }, "$version": 3 } })
    );
    let whole = service.own_twin(&caller, &hub, &id("d"), Show::Metadata).await.unwrap();
    let seen = service.twin(&world.admin, &hub, &id("d")).await.unwrap();
    assert_eq!(whole, seen["properties"], "as the service side sees it, without tags");
    create(&world, "other").await;
    assert_eq!(
        service.own_twin(&caller, &hub, &id("other"), Show::Metadata).await.unwrap_err().code,
        ErrorCode::Forbidden
    );
    let bad = service.report(&caller, &hub, &id("d"), map(json!({ "$version": 9 }))).await;
    assert_eq!(bad.unwrap_err().code, ErrorCode::InvalidArgument);
    service.announce_model(&caller, &hub, &id("d"), "dtmi:example:Thermostat;1").await.unwrap();
    assert_eq!(
        service.twin(&world.admin, &hub, &id("d")).await.unwrap()["modelId"],
        "dtmi:example:Thermostat;1"
    );
}

/// A route is told the whole of a replaced twin, and of a patch what it names; the device of each what it is to change.
#[tokio::test]
async fn what_is_told_of_a_replaced_twin_and_of_a_patched_one() {
    let world = crate::hub::with_routes().await;
    create(&world, "d").await;
    let (caller, link) = (world.connected("d").await, Arc::new(Link::default()));
    let _connection =
        world.services.hub.connect_device(&caller, &world.hub(), &id("d"), link.clone()).await.unwrap();
    let both = |value: Value| TwinInput {
        tags: Some(map(value.clone())),
        desired: Some(map(value)),
        ..TwinInput::default()
    };
    world.patch(both(json!({ "a": 1, "b": { "c": 1 } }))).await.unwrap();
    // Nothing is another than before: of a replacement all is named all the same.
    world.replace(both(json!({ "a": 1, "b": { "c": 1 } }))).await.unwrap();
    let emptied = Removed { tags: true, desired: false };
    world.patch(TwinInput { removed: emptied, ..TwinInput::default() }).await.unwrap();
    let told: Vec<_> = link
        .taken()
        .into_iter()
        .map(|command| match command {
            DeviceCommand::Desired { patch, version } => (patch, version),
            other => panic!("{other:?}"),
        })
        .collect();
    let whole = json!({ "a": 1, "b": { "c": 1 } });
    assert_eq!(told, [(whole.clone(), 2), (whole.clone(), 3)]);
    while world.services.events.relay(0).await.unwrap() > 0 {}
    let of_twins: Vec<(String, Value)> = world
        .events("twins")
        .await
        .into_iter()
        .filter_map(|event| {
            let text = |name: &str| event.application_properties.get(name)?.as_str().map(str::to_owned);
            let body = serde_json::from_slice(&event.body.as_bytes()?).ok()?;
            (text("iothub-message-schema")? == "twinChangeNotification").then_some((text("opType")?, body))
        })
        .collect();
    let names: Vec<&str> = of_twins.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["updateTwin", "replaceTwin", "updateTwin"]);
    let replaced = &of_twins[1].1;
    assert_eq!((&replaced["tags"], &replaced["properties"]["desired"]["b"]), (&whole, &json!({ "c": 1 })));
    assert_eq!(replaced["properties"]["reported"]["$version"], json!(1), "the whole twin");
    assert_eq!(of_twins[2].1, json!({ "version": 4, "tags": { "a": null, "b": null } }));
}
