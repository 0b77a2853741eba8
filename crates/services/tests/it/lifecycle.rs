//! Device and twin live and die together, whatever comes in between.

use std::sync::Arc;

use pollux_model::enrollment::EnrollmentGroup;
use pollux_model::registration::RegistrationStatus;
use pollux_model::resource::ResourceKind;
use pollux_services::lifecycle::{Standing, standing};
use pollux_services::provisioning::RegisterRequest;
use pollux_services::twins::{Paging, PutRelationship, PutTwin};
use serde_json::json;
use tokio::sync::Semaphore;

use crate::webhook::{Behaviour, Hook};
use crate::world::{SPACE, THERMOSTAT, World};

/// A world with an enrollment group whose webhook allocates.
async fn world() -> (World, Hook, EnrollmentGroup) {
    let world = World::new().await;
    let hook = Hook::new(Behaviour::Allocate(world.services.clone()));
    let group = world.custom_group("line", &hook.url).await;
    (world, hook, group)
}

impl World {
    async fn relate(&self, source: &str, id: &str, name: &str, target: &str) {
        let put = PutRelationship {
            source: source.into(),
            id: id.into(),
            document: json!({ "$relationshipName": name, "$targetId": target }),
            if_none_match: false,
        };
        let twins = self.resource(ResourceKind::Twins);
        self.services.twins.put_relationship(&self.admin, &twins.name, put).await.unwrap();
    }

    async fn room(&self) {
        let put = PutTwin {
            id: "room".into(),
            document: json!({ "$metadata": { "$model": SPACE } }),
            if_none_match: false,
        };
        let twins = self.resource(ResourceKind::Twins);
        self.services.twins.put_twin(&self.admin, &twins.name, put).await.unwrap();
    }

    async fn standing(&self, id: &str) -> Standing {
        standing(&self.services.context, Some("hub1"), id, id).await.unwrap()
    }
}

#[tokio::test]
async fn from_first_registration_to_retirement() {
    let (world, _hook, group) = world().await;
    world.start();
    world.room().await;
    world.provision("dev", &group).await;
    world.provision("near", &group).await;
    let device = world.device("dev").await.unwrap();
    assert_eq!(json!(device.twin.tags), json!({ "dtmi": THERMOSTAT, "dtId": "dev" }));
    world.send("dev", &json!({ "Temperature": 21 })).await;
    world.settled().await;
    assert_eq!(world.twin("dev").await.unwrap()["Temperature"], json!(21));

    world.relate("room", "r1", "contains", "dev").await;
    world.relate("dev", "r2", "near", "near").await;
    world.relate("near", "r3", "near", "dev").await;
    world.relate("room", "r4", "contains", "near").await;
    world.delete_device("dev").await;
    world.settled().await;
    assert!(world.twin("dev").await.is_none());
    assert!(world.twin("room").await.is_some() && world.twin("near").await.is_some());
    let twins = world.resource(ResourceKind::Twins);
    let left = world
        .services
        .twins
        .relationships(&world.admin, &twins.name, "room", None, Paging::default())
        .await
        .unwrap();
    assert_eq!(left.items.iter().map(|one| one.id.as_str()).collect::<Vec<_>>(), ["r4"]);
    let left = world
        .services
        .twins
        .relationships(&world.admin, &twins.name, "near", None, Paging::default())
        .await
        .unwrap();
    assert!(left.items.is_empty());
    assert_eq!(world.standing("dev").await, Standing::Absent);
}

#[tokio::test]
async fn a_delete_event_that_comes_late_spares_the_new_twin() {
    let (world, _hook, group) = world().await;
    world.provision("dev", &group).await;
    let first = world.device("dev").await.unwrap().identity.generation_id;
    world.delete_device("dev").await;
    world.tick();
    world.provision("dev", &group).await;
    assert_ne!(world.device("dev").await.unwrap().identity.generation_id, first);
    // Only now the functions begin to read.
    world.start();
    world.settled().await;
    assert!(world.twin("dev").await.is_some());
    assert!(world.device("dev").await.is_some());
}

