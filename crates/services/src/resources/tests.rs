use pollux_eventlog::{NewRecord, StreamName};
use pollux_model::resource::{Properties, ResourceKind, RouteSource};
use serde_json::{Value, json};

use super::*;
use crate::Settings;
use crate::fixture::World;

fn declared(kind: ResourceKind, body: Value) -> Declared {
    Declared::read(kind, None, body).unwrap()
}

async fn create(world: &World, kind: ResourceKind, body: Value) -> Result<Resource> {
    let declared = Declared::read(kind, None, body)?;
    world.services.resources.create(&Caller::admin(), &declared).await
}

fn name(text: &str) -> ResourceName {
    ResourceName::parse(text).unwrap()
}

#[tokio::test]
async fn a_first_start_has_one_of_each_linked_with_each_other() {
    let world = World::new().await;
    let all = world.services.context.table.all();
    let names: Vec<_> =
        all.iter().map(|one| (one.name.as_str(), one.host_name.as_str(), one.group.as_str())).collect();
    for expected in ["dps1", "hub1", "events1", "twins1", "functions1"] {
        assert!(names.contains(&(expected, "localhost", "default")), "{names:?}");
    }
    let Properties::Dps(dps) = &world.resource(ResourceKind::Dps, "dps1").properties else { panic!() };
    assert_eq!(dps.linked_hubs[0].hub.as_str(), "hub1");
    assert!(dps.id_scope.starts_with("0ne") && dps.id_scope.len() == 11, "{}", dps.id_scope);
    let Properties::Hub(hub) = &world.resource(ResourceKind::Hub, "hub1").properties else { panic!() };
    let policies: Vec<_> = hub.policies.iter().map(|policy| policy.name.as_str()).collect();
    assert_eq!(policies, ["iothubowner", "service", "device", "registryRead", "registryReadWrite"]);
    assert_eq!(hub.routes[0].source, RouteSource::DeviceMessages);
    assert_eq!(hub.routes[1].condition, "opType='deleteDeviceIdentity'");
    // Beside its event hub, what devices send is where Azure's samples and suites read it.
    assert_eq!(hub.routes[2].source, RouteSource::DeviceMessages);
    assert_eq!((hub.routes[2].endpoint.as_str(), hub.routes[2].condition.as_str()), ("events", "true"));
    let streams = world.services.context.log.streams().await.unwrap();
    let streams: Vec<_> = streams.iter().map(|(name, config)| (name.as_str(), config.partitions)).collect();
    assert_eq!(
        streams,
        [
            ("dps1.dps/audit", 1),
            ("events1/deviceevents", 4),
            ("events1/lifecycleevents", 4),
            ("hub1.hub/iothub-ehub-hub1", 4),
        ]
    );
}

#[tokio::test]
async fn a_second_start_finds_everything_as_it_was() {
    let world = World::new().await;
    let before: Vec<_> = world.services.context.table.all().iter().map(|one| Resource::clone(one)).collect();
    let admin_key = world.services.authority.reveal_admin_key().cloned();
    let client = world.services.issuer.credentials().unwrap();
    let world = world.restarted();
    world.services.load(&[]).await.unwrap();
    let after: Vec<_> = world.services.context.table.all().iter().map(|one| Resource::clone(one)).collect();
    assert_eq!(before, after);
    assert_eq!(admin_key, world.services.authority.reveal_admin_key().cloned());
    let again = world.services.issuer.credentials().unwrap();
    assert_eq!((client.tenant_id, client.client_secret), (again.tenant_id, again.client_secret));
}

