use std::sync::LazyLock;

use pollux_model::event::Checkpoint;
use pollux_store::functions::ConsumerKey;
use pollux_store::{Batch, Write};

use super::*;
use crate::fixture::World;

const HUB: &str = "deviceevents";

static EVENTS1: LazyLock<ResourceName> = LazyLock::new(|| ResourceName::parse("events1").unwrap());

fn at(event_hub: &str) -> GroupsOf<'_> {
    GroupsOf::EventHub { namespace: &EVENTS1, event_hub }
}

fn groups(world: &World) -> Vec<String> {
    world.services.resources.consumer_groups(&Caller::admin(), at(HUB)).unwrap()
}

#[tokio::test]
async fn a_group_goes_with_where_its_consumers_stand() {
    let world = World::new().await;
    let (resources, admin, store) =
        (&world.services.resources, Caller::admin(), &world.services.context.store);
    resources.put_consumer_group(&admin, at(HUB), "alarms").await.unwrap();
    resources.put_consumer_group(&admin, at(HUB), "ALARMS").await.unwrap();
    assert_eq!(groups(&world), ["$Default", "alarms"]);
    let key = |group: &str| ConsumerKey {
        owner: "functions1/ingest".to_owned(),
        namespace: EVENTS1.clone().into(),
        event_hub: HUB.to_owned(),
        consumer_group: group.to_owned(),
    };
    for group in ["alarms", "$Default"] {
        let checkpoint = Checkpoint { sequence_number: 5, offset: 500 };
        let write = Write::PutCheckpoint { key: key(group), partition: 1, checkpoint };
        store.commit(Batch::from(write)).await.unwrap();
    }
    resources.delete_consumer_group(&admin, at("DeviceEvents"), "Alarms").await.unwrap();
    assert_eq!(groups(&world), ["$Default"]);
    assert_eq!(store.checkpoints(&key("alarms")).await.unwrap(), []);
    assert_eq!(store.checkpoints(&key("$Default")).await.unwrap().len(), 1);
}

#[tokio::test]
async fn what_may_not_be_is_refused_with_the_reason() {
    let world = World::new().await;
    let (resources, admin) = (&world.services.resources, Caller::admin());
    let stays = resources.delete_consumer_group(&admin, at(HUB), "$default").await.unwrap_err();
    assert!(stays.code == ErrorCode::InvalidArgument && stays.message.contains("stays"), "{stays:?}");
    let none = resources.delete_consumer_group(&admin, at(HUB), "nobody").await.unwrap_err();
    assert!(none.code == ErrorCode::EventHubNotFound && none.message.contains("'nobody'"), "{none:?}");
    let none = resources.put_consumer_group(&admin, at("nothere"), "g").await.unwrap_err();
    assert_eq!(none.code, ErrorCode::EventHubNotFound);
    for bad in ["", "$other", "a/b", &"x".repeat(51)] {
        let bad = resources.put_consumer_group(&admin, at(HUB), bad).await.unwrap_err();
        assert_eq!(bad.code, ErrorCode::InvalidArgument);
    }
    let stranger = Caller::function(ResourceName::parse("functions1").unwrap());
    for error in [
        resources.put_consumer_group(&stranger, at(HUB), "g").await.unwrap_err(),
        resources.delete_consumer_group(&stranger, at(HUB), "g").await.unwrap_err(),
    ] {
        assert_eq!(error.code, ErrorCode::Forbidden);
    }
}

#[tokio::test]
async fn there_may_be_twenty_groups() {
    let world = World::new().await;
    let (resources, admin) = (&world.services.resources, Caller::admin());
    for n in 1..20 {
        resources.put_consumer_group(&admin, at(HUB), &format!("g{n}")).await.unwrap();
    }
    let error = resources.put_consumer_group(&admin, at(HUB), "more").await.unwrap_err();
    assert_eq!(error.code, ErrorCode::QuotaExceeded);
    assert!(error.message.contains("20 consumer groups"), "{error:?}");
    resources.put_consumer_group(&admin, at(HUB), "g7").await.unwrap();
    assert_eq!(groups(&world).len(), 20);
}

#[tokio::test]
async fn a_built_in_endpoint_has_groups_too() {
    let world = World::new().await;
    let (resources, admin, store) =
        (&world.services.resources, Caller::admin(), &world.services.context.store);
    let hub = ResourceName::parse("hub1").unwrap();
    let of = GroupsOf::BuiltInEndpoint(&hub);
    resources.put_consumer_group(&admin, of, "dashboards").await.unwrap();
    assert_eq!(resources.consumer_groups(&admin, of).unwrap(), ["$Default", "dashboards"]);
    let key = ConsumerKey {
        owner: "functions1/ingest".to_owned(),
        namespace: OwnerName::of_hub(&hub),
        event_hub: "iothub-ehub-hub1".to_owned(),
        consumer_group: "dashboards".to_owned(),
    };
    let checkpoint = Checkpoint { sequence_number: 5, offset: 500 };
    let write = Write::PutCheckpoint { key: key.clone(), partition: 1, checkpoint };
    store.commit(Batch::from(write)).await.unwrap();
    resources.delete_consumer_group(&admin, of, "Dashboards").await.unwrap();
    assert_eq!(resources.consumer_groups(&admin, of).unwrap(), ["$Default"]);
    assert_eq!(store.checkpoints(&key).await.unwrap(), []);
    let stays = resources.delete_consumer_group(&admin, of, "$Default").await.unwrap_err();
    assert_eq!(stays.code, ErrorCode::InvalidArgument);
    let none = resources.delete_consumer_group(&admin, of, "dashboards").await.unwrap_err();
    assert_eq!(none.code, ErrorCode::EventHubNotFound);
    let bad = resources.put_consumer_group(&admin, of, "a/b").await.unwrap_err();
    assert_eq!(bad.code, ErrorCode::InvalidArgument);
}
