//! Modules of devices: who they are, what befalls them with their device, what is told of it.

use std::sync::Arc;

use pollux_model::device::Status;
use pollux_model::resource::ResourceKind;
use pollux_model::sas::{self, SasToken};
use pollux_model::{ErrorCode, Key};
use pollux_services::caller::Identity;
use pollux_services::hub::telemetry::Telemetry;
use pollux_services::hub::{AuthenticationInput, DeviceCommand, ModuleInput, Show, TwinInput};
use pollux_services::provisioning::Expect;
use pollux_services::resources::CertificateHolder;
use pollux_services::{Caller, Right};
use pollux_testkit::pki::{Authority, Leaf};
use pollux_x509::Chain;
use serde_json::{Map, Value, json};

use crate::hub::{Link, create, id, input};
use crate::world::{World, declared, device_keys};

fn module(device: &str, id: &str) -> ModuleInput {
    ModuleInput { device: device.into(), id: id.into(), authentication: None, managed_by: None }
}

fn map(value: Value) -> Map<String, Value> {
    value.as_object().unwrap().clone()
}

/// A device `d` with modules; the first keys of these.
async fn with_modules<const N: usize>(world: &World, ids: [&str; N]) -> [Key; N] {
    create(world, "d").await;
    let mut keys = Vec::new();
    for id in ids {
        let made =
            world.services.hub.create_module(&world.admin, &world.hub(), module("d", id)).await.unwrap();
        keys.push(device_keys(&made).primary);
    }
    keys.try_into().unwrap()
}

impl World {
    async fn as_module(&self, address: &str, key: &Key) -> pollux_model::Result<Caller> {
        let (device, module) = address.split_once('/').unwrap();
        let resource = format!("localhost/devices/{device}/modules/{module}");
        let token = sas::sign(&resource, &key.bytes(), 1_700_000_600, None);
        let token = SasToken::parse(&token).unwrap();
        let hub = &self.services.hub;
        hub.authenticate_device(&self.hub(), &id(address), &token).await.map(|(caller, _)| caller)
    }
}

#[tokio::test]
async fn who_is_that_module() {
    let world = World::new().await;
    let [m, n] = with_modules(&world, ["m", "n"]).await;
    let hub = world.hub();
    let device = device_keys(&world.device("d").await.unwrap()).primary;
    let policy = |name: &str| hub.policy(name).unwrap().keys.primary.clone();
    let (good, refused) = (None, Some(ErrorCode::Unauthorized));
    let table = [
        ("d/m", "localhost/devices/d/modules/m", m.clone(), None, good),
        ("d/m", "LOCALHOST:8883/Devices/d/Modules/m/", m.clone(), None, good),
        ("d/m", "localhost/devices/d%2Fmodules%2Fm", m.clone(), None, good),
        ("d/m", "localhost/devices/d/modules/M", m.clone(), None, refused),
        ("d/m", "localhost/devices/D/modules/m", m.clone(), None, refused),
        ("d/m", "localhost/devices/d/modules/n", m.clone(), None, refused),
        ("d/m", "localhost/devices/d", m.clone(), None, refused),
        ("d/m", "localhost/devices/d/modules/m", n.clone(), None, refused),
        ("d/m", "localhost/devices/d/modules/m", device.clone(), None, refused),
        ("d", "localhost/devices/d", m.clone(), None, refused),
        ("d", "localhost/devices/d/modules/m", device.clone(), None, refused),
        ("d/none", "localhost/devices/d/modules/none", m.clone(), None, refused),
        ("none/m", "localhost/devices/none/modules/m", m.clone(), None, refused),
        ("d/m", "localhost", policy("device"), Some("device"), good),
        ("d/m", "localhost/devices/d/modules/m", policy("device"), Some("device"), good),
        ("d/m", "localhost/devices/d/modules/n", policy("device"), Some("device"), refused),
        ("d/m", "localhost", policy("service"), Some("service"), refused),
    ];
    for (at, (whose, resource, key, policy, expected)) in table.into_iter().enumerate() {
        let text = sas::sign(resource, &key.bytes(), 1_700_000_001, policy);
        let token = SasToken::parse(&text).unwrap();
        let answer = world.services.hub.authenticate_device(&hub, &id(whose), &token).await;
        assert_eq!(answer.err().map(|error| error.code), expected, "{at}: {whose} by {resource}");
    }
}

