//! Custom allocation: what a webhook is asked, what its answers do, and what a crash around it leaves.

use pollux_model::enrollment::InitialTwin;
use pollux_model::registration::RegistrationStatus;
use pollux_model::resource::ResourceKind;
use pollux_services::provisioning::RegisterRequest;
use serde_json::{Map, Value, json};

use crate::webhook::{Behaviour, Hook};
use crate::world::{THERMOSTAT, World, declared};

#[tokio::test]
async fn a_webhook_that_fails_fails_the_registration_which_says_why() {
    let spare = declared(ResourceKind::Hub, json!({ "name": "spare" }));
    let world = World::with(&[], |limits| {
        limits.webhook_timeout_seconds = 1;
        limits.webhook_answer = 4096;
    })
    .await;
    world.services.resources.apply(&world.admin, &spare).await.unwrap();
    let spare = world.named(ResourceKind::Hub, "spare").host_name.clone();
    let answer = |status, body: &str| Behaviour::Answer(status, body.to_owned());
    let hub = |name: &str| json!({ "iotHubHostName": name }).to_string();
    let table = [
        (answer(500, "the oven is cold"), vec!["500", "the oven is cold"]),
        (answer(401, ""), vec!["401"]),
        (answer(204, ""), vec!["204"]),
        (answer(200, ""), vec!["no JSON"]),
        (answer(200, "<html>"), vec!["no JSON", "<html>"]),
        (answer(200, "[]"), vec!["iotHubHostName"]),
        (answer(200, r#"{"iotHubHostName": 5}"#), vec!["iotHubHostName"]),
        (answer(200, &hub("nowhere.example.com")), vec!["nowhere.example.com", "localhost"]),
        // A hub of this deployment that is not linked.
        (answer(200, &hub(&spare)), vec![spare.as_str(), "not among linkedHubs"]),
        (
            answer(200, r#"{"iotHubHostName": "localhost", "initialTwin": {"tags": 5}}"#),
            vec!["initialTwin.tags"],
        ),
        (answer(200, r#"{"iotHubHostName": "localhost", "initialTwin": {"tags": {"a.b": 1}}}"#), vec!["a.b"]),
        (answer(200, &" ".repeat(5000)), vec!["larger than 4096"]),
        (Behaviour::HangUp, vec!["webhook"]),
        (Behaviour::Hang, vec!["within 1 seconds"]),
    ];
    let hook = Hook::new(Behaviour::Hang);
    let group = world.custom_group("line", &hook.url).await;
    for (at, (behaviour, hints)) in table.into_iter().enumerate() {
        hook.set(behaviour);
        let id = format!("dev{at}");
        let caller = world.attested(&id, &group).await;
        let record = world.register(&caller, &id, None).await;
        let failure = record.failure.unwrap();
        assert_eq!(record.status, RegistrationStatus::Failed, "{id}");
        for hint in hints {
            assert!(failure.message.contains(hint), "{id}: '{}' does not speak of '{hint}'", failure.message);
        }
        assert!(!failure.message.contains("secret"), "the function key is told: {}", failure.message);
        assert!(world.device(&id).await.is_none(), "{id}");
    }
    // What failed can be tried again.
    hook.set(answer(200, &hub("LocalHost")));
    world.provision("dev0", &group).await;
}

#[tokio::test]
async fn a_webhook_that_is_not_there_fails_the_registration() {
    let world = World::new().await;
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", closed.local_addr().unwrap());
    drop(closed);
    let group = world.custom_group("line", &url).await;
    let caller = world.attested("dev", &group).await;
    let failure = world.register(&caller, "dev", None).await.failure.unwrap();
    assert_eq!(failure.code, 400_207);
    assert!(failure.message.contains("cannot be reached"), "{}", failure.message);
}

#[tokio::test]
async fn a_webhook_is_asked_in_the_documented_form() {
    let world = World::new().await;
    let hook = Hook::new(Behaviour::Answer(200, json!({ "iotHubHostName": "localhost" }).to_string()));
    let group = world.custom_group("line", &hook.url).await;
    world.provision("Dev-1", &group).await;
    world.provision("Dev-1", &group).await;
    let calls = hook.calls();
    let first = &calls[0];
    assert_eq!(first["enrollmentGroup"]["enrollmentGroupId"], "line");
    assert_eq!(first["enrollmentGroup"]["allocationPolicy"], "custom");
    assert_eq!(
        first["enrollmentGroup"]["attestation"],
        json!({ "type": "symmetricKey" }),
        "no keys leave the house"
    );
    assert_eq!(first["linkedHubs"], json!(["localhost"]));
    let context = &first["deviceRuntimeContext"];
    assert_eq!(context["registrationId"], "Dev-1");
    assert_eq!(context["payload"], json!({ "modelId": THERMOSTAT }));
    assert_eq!(context["symmetricKey"], json!({}));
    assert!(context.get("currentIotHubHostName").is_none());
    let context = &calls[1]["deviceRuntimeContext"];
    assert_eq!(
        (&context["currentIotHubHostName"], &context["currentDeviceId"]),
        (&json!("localhost"), &json!("Dev-1"))
    );
}

#[tokio::test]
async fn a_webhooks_initial_twin_and_payload_win() {
    let world = World::new().await;
    let answer = json!({
        "iotHubHostName": "localhost",
        "initialTwin": {
            "tags": { "by": "hook", "$version": 3 },
            "properties": { "desired": { "rate": 9, "$metadata": {}, "$version": 1 } },
        },
        "payload": { "hello": "device" },
    });
    let hook = Hook::new(Behaviour::Answer(200, answer.to_string()));
    let group = world
        .group("line", |input| {
            input.allocation_policy = Some("custom".into());
            input.webhook = Some((hook.url.clone(), None));
            let mut desired = Map::new();
            desired.insert("own".into(), json!(1));
            input.initial_twin = Some(InitialTwin { tags: Map::new(), desired });
        })
        .await;
    let record = world.provision("dev", &group).await;
    assert_eq!(record.payload, Some(json!({ "hello": "device" })));
    let twin = world.device("dev").await.unwrap().twin;
    assert_eq!(
        (json!(twin.tags), json!(twin.desired.properties)),
        (json!({ "by": "hook" }), json!({ "rate": 9 }))
    );
}

/// Begins a registration on a runtime that ends while the webhook is at work, as if the machine lost power; returns the
/// folder. Store and log are closed when it returns.
fn crash_while(hook: &Hook, behaviour: impl FnOnce(&World) -> Behaviour) -> tempfile::TempDir {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let world = runtime.block_on(async {
        let world = World::new().await;
        hook.set(behaviour(&world));
        let group = world.custom_group("line", &hook.url).await;
        let caller = world.attested("dev", &group).await;
        let request = RegisterRequest {
            payload: Some(json!({ "modelId": THERMOSTAT })),
            force: false,
            ..RegisterRequest::default()
        };
        let begun = world.services.provisioning.register(&caller, &world.dps(), request).await.unwrap();
        assert_eq!(begun.registration.status, RegistrationStatus::Assigning);
        hook.called(1).await;
        world
    });
    hook.set(Behaviour::Hang);
    drop(runtime);
    world.crashed()
}

#[test]
fn a_crash_before_the_webhook_answers_is_taken_up_again() {
    let hook = Hook::new(Behaviour::Hang);
    let folder = crash_while(&hook, |_| Behaviour::Hang);
    resumed(&hook, folder);
}

#[test]
fn a_crash_after_the_twin_was_made_is_taken_up_again() {
    let hook = Hook::new(Behaviour::Hang);
    let folder = crash_while(&hook, |world| Behaviour::AllocateAndHang(world.services.clone()));
    resumed(&hook, folder);
}

fn resumed(hook: &Hook, folder: tempfile::TempDir) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let world = World::open(folder, 2, &[], |_| {}).await;
        assert_eq!(world.record("dev").await.unwrap().status, RegistrationStatus::Assigning);
        hook.set(Behaviour::Answer(200, json!({ "iotHubHostName": "localhost" }).to_string()));
        assert_eq!(world.services.provisioning.resume().await.unwrap(), 1);
        let record = world.registered("dev").await;
        assert_eq!(record.status, RegistrationStatus::Assigned, "{:?}", record.failure);
        assert!(world.device("dev").await.is_some());
        assert_eq!(world.services.provisioning.resume().await.unwrap(), 0);
        let asked: Vec<Value> =
            hook.calls().iter().map(|call| call["deviceRuntimeContext"]["registrationId"].clone()).collect();
        assert_eq!(asked, ["dev", "dev"]);
    });
}
