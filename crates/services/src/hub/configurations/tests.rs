//! Configurations against services over a store: who is targeted, what is applied when, what is refused.

mod among_others;

use std::collections::BTreeMap;
use std::sync::Arc;

use pollux_model::ErrorCode as E;
use pollux_model::configuration::ConfigurationContent;
use pollux_model::device::Device;
use serde_json::{Map, Value, json};
use tokio_util::sync::CancellationToken;

use super::*;
use crate::caller::{DeviceProof, Identity};
use crate::fixture::World;
use crate::hub::{DeviceInput, ModuleInput, TwinInput};
use pollux_model::DeviceAddress;

fn map(value: Value) -> Map<String, Value> {
    value.as_object().unwrap().clone()
}

fn input(id: &str, condition: &str, priority: i32, device: Value) -> ConfigurationInput {
    ConfigurationInput {
        id: id.to_owned(),
        content: Some(ConfigurationContent { device: map(device), ..ConfigurationContent::default() }),
        target_condition: Some(condition.to_owned()),
        priority: Some(priority),
        ..ConfigurationInput::default()
    }
}

fn address(text: &str) -> DeviceAddress {
    DeviceAddress::parse(text).unwrap()
}

struct Test {
    world: World,
    admin: Caller,
    resource: Arc<Resource>,
}

impl Test {
    async fn new() -> Self {
        let world = World::new().await;
        let resource = world.resource(ResourceKind::Hub, "hub1");
        Self { world, admin: Caller::admin(), resource }
    }

    fn hub(&self) -> &Hub {
        &self.world.services.hub
    }

    async fn device(&self, id: &str) {
        let input = DeviceInput::new(id);
        self.hub().create_device(&self.admin, &self.resource, input).await.unwrap();
    }

    async fn module(&self, device: &str, id: &str) {
        let (device, id) = (device.to_owned(), id.to_owned());
        let input = ModuleInput { device, id, authentication: None, managed_by: None };
        self.hub().create_module(&self.admin, &self.resource, input).await.unwrap();
    }

    async fn put(&self, input: ConfigurationInput) -> Result<Configuration> {
        let absent = ConfigurationCondition::Absent;
        self.hub().put_configuration(&self.admin, &self.resource, input, absent).await
    }

    async fn refused(&self, input: ConfigurationInput) -> E {
        self.put(input).await.unwrap_err().code
    }

    async fn twin(&self, id: &str) -> Device {
        let found = self.world.services.context.store.addressed(&self.resource.name, &address(id)).await;
        found.unwrap().unwrap()
    }

    async fn patch(&self, id: &str, tags: Value, desired: Value) {
        let input = TwinInput { tags: Some(map(tags)), desired: Some(map(desired)), ..TwinInput::default() };
        self.hub().patch_twin(&self.admin, &self.resource, &address(id), input, None).await.unwrap();
    }

    async fn settle(&self) {
        self.hub().settle_pass(&self.resource, None).await.unwrap();
    }

    /// What the twin desires, and how it stands to configurations.
    async fn state(&self, id: &str) -> (Value, Value) {
        let twin = self.twin(id).await.twin;
        let by = twin.configured.by.iter().map(|(id, status)| (id.clone(), json!(status.as_str())));
        (Value::Object(twin.desired.properties), Value::Object(by.collect()))
    }

    async fn measured(&self, id: &str) -> (u64, u64) {
        let (_, measured) = self.hub().configuration(&self.admin, &self.resource, id).await.unwrap();
        (measured.targeted, measured.applied)
    }
}