#[tokio::test]
async fn a_module_shows_a_certificate_of_its_own() {
    const NOW: i64 = 1_700_000_000;
    let world = World::new().await;
    create(&world, "d").await;
    let (hub, service) = (world.hub(), &world.services.hub);
    let root = Authority::root("root", NOW, |_| {});
    let (own, of_device) = (root.leaf("d/m", |_| {}), root.leaf("d", |_| {}));
    let chain = |leaf: &Leaf| Chain::read([leaf.der.as_slice()]).unwrap();
    let thumbprint = chain(&own).leaf().sha256_thumbprint();
    let by_thumbprint = AuthenticationInput::SelfSigned { primary: Some(thumbprint), secondary: None };
    let input = ModuleInput { authentication: Some(by_thumbprint), ..module("d", "m") };
    service.create_module(&world.admin, &hub, input).await.unwrap();
    let believed = async |leaf: &Leaf| {
        let answer = service.authenticate_device_by_certificate(&world.hub(), &id("d/m"), &chain(leaf)).await;
        answer.map(drop).map_err(|error| error.code)
    };
    assert_eq!(believed(&own).await, Ok(()));
    assert_eq!(believed(&of_device).await, Err(ErrorCode::Unauthorized));
    // By an authority: the common name is `device/module`.
    let by_authority = AuthenticationInput::CertificateAuthority;
    let input = ModuleInput { authentication: Some(by_authority), ..module("d", "m") };
    service.update_module(&world.admin, &hub, input, None).await.unwrap();
    assert_eq!(believed(&own).await, Err(ErrorCode::Unauthorized), "nobody knows the authority yet");
    let of = CertificateHolder { kind: ResourceKind::Hub, name: &hub.name };
    let resources = &world.services.resources;
    resources.put_certificate(&world.admin, of, "factory", &root.pem(), true, Expect::Any).await.unwrap();
    assert_eq!(believed(&own).await, Ok(()));
    assert_eq!(believed(&of_device).await, Err(ErrorCode::Unauthorized), "its device's is not its own");
}

#[tokio::test]
async fn a_module_and_its_device_are_two() {
    let world = World::new().await;
    let [m, n] = with_modules(&world, ["m", "n"]).await;
    let (hub, service) = (world.hub(), &world.services.hub);
    let device = world.connected("d").await;
    let (m, n) = (world.as_module("d/m", &m).await.unwrap(), world.as_module("d/n", &n).await.unwrap());
    let links: [Arc<Link>; 3] = std::array::from_fn(|_| Arc::new(Link::default()));
    let mut places = Vec::new();
    for ((caller, whose), link) in [(&device, "d"), (&m, "d/m"), (&n, "d/n")].into_iter().zip(&links) {
        places.push(service.connect_device(caller, &hub, &id(whose), link.clone()).await.unwrap());
    }
    assert!(links.iter().all(|link| !link.closed()), "none takes another's place");
    assert_eq!(service.connections.count(&hub.name).await, 1, "modules are no devices");
    let again = service.connect_device(&m, &hub, &id("d/m"), Arc::new(Link::default())).await.unwrap();
    assert_eq!([&links[0], &links[1], &links[2]].map(|link| link.closed()), [false, true, false]);
    drop(again);
    assert_eq!(service.connections.since(&hub.name, &id("d/m")).await, None);
    assert!(service.connections.since(&hub.name, &id("d")).await.is_some());

    // None may do what another may.
    let forbidden = |result: pollux_model::Result<Value>| result.unwrap_err().code == ErrorCode::Forbidden;
    for (caller, other) in [(&device, "d/m"), (&m, "d"), (&m, "d/n")] {
        assert!(forbidden(service.own_twin(caller, &hub, &id(other), Show::Properties).await), "{other}");
        let taken = service.telemetry(caller, &hub, &id(other), vec![Telemetry::default()]).await;
        assert_eq!(taken.refused.unwrap().code, ErrorCode::Forbidden);
    }
    // Each has its twin.
    assert_eq!(service.report(&m, &hub, &id("d/m"), map(json!({ "fw": 1 }))).await.unwrap(), 2);
    let patch = TwinInput { desired: Some(map(json!({ "rate": 5 }))), ..TwinInput::default() };
    service.patch_twin(&world.admin, &hub, &id("d/n"), patch, None).await.unwrap();
    let twins = [(&device, "d"), (&m, "d/m"), (&n, "d/n")];
    let mut versions = Vec::new();
    for (caller, whose) in twins {
        let twin = service.own_twin(caller, &hub, &id(whose), Show::Properties).await.unwrap();
        versions.push([twin["desired"]["$version"].clone(), twin["reported"]["$version"].clone()]);
    }
    assert_eq!(json!(versions), json!([[1, 1], [1, 2], [2, 1]]));
    let told = |link: &Link| matches!(link.taken().as_slice(), [DeviceCommand::Desired { version: 2, .. }]);
    assert_eq!(
        [&links[0], &links[1], &links[2]].map(|link| told(link)),
        [false, false, true],
        "the one that it is for is told"
    );
}

