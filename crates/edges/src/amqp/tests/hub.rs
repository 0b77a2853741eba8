//! A device at its hub over AMQP, in time that is made to pass; what npm's client does is in the conformance scenarios.

mod devicebound;

use pollux_amqp::endpoint::Outgoing;
use pollux_amqp::performative::DeliveryState;
use pollux_amqp::{Body, Message, MessageId, Properties, Symbol, Value};
use pollux_model::device::{Authentication, Device as Registered};
use pollux_model::resource::Resource;
use pollux_model::{Clock as _, DeviceAddress, ManualClock, Timestamp, sas};
use pollux_services::Caller;
use pollux_services::hub::{AuthenticationInput, DeviceInput, MethodInput, TwinInput};
use pollux_testkit::pki::Authority;
use serde_json::json;

use super::*;

/// Seconds that a device's token holds.
const HOLDS: i64 = 3600;

/// A hub, and time.
struct World {
    services: Arc<Services>,
    hub: Arc<Resource>,
    clock: Arc<ManualClock>,
}

impl World {
    async fn new() -> (Self, tempfile::TempDir) {
        let clock = Arc::new(ManualClock::new(Timestamp::from_secs(1_700_000_000)));
        let (services, folder) = crate::fixture::services_at(clock.clone()).await;
        let hub = services.context.table.serving(ResourceKind::Hub, "localhost").unwrap();
        (Self { services, hub, clock }, folder)
    }

    async fn device(&self, id: &str) -> Registered {
        let input = DeviceInput::new(id);
        self.services.hub.create_device(&Caller::admin(), &self.hub, input).await.unwrap()
    }

    fn token(&self, device: &Registered, holds: i64) -> String {
        let Authentication::Sas { keys } = &device.identity.authentication else { panic!("no keys") };
        let resource = format!("localhost/devices/{}", device.id);
        sas::sign(&resource, &keys.primary.bytes(), self.clock.now().as_secs() + holds, None)
    }

    fn connect(&self, device: &Registered) -> Peer {
        let user = format!("{}@sas.{}", device.id, self.hub.name);
        let credentials = Credentials::Plain { user, password: self.token(device, HOLDS) };
        let folder = tempfile::tempdir().unwrap();
        Peer::connect(Arc::clone(&self.services), folder, credentials, Limits::default())
    }

    async fn is_connected(&self, id: &str) -> bool {
        self.services.hub.connections.since(&self.hub.name, &address(id)).await.is_some()
    }
}

fn address(id: &str) -> DeviceAddress {
    DeviceAddress::of(id, None).unwrap()
}

fn said(body: &str) -> Message {
    Message { body: Body::data(body.to_owned()), ..Message::default() }
}

impl Peer {
    async fn attach_receiver(&mut self, address: &str) -> LinkId {
        let options = LinkOptions {
            source: Some(Source::at(address)),
            target: Some(Target::at("peer")),
            ..LinkOptions::default()
        };
        let name = format!("from {address}");
        let link = self.machine.attach_receiver(self.session.unwrap(), name, options).unwrap();
        while !matches!(self.next().await, Some(Event::Attached(attached)) if attached.link == link) {}
        link
    }

    /// A link of this name on which the device asks about its twin.
    async fn attach_named(&mut self, name: &str) -> LinkId {
        let options = LinkOptions {
            source: Some(Source::at("peer")),
            target: Some(Target::at("/devices/dev-1/twin")),
            ..LinkOptions::default()
        };
        let link = self.machine.attach_sender(self.session.unwrap(), name.to_owned(), options).unwrap();
        while !matches!(self.next().await, Some(Event::Attached(attached)) if attached.link == link) {}
        link
    }

    async fn send(&mut self, link: LinkId, message: &Message) {
        while self.machine.credit(link) == 0 {
            self.next().await.unwrap();
        }
        let outgoing = Outgoing { tag: b"a", message_format: 0, payload: message.encode(), settled: false };
        self.machine.send(link, outgoing).unwrap();
    }

    /// The condition of the rejection, or none where it was accepted.
    async fn sent(&mut self, link: LinkId, message: &Message) -> Option<String> {
        self.send(link, message).await;
        loop {
            match self.next().await.unwrap() {
                Event::Settled { state: Some(DeliveryState::Accepted), .. } => return None,
                Event::Settled { state: Some(DeliveryState::Rejected(error)), .. } => {
                    return Some(error.unwrap().condition.as_str().to_owned());
                }
                _ => {}
            }
        }
    }