#[tokio::test]
async fn a_device_follows_from_the_commit_that_makes_it_match() {
    let test = Test::new().await;
    test.put(input("all", "*", 1, json!({"properties.desired.a": 1}))).await.unwrap();
    test.put(input(
        "tagged",
        "tags.env = 'prod'",
        5,
        json!({"properties.desired.a": 5, "properties.desired.b": {"c": 5}}),
    ))
    .await
    .unwrap();
    test.device("d").await;
    assert_eq!(test.state("d").await, (json!({"a": 1}), json!({"all": "Applied"})));
    test.patch("d", json!({"env": "prod"}), json!({"own": 1})).await;
    let expected =
        (json!({"a": 5, "own": 1, "b": {"c": 5}}), json!({"all": "Targeted", "tagged": "Applied"}));
    assert_eq!(test.state("d").await, expected);
    let twin = test.twin("d").await.twin;
    // The operator's change, and what follows from it.
    assert_eq!((twin.desired.version, twin.version), (4, 4));
    // What it holds nobody changes, but others may be changed.
    test.patch("d", json!({}), json!({"a": 7, "own": 2})).await;
    assert_eq!(test.state("d").await.0, json!({"a": 5, "own": 2, "b": {"c": 5}}));
    test.patch("d", json!({"env": "test"}), json!({})).await;
    assert_eq!(test.state("d").await, (json!({"a": 1, "own": 2}), json!({"all": "Applied"})));
    assert_eq!((test.measured("all").await, test.measured("tagged").await), ((1, 1), (0, 0)));
}

#[tokio::test]
async fn a_report_that_makes_it_match_is_followed_too() {
    let test = Test::new().await;
    let condition = "properties.reported.firmware.version < 2 AND deviceId != 'other'";
    test.put(input("update", condition, 1, json!({"properties.desired.firmware": {"wanted": 2}})))
        .await
        .unwrap();
    test.device("d").await;
    let id = address("d");
    let identity = Identity::Device {
        hub: test.resource.name.clone(),
        id: id.clone(),
        generation_id: test.twin("d").await.identity.generation_id,
        by: DeviceProof::Key,
    };
    let device = Caller::own(identity);
    for (version, desired) in
        [(1, json!({"firmware": {"wanted": 2}})), (2, json!({})), (1, json!({"firmware": {"wanted": 2}}))]
    {
        let patch = map(json!({"firmware": {"version": version}}));
        test.hub().report(&device, &test.resource, &id, patch).await.unwrap();
        assert_eq!(test.state("d").await.0, desired);
    }
}

#[tokio::test]
async fn changed_and_deleted_ones_are_followed_by_all() {
    let test = Test::new().await;
    for id in ["d1", "d2", "d3"] {
        test.device(id).await;
    }
    test.patch("d1", json!({"room": 1}), json!({})).await;
    let low = test.put(input("low", "*", 1, json!({"properties.desired.x": "low"}))).await.unwrap();
    assert!(low.pending);
    let high =
        test.put(input("high", "tags.room = 1", 2, json!({"properties.desired.x": "high"}))).await.unwrap();
    assert_eq!((test.measured("low").await, test.measured("high").await), ((3, 0), (1, 0)));
    test.settle().await;
    assert_eq!((test.measured("low").await, test.measured("high").await), ((3, 2), (1, 1)));
    let before = test.twin("d2").await;
    test.settle().await;
    assert_eq!(test.twin("d2").await, before, "who follows is not written");

    // Priorities the other way round.
    let mut next = input("high", "tags.room = 1", 0, json!({"properties.desired.x": "high"}));
    next.labels.insert("a".to_owned(), "b".to_owned());
    let hub = test.hub();
    let etag = ConfigurationCondition::Etag(high.etag.clone());
    let changed =
        hub.put_configuration(&test.admin, &test.resource, next.clone(), etag.clone()).await.unwrap();
    assert_eq!((changed.created, changed.labels.len()), (high.created, 1));
    let stale = hub.put_configuration(&test.admin, &test.resource, next.clone(), etag).await.unwrap_err();
    assert_eq!(stale.code, E::PreconditionFailed);
    test.settle().await;
    assert_eq!(test.state("d1").await, (json!({"x": "low"}), json!({"high": "Targeted", "low": "Applied"})));

    let gone =
        hub.delete_configuration(&test.admin, &test.resource, "low", Some(high.etag)).await.unwrap_err();
    assert_eq!(gone.code, E::PreconditionFailed);
    hub.delete_configuration(&test.admin, &test.resource, "low", Some(low.etag)).await.unwrap();
    assert_eq!(
        hub.configuration(&test.admin, &test.resource, "low").await.unwrap_err().code,
        E::ConfigurationNotFound
    );
    test.settle().await;
    assert_eq!(test.state("d1").await.0, json!({"x": "high"}));
    assert_eq!(test.state("d2").await, (json!({}), json!({})));

    let again = test.put(input("low", "*", 0, json!({"properties.desired.y": 1}))).await.unwrap();
    assert!(!again.deleted, "the id is free at once");
    // Of two that are equal the one created later wins; these do not meet.
    test.settle().await;
    assert_eq!(test.state("d1").await.0, json!({"x": "high", "y": 1}));
}

