//! A device registers: who is let in, what becomes of it, what a second time means.

use pollux_model::configuration::ConfigurationContent;
use pollux_model::device::Status;
use pollux_model::enrollment::{EnrollmentGroup, InitialTwin, ReprovisionPolicy};
use pollux_model::registration::{Registration, RegistrationStatus, Substatus};
use pollux_model::resource::ResourceKind;
use pollux_model::sas::SasToken;
use pollux_model::{DeviceAddress, ErrorCode, Key, RegistrationId};
use pollux_services::hub::{ConfigurationCondition, ConfigurationInput};
use pollux_services::provisioning::{
    AttestationInput, AuditAction, AuditQuery, Decider, EnrollmentInput, Expect, IndividualInput,
    RegisterRequest,
};
use pollux_store::Write;
use serde_json::{Map, Value, json};

use crate::audits::audited;
use crate::webhook::{Behaviour, Hook};
use crate::world::{World, attestation_keys, declared, device_keys, keys_of};

fn map(value: Value) -> Map<String, Value> {
    value.as_object().unwrap().clone()
}

pub(crate) async fn individual(world: &World, id: &str, change: impl FnOnce(&mut IndividualInput)) -> Key {
    let mut input = IndividualInput {
        registration_id: id.into(),
        device_id: None,
        optional_device_information: None,
        common: EnrollmentInput::default(),
    };
    change(&mut input);
    let made =
        world.services.provisioning.put_enrollment(&world.admin, &world.dps(), input, None).await.unwrap();
    attestation_keys(&made.attestation).primary
}

#[tokio::test]
async fn a_device_of_a_group_is_put_into_its_hub_with_its_derived_key() {
    let world = World::new().await;
    let group = world.group("line", |_| {}).await;
    let record = world.provision("Dev-1", &group).await;
    assert_eq!(
        (record.assigned_hub.as_deref(), record.device_id.as_deref()),
        (Some("localhost"), Some("Dev-1"))
    );
    assert_eq!((record.substatus, &*record.registration_id), (Some(Substatus::InitialAssignment), "dev-1"));
    let device = world.device("Dev-1").await.unwrap();
    assert_eq!(device_keys(&device), keys_of(&group).derive("Dev-1"));
    let by = device.identity.provisioned_by.unwrap();
    assert_eq!((by.dps.as_str(), by.registration_id.as_str()), ("dps1", "dev-1"));
}

#[tokio::test]
async fn who_asks_while_it_runs_is_told_what_is_kept() {
    let world = World::new().await;
    let group = world.group("line", |_| {}).await;
    let (provisioning, dps) = (&world.services.provisioning, world.dps());
    for round in 0..2 {
        let caller = world.attested("dev-1", &group).await;
        let begun = provisioning.register(&caller, &dps, RegisterRequest::default()).await.unwrap();
        let (id, operation) = (&begun.registration.registration_id, &begun.operation_id);
        let ended = loop {
            let told = provisioning.operation_status(&caller, &dps, id, operation).await.unwrap();
            if told.registration.status != RegistrationStatus::Assigning {
                break told.registration;
            }
        };
        assert_eq!(Some(ended), world.record("dev-1").await, "round {round}");
    }
}

#[tokio::test]
async fn who_asks_while_it_runs_is_not_kept_for_ever() {
    let world = World::new().await;
    let hook = Hook::new(Behaviour::Hang);
    let group = world.custom_group("line", &hook.url).await;
    let (provisioning, dps) = (&world.services.provisioning, world.dps());
    let caller = world.attested("dev-1", &group).await;
    let begun = provisioning.register(&caller, &dps, RegisterRequest::default()).await.unwrap();
    hook.called(1).await;
    let (id, operation) = (&begun.registration.registration_id, &begun.operation_id);
    let told = provisioning.operation_status(&caller, &dps, id, operation).await.unwrap();
    assert_eq!(told.registration.status, RegistrationStatus::Assigning);
    let other = provisioning.operation_status(&caller, &dps, id, "another").await.unwrap_err();
    assert_eq!(other.code, ErrorCode::OperationNotFound);
}