#[tokio::test]
async fn an_instance_declares_indexes_that_there_can_be() {
    let world = World::new().await;
    let declare = async |indexes: Value| {
        let body = json!({ "name": "twins1", "indexes": indexes });
        let declared = Declared::read(ResourceKind::Twins, None, body)?;
        let changed = world.services.resources.change(&Caller::admin(), &declared, None).await?;
        let Properties::Twins(twins) = changed.properties else { panic!() };
        Ok::<_, Error>(twins.indexes)
    };
    let said = json!(["in.part:number", "Level", "Level"]);
    assert_eq!(declare(said).await.unwrap(), ["Level", "in.part:number"]);
    for bad in
        ["", "$metadata", "a b", "a..b", "a.b.c.d.e", "Level:integer", "x'; DROP TABLE digital_twins; --"]
    {
        let error = declare(json!([bad])).await.unwrap_err();
        assert!(error.message.contains("can have no index: name a property"), "{bad}: {}", error.message);
    }
    let many: Vec<String> = (0..5).map(|number| format!("p{number}")).collect();
    let error = declare(json!(many)).await.unwrap_err();
    assert_eq!(
        error.message,
        "these are 10 indexes, and one instance may have 8 (limits.property_indexes): a property without ':number' or \
         ':text' has two"
    );
    // What is left out stays; an empty list declares none.
    assert_eq!(declare(Value::Null).await.unwrap(), ["Level", "in.part:number"]);
    assert_eq!(declare(json!([])).await.unwrap(), [""; 0]);
}

#[tokio::test]
async fn what_was_deleted_does_not_come_back() {
    let world = World::new().await;
    let resources = &world.services.resources;
    let held = resources.group(&Caller::admin(), "default").await.unwrap();
    let order: Vec<_> = held.resources.iter().map(|(one, _)| one.kind()).collect();
    assert_eq!(order, ResourceKind::ALL);
    assert_eq!(resources.delete_group(&Caller::admin(), "DEFAULT").await.unwrap().len(), 5);
    assert!(world.services.context.log.streams().await.unwrap().is_empty());
    let world = world.restarted();
    world.services.load(&[]).await.unwrap();
    assert!(world.services.context.table.all().is_empty());
}

#[tokio::test]
async fn what_is_declared_is_made_then_adopted_and_nothing_is_deleted() {
    let key = pollux_model::Key::from_bytes(&[7; 32]);
    let hub = |condition: &str| {
        declared(
            ResourceKind::Hub,
            json!({
                "name": "plant", "group": "floor", "host_name": "plant.example.com",
                "policies": [{ "name": "iothubowner", "primary_key": key.reveal() }],
                "endpoints": [{ "name": "out", "namespace": "stream", "event_hub": "Raw" }],
                "routes": [{ "name": "all", "source": "DeviceMessages", "condition": condition, "endpoint": "out" }],
            }),
        )
    };
    let events =
        declared(ResourceKind::Events, json!({ "name": "stream", "event_hubs": [{ "name": "raw" }] }));
    // The hub is declared before what it needs.
    let world = World::with(Settings::default(), &[hub("true"), events.clone()]).await;
    let made = world.resource(ResourceKind::Hub, "plant");
    assert_eq!((made.group.as_str(), made.host_name.as_str()), ("floor", "plant.example.com"));
    assert_eq!(made.policy("iothubowner").unwrap().primary(), &key);
    assert!(
        world.services.context.table.named(ResourceKind::Hub, "hub1").is_none(),
        "no default beside a declared one"
    );
    let Properties::Dps(dps) = &world.resource(ResourceKind::Dps, "dps1").properties else { panic!() };
    assert_eq!(dps.linked_hubs[0].hub.as_str(), "plant", "the default DPS serves the declared hub");

    let world = world.restarted();
    world.services.load(&[hub("temperature > 20")]).await.unwrap();
    let adopted = world.resource(ResourceKind::Hub, "plant");
    let Properties::Hub(properties) = &adopted.properties else { panic!() };
    assert_eq!(properties.routes[0].condition, "temperature > 20");
    assert_eq!(adopted.policy("service"), made.policy("service"));
    assert!(world.services.context.table.named(ResourceKind::Events, "stream").is_some());

    let world = world.restarted();
    world.services.load(&[hub("temperature > 20")]).await.unwrap();
    assert_eq!(world.resource(ResourceKind::Hub, "plant"), adopted, "nothing new: nothing written");
}

