use pollux_model::resource::{PolicyRight, ResourceKind};
use pollux_model::sas::{SasToken, sign};
use pollux_model::{ErrorCode, Key, ResourceName};
use serde_json::json;

use super::*;
use crate::Settings;
use crate::fixture::World;
use crate::resources::{Declared, WhichKey};

const HOUR: i64 = 1_700_003_600;

fn name(text: &str) -> ResourceName {
    ResourceName::parse(text).unwrap()
}

fn said(name: &str, rights: &[PolicyRight]) -> DeclaredPolicy {
    DeclaredPolicy { name: name.to_owned(), rights: Some(rights.to_vec()), ..Default::default() }
}

fn of<'a>(kind: ResourceKind, resource: &'a ResourceName, event_hub: Option<&'a str>) -> PolicyHolder<'a> {
    PolicyHolder { kind, resource, event_hub }
}

#[tokio::test]
async fn a_policy_of_an_event_hub_opens_that_one_and_nothing_after_its_end() {
    let world = World::new().await;
    let (resources, events, admin) = (&world.services.resources, &world.services.events, Caller::admin());
    let events1 = name("events1");
    let holder = of(ResourceKind::Events, &events1, Some("DeviceEvents"));
    let made = resources.put_policy(&admin, holder, said("sender", &[PolicyRight::Send])).await.unwrap();
    let namespace = || events.namespace("localhost", "deviceevents").unwrap();
    let token = |policy: &Policy, hub: &str| {
        let uri = format!("sb://localhost/{hub}");
        let text = sign(&uri, policy.primary().reveal().as_bytes(), HOUR, Some(&policy.name));
        SasToken::parse(&text).unwrap()
    };
    let claim = events.claim_by_token("localhost", "deviceevents", &token(&made, "deviceevents")).unwrap();
    let may = |right, path| events.require(&namespace(), [&claim], path, right).is_ok();
    assert!(may(PolicyRight::Send, "deviceevents/partitions/0"));
    assert!(!may(PolicyRight::Listen, "deviceevents") && !may(PolicyRight::Send, "lifecycleevents"));
    assert!(events.claim_by_token("localhost", "deviceevents", &token(&made, "lifecycleevents")).is_err());
    assert!(events.claim_by_token("localhost", "deviceevents", &token(&made, "")).is_err());
    let by_key = events.claims_by_key("localhost", "sender", made.primary().reveal());
    assert_eq!(by_key.len(), 1);
    let of_no_host = events.claims_by_key("", "sender", made.primary().reveal());
    assert_eq!(of_no_host.iter().map(|(name, _)| name).collect::<Vec<_>>(), [&by_key[0].0]);
    assert!(events.claims_by_key("", "sender", "wrong").is_empty());

    // What a policy allows is asked for each time.
    resources.put_policy(&admin, holder, said("sender", &[PolicyRight::Listen])).await.unwrap();
    assert!(may(PolicyRight::Listen, "deviceevents") && !may(PolicyRight::Send, "deviceevents"));
    assert!(events.still_holds(&claim));

    let changed = resources.regenerate_policy_key(&admin, holder, "SENDER", WhichKey::Primary).await.unwrap();
    assert_eq!(changed.keys.secondary, made.keys.secondary);
    assert!(!events.still_holds(&claim) && !events.still_holds(&by_key[0].1));
    let again = events.claim_by_token("localhost", "deviceevents", &token(&changed, "deviceevents")).unwrap();
    resources.delete_policy(&admin, holder, "Sender").await.unwrap();
    assert!(!events.still_holds(&again));
    let gone = resources.delete_policy(&admin, holder, "sender").await.unwrap_err();
    assert_eq!(gone.code, ErrorCode::ResourceNotFound);
}

#[tokio::test]
async fn a_name_of_both_namespace_and_event_hub_means_either() {
    let world = World::new().await;
    let (resources, events, admin) = (&world.services.resources, &world.services.events, Caller::admin());
    let events1 = name("events1");
    for event_hub in [None, Some("deviceevents")] {
        let holder = of(ResourceKind::Events, &events1, event_hub);
        let made = resources.put_policy(&admin, holder, said("both", &[PolicyRight::Listen])).await.unwrap();
        let text =
            sign("sb://localhost/deviceevents", made.primary().reveal().as_bytes(), HOUR, Some("both"));
        events.claim_by_token("localhost", "deviceevents", &SasToken::parse(&text).unwrap()).unwrap();
    }
}

#[tokio::test]
async fn manage_brings_send_and_listen_along() {
    let world = World::new().await;
    let (resources, admin, events1) = (&world.services.resources, Caller::admin(), name("events1"));
    let holder = of(ResourceKind::Events, &events1, None);
    let twice = [PolicyRight::Manage, PolicyRight::Listen, PolicyRight::Manage];
    let made = resources.put_policy(&admin, holder, said("all", &twice)).await.unwrap();
    assert_eq!(made.rights, [PolicyRight::Manage, PolicyRight::Listen, PolicyRight::Send]);
    // Only what is said changes.
    let key = Key::from_bytes(&[3; 32]);
    let keyed = DeclaredPolicy {
        name: "ALL".to_owned(),
        primary_key: Some(pollux_model::resource::Setting(key.reveal().to_owned())),
        ..Default::default()
    };
    let changed = resources.put_policy(&admin, holder, keyed).await.unwrap();
    assert_eq!((&changed.name, &changed.rights), (&made.name, &made.rights));
    assert_eq!(changed.keys.primary, key);
    assert_eq!(changed.keys.secondary, made.keys.secondary);
}