#[tokio::test]
async fn an_individual_enrollment_names_the_device_and_what_it_starts_with() {
    let world = World::new().await;
    let key = individual(&world, "single", |input| {
        input.device_id = Some("Named".into());
        input.common.iot_edge = true;
        input.common.initial_twin = Some(InitialTwin {
            tags: map(json!({ "site": "a" })),
            desired: map(json!({ "rate": { "ms": 5 } })),
        });
    })
    .await;
    let token = world.device_token("single", &key);
    let caller =
        world.services.provisioning.attest_by_token(&world.dps(), "single", &token, None).await.unwrap();
    let record = world.register(&caller, "single", None).await;
    assert_eq!(record.device_id.as_deref(), Some("Named"));
    let device = world.device("Named").await.unwrap();
    assert!(device.identity.iot_edge);
    assert_eq!(
        (json!(device.twin.tags), json!(device.twin.desired.properties)),
        (json!({ "site": "a" }), json!({ "rate": { "ms": 5 } }))
    );
}

#[tokio::test]
async fn who_is_let_in() {
    let world = World::new().await;
    let group = world.group("line", |_| {}).await;
    let keys = keys_of(&group);
    let own = individual(&world, "own", |_| {}).await;
    individual(&world, "off", |input| input.common.status = Some(Status::Disabled)).await;
    let closed = world.group("closed", |input| input.status = Some(Status::Disabled)).await;
    let disabled = individual_key(&world, "off").await;
    let wrong = Key::from_bytes(b"another key of no one");
    let (good, disabled_entry, refused) =
        (None, Some(ErrorCode::EnrollmentDisabled), Some(ErrorCode::Unauthorized));
    let table = [
        ("dev", keys.primary.derive("dev"), good),
        ("dev", keys.secondary.derive("dev"), good),
        ("DEV", keys.primary.derive("DEV"), good),
        // The key is derived from the id as the device writes it.
        ("DEV", keys.primary.derive("dev"), refused),
        ("dev", keys.primary.clone(), refused),
        ("dev", wrong.clone(), refused),
        ("own", own, good),
        // Its own entry decides alone, and a disabled one shuts out whatever the group says.
        ("own", keys.primary.derive("own"), refused),
        ("off", keys.primary.derive("off"), refused),
        ("off", disabled, disabled_entry),
        ("dev", keys_of(&closed).primary.derive("dev"), disabled_entry),
    ];
    for (id, key, expected) in table {
        let token = world.device_token(id, &key);
        let answer = world.services.provisioning.attest_by_token(&world.dps(), id, &token, None).await;
        assert_eq!(answer.err().map(|error| error.code), expected, "{id}");
    }
}

async fn individual_key(world: &World, id: &str) -> Key {
    let found =
        world.services.provisioning.enrollment_attestation(&world.admin, &world.dps(), id).await.unwrap();
    attestation_keys(&found).primary
}

#[tokio::test]
async fn a_token_is_for_one_device_of_one_scope_and_ends() {
    let world = World::new().await;
    let key = keys_of(&world.group("line", |_| {}).await).primary.derive("dev");
    let pollux_model::resource::Properties::Dps(own) = &world.dps().properties.clone() else { panic!() };
    let (scope, now) = (own.id_scope.as_str(), 1_700_000_000);
    for (resource, expiry, good) in [
        (format!("{scope}/registrations/dev"), now + 1, true),
        (format!("{}/Registrations/DEV", scope.to_lowercase()), now + 1, true),
        (format!("{scope}/registrations/dev"), now, false),
        (format!("{scope}/registrations/other"), now + 1, false),
        (format!("{scope}/registrations"), now + 1, false),
        ("0ne00000000/registrations/dev".to_owned(), now + 1, false),
        ("localhost".to_owned(), now + 1, false),
    ] {
        let text = pollux_model::sas::sign(&resource, &key.bytes(), expiry, None);
        let token = SasToken::parse(&text).unwrap();
        let answer = world.services.provisioning.attest_by_token(&world.dps(), "dev", &token, None).await;
        assert_eq!(answer.is_ok(), good, "{resource} {expiry}");
    }
}

