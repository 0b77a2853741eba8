//! What messages get on their way to endpoints, and routes that are tried before they are saved.

use pollux_model::resource::{ResourceKind, RouteSource};
use pollux_model::{DeviceAddress, DeviceId, ErrorCode};
use pollux_services::hub::telemetry::Telemetry;
use pollux_services::hub::{HubEvent, System, TestMessage, TwinInput};
use serde_json::{Value, json};

use crate::hub::{create, with_routes};
use crate::world::{World, declared, json_message};

/// The application properties of the newest event there.
async fn newest(world: &World, event_hub: &str) -> Vec<(String, String)> {
    let events = world.events(event_hub).await;
    let event = events.last().expect("there are events");
    let text = |value: &pollux_amqp::Value| value.as_str().unwrap_or_default().to_owned();
    event.application_properties.0.iter().map(|(name, value)| (name.to_string(), text(value))).collect()
}

async fn change(world: &World, body: Value) -> pollux_model::Result<()> {
    world.services.resources.apply(&world.admin, &declared(ResourceKind::Hub, body)).await.map(drop)
}

async fn with_enrichments() -> World {
    let world = with_routes().await;
    create(&world, "d").await;
    let to_all =
        |key: &str, value: &str| json!({ "key": key, "value": value, "endpoints": ["all", "twins"] });
    let enrichments = json!([
        to_all("fixed", "from the hub"),
        to_all("hub", "$iothubname"),
        to_all("site", "$twin.tags.site"),
        to_all("limits", "$twin.properties.desired.limits"),
        to_all("nowhere", "$twin.tags.none.at.all"),
        { "key": "hot", "value": "yes", "endpoints": ["hot"] },
    ]);
    change(&world, json!({ "name": "hub1", "enrichments": enrichments })).await.unwrap();
    let fields = |value: Value| value.as_object().cloned();
    let patch = TwinInput {
        tags: fields(json!({ "site": "north" })),
        desired: fields(json!({ "limits": { "max": 7 } })),
        ..TwinInput::default()
    };
    world
        .services
        .hub
        .patch_twin(&world.admin, &world.hub(), &DeviceAddress::of("d", None).unwrap(), patch, None)
        .await
        .unwrap();
    world
}