#[tokio::test]
async fn what_befalls_a_device_befalls_its_modules() {
    let world = World::new().await;
    let [m, n] = with_modules(&world, ["m", "n"]).await;
    let (hub, service) = (world.hub(), &world.services.hub);
    let (one, two) = (world.as_module("d/m", &m).await.unwrap(), world.as_module("d/n", &n).await.unwrap());
    let connect = async |caller: &Caller, whose: &str| {
        let link = Arc::new(Link::default());
        let place = service.connect_device(caller, &hub, &id(whose), link.clone()).await;
        (place, link)
    };
    // A module deleted is cut off alone.
    let ((_first, gone), (_second, stays)) = (connect(&one, "d/m").await, connect(&two, "d/n").await);
    service.delete_module(&world.admin, &hub, ("d", "m"), None).await.unwrap();
    assert!(gone.closed() && !stays.closed());
    assert_eq!(connect(&one, "d/m").await.0.unwrap_err().code, ErrorCode::ModuleNotFound);
    assert_eq!(world.as_module("d/m", &m).await.unwrap_err().code, ErrorCode::Unauthorized);
    // A device disabled keeps its modules out, until it is enabled.
    let status = |status| pollux_services::hub::DeviceInput { status: Some(status), ..input("d") };
    service.update_device(&world.admin, &hub, status(Status::Disabled), None).await.unwrap();
    assert!(stays.closed());
    assert_eq!(world.as_module("d/n", &n).await.unwrap_err().code, ErrorCode::DeviceDisabled);
    assert_eq!(connect(&two, "d/n").await.0.unwrap_err().code, ErrorCode::DeviceDisabled);
    service.update_device(&world.admin, &hub, status(Status::Enabled), None).await.unwrap();
    let (_third, link) = connect(&two, "d/n").await;
    // A device deleted takes them along.
    world.delete_device("d").await;
    assert!(link.closed());
    let left = world.services.context.store.modules(&hub.name, None, 9).await.unwrap().items;
    assert!(left.is_empty());
    assert_eq!(
        service.create_module(&world.admin, &hub, module("d", "m")).await.unwrap_err().code,
        ErrorCode::DeviceNotFound
    );
    // One of the same name is another.
    let [again] = with_modules(&world, ["n"]).await;
    assert!(world.as_module("d/n", &again).await.is_ok());
    assert_eq!(connect(&two, "d/n").await.0.unwrap_err().code, ErrorCode::Unavailable);
}

/// A device that is disabled is cut off before anything else is done that may fail, or be broken off.
#[tokio::test]
async fn a_device_that_is_disabled_is_cut_off_before_its_modules_are_made() {
    let world = World::new().await;
    create(&world, "d").await;
    let (hub, service) = (world.hub(), &world.services.hub);
    let (caller, link) = (world.connected("d").await, Arc::new(Link::default()));
    let _place = service.connect_device(&caller, &hub, &id("d"), link.clone()).await.unwrap();
    let edge =
        || pollux_services::hub::DeviceInput { status: Some(Status::Disabled), iot_edge: true, ..input("d") };
    tokio::select! {
        biased;
        () = async { while !link.closed() { tokio::task::yield_now().await; } } => {}
        done = service.update_device(&world.admin, &hub, edge(), None) => panic!("{done:?}"),
    }
    let modules = async || {
        let found = world.services.context.store.modules_of(&hub.name, &id("d").device).await.unwrap();
        found.into_iter().filter_map(|module| module.module).map(|id| id.to_string()).collect::<Vec<_>>()
    };
    assert!(modules().await.len() < 2, "they came first");
    // What was broken off is made up for by the next change.
    service.update_device(&world.admin, &hub, edge(), None).await.unwrap();
    assert_eq!(modules().await, ["$edgeAgent", "$edgeHub"]);
    service.delete_module(&world.admin, &hub, ("d", "$edgeHub"), None).await.unwrap();
    service.update_device(&world.admin, &hub, edge(), None).await.unwrap();
    assert_eq!(modules().await, ["$edgeAgent", "$edgeHub"]);
}