    async fn delivery(&mut self) -> Message {
        loop {
            if let Event::Delivery(delivery) = self.next().await.unwrap() {
                return Message::decode(delivery.payload).unwrap();
            }
        }
    }

    /// With which condition the server detaches the link.
    async fn detached(&mut self, link: LinkId) -> String {
        loop {
            match self.next().await.expect("the server hung up without a word") {
                Event::Detached { link: gone, error: Some(error), .. } if gone == link => {
                    return error.condition.as_str().to_owned();
                }
                _ => {}
            }
        }
    }
}

/// A request about the twin.
fn asked(operation: &str, resource: &str, id: &str, body: &str) -> Message {
    let mut message = said(body);
    message.message_annotations.push(Symbol::from_static("operation"), operation);
    message.message_annotations.push(Symbol::from_static("resource"), resource);
    message.properties =
        Some(Properties { correlation_id: Some(MessageId::from(id)), ..Properties::default() });
    message
}

fn document(message: &Message) -> serde_json::Value {
    serde_json::from_slice(&message.body.as_bytes().unwrap()).unwrap()
}

#[tokio::test]
async fn a_device_is_connected_while_it_has_a_link() {
    let (world, _folder) = World::new().await;
    let mut peer = world.connect(&world.device("dev-1").await);
    peer.open().await;
    assert!(!world.is_connected("dev-1").await, "it has shown who it is, and nothing more");
    let link = peer.attach_sender("/devices/dev-1/messages/events").await;
    assert_eq!(peer.sent(link, &said("{}")).await, None);
    assert!(world.is_connected("dev-1").await);
    assert_eq!(
        peer.sent(link, &said(&"x".repeat(270_000))).await.unwrap(),
        "amqp:link:message-size-exceeded"
    );
    assert_eq!(
        peer.sent(link, &Message { body: Body::Value(Value::Int(1)), ..Message::default() }).await.unwrap(),
        "com.microsoft:argument-error"
    );
    let twin = peer.attach_receiver("/devices/dev-1/twin").await;
    peer.machine.detach(link, None);
    peer.attach_sender("/devices/dev-1/twin").await;
    assert!(world.is_connected("dev-1").await);
    peer.machine.detach(twin, None);
    drop(peer);
    while world.is_connected("dev-1").await {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn the_twin_is_asked_and_told_of_in_order() {
    let (world, _folder) = World::new().await;
    let mut peer = world.connect(&world.device("dev-1").await);
    peer.open().await;
    let answers = peer.attach_receiver("/devices/dev-1/twin").await;
    let asking = peer.attach_sender("amqps://localhost/devices/dev-1/twin/").await;
    peer.machine.grant(answers, 100);
    peer.send(asking, &asked("PUT", "/notifications/twin/properties/desired", "1", " ")).await;
    assert_eq!(peer.delivery().await.message_annotations.get("status"), Some(&Value::Int(200)));
    for (number, body) in [r#"{"a":1}"#, r#"{"a":2}"#, "[]"].into_iter().enumerate() {
        peer.send(asking, &asked("PATCH", "/properties/reported", &format!("{number}"), body)).await;
    }
    for (number, status, version) in [("0", 204, Some(2)), ("1", 204, Some(3)), ("2", 400, None)] {
        let answer = peer.delivery().await;
        assert_eq!(answer.properties.as_ref().unwrap().correlation_id, Some(MessageId::from(number)));
        assert_eq!(answer.message_annotations.get("status"), Some(&Value::Int(status)));
        assert_eq!(answer.message_annotations.get("version"), version.map(Value::Long).as_ref());
    }
    peer.send(asking, &asked("GET", "", "7", " ")).await;
    assert_eq!(document(&peer.delivery().await)["reported"], json!({"a": 2, "$version": 3}));
    for (wanted, shown) in
        [(Value::Bool(true), true), (Value::from("true"), true), (Value::Bool(false), false)]
    {
        let mut request = asked("GET", "", "8", " ");
        request.message_annotations.push(Symbol::from_static("metadata"), wanted);
        peer.send(asking, &request).await;
        let reported = document(&peer.delivery().await)["reported"].clone();
        assert_eq!(reported["$metadata"]["a"]["$lastUpdated"].is_string(), shown);
    }
    let desired = json!({"b": 1}).as_object().cloned();
    let input = TwinInput { desired, ..TwinInput::default() };
    let id = "dev-1";
    world.services.hub.patch_twin(&Caller::admin(), &world.hub, &address(id), input, None).await.unwrap();
    let told = peer.delivery().await;
    assert!(told.properties.is_none_or(|properties| properties.correlation_id.is_none()));
    assert_eq!(
        serde_json::from_slice::<serde_json::Value>(&told.body.as_bytes().unwrap()).unwrap(),
        json!({"b": 1, "$version": 2})
    );
}

/// Memory for what a device does not want to hear is bounded: nothing more is looked at.
#[tokio::test]
async fn who_hears_no_answers_is_not_answered_without_end() {
    let (world, _folder) = World::new().await;
    let mut peer = world.connect(&world.device("dev-1").await);
    peer.open().await;
    let answers = peer.attach_receiver("/devices/dev-1/twin").await;
    let asking = peer.attach_sender("/devices/dev-1/twin").await;
    let mut sent = 0;
    loop {
        while peer.machine.credit(asking) > 0 {
            let outgoing = Outgoing {
                tag: b"a",
                message_format: 0,
                payload: asked("GET", "", "x", " ").encode(),
                settled: true,
            };
            peer.machine.send(asking, outgoing).unwrap();
            sent += 1;
        }
        if tokio::time::timeout(Duration::from_secs(5), peer.next()).await.is_err() {
            break;
        }
        assert!(sent < 1000, "it is answered without end");
    }
    assert!(sent < 64, "{sent}");
    peer.machine.grant(answers, 1000);
    for _ in 0..sent {
        assert_eq!(peer.delivery().await.message_annotations.get("status"), Some(&Value::Int(200)));
    }
}

#[tokio::test]
async fn a_method_is_asked_and_answered() {
    let (world, _folder) = World::new().await;
    let mut peer = world.connect(&world.device("dev-1").await);
    peer.open().await;
    let answering = peer.attach_sender("/devices/dev-1/methods/devicebound").await;
    let asked = peer.attach_receiver("/devices/dev-1/methods/devicebound").await;
    peer.machine.grant(asked, 10);
    let input = MethodInput {
        name: "reboot".to_owned(),
        payload: Some(json!({"in": 5})),
        response_timeout: None,
        connect_timeout: None,
    };
    let (services, hub) = (Arc::clone(&world.services), Arc::clone(&world.hub));
    let asking = tokio::spawn(async move {
        services.hub.invoke_method(&Caller::admin(), &hub, &address("dev-1"), input).await
    });
    let request = peer.delivery().await;
    assert_eq!(request.application_properties.get("IoThub-methodname"), Some(&Value::from("reboot")));
    assert_eq!(document(&request), json!({"in": 5}));
    let mut answer = said("[1]");
    answer.properties = request.properties;
    answer.application_properties.push("IoThub-status", Value::Int(207));
    assert_eq!(peer.sent(answering, &answer).await, None);
    let answered = asking.await.unwrap().unwrap();
    assert_eq!((answered.status, answered.payload), (207, json!([1])));
}

#[tokio::test]
async fn the_newer_connection_has_the_device_and_the_older_one_loses_its_links_only_then() {
    let (world, _folder) = World::new().await;
    let device = world.device("dev-1").await;
    let (mut first, mut second) = (world.connect(&device), world.connect(&device));
    first.open().await;
    second.open().await;
    let link = first.attach_sender("/devices/dev-1/messages/events").await;
    assert_eq!(first.sent(link, &said("mine")).await, None);
    let other = second.attach_sender("/devices/dev-1/messages/events").await;
    assert_eq!(first.detached(link).await, condition::LINK_STOLEN.as_str());
    assert_eq!(second.sent(other, &said("mine")).await, None);
    assert!(world.is_connected("dev-1").await);
}

#[tokio::test]
async fn a_token_that_runs_out_ends_the_links_and_a_renewed_one_keeps_them() {
    let (world, _folder) = World::new().await;
    let device = world.device("dev-1").await;
    let mut peer = world.connect(&device);
    peer.open().await;
    let link = peer.attach_sender("/devices/dev-1/messages/events").await;
    assert_eq!(peer.sent(link, &said("1")).await, None);
    // The same audience as the token that it began with.
    let cbs = peer.attach_sender("$cbs").await;
    let mut put =
        Message { body: Body::Value(Value::from(world.token(&device, 2 * HOLDS))), ..Message::default() };
    for (name, value) in [
        ("operation", "put-token"),
        ("type", "servicebus.windows.net:sastoken"),
        ("name", "localhost/devices/dev-1"),
    ] {
        put.application_properties.push(name, value);
    }
    assert_eq!(peer.sent(cbs, &put).await, None);
    let answers = peer.attach_receiver("$cbs").await;
    peer.machine.grant(answers, 1);
    tokio::time::pause();
    world.clock.advance(Duration::from_secs(HOLDS.cast_unsigned() + 1));
    let while_it_holds = Duration::from_secs(HOLDS.cast_unsigned() + 1);
    assert!(tokio::time::timeout(while_it_holds, peer.closed()).await.is_err());
    assert_eq!(peer.sent(link, &said("2")).await, None, "it is renewed");
    world.clock.advance(Duration::from_secs(HOLDS.cast_unsigned()));
    assert_eq!(peer.detached(link).await, condition::UNAUTHORIZED_ACCESS.as_str());
    assert!(!world.is_connected("dev-1").await);
    // Who has nothing left to show is a stranger.
    assert_eq!(peer.closed().await.0, condition::UNAUTHORIZED_ACCESS.as_str());
}

#[tokio::test]
async fn who_shows_nothing_gets_no_link_and_a_certificate_is_not_looked_at_for_ever() {
    let (world, _folder) = World::new().await;
    world.device("dev-1").await;
    let now = world.clock.now().as_secs();
    let leaf = Authority::root("nobody's", now, |_| {}).leaf("dev-1", |_| {});
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
    for who in [address.into(), crate::peer::Peer::showing(address, vec![leaf.der])] {
        let folder = tempfile::tempdir().unwrap();
        let services = Arc::clone(&world.services);
        let mut peer = Peer::connect_from(who, services, folder, Credentials::Anonymous, Limits::default());
        peer.open().await;
        for number in 0..20 {
            let options = LinkOptions {
                source: Some(Source::at("peer")),
                target: Some(Target::at("/devices/dev-1/messages/events")),
                ..LinkOptions::default()
            };
            let link =
                peer.machine.attach_sender(peer.session.unwrap(), format!("{number}"), options).unwrap();
            assert_eq!(peer.detached(link).await, condition::UNAUTHORIZED_ACCESS.as_str());
        }
        assert!(!world.is_connected("dev-1").await);
    }
}

#[tokio::test]
async fn a_service_need_not_name_the_host_in_sasl_and_may_call_the_hub_by_its_first_label() {
    let (world, _folder) = World::new().await;
    let expiry = world.clock.now().as_secs() + HOLDS;
    let key = world.hub.policy("service").unwrap().primary().bytes();
    let token = |resource: &str| sas::sign(resource, &key, expiry, Some("service"));
    let own = world.hub.name.to_string();
    for (hub, resource, let_in) in [
        (own.as_str(), "localhost", true),
        ("localhost", "localhost", true),
        ("LOCALHOST", "localhost/messages/events", true),
        ("another", "localhost", false),
        (own.as_str(), "hub.example", false),
    ] {
        for host in [None, Some("localhost".to_owned())] {
            let user = format!("service@sas.root.{hub}");
            let credentials = Credentials::Plain { user, password: token(resource) };
            let who = SocketAddr::from((Ipv4Addr::LOCALHOST, 1)).into();
            let (services, folder) = (Arc::clone(&world.services), tempfile::tempdir().unwrap());
            let mut peer =
                Peer::connect_saying(host.clone(), who, services, folder, credentials, Limits::default());
            let opened = matches!(peer.next().await, Some(Event::Opened(_)));
            assert_eq!(opened, let_in, "{hub}, {resource}, {host:?}");
        }
    }
}

#[tokio::test]
async fn a_device_with_a_certificate_may_be_silent_until_it_has_something_to_send() {
    let (world, _folder) = World::new().await;
    let now = world.clock.now().as_secs();
    let [own, other] =
        ["dev-1", "dev-2"].map(|name| Authority::root("its own", now, |_| {}).leaf(name, |_| {}));
    let thumbprint = pollux_x509::Certificate::from_der(&own.der).unwrap().sha256_thumbprint();
    let registered = DeviceInput {
        authentication: Some(AuthenticationInput::SelfSigned { primary: Some(thumbprint), secondary: None }),
        ..DeviceInput::new("dev-1")
    };
    world.services.hub.create_device(&Caller::admin(), &world.hub, registered).await.unwrap();
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
    let connect = |leaf: pollux_testkit::pki::Leaf| {
        let who = crate::peer::Peer::showing(address, vec![leaf.der]);
        let (services, folder) = (Arc::clone(&world.services), tempfile::tempdir().unwrap());
        Peer::connect_from(who, services, folder, Credentials::Anonymous, Limits::default())
    };
    let mut device = connect(own);
    device.open().await;
    let mut stranger = connect(other);
    stranger.open().await;
    tokio::time::pause();
    assert_eq!(
        stranger.closed().await,
        (condition::UNAUTHORIZED_ACCESS.as_str().to_owned(), STRANGER.as_secs())
    );
    let hour = Duration::from_secs(3600);
    assert!(tokio::time::timeout(hour, device.closed()).await.is_err());
    let events = device.attach_sender("/devices/dev-1/messages/events").await;
    assert_eq!(device.sent(events, &said("at last")).await, None);
}

#[tokio::test]
async fn a_session_may_be_begun_for_each_of_a_thousand_devices_before_any_is_known() {
    let (world, _folder) = World::new().await;
    let limits = Limits { max_sessions: 2000, ..Limits::default() };
    let (services, folder) = (Arc::clone(&world.services), tempfile::tempdir().unwrap());
    let mut peer = Peer::connect(services, folder, Credentials::Anonymous, limits);
    assert!(matches!(peer.next().await, Some(Event::Opened(_))));
    for _ in 0..=1000 {
        peer.machine.begin_session().unwrap();
    }
    for _ in 0..=1000 {
        assert!(matches!(peer.next().await, Some(Event::SessionBegun(_))));
    }
}

#[tokio::test]
async fn a_device_has_a_bounded_number_of_links() {
    let (world, _folder) = World::new().await;
    let mut peer = world.connect(&world.device("dev-1").await);
    peer.open().await;
    let mut refused = None;
    for number in 0..20 {
        let options = LinkOptions {
            source: Some(Source::at("peer")),
            target: Some(Target::at("/devices/dev-1/messages/events")),
            ..LinkOptions::default()
        };
        let link = peer.machine.attach_sender(peer.session.unwrap(), format!("{number}"), options).unwrap();
        loop {
            match peer.next().await.unwrap() {
                Event::Attached(attached) if attached.link == link => break,
                Event::Detached { link: gone, error: Some(error), .. } if gone == link => {
                    refused.get_or_insert((number, error.condition.as_str().to_owned()));
                    break;
                }
                _ => {}
            }
        }
    }
    assert_eq!(refused, Some((16, condition::RESOURCE_LIMIT_EXCEEDED.as_str().to_owned())));
}

/// Each link has credit of its own: what waits of one takes nothing from another.
#[tokio::test]
async fn requests_on_two_links_leave_both_with_credit() {
    let (world, _folder) = World::new().await;
    let mut peer = world.connect(&world.device("dev-1").await);
    peer.open().await;
    let answers = peer.attach_receiver("/devices/dev-1/twin").await;
    peer.machine.grant(answers, 100);
    let [first, second] = [peer.attach_named("first").await, peer.attach_named("second").await];
    for link in [first, second] {
        while peer.machine.credit(link) == 0 {
            peer.next().await.unwrap();
        }
    }
    let mut sent = 0;
    for link in [first, second] {
        while peer.machine.credit(link) > 0 {
            let payload = asked("GET", "", "x", " ").encode();
            let outgoing = Outgoing { tag: b"a", message_format: 0, payload, settled: false };
            peer.machine.send(link, outgoing).unwrap();
            sent += 1;
        }
    }
    for _ in 0..sent {
        peer.delivery().await;
    }
    // What is said of credit comes before the next answer.
    let link = if peer.machine.credit(first) > 0 { first } else { second };
    peer.send(link, &asked("GET", "", "last", " ")).await;
    peer.delivery().await;
    assert!(peer.machine.credit(first) > 0 && peer.machine.credit(second) > 0);
}

/// The device is being looked at for its first link while the second one says what it is.
#[tokio::test]
async fn a_model_announced_with_a_further_link_counts() {
    let (world, _folder) = World::new().await;
    let mut peer = world.connect(&world.device("dev-1").await);
    peer.open().await;
    let session = peer.session.unwrap();
    let options = |properties: &[(&'static str, &str)]| {
        let mut options = LinkOptions {
            source: Some(Source::at("peer")),
            target: Some(Target::at("/devices/dev-1/twin")),
            ..LinkOptions::default()
        };
        for (name, value) in properties {
            options.properties.push(Symbol::from_static(name), *value);
        }
        options
    };
    peer.machine.attach_sender(session, "first".to_owned(), options(&[])).unwrap();
    let model = [("com.microsoft:model-id", "dtmi:example:Thermostat;1")];
    let second = peer.machine.attach_sender(session, "second".to_owned(), options(&model)).unwrap();
    while !matches!(peer.next().await, Some(Event::Attached(attached)) if attached.link == second) {}
    let twin = world.services.hub.twin(&Caller::admin(), &world.hub, &address("dev-1")).await.unwrap();
    assert_eq!(twin["modelId"], json!("dtmi:example:Thermostat;1"));
}
