//! The three functions: allocate, ingest, retire; and what becomes of events they cannot use.

use pollux_model::resource::ResourceKind;
use pollux_model::{ErrorCode, Timestamp};
use pollux_services::functions::Function;
use pollux_services::twins::PutTwin;
use serde_json::{Value, json};

use crate::hub::create;
use crate::world::{SPACE, THERMOSTAT, World, allocate, declared, json_message};

fn request(id: &str, model: &str) -> Value {
    json!({
        "deviceRuntimeContext": { "registrationId": id, "payload": { "modelId": model } },
        "linkedHubs": ["localhost"],
    })
}

impl World {
    /// A device with its twin, without a provisioning service.
    async fn pair(&self, id: &str) {
        create(self, id).await;
        let (status, body) = allocate(&self.services, &request(id, THERMOSTAT)).await;
        assert_eq!(status, 200, "{body}");
    }

    async fn put_twin(&self, id: &str, document: Value) {
        let put = PutTwin { id: id.into(), document, if_none_match: false };
        self.services
            .twins
            .put_twin(&self.admin, &self.resource(ResourceKind::Twins).name, put)
            .await
            .unwrap();
    }

    async fn value(&self, id: &str, pointer: &str) -> Value {
        self.twin(id).await.unwrap().pointer(pointer).cloned().unwrap_or(Value::Null)
    }

    async fn map_telemetry(&self, mapping: Value) {
        let app = declared(ResourceKind::Functions, json!({ "name": "functions1", "mapping": mapping }));
        self.services.resources.apply(&self.admin, &app).await.unwrap();
    }

    async fn dead_letters(&self) -> Vec<pollux_model::function::DeadLetter> {
        let app = self.resource(ResourceKind::Functions);
        self.services.functions.dead_letters(&self.admin, &app, None, None, 100).await.unwrap().items
    }
}

#[tokio::test]
async fn allocation_finds_or_creates_the_twin() {
    let world = World::new().await;
    let (status, body) = allocate(&world.services, &request("Dev-1", THERMOSTAT)).await;
    assert_eq!(status, 200, "{body}");
    let answer: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(answer["iotHubHostName"], "localhost");
    assert_eq!(answer["initialTwin"]["tags"], json!({ "dtmi": THERMOSTAT, "dtId": "Dev-1" }));
    assert_eq!(world.value("Dev-1", "/Temperature").await, json!(0.0));

    // The same model, however it is spelled: kept as it is.
    world
        .put_twin(
            "Dev-1",
            json!({ "$metadata": { "$model": THERMOSTAT }, "sensor": { "$metadata": {} }, "Humidity": 5.0 }),
        )
        .await;
    let shouted = THERMOSTAT.replace("Thermostat", "THERMOSTAT");
    assert_eq!(allocate(&world.services, &request("Dev-1", &shouted)).await.0, 200);
    assert_eq!(world.value("Dev-1", "/Humidity").await, json!(5.0));
    // Another model: replaced.
    assert_eq!(allocate(&world.services, &request("Dev-1", SPACE)).await.0, 200);
    assert_eq!(world.value("Dev-1", "/$metadata/$model").await, SPACE);
    assert_eq!(
        (world.value("Dev-1", "/Humidity").await, world.value("Dev-1", "/Temperature").await),
        (Value::Null, json!(0.0))
    );
}

#[tokio::test]
async fn allocation_says_what_is_missing() {
    let world = World::new().await;
    for (body, hint) in [
        (Value::Null, "Registration ID"),
        (json!({ "deviceRuntimeContext": {} }), "Registration ID"),
        (json!({ "deviceRuntimeContext": { "registrationId": "d" } }), "hub"),
        (json!({ "deviceRuntimeContext": { "registrationId": "d" }, "linkedHubs": [] }), "hub"),
        (json!({ "deviceRuntimeContext": { "registrationId": "d" }, "linkedHubs": ["h"] }), "modelId"),
        (request("d", "dtmi:example:Missing;1"), "upload"),
        (request("d", "no dtmi"), "model"),
    ] {
        let (status, text) = allocate(&world.services, &body).await;
        assert_eq!(status, 400, "{body}: {text}");
        assert!(text.contains(hint), "{text} does not speak of {hint}");
    }
    assert!(world.twin("d").await.is_none());
}

#[tokio::test]
async fn many_allocations_at_once_make_one_twin() {
    let world = World::new().await;
    let request = request("d", THERMOSTAT);
    let all = futures_util::future::join_all((0..8).map(|_| allocate(&world.services, &request))).await;
    assert!(all.iter().all(|(status, _)| *status == 200), "{all:?}");
    assert!(world.twin("d").await.is_some());
}