#[tokio::test]
async fn a_first_start_that_was_cut_off_is_taken_up_again() {
    let whole = World::new().await;
    let world = World::unloaded(tempfile::tempdir().unwrap(), Settings::default());
    // As far as the namespace, then the plug was pulled.
    let namespace = Resource::clone(&whole.resource(ResourceKind::Events, "events1"));
    let write = Write::PutResource { resource: Box::new(namespace), expect: Expect::Absent };
    world.services.context.store.commit(Batch::from(write)).await.unwrap();
    world.services.load(&[]).await.unwrap();
    let Properties::Hub(hub) = &world.resource(ResourceKind::Hub, "hub1").properties else { panic!() };
    assert_eq!(hub.routes.len(), 3);
    assert_eq!(world.services.context.log.streams().await.unwrap().len(), 4);
}

#[tokio::test]
async fn bad_declarations_are_refused_with_what_to_change() {
    let world = World::new().await;
    let endpoint = json!({ "name": "out", "namespace": "events1", "event_hub": "deviceevents" });
    let table = [
        (ResourceKind::Hub, json!({ "name": "Hub_2" }), "lower-case letters"),
        (ResourceKind::Hub, json!({ "name": "hub1" }), "already a hub"),
        (ResourceKind::Hub, json!({ "name": "hub2", "colour": "red" }), "unknown field `colour`"),
        (ResourceKind::Hub, json!({ "name": "hub2", "host_name": "bad_host" }), "no host name"),
        (ResourceKind::Hub, json!({ "name": "hub2", "host_name": "localhost" }), "already leads to"),
        (ResourceKind::Hub, json!({ "name": "hub2", "group": "" }), "no resource group"),
        (
            ResourceKind::Hub,
            json!({ "name": "hub2", "endpoints": [{ "name": "e", "namespace": "nowhere", "event_hub": "x" }] }),
            "no events named 'nowhere'",
        ),
        (
            ResourceKind::Hub,
            json!({ "name": "hub2", "endpoints": [{ "name": "e", "namespace": "events1", "event_hub": "x" }] }),
            "has no event hub 'x'",
        ),
        (
            ResourceKind::Hub,
            json!({ "name": "hub2", "routes": [{ "name": "r", "source": "DeviceMessages", "endpoint": "gone" }] }),
            "no endpoint of the hub; there are: events",
        ),
        (
            ResourceKind::Hub,
            json!({
                "name": "hub2", "endpoints": [endpoint],
                "routes": [{ "name": "r", "source": "DeviceMessages", "condition": "a >", "endpoint": "out" }],
            }),
            "condition of the route 'r'",
        ),
        (
            ResourceKind::Hub,
            json!({ "name": "hub2", "policies": [{ "name": "p", "rights": ["Listen"] }] }),
            "knows no right Listen",
        ),
        (ResourceKind::Hub, json!({ "name": "hub2", "policies": [{ "name": "p" }] }), "needs 'rights'"),
        (
            ResourceKind::Hub,
            json!({ "name": "hub2", "policies": [{ "name": "service", "primary_key": "short" }] }),
            "base64 of 16 to 64 bytes",
        ),
        (ResourceKind::Dps, json!({ "name": "dps2", "id_scope": "0ne0012abcd" }), "8 upper-case hex digits"),
        (
            ResourceKind::Dps,
            json!({ "name": "dps2", "linked_hubs": [{ "hub": "hub9" }] }),
            "no hub named 'hub9'",
        ),
        (
            ResourceKind::Dps,
            json!({ "name": "dps2", "linked_hubs": [{ "hub": "hub1", "allocation_weight": 0 }] }),
            "1 to 1000",
        ),
        (
            ResourceKind::Events,
            json!({ "name": "ev2", "event_hubs": [{ "name": "e", "partitions": 33 }] }),
            "1 to 32",
        ),
        (
            ResourceKind::Events,
            json!({ "name": "ev2", "event_hubs": [{ "name": "../e" }] }),
            "no name for an event hub",
        ),
        (
            ResourceKind::Functions,
            json!({ "name": "fun2", "mapping": [{ "model": null, "field": "temp", "property": "/T" }] }),
            "JSON pointer",
        ),
    ];
    let before = world.services.context.table.all();
    for (kind, body, expected) in table {
        let error = create(&world, kind, body.clone()).await.unwrap_err();
        assert!(error.message.contains(expected), "{body}: {}", error.message);
    }
    assert_eq!(before, world.services.context.table.all(), "nothing half-done");
}