#[tokio::test]
async fn what_may_not_be_is_refused_with_the_reason() {
    let world = World::new().await;
    let (resources, admin) = (&world.services.resources, Caller::admin());
    let (events1, hub1, twins1) = (name("events1"), name("hub1"), name("twins1"));
    let namespace = of(ResourceKind::Events, &events1, None);
    let hub = of(ResourceKind::Hub, &hub1, None);
    use PolicyRight::{Listen, RegistryRead, Send};
    for (holder, policy, code, words) in [
        (namespace, said("a b", &[Send]), ErrorCode::InvalidArgument, "no name"),
        (namespace, said("none", &[]), ErrorCode::InvalidArgument, "at least one right"),
        (namespace, said("foreign", &[RegistryRead]), ErrorCode::InvalidArgument, "knows no right"),
        (namespace, said("RootManageSharedAccessKey", &[Send]), ErrorCode::InvalidArgument, "Manage"),
        (hub, said("foreign", &[Listen]), ErrorCode::InvalidArgument, "knows no right"),
        (
            of(ResourceKind::Events, &events1, Some("nothere")),
            said("p", &[Send]),
            ErrorCode::EventHubNotFound,
            "'nothere'",
        ),
        (
            of(ResourceKind::Twins, &twins1, None),
            said("p", &[Send]),
            ErrorCode::InvalidArgument,
            "no shared access policies",
        ),
    ] {
        let error = resources.put_policy(&admin, holder, policy).await.unwrap_err();
        assert!(error.code == code && error.message.contains(words), "{error:?}");
    }
    let error = resources.delete_policy(&admin, namespace, "rootmanagesharedaccesskey").await.unwrap_err();
    assert!(error.message.contains("it stays"), "{error:?}");
    let stranger = Caller::function(name("functions1"));
    let error = resources.put_policy(&stranger, namespace, said("p", &[Send])).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::Forbidden);
    assert!(resources.policies(&stranger, namespace).is_err());
}

#[tokio::test]
async fn there_may_be_twelve_policies() {
    let world = World::new().await;
    let (resources, admin, events1) = (&world.services.resources, Caller::admin(), name("events1"));
    let holder = of(ResourceKind::Events, &events1, Some("deviceevents"));
    for n in 0..12 {
        let policy = said(&format!("p{n}"), &[PolicyRight::Send]);
        resources.put_policy(&admin, holder, policy).await.unwrap();
    }
    let error = resources.put_policy(&admin, holder, said("more", &[PolicyRight::Send])).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::QuotaExceeded);
    resources.delete_policy(&admin, holder, "p7").await.unwrap();
    resources.put_policy(&admin, holder, said("more", &[PolicyRight::Send])).await.unwrap();
    assert_eq!(resources.policies(&admin, holder).unwrap().len(), 12);
}

#[tokio::test]
async fn policies_of_a_hub_and_of_a_dps_come_and_go() {
    let world = World::new().await;
    let (resources, admin) = (&world.services.resources, Caller::admin());
    for (kind, resource, right, owner) in [
        (ResourceKind::Hub, name("hub1"), PolicyRight::ServiceConnect, "iothubowner"),
        (ResourceKind::Dps, name("dps1"), PolicyRight::EnrollmentRead, "provisioningserviceowner"),
    ] {
        let holder = of(kind, &resource, None);
        let made = resources.put_policy(&admin, holder, said("own", &[right])).await.unwrap();
        assert_eq!(resources.policy(&admin, holder, "OWN").unwrap(), made);
        let changed = resources.regenerate_policy_key(&admin, holder, "own", WhichKey::Secondary).await;
        assert_ne!(changed.unwrap().keys.secondary, made.keys.secondary);
        resources.delete_policy(&admin, holder, "own").await.unwrap();
        // As in Azure, where whoever administers the resource can make another.
        resources.delete_policy(&admin, holder, owner).await.unwrap();
        assert!(resources.policy(&admin, holder, owner).is_err());
    }
}

#[tokio::test]
async fn the_configuration_declares_policies_of_event_hubs() {
    let key = Key::from_bytes(&[9; 32]);
    let declared = Declared::read(
        ResourceKind::Events,
        None,
        json!({ "name": "stream", "event_hubs": [{
            "name": "raw", "consumer_groups": ["alarms"], "retention_bytes": 5000,
            "policies": [{ "name": "reader", "rights": ["Listen"], "primary_key": key.reveal() }],
        }] }),
    )
    .unwrap();
    let world = World::with(Settings::default(), std::slice::from_ref(&declared)).await;
    let stream = name("stream");
    let holder = of(ResourceKind::Events, &stream, Some("raw"));
    let made = world.services.resources.policy(&Caller::admin(), holder, "reader").unwrap();
    assert_eq!(made.keys.primary, key);
    let before = world.resource(ResourceKind::Events, "stream");
    let world = world.restarted();
    world.services.load(&[declared]).await.unwrap();
    assert_eq!(world.resource(ResourceKind::Events, "stream"), before, "nothing new: nothing written");
    let unbounded = crate::resources::declared::DeclaredEventHub {
        name: "raw".to_owned(),
        retention_bytes: Some(0),
        ..Default::default()
    };
    let resources = &world.services.resources;
    resources.put_event_hub(&Caller::admin(), &stream, unbounded).await.unwrap();
    assert_eq!(resources.event_hub(&Caller::admin(), &stream, "RAW").unwrap().retention_bytes, None);
}
