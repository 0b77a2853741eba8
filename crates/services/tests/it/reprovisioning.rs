//! A known device between two hubs: what moves, what starts over, what stays; and which hub allocation gives it.

use std::sync::Arc;

use pollux_model::DeviceAddress;
use pollux_model::device::Device;
use pollux_model::enrollment::ReprovisionPolicy;
use pollux_model::registration::{RegistrationStatus, Substatus};
use pollux_model::resource::{Resource, ResourceKind};
use serde_json::{Value, json};

use crate::webhook::{Behaviour, Hook};
use crate::world::{World, declared};

/// A world with two linked hubs, the second of them `south`.
async fn two_hubs(dps: Value) -> (World, Arc<Resource>) {
    let world = World::new().await;
    let south = declared(ResourceKind::Hub, json!({ "name": "south" }));
    world.services.resources.apply(&world.admin, &south).await.unwrap();
    world.services.resources.apply(&world.admin, &declared(ResourceKind::Dps, dps)).await.unwrap();
    let south = world.named(ResourceKind::Hub, "south");
    (world, south)
}

fn linked() -> Value {
    json!({ "name": "dps1", "linkedHubs": [{ "hub": "hub1" }, { "hub": "south" }] })
}

fn to(hub: &str) -> Behaviour {
    Behaviour::Answer(200, json!({ "iotHubHostName": hub }).to_string())
}

async fn in_hub(world: &World, hub: &Resource, id: &str) -> Option<Device> {
    let id = DeviceAddress::parse(id).unwrap();
    world.services.context.store.addressed(&hub.name, &id).await.unwrap()
}

#[tokio::test]
async fn state_moves_or_starts_over_and_no_device_is_in_two_hubs() {
    let (world, south) = two_hubs(linked()).await;
    let hook = Hook::new(to("localhost"));
    let policy =
        |update, migrate| ReprovisionPolicy { update_hub_assignment: update, migrate_device_data: migrate };
    for (name, policy, moves, kept, substatus) in [
        ("migrates", policy(true, true), true, true, Substatus::DeviceDataMigrated),
        ("resets", policy(true, false), true, false, Substatus::DeviceDataReset),
        ("stays", policy(false, false), false, true, Substatus::InitialAssignment),
    ] {
        hook.set(to("localhost"));
        let group = world
            .group(name, |input| {
                input.allocation_policy = Some("custom".into());
                input.webhook = Some((hook.url.clone(), None));
                input.reprovision = Some(policy);
            })
            .await;
        let first = world.provision(name, &group).await;
        assert_eq!(first.substatus, Some(Substatus::InitialAssignment), "{name}");
        let (caller, id) = (world.connected(name).await, DeviceAddress::parse(name).unwrap());
        let reported = json!({ "fw": 1 }).as_object().unwrap().clone();
        world.services.hub.report(&caller, &world.hub(), &id, reported).await.unwrap();

        hook.set(to(&south.host_name));
        let record = world.provision(name, &group).await;
        assert_eq!(record.substatus, Some(substatus), "{name}");
        let (old, new) = (in_hub(&world, &world.hub(), name).await, in_hub(&world, &south, name).await);
        assert_eq!((old.is_some(), new.is_some()), (!moves, moves), "{name} is in one hub");
        let there = new.or(old).unwrap();
        assert_eq!(there.twin.reported.properties.contains_key("fw"), kept, "{name}");
        assert!(there.identity.status.is_enabled(), "{name}");
    }
}

#[tokio::test]
async fn the_nearest_hub_is_picked_and_what_is_unknown_is_far() {
    let near = |hub: u32, south: Option<u32>| {
        let south = json!({ "hub": "south", "latencyMs": south });
        json!({ "name": "dps1", "linkedHubs": [{ "hub": "hub1", "latencyMs": hub }, south] })
    };
    for (hub, south_ms, nearest) in [(20, Some(5), "south"), (5, Some(20), "hub1"), (900, None, "hub1")] {
        let (world, south) = two_hubs(near(hub, south_ms)).await;
        let group = world.group("line", |input| input.allocation_policy = Some("geoLatency".into())).await;
        for n in 0..8 {
            let id = format!("dev-{n}");
            let caller = world.attested(&id, &group).await;
            let record = world.register(&caller, &id, None).await;
            let wanted = if nearest == "south" { &south.host_name } else { &world.hub().host_name };
            assert_eq!(record.assigned_hub.as_ref(), Some(wanted), "{hub} {south_ms:?}");
        }
    }
}

#[tokio::test]
async fn the_network_that_a_device_comes_from_says_which_hub_is_near() {
    let south =
        json!({ "hub": "south", "latencyMs": 50, "latencies": { "10.1.0.0/16": 3, "10.1.9.0/24": 90 } });
    let hub1 = json!({ "hub": "hub1", "latencyMs": 20 });
    let (world, south) = two_hubs(json!({ "name": "dps1", "linkedHubs": [hub1, south] })).await;
    let group = world.group("line", |input| input.allocation_policy = Some("geoLatency".into())).await;
    let cases = [("10.1.2.3", true), ("10.1.9.3", false), ("192.0.2.1", false)];
    for (n, (address, in_the_south)) in cases.into_iter().enumerate() {
        let id = format!("dev-{n}");
        let caller = world.attested(&id, &group).await.from_address(address.parse().unwrap());
        let record = world.register(&caller, &id, None).await;
        let wanted = if in_the_south { &south.host_name } else { &world.hub().host_name };
        assert_eq!(record.assigned_hub.as_ref(), Some(wanted), "{address}");
    }
}

#[tokio::test]
async fn an_enrollment_without_a_policy_gets_the_services() {
    let mut dps = linked();
    dps["allocationPolicy"] = json!("GeoLatency");
    dps["linkedHubs"][1]["latencyMs"] = json!(1);
    let (world, south) = two_hubs(dps).await;
    let group = world.group("line", |_| {}).await;
    for n in 0..8 {
        let id = format!("dev-{n}");
        let caller = world.attested(&id, &group).await;
        let record = world.register(&caller, &id, None).await;
        assert_eq!(record.assigned_hub.as_ref(), Some(&south.host_name));
    }
}

#[tokio::test]
async fn a_webhook_that_fails_is_asked_again_so_many_times() {
    let world = World::new().await;
    for (behaviour, calls) in [
        (Behaviour::Answer(503, "busy".to_owned()), 3),
        (Behaviour::HangUp, 3),
        (Behaviour::Answer(400, "no".to_owned()), 1),
    ] {
        let hook = Hook::new(behaviour);
        let group = world.custom_group("line", &hook.url).await;
        let caller = world.attested("dev", &group).await;
        let record = world.register(&caller, "dev", None).await;
        assert_eq!((record.status, hook.calls().len()), (RegistrationStatus::Failed, calls));
    }
}
