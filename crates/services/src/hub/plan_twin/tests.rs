//! What each change comes to, and who waits for whom.

use std::sync::Arc;

use pollux_bus::Exchange;
use pollux_model::Clock as _;
use pollux_model::configuration::ConfigurationContent;
use pollux_model::resource::{ResourceKind, RouteSource};
use serde_json::json;

use super::*;
use crate::caller::Caller;
use crate::fixture::World;
use crate::hub::connections::tests::node;
use crate::hub::{ConfigurationCondition, ConfigurationInput, DeviceInput, DeviceLink, Entering};
use crate::resources::declared::DeclaredRoute;

fn map(value: Value) -> Map<String, Value> {
    value.as_object().cloned().unwrap()
}

fn desired(value: Value) -> TwinInput {
    TwinInput { desired: Some(map(value)), ..TwinInput::default() }
}

/// Expectations of the device's write, number of events, notices, and whether configurations had a part.
fn outline(planned: &Planned) -> (bool, usize, Vec<(Value, u64)>, bool) {
    let Some((Write::PutDevice { device, identity, twin, .. }, events)) = planned.writes.split_first() else {
        panic!("{planned:?}")
    };
    assert_eq!(**device, planned.device);
    assert!(events.iter().all(|write| matches!(write, Write::Outbox(_))), "{events:?}");
    let new = (identity, twin) == (&Expect::Absent, &Expect::Any);
    assert!(new || matches!((identity, twin), (Expect::Etag(_), Expect::Etag(_))));
    let notices = planned.notices.iter().map(|one| (json!(one.patch), one.version));
    (new, events.len(), notices.collect(), planned.followed)
}

#[tokio::test]
async fn each_change_has_its_write_its_events_and_its_notices() {
    let world = World::new().await;
    let (admin, name) = (Caller::admin(), world.resource(ResourceKind::Hub, "hub1").name.clone());
    let sources = [
        RouteSource::TwinChangeEvents,
        RouteSource::DigitalTwinChangeEvents,
        RouteSource::DeviceLifecycleEvents,
    ];
    for (n, source) in sources.into_iter().enumerate() {
        let (name_of, endpoint) = (format!("r{n}"), "events".to_owned());
        let route = DeclaredRoute { name: name_of, source, condition: None, endpoint, enabled: None };
        world.services.resources.put_route(&admin, &name, route).await.unwrap();
    }
    let (hub, resource) = (&world.services.hub, world.resource(ResourceKind::Hub, "hub1"));
    let content = ConfigurationContent {
        device: map(json!({"properties.desired.by": "configuration"})),
        ..ConfigurationContent::default()
    };
    let put = ConfigurationInput {
        id: "c".to_owned(),
        content: Some(content),
        target_condition: Some("tags.on = true".to_owned()),
        ..ConfigurationInput::default()
    };
    hub.put_configuration(&admin, &resource, put, ConfigurationCondition::Absent).await.unwrap();
    hub.create_device(&admin, &resource, DeviceInput::new("d")).await.unwrap();
    let id = DeviceAddress::parse("d").unwrap();
    let before = async || hub.addressed(&resource, &id).await.unwrap();
    let plan = async |change: TwinChange<'_>| hub.plan_twin(&resource, before().await, change).await.unwrap();

    let born = plan(TwinChange::Birth).await;
    assert_eq!(outline(&born), (true, 1, vec![], false));
    let model = plan(TwinChange::Model("dtmi:example:Thing;1")).await;
    assert_eq!((outline(&model), model.device.twin.version), ((false, 1, vec![], false), 2));
    hub.commit_planned(&resource, model, &mut None, None).await.unwrap().unwrap();

    let follow = plan(TwinChange::Follow).await;
    assert_eq!((outline(&follow), follow.device == before().await), ((false, 0, vec![], false), true));
    let given = desired(json!({"a": 1}));
    let patched = plan(TwinChange::Patch(&given)).await;
    assert_eq!(outline(&patched), (false, 2, vec![(json!({"a": 1}), 2)], false));
    let input = TwinInput { tags: Some(map(json!({"on": true}))), ..desired(json!({"a": 1})) };
    let replaced = plan(TwinChange::Replace(&input)).await;
    let notices = vec![(json!({"a": 1}), 2), (json!({"by": "configuration"}), 3)];
    // The operator's change, what follows from it, and the digital twin once.
    assert_eq!((outline(&replaced), replaced.device.twin.version), ((false, 3, notices, true), 4));
    let stale = plan(TwinChange::Patch(&given)).await;
    hub.commit_planned(&resource, replaced, &mut None, None).await.unwrap().unwrap();
    assert!(hub.commit_planned(&resource, stale, &mut None, None).await.unwrap().is_none(), "it moved");

    let etag = before().await.twin.service_etag;
    let report = map(json!({"fw": 1}));
    let reported = plan(TwinChange::Report(&report)).await;
    assert_eq!(outline(&reported), (false, 2, vec![], false));
    assert_eq!(reported.device.twin.service_etag, etag, "reports do not come in the service side's way");
    let off = TwinInput { tags: Some(map(json!({"on": false}))), ..TwinInput::default() };
    let taken_back = plan(TwinChange::Patch(&off)).await;
    assert_eq!(outline(&taken_back), (false, 3, vec![(json!({"by": null}), 4)], true));
}

#[derive(Debug)]
struct Deaf;

impl DeviceLink for Deaf {
    fn deliver(&self, _: DeviceCommand) {}
}

/// A node that does not answer holds up whoever tells it, and nobody who only shares a turn with the device.
#[tokio::test]
async fn nobody_waits_for_a_node_that_does_not_answer_another() {
    let exchange = Exchange::new();
    let world = World::among(&exchange).await;
    let (hub, resource) = (&world.services.hub, world.resource(ResourceKind::Hub, "hub1"));
    let admin = Caller::admin();
    hub.create_device(&admin, &resource, DeviceInput::new("d")).await.unwrap();
    let (elsewhere, other) = node(&world, "b", &exchange);
    let id = DeviceAddress::parse("d").unwrap();
    let who = Entering::new(resource.name.clone(), id.clone(), String::new());
    let _there = elsewhere.enter(who, Arc::new(Deaf), world.clock.now()).await.unwrap();
    other.cut_silently(true);
    let patch = hub.patch_twin(&admin, &resource, &id, desired(json!({"a": 1})), None);
    let turn = async {
        while hub.addressed(&resource, &id).await.unwrap().twin.desired.version < 2 {
            tokio::task::yield_now().await;
        }
        hub.in_order(&id).await
    };
    tokio::select! {
        biased;
        _ = patch => panic!("it has its answer before others have their turn"),
        turn = turn => drop(turn),
    }
}