#[tokio::test]
async fn registering_again_finds_the_same_device_and_its_state() {
    let world = World::new().await;
    let group = world.group("line", |_| {}).await;
    let first = world.provision("dev", &group).await;
    let device = world.device("dev").await.unwrap();
    let caller = world.connected("dev").await;
    let id = DeviceAddress::parse("dev").unwrap();
    world.services.hub.report(&caller, &world.hub(), &id, map(json!({ "fw": 1 }))).await.unwrap();
    let second = world.provision("dev", &group).await;
    assert_ne!(second.operation.id, first.operation.id);
    assert_eq!((second.created, second.substatus), (first.created, Some(Substatus::InitialAssignment)));
    let again = world.device("dev").await.unwrap();
    assert_eq!(again.identity, device.identity);
    assert_eq!(json!(again.twin.reported.properties), json!({ "fw": 1 }));
}

#[tokio::test]
async fn an_operators_disable_outlives_a_registration() {
    let world = World::new().await;
    let group = world.group("line", |_| {}).await;
    world.provision("dev", &group).await;
    let input = pollux_services::hub::DeviceInput {
        status: Some(Status::Disabled),
        ..pollux_services::hub::DeviceInput::new("dev")
    };
    world.services.hub.update_device(&world.admin, &world.hub(), input, None).await.unwrap();
    world.provision("dev", &group).await;
    assert_eq!(world.device("dev").await.unwrap().identity.status, Status::Disabled);
}

#[tokio::test]
async fn what_registering_again_does_is_the_entrys_policy() {
    let world = World::new().await;
    let hook = Hook::new(Behaviour::Answer(200, json!({ "iotHubHostName": "localhost" }).to_string()));
    let policy = |update_hub_assignment, migrate_device_data| ReprovisionPolicy {
        update_hub_assignment,
        migrate_device_data,
    };
    for (name, policy, asked, reset) in [
        ("stays", policy(false, true), 1, false),
        ("moves", policy(true, true), 2, false),
        ("resets", policy(true, false), 2, true),
    ] {
        let before = hook.calls().len();
        let group = world
            .group(name, |input| {
                input.allocation_policy = Some("custom".into());
                input.webhook = Some((hook.url.clone(), None));
                input.reprovision = Some(policy);
                input.initial_twin =
                    Some(InitialTwin { tags: Map::new(), desired: map(json!({ "rate": 1 })) });
            })
            .await;
        world.provision(name, &group).await;
        let caller = world.connected(name).await;
        let id = DeviceAddress::parse(name).unwrap();
        world.services.hub.report(&caller, &world.hub(), &id, map(json!({ "fw": 1 }))).await.unwrap();
        let old = world.device(name).await.unwrap();
        let record = world.provision(name, &group).await;
        assert_eq!(hook.calls().len() - before, asked, "{name}");
        let new = world.device(name).await.unwrap();
        assert_eq!(new.twin.reported.properties.is_empty(), reset, "{name}");
        assert_eq!(record.substatus == Some(Substatus::DeviceDataReset), reset, "{name}");
        assert_eq!(json!(new.twin.desired.properties), json!({ "rate": 1 }), "{name}");
        assert!(new.twin.desired.version >= old.twin.desired.version, "{name}: versions never go back");
        if name == "stays" {
            let caller = world.attested(name, &group).await;
            world
                .register_as(&caller, name, RegisterRequest { force: true, ..RegisterRequest::default() })
                .await;
            assert_eq!(hook.calls().len() - before, 2, "a forced registration asks again");
        }
    }
}