#[tokio::test]
async fn telemetry_goes_to_the_properties_of_the_same_name() {
    let world = World::new().await;
    world.start();
    world.pair("d").await;
    let body = json!({ "Temperature": 21.5, "Humidity": "40.5", "Noise": 3, "Unknown": 1, "Serial": "s" });
    world.send("d", &body).await;
    world.settled().await;
    let at = async |path| world.value("d", path).await;
    assert_eq!(
        (at("/Temperature").await, at("/Humidity").await, at("/Serial").await),
        (json!(21.5), json!(40.5), json!("s"))
    );
    assert_eq!((at("/Noise").await, at("/Unknown").await), (Value::Null, Value::Null));
    assert!(at("/$metadata/Temperature/sourceTime").await.is_string());
    assert!(world.dead_letters().await.is_empty());
}

#[tokio::test]
async fn a_mapping_leads_fields_elsewhere() {
    let world = World::new().await;
    world
        .map_telemetry(json!([
            { "model": null, "field": "/climate/temp", "property": "/Temperature" },
            { "model": THERMOSTAT, "field": "/r", "property": "/sensor/Reading" },
            { "model": SPACE, "field": "/h", "property": "/Nowhere" },
            { "model": null, "field": "/Humidity", "property": "" },
        ]))
        .await;
    world.start();
    world.pair("d").await;
    world.send("d", &json!({ "climate": { "temp": 5.5 }, "r": 7.5, "h": 1, "Humidity": 9 })).await;
    world.settled().await;
    assert_eq!(world.value("d", "/Temperature").await, json!(5.5));
    assert_eq!(world.value("d", "/sensor/Reading").await, json!(7.5));
    assert_eq!(world.value("d", "/Humidity").await, Value::Null, "mapped to nowhere");
    assert!(world.dead_letters().await.is_empty());
}

#[tokio::test]
async fn what_is_no_news_for_a_twin_is_left_alone() {
    let world = World::new().await;
    world.start();
    world.pair("d").await;
    create(&world, "twinless").await;
    world.send("twinless", &json!({ "Temperature": 5 })).await;
    let mut text = json_message(&json!({ "Temperature": 5 }));
    text.system.content_type = Some("text/plain".into());
    world.send_message("d", text).await.unwrap();
    let mut untyped = json_message(&Value::Null);
    untyped.system.content_type = None;
    untyped.body = "no JSON".into();
    world.send_message("d", untyped).await.unwrap();
    world.send("d", &json!([1, 2])).await;
    world.settled().await;
    assert_eq!(world.value("d", "/Temperature").await, json!(0.0));
    assert!(world.dead_letters().await.is_empty());
}

#[tokio::test]
async fn a_stale_or_repeated_message_never_overwrites_a_newer_value() {
    let world = World::new().await;
    world.start();
    world.pair("d").await;
    let measured = |value: f64, time: Timestamp| {
        let mut message = json_message(&json!({ "Temperature": value }));
        message.system.creation_time = Some(time.to_string());
        message
    };
    let (early, late) = (world.tick(), world.tick());
    world.tick();
    for (value, time, expected) in [(1.0, early, 1.0), (2.0, late, 2.0), (1.0, early, 2.0), (2.0, late, 2.0)]
    {
        world.send_message("d", measured(value, time)).await.unwrap();
        world.settled().await;
        assert_eq!(world.value("d", "/Temperature").await, json!(expected));
    }
    assert_eq!(world.value("d", "/$metadata/Temperature/sourceTime").await, json!(late));
    // A device whose clock runs ahead does not shut out what it says later.
    let future = Timestamp::from_secs(4_000_000_000);
    world.send_message("d", measured(3.0, future)).await.unwrap();
    world.tick();
    world.send("d", &json!({ "Temperature": 4 })).await;
    world.settled().await;
    assert_eq!(world.value("d", "/Temperature").await, json!(4));
}

#[tokio::test]
async fn what_an_earlier_device_said_is_not_for_the_twin_of_the_present_one() {
    let world = World::new().await;
    world.pair("d").await;
    world.send("d", &json!({ "Temperature": 11 })).await;
    world.delete_device("d").await;
    world.pair("d").await;
    // Only now are the events of both worked on.
    world.start();
    world.settled().await;
    assert_eq!(world.value("d", "/Temperature").await, json!(0.0));
    world.send("d", &json!({ "Temperature": 12 })).await;
    world.settled().await;
    assert_eq!(world.value("d", "/Temperature").await, json!(12));
}