#[tokio::test]
async fn a_hub_of_a_tier_has_no_more_than_the_tier() {
    let world = World::new().await;
    let endpoint =
        |n: u32| json!({ "name": format!("e{n}"), "namespace": "events1", "event_hub": "deviceevents" });
    let route = |n: u32| json!({ "name": format!("r{n}"), "source": "DeviceMessages", "endpoint": "events" });
    let added = |n: u32| json!({ "key": format!("k{n}"), "value": "x", "endpoints": ["events"] });
    let hub = |sku: &str, (endpoints, routes, enrichments): (u32, u32, u32)| {
        json!({
            "name": "hub2", "sku": { "name": sku },
            "endpoints": (0..endpoints).map(endpoint).collect::<Value>(),
            "routes": (0..routes).map(route).collect::<Value>(),
            "enrichments": (0..enrichments).map(added).collect::<Value>(),
        })
    };
    for (parts, told) in [
        ((2, 0, 0), "1 endpoints of a hub of the tier F1, not 2"),
        ((1, 6, 0), "5 routes of a hub of the tier F1, not 6"),
        ((1, 5, 3), "2 enrichments of a hub of the tier F1, not 3"),
    ] {
        let refused = create(&world, ResourceKind::Hub, hub("F1", parts)).await.unwrap_err();
        assert_eq!(refused.code, ErrorCode::QuotaExceeded);
        assert!(refused.message.contains(told), "{refused}");
    }
    create(&world, ResourceKind::Hub, hub("S1", (2, 6, 3))).await.unwrap();
    // What it has stays when it comes to a smaller tier, and may not become more.
    let (resources, admin) = (&world.services.resources, Caller::admin());
    let put = async |body: Value| resources.change(&admin, &declared(ResourceKind::Hub, body), None).await;
    put(json!({ "name": "hub2", "sku": { "name": "F1" } })).await.unwrap();
    let more = put(json!({ "name": "hub2", "enrichments": [added(3)] })).await.unwrap_err();
    assert_eq!(more.code, ErrorCode::QuotaExceeded);
    put(json!({ "name": "hub2", "sku": { "name": "none" }, "enrichments": [added(3)] })).await.unwrap();
}

#[tokio::test]
async fn only_the_operator_handles_resources() {
    let world = World::new().await;
    let resources = &world.services.resources;
    let stranger = Caller::function(name("functions1"));
    let one = declared(ResourceKind::Hub, json!({ "name": "hub2" }));
    let code = |error: Error| error.code;
    assert_eq!(resources.create(&stranger, &one).await.map_err(code), Err(ErrorCode::Forbidden));
    assert_eq!(resources.list(&stranger, None).map_err(code), Err(ErrorCode::Forbidden));
    assert_eq!(resources.delete_group(&stranger, "default").await.map_err(code), Err(ErrorCode::Forbidden));
    let deleted = resources.delete(&stranger, ResourceKind::Hub, &name("hub1"), None).await;
    assert_eq!(deleted.map_err(code), Err(ErrorCode::Forbidden));
}