#[tokio::test]
async fn in_the_background_all_is_brought_in_line_and_forgotten() {
    let test = Test::new().await;
    for n in 0..50 {
        test.device(&format!("d{n}")).await;
    }
    let stop = CancellationToken::new();
    let work = tokio::spawn(Arc::clone(&test.world.services.hub).run_configurations(stop.clone()));
    let store = Arc::clone(&test.world.services.context.store);
    let until = |wanted: fn(&[Configuration]) -> bool| {
        let (store, name) = (Arc::clone(&store), test.resource.name.clone());
        async move {
            while !wanted(&store.configurations(&name, None, 9).await.unwrap().items) {
                tokio::task::yield_now().await;
            }
        }
    };
    test.put(input("c", "*", 1, json!({"properties.desired.a": 1}))).await.unwrap();
    until(|all| all.len() == 1 && !all[0].pending).await;
    assert_eq!(test.measured("c").await, (50, 50));
    test.hub().delete_configuration(&test.admin, &test.resource, "c", None).await.unwrap();
    until(<[Configuration]>::is_empty).await;
    assert_eq!(test.state("d7").await, (json!({}), json!({})));
    assert_eq!(test.twin("d7").await.twin.desired.version, 3);
    stop.cancel();
    work.await.unwrap();
}

#[tokio::test]
async fn modules_have_configurations_of_their_own() {
    let test = Test::new().await;
    test.device("d").await;
    let content =
        ConfigurationContent { module: map(json!({"properties.desired.m": 1})), ..Default::default() };
    let condition = "FROM devices.modules WHERE moduleId = 'm1' AND tags.on = true";
    let of_module = |condition: &str| ConfigurationInput {
        content: Some(content.clone()),
        ..input("modules", condition, 1, json!({}))
    };
    for bad in ["*", "tags.on = true"] {
        assert_eq!(test.refused(of_module(bad)).await, E::ConfigurationContentInvalid, "{bad}");
    }
    assert_eq!(test.refused(of_module("from devices.modules")).await, E::ConfigurationTargetInvalid);
    let mut both = of_module(condition);
    both.content.as_mut().unwrap().device = map(json!({"properties.desired.a": 1}));
    assert_eq!(test.refused(both).await, E::ConfigurationContentInvalid);
    test.put(of_module(condition)).await.unwrap();
    test.put(input("devices", "*", 1, json!({"properties.desired.d": 1}))).await.unwrap();
    for id in ["m1", "m2"] {
        test.module("d", id).await;
        test.patch(&format!("d/{id}"), json!({"on": true}), json!({})).await;
    }
    test.settle().await;
    assert_eq!(test.state("d/m1").await, (json!({"m": 1}), json!({"modules": "Applied"})));
    assert_eq!(test.state("d/m2").await, (json!({}), json!({})));
    assert_eq!(test.state("d").await, (json!({"d": 1}), json!({"devices": "Applied"})));
    assert_eq!((test.measured("modules").await, test.measured("devices").await), ((1, 1), (1, 1)));
}