#[tokio::test]
async fn a_delete_event_waits_for_a_registration_under_way() {
    let (world, hook, group) = world().await;
    world.provision("dev", &group).await;
    world.delete_device("dev").await;
    let gate = Arc::new(Semaphore::new(0));
    hook.set(Behaviour::AllocateWhen(Arc::clone(&gate), world.services.clone()));
    let caller = world.attested("dev", &group).await;
    let request = RegisterRequest {
        payload: Some(json!({ "modelId": THERMOSTAT })),
        force: false,
        ..RegisterRequest::default()
    };
    world.services.provisioning.register(&caller, &world.dps(), request).await.unwrap();
    hook.called(2).await;
    assert_eq!(world.standing("dev").await, Standing::Assigning);
    world.start();
    // The retire function meets the event while the registration waits for its webhook.
    world
        .until(async || world.services.context.store.outbox(0, 1).await.unwrap().is_empty().then_some(()))
        .await;
    assert!(world.twin("dev").await.is_some());
    gate.add_permits(1);
    let record = world.registered("dev").await;
    assert_eq!(record.status, RegistrationStatus::Assigned, "{:?}", record.failure);
    world.settled().await;
    assert!(world.twin("dev").await.is_some() && world.device("dev").await.is_some());
}

#[tokio::test]
async fn a_registration_that_fails_lets_the_waiting_delete_event_through() {
    let (world, hook, group) = world().await;
    world.provision("dev", &group).await;
    world.delete_device("dev").await;
    hook.set(Behaviour::Answer(500, "no".into()));
    let caller = world.attested("dev", &group).await;
    world.start();
    let record = world.register(&caller, "dev", None).await;
    assert_eq!(record.status, RegistrationStatus::Failed);
    world.settled().await;
    assert!(world.twin("dev").await.is_none() && world.device("dev").await.is_none());
}

#[tokio::test]
async fn a_delete_event_twice_is_as_good_as_once() {
    let (world, _hook, group) = world().await;
    world.start();
    for _ in 0..2 {
        world.provision("dev", &group).await;
        world.delete_device("dev").await;
        world.tick();
    }
    world.settled().await;
    assert!(world.twin("dev").await.is_none());
}

#[tokio::test]
async fn a_device_nobody_mirrors_is_deleted_like_any_other() {
    let (world, _hook, group) = world().await;
    world.start();
    crate::hub::create(&world, "plain").await;
    world.delete_device("plain").await;
    world.provision("dev", &group).await;
    world.delete_device("dev").await;
    world.settled().await;
    assert!(world.twin("dev").await.is_none());
    let app = world.resource(ResourceKind::Functions);
    let letters = world.services.functions.dead_letters(&world.admin, &app, None, None, 10).await.unwrap();
    assert!(letters.items.is_empty(), "{letters:?}");
}

#[tokio::test]
async fn deleting_and_provisioning_at_once_never_parts_device_and_twin() {
    let (world, _hook, group) = world().await;
    world.start();
    let devices: Vec<String> = (0..6).map(|at| format!("dev{at}")).collect();
    let churn = devices.iter().enumerate().map(|(at, id)| {
        let (world, group) = (&world, &group);
        async move {
            for round in 0..4 {
                world.provision(id, group).await;
                for _ in 0..(at * 7 + round * 3) % 11 {
                    tokio::task::yield_now().await;
                }
                // Half of them end with a device, half without.
                if round < 3 || at % 2 == 0 {
                    world.delete_device(id).await;
                }
                for _ in 0..(at * 5 + round) % 13 {
                    tokio::task::yield_now().await;
                }
            }
        }
    });
    futures_util::future::join_all(churn).await;
    world.settled().await;
    for (at, id) in devices.iter().enumerate() {
        let (device, twin) = (world.device(id).await.is_some(), world.twin(id).await.is_some());
        assert_eq!((device, twin), (at % 2 == 1, at % 2 == 1), "{id}");
    }
}

#[tokio::test]
async fn what_was_deleted_before_a_crash_is_retired_after_it() {
    let (world, hook, group) = world().await;
    world.provision("dev", &group).await;
    world.delete_device("dev").await;
    hook.set(Behaviour::Hang);
    let world = World::open(world.stop().await, 2, &[], |_| {}).await;
    world.start();
    world.settled().await;
    assert!(world.twin("dev").await.is_none());
}
