//! A known device between two hubs: what moves, what starts over, what stays; and which hub allocation gives it.

use std::sync::Arc;

use pollux_model::DeviceAddress;
use pollux_model::device::{Device, Status};
use pollux_model::enrollment::ReprovisionPolicy;
use pollux_model::registration::{Registration, RegistrationStatus, Substatus};
use pollux_model::resource::{Resource, ResourceKind};
use pollux_services::Caller;
use pollux_services::hub::{DeviceInput, TwinInput};
use pollux_services::provisioning::{AuditAction, AuditQuery, Expect, RegisterRequest};
use serde_json::{Value, json};

use crate::audits::audited;
use crate::registering::individual;
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

/// A device of an individual enrollment that gives it this hub and, where one is named, this id.
async fn admitted(
    world: &World,
    name: &str,
    hub: &Resource,
    device_id: Option<&str>,
    policy: Option<ReprovisionPolicy>,
) -> Caller {
    let key = individual(world, name, |input| {
        input.device_id = device_id.map(str::to_owned);
        input.common.hubs = vec![hub.host_name.clone()];
        input.common.reprovision = policy;
    })
    .await;
    let token = world.device_token(name, &key);
    world.services.provisioning.attest_by_token(&world.dps(), name, &token, None).await.unwrap()
}

/// It registers.
async fn registered(
    world: &World,
    hub: &Resource,
    device_id: Option<&str>,
    policy: ReprovisionPolicy,
) -> Registration {
    let caller = admitted(world, "dev", hub, device_id, Some(policy)).await;
    world.register(&caller, "dev", None).await
}

async fn set_tag(world: &World, hub: &Resource, id: &str, value: &str) {
    let tags = json!({ "at": value }).as_object().cloned();
    let input = TwinInput { tags, ..TwinInput::default() };
    let id = DeviceAddress::parse(id).unwrap();
    world.services.hub.patch_twin(&world.admin, hub, &id, input, None).await.unwrap();
}

#[tokio::test]
async fn a_device_whose_id_changes_leaves_the_old_one() {
    let policy = |update| ReprovisionPolicy { update_hub_assignment: update, migrate_device_data: true };
    for moves in [false, true] {
        let (world, south) = two_hubs(linked()).await;
        let (first, next) = (world.hub(), if moves { Arc::clone(&south) } else { world.hub() });
        registered(&world, &first, Some("a"), policy(true)).await;
        set_tag(&world, &first, "a", "work").await;
        // Never to be assigned anew, it is where it was.
        let stays = registered(&world, &next, Some("b"), policy(false)).await;
        assert_eq!(
            (stays.device_id.as_deref(), stays.assigned_hub),
            (Some("a"), Some(first.host_name.clone()))
        );
        let record = registered(&world, &next, Some("b"), policy(true)).await;
        assert_eq!(record.substatus, Some(Substatus::DeviceDataMigrated));
        assert!(in_hub(&world, &first, "a").await.is_none());
        let device = in_hub(&world, &next, "b").await.unwrap();
        assert_eq!(json!(device.twin.tags), json!({ "at": "work" }));
    }
}

#[tokio::test]
async fn a_device_whose_record_was_deleted_leaves_the_hub_it_was_in() {
    let (world, south) = two_hubs(linked()).await;
    let delete = async || {
        let (provisioning, dps) = (&world.services.provisioning, world.dps());
        provisioning.delete_registration(&world.admin, &dps, "dev", Expect::Any).await.unwrap();
    };
    registered(&world, &world.hub(), None, ReprovisionPolicy::default()).await;
    set_tag(&world, &world.hub(), "dev", "work").await;
    delete().await;
    let record = registered(&world, &south, None, ReprovisionPolicy::default()).await;
    assert_eq!(record.substatus, Some(Substatus::DeviceDataMigrated));
    assert!(world.device("dev").await.is_none());
    let device = in_hub(&world, &south, "dev").await.unwrap();
    assert_eq!(json!(device.twin.tags), json!({ "at": "work" }));
    // One that somebody made by hand is not its own.
    delete().await;
    let other = DeviceInput::new("dev");
    world.services.hub.create_device(&world.admin, &world.hub(), other).await.unwrap();
    let record = registered(&world, &south, None, ReprovisionPolicy::default()).await;
    assert_eq!(record.substatus, Some(Substatus::InitialAssignment));
    assert!(world.device("dev").await.is_some());
}

