use pollux_model::event::Checkpoint;
use pollux_store::functions::ConsumerKey;
use pollux_store::{Batch, Write};

use super::*;
use crate::fixture::World;

const HUB: &str = "deviceevents";

fn events1() -> ResourceName {
    ResourceName::parse("events1").unwrap()
}

fn groups(world: &World) -> Vec<String> {
    let found = world.services.resources.event_hub(&Caller::admin(), &events1(), HUB);
    found.unwrap().consumer_groups
}

#[tokio::test]
async fn a_group_goes_with_where_its_consumers_stand() {
    let world = World::new().await;
    let (resources, admin, store) =
        (&world.services.resources, Caller::admin(), &world.services.context.store);
    resources.put_consumer_group(&admin, &events1(), HUB, "alarms").await.unwrap();
    resources.put_consumer_group(&admin, &events1(), HUB, "ALARMS").await.unwrap();
    assert_eq!(groups(&world), ["$Default", "alarms"]);
    let key = |group: &str| ConsumerKey {
        owner: "functions1/ingest".to_owned(),
        namespace: events1().into(),
        event_hub: HUB.to_owned(),
        consumer_group: group.to_owned(),
    };
    for group in ["alarms", "$Default"] {
        let checkpoint = Checkpoint { sequence_number: 5, offset: 500 };
        let write = Write::PutCheckpoint { key: key(group), partition: 1, checkpoint };
        store.commit(Batch::from(write)).await.unwrap();
    }
    resources.delete_consumer_group(&admin, &events1(), "DeviceEvents", "Alarms").await.unwrap();
    assert_eq!(groups(&world), ["$Default"]);
    assert_eq!(store.checkpoints(&key("alarms")).await.unwrap(), []);
    assert_eq!(store.checkpoints(&key("$Default")).await.unwrap().len(), 1);
}

#[tokio::test]
async fn what_may_not_be_is_refused_with_the_reason() {
    let world = World::new().await;
    let (resources, admin) = (&world.services.resources, Caller::admin());
    let stays = resources.delete_consumer_group(&admin, &events1(), HUB, "$default").await.unwrap_err();
    assert!(stays.code == ErrorCode::InvalidArgument && stays.message.contains("stays"), "{stays:?}");
    let none = resources.delete_consumer_group(&admin, &events1(), HUB, "nobody").await.unwrap_err();
    assert!(none.code == ErrorCode::EventHubNotFound && none.message.contains("'nobody'"), "{none:?}");
    let none = resources.put_consumer_group(&admin, &events1(), "nothere", "g").await.unwrap_err();
    assert_eq!(none.code, ErrorCode::EventHubNotFound);
    for bad in ["", "$other", "a/b", &"x".repeat(51)] {
        let bad = resources.put_consumer_group(&admin, &events1(), HUB, bad).await.unwrap_err();
        assert_eq!(bad.code, ErrorCode::InvalidArgument);
    }
    let stranger = Caller::function(ResourceName::parse("functions1").unwrap());
    for error in [
        resources.put_consumer_group(&stranger, &events1(), HUB, "g").await.unwrap_err(),
        resources.delete_consumer_group(&stranger, &events1(), HUB, "g").await.unwrap_err(),
    ] {
        assert_eq!(error.code, ErrorCode::Forbidden);
    }
}

#[tokio::test]
async fn there_may_be_twenty_groups() {
    let world = World::new().await;
    let (resources, admin) = (&world.services.resources, Caller::admin());
    for n in 1..20 {
        resources.put_consumer_group(&admin, &events1(), HUB, &format!("g{n}")).await.unwrap();
    }
    let error = resources.put_consumer_group(&admin, &events1(), HUB, "more").await.unwrap_err();
    assert_eq!(error.code, ErrorCode::QuotaExceeded);
    assert!(error.message.contains("20 consumer groups"), "{error:?}");
    resources.put_consumer_group(&admin, &events1(), HUB, "g7").await.unwrap();
    assert_eq!(groups(&world).len(), 20);
}
