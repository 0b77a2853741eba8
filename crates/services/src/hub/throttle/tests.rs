//! Tiers that bind, and none that does not.

use std::sync::Arc;

use pollux_model::{Clock as _, DeviceId, ErrorCode};
use tokio::time::Instant;

use super::*;
use crate::caller::Identity;
use crate::fixture::World;
use crate::hub::{ConfigurationCondition, ConfigurationInput, JobInput, JobWorkInput, MethodInput};

const SECOND: Duration = Duration::from_secs(1);

async fn hub_of(tier: Option<(&str, u32)>) -> (World, Arc<Resource>) {
    let world = World::new().await;
    let mut hub = (*world.resource(ResourceKind::Hub, "hub1")).clone();
    let Properties::Hub(properties) = &mut hub.properties else { panic!("no hub") };
    properties.sku = tier.map(|(name, capacity)| Sku { name: name.parse().unwrap(), capacity });
    (world, Arc::new(hub))
}

#[tokio::test]
async fn what_comes_too_fast_is_told_to_wait() {
    let (world, hub) = hub_of(Some(("S1", 2))).await;
    let (service, admin) = (&world.services.hub, Caller::admin());
    for _ in 0..200 {
        assert_eq!(service.device(&admin, &hub, "d").await.unwrap_err().code, ErrorCode::DeviceNotFound);
    }
    let refused = service.device(&admin, &hub, "d").await.unwrap_err();
    assert!(refused.code == ErrorCode::Throttled && refused.message.contains("200 identity"), "{refused}");
    // Whoever may not ask learns nothing of it.
    let nobody = Caller::on_kind(Identity::Admin, ResourceKind::Twins, Vec::new());
    assert_ne!(service.device(&nobody, &hub, "d").await.unwrap_err().code, ErrorCode::Throttled);
    // Twins have a bucket of their own.
    let twin = service.twin(&admin, &hub, &DeviceId::parse("d").unwrap().into()).await;
    assert_eq!(twin.unwrap_err().code, ErrorCode::DeviceNotFound);
    world.clock.advance(SECOND);
    assert_eq!(service.device(&admin, &hub, "d").await.unwrap_err().code, ErrorCode::DeviceNotFound);
}

#[tokio::test]
async fn telemetry_waits_for_its_turn_and_is_refused_when_that_is_far_away() {
    let (world, hub) = hub_of(Some(("S1", 1))).await;
    let service = &world.services.hub;
    tokio::time::pause();
    let start = Instant::now();
    service.shape(&hub, 6000).await.unwrap();
    assert!(start.elapsed() < SECOND, "a minute's messages at once");
    service.shape(&hub, 500).await.unwrap();
    assert!(start.elapsed() >= SECOND * 5, "{:?}", start.elapsed());
    let refused = service.shape(&hub, 600).await.unwrap_err();
    assert!(refused.code == ErrorCode::Throttled && refused.message.contains("6000 device"), "{refused}");
    world.clock.advance(SECOND * 6);
    service.shape(&hub, 100).await.unwrap();
}

#[tokio::test]
async fn a_day_has_so_many_messages() {
    let (world, hub) = hub_of(Some(("F1", 1))).await;
    let service = &world.services.hub;
    service.bill(&hub, [0, 512, 513]).await.unwrap();
    let used = async || service.quota_metrics(&Caller::admin(), &hub).await.unwrap();
    let expected = QuotaMetrics { messages: 4, most_messages: Some(8000), devices: 0 };
    assert_eq!(used().await, expected);
    service.bill(&hub, [7996 * 512]).await.unwrap();
    let refused = service.bill(&hub, [1]).await.unwrap_err();
    assert!(refused.code == ErrorCode::QuotaExceeded && refused.message.contains("'8000'"), "{refused}");
    world.clock.advance(Duration::from_secs(86_400 - world.clock.now().as_secs().rem_euclid(86_400) as u64));
    assert_eq!(used().await.messages, 0);
    service.bill(&hub, [1]).await.unwrap();
}

#[tokio::test]
async fn methods_are_counted_in_steps_of_four_kibibytes() {
    let (world, hub) = hub_of(Some(("S1", 1))).await;
    let service = &world.services.hub;
    for _ in 0..40 * 60 {
        service.throttle_method(&hub, 1).unwrap();
    }
    assert_eq!(service.throttle_method(&hub, 1).unwrap_err().code, ErrorCode::Throttled);
}

#[tokio::test]
async fn a_tier_has_so_many_configurations_and_jobs_at_once() {
    let admin = Caller::admin();
    for (tier, configurations, jobs) in [("F1", 10, 1), ("S2", 11, 5)] {
        let (world, hub) = hub_of(Some((tier, 1))).await;
        let service = &world.services.hub;
        for n in 0..=configurations {
            let input = ConfigurationInput { id: format!("c{n}"), ..ConfigurationInput::default() };
            let put = service.put_configuration(&admin, &hub, input, ConfigurationCondition::Absent).await;
            let refused = put.err().map(|error| error.code);
            assert_eq!(refused, (n == 10 && tier == "F1").then_some(ErrorCode::ConfigurationLimitReached));
        }
        for n in 0..=jobs {
            let method = MethodInput {
                name: "m".to_owned(),
                payload: None,
                response_timeout: None,
                connect_timeout: None,
            };
            let input = JobInput {
                id: format!("j{n}"),
                work: JobWorkInput::DeviceMethod(method),
                query_condition: "*".to_owned(),
                start: None,
                max_execution_seconds: None,
            };
            let refused = service.create_job(&admin, &hub, input).await.err().map(|error| error.code);
            assert_eq!(refused, (n == jobs).then_some(ErrorCode::ActiveJobLimitReached), "{tier} {n}");
        }
    }
}

#[tokio::test]
async fn without_a_tier_nothing_binds() {
    let (world, hub) = hub_of(None).await;
    let service = &world.services.hub;
    for _ in 0..1000 {
        service.throttle(&hub, Operation::Configuration, 1).unwrap();
    }
    service.shape(&hub, 1_000_000).await.unwrap();
    service.bill(&hub, [usize::MAX]).await.unwrap();
    let used = service.quota_metrics(&Caller::admin(), &hub).await.unwrap();
    assert_eq!(used, QuotaMetrics { messages: 0, most_messages: None, devices: 0 });
}

#[test]
fn rates_are_the_articles() {
    let sku = |name: &str, capacity| Sku { name: name.parse().unwrap(), capacity };
    for (operation, name, units, a_minute) in [
        (Operation::Identity, "S1", 1, 100),
        (Operation::Identity, "S3", 2, 10_000),
        (Operation::Connection, "S1", 2, 6_000),
        (Operation::Telemetry, "S1", 9, 108 * 60),
        (Operation::Telemetry, "S2", 1, 7_200),
        (Operation::MessageReceive, "F1", 1, 1_000),
        (Operation::Method, "S1", 1, 160 * 1024 * 60),
        (Operation::Method, "S3", 10, 24 * 1024 * 1024 * 600),
        (Operation::Query, "S2", 3, 60),
        (Operation::TwinRead, "S2", 20, 200 * 60),
        (Operation::TwinUpdate, "F1", 1, 3_000),
        (Operation::JobDevice, "S2", 1, 600),
        (Operation::Configuration, "S3", 1, 20),
    ] {
        assert_eq!(operation.a_minute(sku(name, units)), a_minute, "{operation:?} {name} × {units}");
    }
    assert_eq!(quota(sku("F1", 1)), (8_000, 512));
    assert_eq!(quota(sku("S2", 2)), (12_000_000, 4096));
}
