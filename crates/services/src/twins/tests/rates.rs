//! Azure's rate limits, where they are switched on.

use std::time::Duration;

use super::queries::rows;
use super::*;
use crate::caller::Identity;

const SECOND: Duration = Duration::from_secs(1);

fn few() -> Limits {
    Limits {
        twin_rates: true,
        model_requests: 2,
        twin_reads: 2,
        twin_patches: 3,
        twin_puts_and_deletes: 4,
        changes_of_a_twin: 2,
        twin_queries: 3,
        query_units: 3,
        job_requests: 1,
        event_route_requests: 1,
        ..Limits::default()
    }
}

#[tokio::test]
async fn what_comes_too_fast_is_told_to_wait_a_second() {
    let world = World::bounded(few()).await;
    for number in 0..4 {
        world.put(&format!("f{number}"), floor()).await.unwrap();
    }
    let refused = world.put("f4", floor()).await.unwrap_err();
    assert!(refused.code == ErrorCode::Throttled && refused.message.contains("4 twins"), "{refused}");
    world.clock.advance(SECOND);
    world.put("f4", floor()).await.unwrap();
    let get = async || world.twins.get_twin(&world.admin, &world.instance, "f0").await;
    get().await.unwrap();
    get().await.unwrap();
    assert_eq!(code(get().await), ErrorCode::Throttled);
    let model = async || world.twins.model(&world.admin, &world.instance, ROOM).await;
    model().await.unwrap();
    model().await.unwrap();
    assert_eq!(code(model().await), ErrorCode::Throttled);
    // Whoever may not ask learns nothing of it.
    let nobody = Caller::on_kind(Identity::Admin, resource::ResourceKind::Twins, Vec::new());
    let stranger = world.twins.get_twin(&nobody, &world.instance, "f0").await;
    assert_ne!(code(stranger), ErrorCode::Throttled);
}

#[tokio::test]
async fn one_twin_may_change_so_often() {
    let world = World::bounded(few()).await;
    world.put("f0", floor()).await.unwrap();
    world.put("f1", floor()).await.unwrap();
    world.clock.advance(SECOND);
    let level = |level: u8| json!([{ "op": "add", "path": "/Level", "value": level }]);
    world.patch("f0", level(1)).await.unwrap();
    world.relate("f0", "a", json!({ "$relationshipName": "above", "$targetId": "f1" })).await.unwrap();
    let refused = world.patch("f0", level(2)).await.unwrap_err();
    assert!(refused.code == ErrorCode::Throttled && refused.message.contains("'f0'"), "{refused}");
    // What is refused does not count: of three patches one was made.
    world.patch("f1", level(1)).await.unwrap();
    world.patch("f1", level(2)).await.unwrap();
    world.clock.advance(SECOND);
    world.patch("f0", level(3)).await.unwrap();
}

#[tokio::test]
async fn queries_have_a_rate_and_units() {
    let world = World::bounded(Limits { query_units: 1000, ..few() }).await;
    let count = async || rows(&world, "SELECT COUNT() FROM DIGITALTWINS", 10).await;
    for _ in 0..3 {
        count().await.unwrap();
    }
    assert_eq!(code(count().await), ErrorCode::Throttled);
    let world = World::bounded(Limits { twin_queries: 1000, ..few() }).await;
    let count = async || rows(&world, "SELECT COUNT() FROM DIGITALTWINS", 10).await;
    for _ in 0..3 {
        count().await.unwrap();
    }
    let refused = count().await.unwrap_err();
    assert!(refused.code == ErrorCode::Throttled && refused.message.contains("3 query units"), "{refused}");
    world.clock.advance(SECOND);
    count().await.unwrap();
}

/// As Azure has them, but off: nobody waits unless the operator wants it so.
#[tokio::test]
async fn nothing_binds_by_default() {
    let world = World::new().await;
    for number in 0..20 {
        world.put("f0", json!({ "$metadata": { "$model": FLOOR }, "Level": number })).await.unwrap();
    }
    for _ in 0..5 {
        world.twins.model(&world.admin, &world.instance, ROOM).await.unwrap();
    }
}