#[tokio::test]
async fn what_is_told_of_modules() {
    let world = World::new().await;
    let hubs = ["told", "messages"].map(|name| json!({ "name": name, "partitions": 1 }));
    let events = declared(ResourceKind::Events, json!({ "name": "events1", "eventHubs": hubs }));
    world.services.resources.apply(&world.admin, &events).await.unwrap();
    let endpoint = |name: &str| json!({ "name": name, "namespace": "events1", "eventHub": name });
    let route = |name: &str, source: &str, condition: &str, endpoint: &str| json!({ "name": name, "source": source, "condition": condition, "endpoint": endpoint });
    let endpoints = ["told", "messages"].map(endpoint);
    let of_module = "$connectionModuleId = 'm' AND $connectionDeviceId = 'd' AND $twin.tags.site = 'x'";
    let hub = json!({
        "name": "hub1",
        "endpoints": endpoints,
        "routes": [
            route("life", "DeviceLifecycleEvents", "true", "told"),
            route("twins", "TwinChangeEvents", "true", "told"),
            route("messages", "DeviceMessages", of_module, "messages"),
        ],
    });
    world.services.resources.apply(&world.admin, &declared(ResourceKind::Hub, hub)).await.unwrap();
    let [m] = with_modules(&world, ["m"]).await;
    let (hub, service) = (world.hub(), &world.services.hub);
    let tags = TwinInput { tags: Some(map(json!({ "site": "x" }))), ..TwinInput::default() };
    service.patch_twin(&world.admin, &hub, &id("d/m"), tags, None).await.unwrap();
    let caller = world.as_module("d/m", &m).await.unwrap();
    service.report(&caller, &hub, &id("d/m"), map(json!({ "fw": 1 }))).await.unwrap();
    let mut message = Telemetry { body: "hot".into(), ..Telemetry::default() };
    message.system.output = Some("alerts".into());
    let taken = service.telemetry(&caller, &hub, &id("d/m"), vec![message]).await;
    assert!(taken.refused.is_none());
    world.send("d", &json!({ "of": "the device" })).await;
    world.delete_device("d").await;
    while world.services.events.relay(0).await.unwrap() > 0 {}

    let sent = world.events("messages").await;
    let [sent] = sent.as_slice() else { panic!("{sent:?}") };
    let annotation = |name: &str| sent.message_annotations.get(name).and_then(|value| value.as_str());
    assert_eq!(annotation("iothub-connection-device-id"), Some("d"));
    assert_eq!(annotation("iothub-connection-module-id"), Some("m"));
    assert_eq!(annotation("iothub-outputname"), Some("alerts"));
    assert!(
        annotation("iothub-connection-auth-method").unwrap().starts_with(r#"{"scope":"module","type":"sas""#)
    );

    let told = world.events("told").await;
    let property = |at: usize, name: &str| {
        told[at].application_properties.get(name).and_then(|value| value.as_str()).unwrap_or_default()
    };
    let found: Vec<_> =
        (0..told.len()).map(|at| (property(at, "opType"), property(at, "moduleId"))).collect();
    assert_eq!(
        found,
        [
            ("createDeviceIdentity", ""),
            ("createModuleIdentity", "m"),
            ("updateTwin", "m"),
            ("updateTwin", "m"),
            ("deleteModuleIdentity", "m"),
            ("deleteDeviceIdentity", ""),
        ]
    );
    assert_eq!(
        (property(1, "deviceId"), property(1, "iothub-message-schema")),
        ("d", "moduleLifecycleNotification")
    );
    let source = told[1].message_annotations.get("iothub-message-source").and_then(|value| value.as_str());
    assert_eq!(source, Some("moduleLifecycleEvents"));
    let body: Value = serde_json::from_slice(&told[1].body.as_bytes().unwrap()).unwrap();
    assert_eq!((&body["deviceId"], &body["moduleId"]), (&json!("d"), &json!("m")));
}

#[tokio::test]
async fn modules_are_the_registrys() {
    let world = World::new().await;
    with_modules(&world, ["m"]).await;
    let (hub, service) = (world.hub(), &world.services.hub);
    let may = |rights: &[pollux_model::resource::PolicyRight]| {
        let rights = rights.iter().map(|right| Right::Policy(*right)).collect();
        let identity = Identity::Admin;
        Caller::on(identity, ResourceKind::Hub, hub.name.clone(), rights)
    };
    use pollux_model::resource::PolicyRight::{RegistryRead, RegistryWrite, ServiceConnect};
    let forbidden = |error: pollux_model::Error| assert_eq!(error.code, ErrorCode::Forbidden);
    let other = may(&[RegistryRead, ServiceConnect]);
    forbidden(service.create_module(&other, &hub, module("d", "n")).await.unwrap_err());
    forbidden(service.update_module(&other, &hub, module("d", "m"), None).await.unwrap_err());
    forbidden(service.delete_module(&other, &hub, ("d", "m"), None).await.unwrap_err());
    let other = may(&[RegistryWrite]);
    forbidden(service.module(&other, &hub, "d", "m").await.unwrap_err());
    forbidden(service.modules(&other, &hub, "d").await.unwrap_err());
    forbidden(service.twin(&other, &hub, &id("d/m")).await.unwrap_err());
    let may = may(&[RegistryRead]);
    service.module(&may, &hub, "d", "m").await.unwrap();
    assert_eq!(service.modules(&may, &hub, "d").await.unwrap().len(), 1);
    assert!(world.device("d").await.is_some());
}