#[tokio::test]
async fn each_device_is_told_in_order() {
    let world = World::new().await;
    world.start();
    for device in ["a", "b", "c"] {
        world.pair(device).await;
    }
    for at in 0..50 {
        for device in ["a", "b", "c"] {
            world.send(device, &json!({ "Temperature": at })).await;
        }
    }
    world.settled().await;
    for device in ["a", "b", "c"] {
        assert_eq!(world.value(device, "/Temperature").await, json!(49));
    }
}

#[tokio::test]
async fn a_bad_event_is_put_aside_and_the_rest_goes_on() {
    let world = World::new().await;
    world.start();
    world.pair("d").await;
    world.send("d", &json!({ "Temperature": "hot" })).await;
    world.send("d", &json!({ "Temperature": 22 })).await;
    let mut broken = json_message(&Value::Null);
    broken.body = "{".into();
    world.send_message("d", broken).await.unwrap();
    world.settled().await;
    assert_eq!(world.value("d", "/Temperature").await, json!(22));
    let letters = world.dead_letters().await;
    let [first, second] = letters.as_slice() else { panic!("{letters:?}") };
    assert_eq!(
        (first.function.as_str(), first.event_hub.as_str(), first.attempts),
        ("ingest", "deviceevents", 1)
    );
    assert!(first.reason.contains("Temperature") && second.reason.contains("JSON"), "{letters:?}");
}

#[tokio::test]
async fn a_dead_letter_can_be_replayed_once_its_cause_is_mended() {
    let world = World::new().await;
    world.start();
    world.map_telemetry(json!([{ "model": null, "field": "/t", "property": "/Typo" }])).await;
    world.pair("d").await;
    world.send("d", &json!({ "t": 22 })).await;
    world.settled().await;
    let (app, functions) = (world.resource(ResourceKind::Functions), &world.services.functions);
    let letters = world.dead_letters().await;
    let [letter] = letters.as_slice() else { panic!("{letters:?}") };
    let refused = functions.replay_dead_letter(&world.admin, &app, letter.id).await.unwrap_err();
    assert_eq!(refused.code, ErrorCode::InvalidArgument);
    let still = world.dead_letters().await;
    assert_eq!((still.len(), still[0].id, still[0].attempts), (1, letter.id, letter.attempts + 1));

    world.map_telemetry(json!([{ "model": null, "field": "/t", "property": "/Temperature" }])).await;
    functions.replay_dead_letter(&world.admin, &app, letter.id).await.unwrap();
    assert_eq!(world.value("d", "/Temperature").await, json!(22));
    assert!(world.dead_letters().await.is_empty());
    let gone = functions.replay_dead_letter(&world.admin, &app, letter.id).await.unwrap_err();
    assert_eq!(gone.code, ErrorCode::DeadLetterNotFound);
    let device = world.connected("d").await;
    let stranger = functions.dead_letters(&device, &app, Some(Function::Ingest), None, 1).await.unwrap_err();
    assert_eq!(stranger.code, ErrorCode::Forbidden);
}

#[tokio::test]
async fn a_consumer_goes_on_where_it_stood() {
    let world = World::new().await;
    world.start();
    world.pair("d").await;
    world.send("d", &json!({ "Temperature": "hot" })).await;
    world.settled().await;
    let letter = world.dead_letters().await.remove(0);
    let app = world.resource(ResourceKind::Functions);
    world.services.functions.delete_dead_letter(&world.admin, &app, letter.id).await.unwrap();
    let world = World::open(world.stop().await, 2, &[], |_| {}).await;
    world.start();
    world.tick();
    world.send("d", &json!({ "Temperature": 5 })).await;
    world.settled().await;
    assert_eq!(world.value("d", "/Temperature").await, json!(5));
    assert!(world.dead_letters().await.is_empty(), "the bad event was read again");
}

#[tokio::test]
async fn an_event_hub_made_anew_is_read_from_its_beginning() {
    let world = World::new().await;
    world.start();
    world.pair("d").await;
    for at in 0..5 {
        world.send("d", &json!({ "Temperature": at })).await;
    }
    world.settled().await;
    let stream = pollux_eventlog::StreamName::new("events1/deviceevents").unwrap();
    let log = &world.services.context.log;
    let config = log.streams().await.unwrap().into_iter().find(|(name, _)| *name == stream).unwrap().1;
    log.delete(&stream).await.unwrap();
    log.create(&stream, &config).await.unwrap();
    world.tick();
    world.send("d", &json!({ "Temperature": 77 })).await;
    world.until(async || (world.value("d", "/Temperature").await == json!(77)).then_some(())).await;
}
