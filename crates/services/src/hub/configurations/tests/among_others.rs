//! Configurations put at the same time, in the background among other nodes, and with metrics that are too large.

use futures_util::StreamExt as _;
use futures_util::future::join_all;
use pollux_bus::{Bus as _, Exchange};
use pollux_store::{Batch, Expect, Write};

use super::super::settle::Stand;
use super::*;
use crate::cluster::CHANGED;

#[tokio::test]
async fn no_more_are_put_at_once_than_there_may_be() {
    let world = World::differing(|context| context.limits.configurations = 5).await;
    let resource = world.resource(ResourceKind::Hub, "hub1");
    let test = Test { world, admin: Caller::admin(), resource };
    let puts = (0..20).map(|n| test.put(input(&format!("c{n}"), "*", 1, json!({}))));
    let put = join_all(puts).await;
    let refused = put.iter().filter_map(|put| put.as_ref().err()).map(|error| error.code);
    assert_eq!(refused.collect::<Vec<_>>(), [E::ConfigurationLimitReached; 15]);
    let all = test.hub().configurations(&test.admin, &test.resource, 99).await.unwrap();
    assert_eq!(all.len(), 5);
    // One that is deleted makes room at once, though twins may follow it for moments.
    let id = all[0].0.id.clone();
    test.hub().delete_configuration(&test.admin, &test.resource, &id, None).await.unwrap();
    test.put(input("next", "*", 1, json!({}))).await.unwrap();
    assert_eq!(test.refused(input("one-more", "*", 1, json!({}))).await, E::ConfigurationLimitReached);
}

/// Whoever changed a configuration may have died before it told the others: whoever applies it tells them.
#[tokio::test]
async fn what_may_have_been_left_unsaid_is_said_before_it_is_applied() {
    let exchange = Exchange::new();
    let world = World::among(&exchange).await;
    let resource = world.resource(ResourceKind::Hub, "hub1");
    let test = Test { world, admin: Caller::admin(), resource };
    let mut put = test.put(input("c", "*", 1, json!({"properties.desired.a": 1}))).await.unwrap();
    put.etag = test.hub().configuration_etag();
    let other = exchange.join();
    let mut heard = other.subscribe(CHANGED).await.unwrap();
    // As a node leaves it that commits and dies.
    let write = Write::PutConfiguration {
        hub: test.resource.name.clone(),
        configuration: Box::new(put),
        expect: Expect::Present,
    };
    test.world.services.context.store.commit(Batch::from(write)).await.unwrap();
    test.hub().settle_step(&test.resource, None, &mut Stand::default()).await.unwrap();
    let said = heard.next().await.unwrap();
    let said: Value = serde_json::from_slice(&said.payload).unwrap();
    assert_eq!(said, json!({"node": "a", "change": {"configurations": "hub1"}}));
}

/// A metric with more groups than there is room for takes none of the others along, of whatever configuration.
#[tokio::test]
async fn a_metric_that_is_too_large_is_left_out_alone() {
    let world = World::differing(|context| context.limits.query_memory = 4096).await;
    let resource = world.resource(ResourceKind::Hub, "hub1");
    let test = Test { world, admin: Caller::admin(), resource };
    for n in 0..40 {
        let id = format!("d{n}");
        test.device(&id).await;
        test.patch(&id, json!({"room": format!("{n:0200}"), "even": n % 2 == 0}), json!({})).await;
    }
    let groups = |tag: &str| format!("SELECT tags.{tag}, COUNT() AS n FROM devices GROUP BY tags.{tag}");
    let named = |metrics: &[(&str, String)]| {
        metrics.iter().map(|(name, query)| ((*name).to_owned(), query.clone())).collect::<BTreeMap<_, _>>()
    };
    for (id, metrics) in [
        ("large", named(&[("rooms", groups("room")), ("even", groups("even"))])),
        ("small", named(&[("all", "SELECT deviceId FROM devices".to_owned())])),
    ] {
        let input = input(id, "*", 1, json!({"properties.desired.a": 1}));
        test.put(ConfigurationInput { metrics, ..input }).await.unwrap();
    }
    let all = test.hub().configurations(&test.admin, &test.resource, 9).await.unwrap();
    let counted: BTreeMap<&str, (u64, &BTreeMap<String, u64>)> =
        all.iter().map(|(one, measured)| (one.id.as_str(), (measured.targeted, &measured.metrics))).collect();
    let of = |metrics: &[(&str, u64)]| {
        metrics.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect::<BTreeMap<_, _>>()
    };
    assert_eq!(counted["large"], (40, &of(&[("even", 2)])));
    assert_eq!(counted["small"], (40, &of(&[("all", 40)])));
}