#[tokio::test]
async fn what_a_configuration_may_be() {
    let test = Test::new().await;
    let good = || input("c", "*", 1, json!({"properties.desired.a": 1}));
    for id in ["", "A", "a b", "a/b", "ä", &"x".repeat(129)] {
        assert_eq!(
            test.refused(ConfigurationInput { id: id.to_owned(), ..good() }).await,
            E::InvalidArgument,
            "{id}"
        );
    }
    assert_eq!(test.refused(ConfigurationInput { priority: Some(-1), ..good() }).await, E::InvalidArgument);
    for condition in [
        "tags.a = ",
        "connectionState = 'Connected'",
        "properties.desired.a = 1",
        "tags.a = 1 GROUP BY tags.b",
        "configurations.[[c]].status = 'Applied'",
        "FROM devices",
        "FROM nowhere WHERE tags.a = 1",
    ] {
        assert_eq!(
            test.refused(input("c", condition, 1, json!({}))).await,
            E::ConfigurationTargetInvalid,
            "{condition}"
        );
    }
    for content in [
        json!({"a": 1}),
        json!({"tags.a": 1}),
        json!({"properties.reported.a": 1}),
        json!({"properties.desiredx": 1}),
        json!({"properties.desired.": 1}),
        json!({"properties.desired": 1}),
        json!({"properties.desired.a..b": 1}),
        json!({"properties.desired.$a": 1}),
        json!({"properties.desired.a": {"b.c": 1}}),
        json!({"properties.desired.a": {"b": [{"$c": 1}]}}),
        json!({"properties.desired.a": 1, "properties.desired.a.b": 1}),
        json!({"properties.desired": {}, "properties.desired.a": 1}),
        json!({"properties.desired.a.b.c.d.e.f.g.h.i.j.k": 1}),
        json!({"properties.desired.a": u64::MAX}),
        json!({"properties.desired.a": vec!["x".repeat(4000); 9]}),
    ] {
        assert_eq!(
            test.refused(input("c", "*", 1, content.clone())).await,
            E::ConfigurationContentInvalid,
            "{content}"
        );
    }
    let metric = |name: &str, query: &str| ConfigurationInput {
        metrics: BTreeMap::from([(name.to_owned(), query.to_owned())]),
        ..good()
    };
    assert_eq!(test.refused(metric("m", "SELECT nothing")).await, E::ConfigurationMetricInvalid);
    assert_eq!(test.refused(metric("", "SELECT deviceId FROM devices")).await, E::InvalidArgument);
    let many = (0..21).map(|n| (n.to_string(), "SELECT deviceId FROM devices".to_owned())).collect();
    assert_eq!(
        test.refused(ConfigurationInput { metrics: many, ..good() }).await,
        E::ConfigurationMetricInvalid
    );
    let labels = (0..600).map(|n| (format!("{n:0100}"), "x".repeat(128))).collect();
    assert_eq!(test.refused(ConfigurationInput { labels, ..good() }).await, E::TooLarge);
    for n in 0..100 {
        test.put(ConfigurationInput { id: format!("c{n}"), ..good() }).await.unwrap();
    }
    assert_eq!(
        test.refused(ConfigurationInput { id: "c100".to_owned(), ..good() }).await,
        E::ConfigurationLimitReached
    );
    assert_eq!(
        test.refused(ConfigurationInput { id: "c1".to_owned(), ..good() }).await,
        E::ConfigurationExists
    );
    let other = input("c1", "*", 1, json!({"properties.desired.a": 2}));
    let (hub, present) = (test.hub(), ConfigurationCondition::Present);
    let code =
        hub.put_configuration(&test.admin, &test.resource, other, present.clone()).await.unwrap_err().code;
    assert_eq!(code, E::ConfigurationContentImmutable);
    let absent = ConfigurationInput { id: "none".to_owned(), ..good() };
    let code = hub.put_configuration(&test.admin, &test.resource, absent, present).await.unwrap_err().code;
    assert_eq!(code, E::ConfigurationNotFound);
}

#[tokio::test]
async fn metrics_count_rows() {
    let test = Test::new().await;
    for (id, state) in [("d1", "ok"), ("d2", "ok"), ("d3", "bad")] {
        test.device(id).await;
        test.patch(id, json!({"state": state}), json!({})).await;
    }
    test.module("d1", "m").await;
    let query = |name: &str, text: &str| (name.to_owned(), text.to_owned());
    let metrics = BTreeMap::from([
        query("ok", "SELECT deviceId FROM devices WHERE tags.state = 'ok'"),
        query("groups", "SELECT tags.state, COUNT() AS n FROM devices GROUP BY tags.state"),
        query("top", "SELECT TOP 2 * FROM devices"),
        query("modules", "SELECT * FROM devices.modules"),
        query("applied", "SELECT deviceId FROM devices WHERE configurations.[[1-c]].status = 'Applied'"),
        query("away", "SELECT * FROM devices WHERE connectionState = 'Disconnected'"),
    ]);
    test.put(ConfigurationInput {
        metrics,
        ..input("1-c", "tags.state = 'ok'", 1, json!({"properties.desired.a": 1}))
    })
    .await
    .unwrap();
    test.settle().await;
    let all = test.hub().configurations(&test.admin, &test.resource, 9).await.unwrap();
    let counted = |name: &str| all[0].1.metrics[name];
    let names = ["ok", "groups", "top", "modules", "applied", "away"];
    assert_eq!(names.map(counted), [2, 2, 2, 1, 2, 3]);
    assert!(test.hub().configurations(&test.admin, &test.resource, 0).await.unwrap().is_empty());
    let tested = test.hub().test_configuration(
        &test.admin,
        &test.resource,
        Some("tags.x ="),
        &BTreeMap::from([query("bad", "SELECT"), query("good", "SELECT * FROM devices")]),
    );
    let tested = tested.unwrap();
    assert!(!tested.target.is_empty() && tested.metrics.keys().eq(["bad"]));
}