#[tokio::test]
async fn a_device_moves_to_the_hub_it_is_given_and_takes_its_state_along() {
    let south = declared(ResourceKind::Hub, json!({ "name": "south" }));
    let dps = declared(
        ResourceKind::Dps,
        json!({ "name": "dps1", "linkedHubs": [{ "hub": "hub1" }, { "hub": "south" }] }),
    );
    let world = World::with(&[], |_| {}).await;
    world.services.resources.apply(&world.admin, &south).await.unwrap();
    world.services.resources.apply(&world.admin, &dps).await.unwrap();
    let south = world.named(ResourceKind::Hub, "south");
    let hook = Hook::new(Behaviour::Answer(200, json!({ "iotHubHostName": "localhost" }).to_string()));
    let group = world.custom_group("line", &hook.url).await;
    world.provision("dev", &group).await;
    let (caller, id) = (world.connected("dev").await, DeviceAddress::parse("dev").unwrap());
    world.services.hub.report(&caller, &world.hub(), &id, map(json!({ "fw": 1 }))).await.unwrap();

    hook.set(Behaviour::Answer(200, json!({ "iotHubHostName": south.host_name }).to_string()));
    let record = world.provision("dev", &group).await;
    assert_eq!(
        (record.assigned_hub, record.substatus),
        (Some(south.host_name.clone()), Some(Substatus::DeviceDataMigrated))
    );
    assert!(world.device("dev").await.is_none(), "it left the first hub");
    let moved = world.services.context.store.addressed(&south.name, &id).await.unwrap().unwrap();
    assert_eq!(json!(moved.twin.reported.properties), json!({ "fw": 1 }));
}

#[tokio::test]
async fn two_registrations_at_once_are_one_operation() {
    let world = World::new().await;
    let hook = Hook::new(Behaviour::Answer(200, json!({ "iotHubHostName": "localhost" }).to_string()));
    let group = world.custom_group("line", &hook.url).await;
    let (caller, dps) = (world.attested("dev", &group).await, world.dps());
    let register = || world.services.provisioning.register(&caller, &dps, RegisterRequest::default());
    let (one, two, three) = tokio::join!(register(), register(), register());
    let (one, two, three) = (one.unwrap(), two.unwrap(), three.unwrap());
    assert_eq!((&one.operation_id, &one.operation_id), (&two.operation_id, &three.operation_id));
    assert_eq!(world.registered("dev").await.status, RegistrationStatus::Assigned);
    assert_eq!(hook.calls().len(), 1);
}

async fn delete_group(world: &World) {
    let (provisioning, dps) = (&world.services.provisioning, world.dps());
    provisioning.delete_enrollment_group(&world.admin, &dps, "line", Expect::Any).await.unwrap();
}

/// A registration that was under way when its node went down, taken up now.
async fn taken_up(world: &World, id: &str, group: &EnrollmentGroup) -> Registration {
    let (caller, dps) = (world.attested(id, group).await, world.dps());
    let mut record = world.provision(id, group).await;
    world.delete_device(id).await;
    let expect = Expect::Etag(record.etag.clone());
    record.status = RegistrationStatus::Assigning;
    if group.id == "line" {
        delete_group(world).await;
    } else {
        world.group(&group.id, |input| input.status = Some(Status::Disabled)).await;
    }
    let write = Write::PutRegistration { dps: dps.name.clone(), registration: Box::new(record), expect };
    world.services.context.store.commit(write.into()).await.unwrap();
    world.register(&caller, id, None).await
}

#[tokio::test]
async fn an_entry_deleted_or_disabled_on_the_way_fails_the_registration() {
    let world = World::new().await;
    for (name, code) in [("line", 404_201), ("other", 401_003)] {
        let group = world.group(name, |_| {}).await;
        let record = taken_up(&world, name, &group).await;
        let failure = record.failure.unwrap();
        assert_eq!((record.status, failure.code), (RegistrationStatus::Failed, code));
        assert!(world.device(name).await.is_none());
    }
}

