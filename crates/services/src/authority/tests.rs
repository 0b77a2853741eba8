use pollux_model::resource::ResourceKind;
use pollux_model::sas;
use pollux_model::{Clock as _, ResourceName};

use super::*;
use crate::fixture::World;

fn sas_caller(world: &World, resource: &Resource, text: &str) -> Result<Caller> {
    let token = SasToken::parse(text).unwrap();
    world.services.authority.service_sas(resource, &token, world.clock.now())
}

#[tokio::test]
async fn a_policys_token_opens_what_its_rights_name() {
    use pollux_model::resource::PolicyRight::{RegistryRead, RegistryWrite, ServiceConnect};
    let world = World::new().await;
    let hub = world.resource(ResourceKind::Hub, "hub1");
    let later = world.clock.now().as_secs() + 600;
    for sr in [
        "localhost",
        "localhost:8443",
        "LOCALHOST",
        "sb://localhost/",
        "hub1.azure-devices.net",
        "https://127.0.0.1",
    ] {
        for key in [
            &hub.policy("registryRead").unwrap().keys.primary,
            &hub.policy("registryRead").unwrap().keys.secondary,
        ] {
            let token = sas::sign(sr, &key.bytes(), later, Some("registryread"));
            let caller = sas_caller(&world, &hub, &token).unwrap();
            assert_eq!(caller.expires, Some(Timestamp::from_secs(later)));
            let may = |right| caller.require(ResourceKind::Hub, &hub.name, Right::Policy(right)).is_ok();
            assert_eq!((may(RegistryRead), may(RegistryWrite), may(ServiceConnect)), (true, false, false));
            let other = ResourceName::parse("hub2").unwrap();
            assert!(caller.require(ResourceKind::Hub, &other, Right::Policy(RegistryRead)).is_err());
        }
    }
}

#[tokio::test]
async fn tokens_that_do_not_hold_are_refused_alike() {
    let world = World::new().await;
    let hub = world.resource(ResourceKind::Hub, "hub1");
    let dps = world.resource(ResourceKind::Dps, "dps1");
    let now = world.clock.now().as_secs();
    let key = hub.policy("iothubowner").unwrap().primary().bytes();
    let signed = |sr: &str, key: &[u8], expiry: i64, policy: Option<&str>| sas::sign(sr, key, expiry, policy);
    let refusals = |text: &str| sas_caller(&world, &hub, text).unwrap_err();
    let unknown = refusals(&signed("localhost", &key, now + 600, Some("nobody")));
    let wrong = refusals(&signed("localhost", b"not the key", now + 600, Some("iothubowner")));
    assert_eq!(unknown, wrong, "an unknown policy and a wrong key are not told apart");
    let table = [
        (signed("localhost", &key, now, Some("iothubowner")), "expired"),
        (signed("localhost", &key, -1, Some("iothubowner")), "expired"),
        (signed("localhost", &key, now + 600, None), "does not hold"),
        (signed("localhost", &key, now + 600, Some("service")), "does not hold"),
        (signed("otherhub.azure-devices.net", &key, now + 600, Some("iothubowner")), "not this host name"),
        (signed("localhost/devices/d1", &key, now + 600, Some("iothubowner")), "not this host name"),
        (signed("local", &key, now + 600, Some("iothubowner")), "not this host name"),
        (signed("", &key, now + 600, Some("iothubowner")), "not this host name"),
    ];
    for (text, expected) in table {
        let error = refusals(&text);
        assert_eq!(error.code, ErrorCode::Unauthorized);
        assert!(error.message.contains(expected), "{}", error.message);
        assert!(!error.message.contains(hub.policy("iothubowner").unwrap().primary().reveal()));
    }
    let foreign = signed("localhost", &key, now + 600, Some("iothubowner"));
    assert!(sas_caller(&world, &dps, &foreign).is_err(), "a hub's key opens no DPS");
}

#[tokio::test]
async fn function_and_admin_keys() {
    let world = World::new().await;
    let authority = &world.services.authority;
    let app = world.resource(ResourceKind::Functions, "functions1");
    let Properties::Functions(functions) = &app.properties else { panic!() };
    for key in [&functions.keys.primary, &functions.keys.secondary] {
        let caller = authority.function_key(&app, key.reveal()).unwrap();
        caller.require(ResourceKind::Functions, &app.name, Right::Invoke).unwrap();
        assert!(caller.require(ResourceKind::Functions, &app.name, Right::Administer).is_err());
    }
    for code in ["", "x", &functions.keys.primary.reveal()[1..]] {
        assert_eq!(authority.function_key(&app, code).unwrap_err().code, ErrorCode::Unauthorized);
    }
    let key = authority.reveal_admin_key().unwrap().reveal().to_owned();
    assert_eq!(authority.admin_key(&key).unwrap().identity, Identity::Admin);
    for wrong in ["", &key[1..], functions.keys.primary.reveal()] {
        assert_eq!(authority.admin_key(wrong).unwrap_err().code, ErrorCode::Unauthorized);
    }
}