#[tokio::test]
async fn what_is_added_goes_to_the_endpoints_it_is_for() {
    let world = with_enrichments().await;
    let mut message = json_message(&json!({ "Temperature": 60 }));
    message.properties = vec![("own".into(), "kept".into()), ("fixed".into(), "the device's".into())];
    world.send_message("d", message).await.unwrap();
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    assert_eq!(
        newest(&world, "all").await,
        [
            pair("own", "kept"),
            pair("fixed", "from the hub"),
            pair("hub", "hub1"),
            pair("site", "north"),
            pair("limits", r#"{"max":7}"#),
            pair("nowhere", "$twin.tags.none.at.all"),
        ]
    );
    assert_eq!(
        newest(&world, "hot").await,
        [pair("own", "kept"), pair("fixed", "the device's"), pair("hot", "yes")]
    );
    assert_eq!(newest(&world, "deviceevents").await, [pair("own", "kept"), pair("fixed", "the device's")]);
    world.services.events.relay(0).await.unwrap();
    let told = newest(&world, "twins").await;
    assert!(
        told.contains(&pair("site", "north")) && told.contains(&pair("opType", "updateTwin")),
        "{told:?}"
    );
}

#[tokio::test]
async fn the_built_in_endpoint_gets_its_own_without_a_route() {
    let world = World::new().await;
    create(&world, "d").await;
    let enrichment = json!({ "key": "site", "value": "$twin.tags.site", "endpoints": ["events"] });
    let route = json!({ "name": "deviceevents", "source": "DeviceMessages", "condition": "false", "endpoint": "deviceevents" });
    change(&world, json!({ "name": "hub1", "enrichments": [enrichment], "routes": [route] })).await.unwrap();
    world.send_message("d", Telemetry::default()).await.unwrap();
    let events = world.events_of("hub1.hub/iothub-ehub-hub1", 4).await;
    let site =
        events[0].application_properties.get("site").and_then(|value| value.as_str().map(str::to_owned));
    assert_eq!(site.as_deref(), Some("$twin.tags.site"));
}

#[tokio::test]
async fn an_enrichment_that_cannot_be_is_refused() {
    let world = with_enrichments().await;
    let one = |key: &str, value: &str, endpoints: Value| json!({ "name": "hub1", "enrichments": [{ "key": key, "value": value, "endpoints": endpoints }] });
    for body in [
        one("not good", "x", json!(["all"])),
        one("", "x", json!(["all"])),
        one("k", "", json!(["all"])),
        one("k", "x", json!([])),
        one("k", "x", json!(["nowhere"])),
    ] {
        assert_eq!(
            change(&world, body.clone()).await.unwrap_err().code,
            ErrorCode::InvalidArgument,
            "{body}"
        );
    }
    for n in 0..4 {
        change(&world, one(&format!("more-{n}"), "x", json!(["all"]))).await.unwrap();
    }
    assert_eq!(
        change(&world, one("one-more", "x", json!(["all"]))).await.unwrap_err().code,
        ErrorCode::QuotaExceeded
    );
    let (hub, resources) = (world.hub().name.clone(), &world.services.resources);
    resources.delete_enrichment(&world.admin, &hub, "more-0").await.unwrap();
    let gone = resources.delete_enrichment(&world.admin, &hub, "more-0").await.unwrap_err();
    assert_eq!(gone.code, ErrorCode::ResourceNotFound);
}

fn tried(
    source: RouteSource,
    properties: &[(&str, &str)],
    body: &Value,
    device: Option<&str>,
) -> TestMessage {
    let system = System {
        content_type: Some("application/json".into()),
        content_encoding: Some("utf-8".into()),
        ..System::default()
    };
    let event = HubEvent {
        source,
        device_id: device.unwrap_or_default().to_owned(),
        module_id: None,
        properties: properties
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect(),
        system,
        body: body.to_string().into(),
    };
    TestMessage { event, device: device.map(|id| DeviceId::parse(id).unwrap()) }
}

#[tokio::test]
async fn routes_are_tried_without_a_message() {
    let world = with_enrichments().await;
    let (hub, services) = (world.hub(), &world.services.hub);
    let message = |body: Value, device| tried(RouteSource::DeviceMessages, &[], &body, device);
    let routes = async |message| services.test_routes(&world.admin, &hub, message).await.unwrap().routes;
    assert!(routes(message(json!({ "Temperature": 60 }), None)).await.contains(&"by-body".to_owned()));
    assert!(!routes(message(json!({ "Temperature": 6 }), None)).await.contains(&"by-body".to_owned()));
    let created =
        tried(RouteSource::DeviceLifecycleEvents, &[("opType", "createDeviceIdentity")], &json!({}), None);
    assert!(routes(created).await.contains(&"created".to_owned()));

    let condition = async |text: &str, device| {
        services.test_condition(&world.admin, &hub, text, message(json!({ "a": 1 }), device)).await
    };
    assert!(condition("$body.a = 1 AND $twin.tags.site = 'north'", Some("d")).await.unwrap());
    assert!(!condition("$twin.tags.site = 'north'", None).await.unwrap());
    let versions = "$twin.properties.desired.$version = 2 AND $twin.properties.reported.$version = 1";
    assert!(condition(versions, Some("d")).await.unwrap());
    let metadata = "is_defined($twin.properties.desired.$metadata.limits.max.$lastUpdatedVersion)";
    assert!(condition(metadata, Some("d")).await.unwrap());
    assert_eq!(condition("$body.a = ", None).await.unwrap_err().code, ErrorCode::InvalidArgument);
    assert_eq!(condition("true", Some("nobody")).await.unwrap_err().code, ErrorCode::DeviceNotFound);
    let stranger = world.connected("d").await;
    let refused = services.test_condition(&stranger, &hub, "true", message(json!({}), None)).await;
    assert_eq!(refused.unwrap_err().code, ErrorCode::Forbidden);
    assert!(world.events("all").await.is_empty(), "nothing was sent");
}