/// A device may be connected for long: that it was admitted once does not let it in for ever.
#[tokio::test]
async fn who_was_admitted_by_an_entry_that_is_no_more_is_refused_without_a_record() {
    let world = World::new().await;
    let group = world.group("line", |_| {}).await;
    let caller = world.attested("dev", &group).await;
    let (provisioning, dps) = (&world.services.provisioning, world.dps());
    let register = async || {
        let refused = provisioning.register(&caller, &dps, RegisterRequest::default()).await;
        refused.map(drop).map_err(|error| error.code)
    };
    world.group("line", |input| input.status = Some(Status::Disabled)).await;
    assert_eq!(register().await, Err(ErrorCode::EnrollmentDisabled));
    delete_group(&world).await;
    assert_eq!(register().await, Err(ErrorCode::Unauthorized));
    assert!(world.record("dev").await.is_none());
    let of_device = AuditQuery { registration_id: Some("dev".into()), ..AuditQuery::default() };
    let records = audited(&world, of_device, AuditAction::Refused).await;
    let by: Vec<_> = records.iter().map(|one| (one.action, one.decided_by.clone())).collect();
    let disabled = Some(Decider::EnrollmentGroup("line".into()));
    assert_eq!(by, [(AuditAction::Refused, disabled), (AuditAction::Refused, None)]);
}

#[tokio::test]
async fn an_operation_is_told_to_its_device_only() {
    let world = World::new().await;
    let group = world.group("line", |_| {}).await;
    let record = world.provision("dev", &group).await;
    let (own, other) = (world.attested("dev", &group).await, world.attested("other", &group).await);
    let id = RegistrationId::parse("dev").unwrap();
    let (provisioning, dps) = (&world.services.provisioning, world.dps());
    let ask = async |caller, operation: &str| {
        provisioning
            .operation_status(caller, &dps, &id, operation)
            .await
            .map(|status| status.registration.status)
    };
    assert_eq!(ask(&own, &record.operation.id).await.unwrap(), RegistrationStatus::Assigned);
    assert_eq!(ask(&own, "none").await.unwrap_err().code, ErrorCode::OperationNotFound);
    assert_eq!(ask(&other, &record.operation.id).await.unwrap_err().code, ErrorCode::Forbidden);
    assert_eq!(
        provisioning.own_registration(&own, &dps, &id).await.unwrap().status,
        RegistrationStatus::Assigned
    );
    assert_eq!(
        provisioning.own_registration(&other, &dps, &id).await.unwrap_err().code,
        ErrorCode::Forbidden
    );
    let refused = provisioning.register(&world.admin, &dps, RegisterRequest::default()).await.unwrap_err();
    assert_eq!(refused.code, ErrorCode::Forbidden);
}

#[tokio::test]
async fn a_payload_has_a_bound() {
    let world = World::new().await;
    let group = world.group("line", |_| {}).await;
    let caller = world.attested("dev", &group).await;
    let request =
        RegisterRequest { payload: Some(json!("x".repeat(16 * 1024))), ..RegisterRequest::default() };
    let error = world.services.provisioning.register(&caller, &world.dps(), request).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::TooLarge);
    assert!(world.record("dev").await.is_none());
}

#[tokio::test]
async fn keys_of_an_entry_can_be_rolled_and_the_device_follows() {
    let world = World::new().await;
    let old = individual(&world, "dev", |_| {}).await;
    let new = Key::from_bytes(b"0123456789abcdef0123456789abcdef");
    let caller = world
        .services
        .provisioning
        .attest_by_token(&world.dps(), "dev", &world.device_token("dev", &old), None)
        .await;
    world.register(&caller.unwrap(), "dev", None).await;
    let before = world.device("dev").await.unwrap();
    individual(&world, "dev", |input| {
        let primary = Some(new.reveal().to_owned());
        input.common.attestation = Some(AttestationInput::SymmetricKey { primary, secondary: None });
    })
    .await;
    let caller = world
        .services
        .provisioning
        .attest_by_token(&world.dps(), "dev", &world.device_token("dev", &new), None)
        .await;
    world.register(&caller.unwrap(), "dev", None).await;
    let after = world.device("dev").await.unwrap();
    assert_eq!(device_keys(&after).primary, new);
    assert_eq!(device_keys(&after).secondary, device_keys(&before).secondary);
    assert_eq!(after.identity.generation_id, before.identity.generation_id);
    assert_ne!(after.identity.etag, before.identity.etag);
}