#[tokio::test]
async fn what_is_used_stays_until_it_is_unlinked() {
    let world = World::new().await;
    let (resources, admin) = (&world.services.resources, Caller::admin());
    let (dps, hub, events) = (name("dps1"), name("hub1"), name("events1"));
    let code = |error: Error| error.code;
    let in_use = Err(ErrorCode::ResourceInUse);
    assert_eq!(resources.delete(&admin, ResourceKind::Hub, &hub, None).await.map_err(code), in_use);
    assert_eq!(resources.delete(&admin, ResourceKind::Events, &events, None).await.map_err(code), in_use);
    let event_hub = resources.delete_event_hub(&admin, &events, "deviceevents").await;
    assert_eq!(event_hub.map(drop).map_err(code), in_use);
    assert_eq!(
        resources
            .delete_endpoint(&admin, (ResourceKind::Hub, &hub), "deviceevents")
            .await
            .map(drop)
            .map_err(code),
        in_use
    );

    resources.delete_route(&admin, &hub, "deviceevents").await.unwrap();
    resources.delete_endpoint(&admin, (ResourceKind::Hub, &hub), "deviceevents").await.unwrap();
    resources.delete_event_hub(&admin, &events, "deviceevents").await.unwrap();
    resources.unlink_hub(&admin, &dps, "hub1").await.unwrap();
    let again = resources.unlink_hub(&admin, &dps, "hub1").await;
    assert_eq!(again.map(drop).map_err(code), Err(ErrorCode::ResourceNotFound));
    let stale = Etag::new("stale");
    let stale = resources.delete(&admin, ResourceKind::Hub, &hub, Some(&stale)).await;
    assert_eq!(stale.map_err(code), Err(ErrorCode::PreconditionFailed));
    resources.delete(&admin, ResourceKind::Hub, &hub, None).await.unwrap();
    resources.delete(&admin, ResourceKind::Events, &events, None).await.unwrap();
}

#[tokio::test]
async fn an_event_hub_made_again_is_empty_and_partitions_only_grow() {
    let world = World::new().await;
    let (resources, admin, log) = (&world.services.resources, Caller::admin(), &world.services.context.log);
    let namespace =
        create(&world, ResourceKind::Events, json!({ "name": "ev2", "event_hubs": [{ "name": "a" }] })).await;
    assert_eq!(namespace.unwrap().host_name, "ev2.localhost");
    let stream = StreamName::new("ev2/a").unwrap();
    let record = NewRecord { partition_key: None, payload: b"x".to_vec().into(), idempotency_key: None };
    log.append(&stream, 0, vec![record]).await.unwrap();
    let put = |partitions| declared::DeclaredEventHub {
        name: "A".to_owned(),
        partitions: Some(partitions),
        ..Default::default()
    };
    assert!(
        resources
            .put_event_hub(&admin, &name("ev2"), put(2))
            .await
            .unwrap_err()
            .message
            .contains("only grow")
    );
    resources.put_event_hub(&admin, &name("ev2"), put(8)).await.unwrap();
    assert_eq!(log.partition(&stream, 0).await.unwrap().last_sequence_number, 0);
    resources.delete_event_hub(&admin, &name("ev2"), "a").await.unwrap();
    resources.put_event_hub(&admin, &name("ev2"), put(1)).await.unwrap();
    assert_eq!(log.partition(&stream, 0).await.unwrap().last_sequence_number, -1);
}

#[tokio::test]
async fn keys_are_rolled_over_one_at_a_time() {
    let world = World::new().await;
    let (resources, hub) = (&world.services.resources, name("hub1"));
    let of = |kind, resource| PolicyHolder { kind, resource, event_hub: None };
    let before = world.resource(ResourceKind::Hub, "hub1").policy("service").unwrap().keys.clone();
    let mut watch = resources.watch();
    watch.mark_unchanged();
    let changed = resources
        .regenerate_key(&Caller::admin(), of(ResourceKind::Hub, &hub), Some("SERVICE"), WhichKey::Primary)
        .await
        .unwrap();
    let after = changed.policy("service").unwrap().keys.clone();
    assert_ne!(before.primary, after.primary);
    assert_eq!(before.secondary, after.secondary);
    assert!(watch.has_changed().unwrap());
    let twins = name("twins1");
    let none = resources
        .regenerate_key(&Caller::admin(), of(ResourceKind::Twins, &twins), None, WhichKey::Primary)
        .await;
    assert!(none.unwrap_err().message.contains("no keys"));
}