#[tokio::test]
async fn content_is_set_once_on_one_device() {
    let test = Test::new().await;
    test.device("d").await;
    let apply = async |content: ConfigurationContent| {
        test.hub().apply_configuration_content(&test.admin, &test.resource, "d", content).await
    };
    let device =
        ConfigurationContent { device: map(json!({"properties.desired.a.b": 1})), ..Default::default() };
    apply(device.clone()).await.unwrap();
    assert_eq!(test.state("d").await, (json!({"a": {"b": 1}}), json!({})));
    let modules = map(json!({"$edgeAgent": {"properties.desired": {"x": 1}}}));
    let edge = ConfigurationContent { modules, ..Default::default() };
    for bad in [ConfigurationContent::default(), edge.clone()] {
        assert_eq!(apply(bad).await.unwrap_err().code, E::ConfigurationContentInvalid);
    }
    let input = DeviceInput { iot_edge: true, ..DeviceInput::new("d") };
    test.hub().update_device(&test.admin, &test.resource, input, None).await.unwrap();
    apply(edge).await.unwrap();
    assert_eq!(test.state("d/$edgeAgent").await.0, json!({"x": 1}));
    assert_eq!(test.twin("d/$edgeAgent").await.identity.managed_by.as_deref(), Some("IotEdge"));
}

#[tokio::test]
async fn deployments_are_for_modules_of_edge_devices() {
    let test = Test::new().await;
    let deployment = |id: &str, priority: i32, modules: Value| ConfigurationInput {
        content: Some(ConfigurationContent { modules: map(modules), ..Default::default() }),
        ..input(id, "tags.edge = 1", priority, json!({}))
    };
    let agent =
        |version: u64| json!({"$edgeAgent": {"properties.desired": {"v": version, "modules": {"m": 1}}}});
    for (id, priority, content) in [("low", 1, agent(1)), ("whole", 2, agent(2))] {
        test.put(deployment(id, priority, content)).await.unwrap();
    }
    let layer = json!({"$edgeAgent": {"properties.desired.modules.n": 2}, "n": {"properties.desired.x": 1}});
    test.put(deployment("layer", 3, layer)).await.unwrap();
    for (id, iot_edge) in [("plain", false), ("edge", true)] {
        let input = DeviceInput { iot_edge, ..DeviceInput::new(id) };
        test.hub().create_device(&test.admin, &test.resource, input).await.unwrap();
        test.patch(id, json!({"edge": 1}), json!({})).await;
    }
    assert_eq!(test.state("plain").await, (json!({}), json!({})));
    let statuses = json!({"low": "Targeted", "whole": "Applied", "layer": "Applied"});
    assert_eq!(test.state("edge").await, (json!({}), statuses));
    assert_eq!(test.state("edge/$edgeAgent").await.0, json!({"v": 2, "modules": {"m": 1, "n": 2}}));
    assert_eq!(test.state("edge/n").await, (json!({"x": 1}), json!({"layer": "Applied"})));
    let hub = test.hub();
    hub.delete_configuration(&test.admin, &test.resource, "whole", None).await.unwrap();
    test.settle().await;
    assert_eq!(test.state("edge/$edgeAgent").await.0, json!({"v": 1, "modules": {"m": 1, "n": 2}}));
    test.patch("edge", json!({"edge": 2}), json!({})).await;
    assert_eq!(test.state("edge/$edgeAgent").await, (json!({}), json!({})));
    assert_eq!(test.state("edge/n").await, (json!({}), json!({})));
}