/// Configurations deploy to the modules of an edge device that comes by the provisioning service as to those of any other.
#[tokio::test]
async fn what_is_deployed_to_modules_reaches_an_edge_device_that_registers() {
    let world = World::new().await;
    let deployment = |id: &str, modules: Value| ConfigurationInput {
        id: id.to_owned(),
        content: Some(ConfigurationContent { modules: map(modules), ..ConfigurationContent::default() }),
        target_condition: Some("tags.line = 7".to_owned()),
        ..ConfigurationInput::default()
    };
    let layer = json!({
        "$edgeAgent": { "properties.desired": { "v": 1 } },
        "press": { "properties.desired.rate": 5 },
    });
    let hub = world.hub();
    let put = deployment("press", layer);
    let absent = ConfigurationCondition::Absent;
    world.services.hub.put_configuration(&world.admin, &hub, put, absent).await.unwrap();
    let group = world
        .group("line", |input| {
            input.iot_edge = true;
            input.initial_twin = Some(InitialTwin { tags: map(json!({ "line": 7 })), desired: Map::new() });
        })
        .await;
    // The first time, and again once the module is gone.
    for _ in 0..2 {
        world.provision("dev", &group).await;
        let store = &world.services.context.store;
        let module = async |id: &str| {
            let id = DeviceAddress::parse(&format!("dev/{id}")).unwrap();
            store.addressed(&hub.name, &id).await.unwrap()
        };
        let press = world.until(async || module("press").await).await;
        assert_eq!(json!(press.twin.desired.properties), json!({ "rate": 5 }));
        assert_eq!(press.identity.managed_by.as_deref(), Some("IotEdge"));
        let wanted = map(json!({ "v": 1 }));
        let follows =
            async || module("$edgeAgent").await.filter(|agent| agent.twin.desired.properties == wanted);
        world.until(follows).await;
        world.services.hub.delete_module(&world.admin, &hub, ("dev", "press"), None).await.unwrap();
    }
}

/// An allocation that says again what is there already changes nothing, and drives no device.
#[tokio::test]
async fn an_initial_twin_that_is_there_already_is_no_change() {
    let world = World::new().await;
    let twin = json!({ "tags": { "line": 7 }, "properties": { "desired": { "rate": 5, "at": { "x": 1 } } } });
    let answer = json!({ "iotHubHostName": "localhost", "initialTwin": twin }).to_string();
    let hook = Hook::new(Behaviour::Answer(200, answer));
    let group = world
        .group("line", |input| {
            input.allocation_policy = Some("custom".into());
            input.webhook = Some((hook.url.clone(), None));
            input.reprovision =
                Some(ReprovisionPolicy { update_hub_assignment: true, migrate_device_data: true });
        })
        .await;
    world.provision("dev", &group).await;
    let first = world.device("dev").await.unwrap().twin;
    assert_eq!(json!(first.desired.properties), json!({ "rate": 5, "at": { "x": 1 } }));
    world.provision("dev", &group).await;
    assert_eq!(hook.calls().len(), 2);
    assert_eq!(world.device("dev").await.unwrap().twin, first);
    // Of one that says something else only that is new.
    let twin = json!({ "properties": { "desired": { "rate": 6 } } });
    let answer = json!({ "iotHubHostName": "localhost", "initialTwin": twin }).to_string();
    hook.set(Behaviour::Answer(200, answer));
    let second = first.desired.version + 1;
    world.tick();
    world.provision("dev", &group).await;
    let twin = world.device("dev").await.unwrap().twin;
    assert_eq!((twin.desired.version, &twin.desired.metadata["at"]), (second, &first.desired.metadata["at"]));
}