#[tokio::test]
async fn an_id_that_two_entries_give_is_one_device() {
    let (world, south) = two_hubs(linked()).await;
    world.start();
    let usual = Some(ReprovisionPolicy::default());
    let older = admitted(&world, "m9a", &world.hub(), Some("m9x"), usual).await;
    let newer = admitted(&world, "m9b", &south, Some("m9x"), usual).await;
    world.register(&older, "m9a", None).await;
    set_tag(&world, &world.hub(), "m9x", "work").await;
    let places = async || {
        let places = [in_hub(&world, &world.hub(), "m9x").await, in_hub(&world, &south, "m9x").await];
        places.map(|device| device.map(|device| json!(device.twin.tags)))
    };
    // The hubs, the one it is in first; whoever registers last has it, as in one hub.
    let work = Some(json!({ "at": "work" }));
    for (who, caller, other, places_now) in
        [("m9b", &newer, "m9a", [None, work.clone()]), ("m9a", &older, "m9b", [work.clone(), None])]
    {
        let record = world.register(caller, who, None).await;
        assert_eq!(record.substatus, Some(Substatus::DeviceDataMigrated), "{:?}", record.failure);
        assert_eq!(places().await, places_now, "{who}");
        let told = world.record(other).await.unwrap();
        assert_eq!((told.status, &told.assigned_hub), (RegistrationStatus::Unassigned, &None));
        let failure = told.failure.unwrap();
        assert!(failure.code == 409_000 && failure.message.contains(who), "{}", failure.message);
        let of_device = AuditQuery { registration_id: Some(other.into()), ..AuditQuery::default() };
        let notes = audited(&world, of_device, AuditAction::Displaced).await;
        assert!(notes.last().unwrap().detail.as_ref().unwrap().contains(who), "{notes:?}");
    }
    // In the same hub it is not deleted.
    let caller = admitted(&world, "m9d", &world.hub(), Some("m9x"), usual).await;
    let record = world.register(&caller, "m9d", None).await;
    assert_eq!((record.substatus, places().await), (Some(Substatus::InitialAssignment), [work, None]));
    assert_eq!(world.record("m9a").await.unwrap().status, RegistrationStatus::Unassigned);
    // That of another service, and one that was made by hand, are others' devices.
    let mut input = DeviceInput::new("by-hand");
    input.status = Some(Status::Enabled);
    world.services.hub.create_device(&world.admin, &world.hub(), input).await.unwrap();
    let caller = admitted(&world, "m9c", &south, Some("by-hand"), usual).await;
    world.register(&caller, "m9c", None).await;
    assert!(in_hub(&world, &world.hub(), "by-hand").await.is_some());
}

/// Neither finds the other's device when it looks, before it commits.
#[tokio::test]
async fn of_two_that_take_an_id_at_once_one_has_the_device() {
    let (world, south) = two_hubs(linked()).await;
    for round in 0..10 {
        let (id, [a, b]) = (format!("x{round}"), ["a", "b"].map(|one| format!("{one}{round}")));
        let usual = Some(ReprovisionPolicy::default());
        let first = admitted(&world, &a, &world.hub(), Some(&id), usual).await;
        let second = admitted(&world, &b, &south, Some(&id), usual).await;
        tokio::join!(world.register(&first, &a, None), world.register(&second, &b, None));
        world
            .until(async || {
                let here = in_hub(&world, &world.hub(), &id).await.is_some();
                let there = in_hub(&world, &south, &id).await.is_some();
                let records = [world.record(&a).await.unwrap(), world.record(&b).await.unwrap()];
                let assigned = records.map(|record| record.status == RegistrationStatus::Assigned);
                (here != there && assigned == [here, there]).then_some(())
            })
            .await;
    }
}

/// Azure article "IoT Hub Device reprovisioning concepts", "Managing backwards compatibility".
#[tokio::test]
async fn an_old_device_stays_where_its_entry_does_not_say_otherwise() {
    let (world, south) = two_hubs(linked()).await;
    let register = async |hub: &Resource, policy: Option<ReprovisionPolicy>, request: RegisterRequest| {
        let caller = admitted(&world, "old", hub, None, policy).await;
        let record = world.register_as(&caller, "old", request).await;
        record.assigned_hub.unwrap()
    };
    let new = RegisterRequest::default;
    let old = || RegisterRequest { stays: true, ..RegisterRequest::default() };
    let (hub, usual) = (world.hub(), Some(ReprovisionPolicy::default()));
    let (north, south_host) = (hub.host_name.clone(), south.host_name.clone());
    assert_eq!(register(&hub, None, old()).await, north, "the first time any device is assigned");
    assert_eq!(register(&south, None, old()).await, north);
    assert_eq!(register(&south, None, new()).await, south_host, "the device's version counts");
    assert_eq!(register(&hub, usual, old()).await, north, "the entry's policy takes precedence");
    assert_eq!(register(&south, None, RegisterRequest { force: true, ..old() }).await, south_host);
}

/// Azure article "IoT Hub Device reprovisioning concepts": "the updated device state information from that initial IoT hub
/// will be migrated over".
#[tokio::test]
async fn state_moves_to_a_hub_that_has_a_device_of_that_id_already() {
    let (world, south) = two_hubs(linked()).await;
    let old = DeviceInput::new("dev");
    world.services.hub.create_device(&world.admin, &south, old).await.unwrap();
    for _ in 0..3 {
        set_tag(&world, &south, "dev", "stale").await;
    }
    let before = in_hub(&world, &south, "dev").await.unwrap();
    registered(&world, &world.hub(), None, ReprovisionPolicy::default()).await;
    set_tag(&world, &world.hub(), "dev", "work").await;
    let off = DeviceInput { status: Some(Status::Disabled), ..DeviceInput::new("dev") };
    world.services.hub.update_device(&world.admin, &world.hub(), off, None).await.unwrap();
    let record = registered(&world, &south, None, ReprovisionPolicy::default()).await;
    assert_eq!(record.substatus, Some(Substatus::DeviceDataMigrated));
    let after = in_hub(&world, &south, "dev").await.unwrap();
    assert_eq!((json!(after.twin.tags), after.identity.status), (json!({ "at": "work" }), Status::Disabled));
    assert!(after.twin.version > before.twin.version, "versions never go back");
    assert!(after.twin.desired.version > before.twin.desired.version);
    assert_ne!(after.twin.service_etag, before.twin.service_etag);
    assert!(world.device("dev").await.is_none());
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
