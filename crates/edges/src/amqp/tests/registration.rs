//! A device registers over AMQP: what npm's client does, step by step.

use bytes::Bytes;
use pollux_amqp::endpoint::Outgoing;
use pollux_amqp::performative::DeliveryState;
use pollux_amqp::{Body, Message, MessageId, Properties, Value};
use pollux_model::resource::Properties as Of;
use pollux_model::{Clock as _, Key, ManualClock, Timestamp, sas};
use pollux_services::Caller;
use pollux_services::hub::{AuthenticationInput, DeviceInput};
use pollux_services::provisioning::{AuditQuery, EnrollmentInput, GroupInput};
use pollux_testkit::pki::Authority;

use super::*;

/// Seconds that a device's token holds.
const HOLDS: i64 = 3600;

/// A device of a new group, over a connection of its own.
struct Device {
    peer: Peer,
    scope: String,
    answers: Option<LinkId>,
    clock: Arc<ManualClock>,
}

impl Device {
    /// Shows a token that is signed with the key derived for `signer`.
    async fn connect(id: &str, signer: &str) -> Self {
        let clock = Arc::new(ManualClock::new(Timestamp::from_secs(1_700_000_000)));
        let (services, folder) = crate::fixture::services_at(clock.clone()).await;
        let dps = services.context.table.serving(ResourceKind::Dps, "localhost").unwrap();
        let Of::Dps(own) = &dps.properties else { panic!("no provisioning service") };
        let scope = own.id_scope.clone();
        let input = GroupInput { id: "line".to_owned(), common: EnrollmentInput::default() };
        let group = services.provisioning.put_enrollment_group(&Caller::admin(), &dps, input, None).await;
        let pollux_model::enrollment::Attestation::SymmetricKey { keys } = group.unwrap().attestation else {
            panic!("no keys")
        };
        let key: Key = keys.derive(signer).primary;
        let user = format!("{scope}/registrations/{id}");
        let expiry = clock.now().as_secs() + HOLDS;
        let password = sas::sign(&user, &key.bytes(), expiry, Some("registration"));
        let credentials = Credentials::Plain { user, password };
        let peer = Peer::connect(services, folder, credentials, Limits::default());
        Self { peer, scope, answers: None, clock }
    }

    async fn links(&mut self, id: &str) -> LinkId {
        self.peer.open().await;
        let place = format!("{}/registrations/{id}", self.scope);
        let session = self.peer.session.unwrap();
        let options = LinkOptions {
            source: Some(Source::at(&*place)),
            target: Some(Target::at(&*place)),
            ..LinkOptions::default()
        };
        let answers = self.peer.machine.attach_receiver(session, "answers", options).unwrap();
        while !matches!(self.peer.next().await, Some(Event::Attached(attached)) if attached.link == answers) {
        }
        self.answers = Some(answers);
        self.peer.attach_sender(&place).await
    }

    /// Asks, and gives the answer, or the condition and description of the rejection.
    async fn ask(
        &mut self,
        link: LinkId,
        said: &[(&str, Value)],
        body: &str,
    ) -> Result<Message, (String, String)> {
        let mut message = Message {
            properties: Some(Properties {
                correlation_id: Some(MessageId::String("c".to_owned())),
                ..Properties::default()
            }),
            body: Body::Data(vec![Bytes::copy_from_slice(body.as_bytes())]),
            ..Message::default()
        };
        for (name, value) in said {
            message.application_properties.push(*name, value.clone());
        }
        self.peer.machine.grant(self.answers.unwrap(), 1);
        while self.peer.machine.credit(link) == 0 {
            self.peer.next().await.unwrap();
        }
        let outgoing = Outgoing { tag: b"a", message_format: 0, payload: message.encode(), settled: false };
        self.peer.machine.send(link, outgoing).unwrap();
        loop {
            match self.peer.next().await.unwrap() {
                Event::Delivery(delivery) => return Ok(Message::decode(delivery.payload).unwrap()),
                Event::Settled { state: Some(DeliveryState::Rejected(error)), .. } => {
                    let error = error.unwrap();
                    return Err((error.condition.as_str().to_owned(), error.description.clone().unwrap()));
                }
                _ => {}
            }
        }
    }
}

fn document(message: &Message) -> serde_json::Value {
    let Body::Data(pieces) = &message.body else { panic!("no bytes") };
    serde_json::from_slice(&pieces.concat()).unwrap()
}

#[tokio::test]
async fn a_device_registers_and_polls() {
    let mut device = Device::connect("Dev-1", "Dev-1").await;
    let link = device.links("Dev-1").await;
    let register = [
        ("iotdps-operation-type", Value::from("iotdps-register")),
        ("iotdps-forceRegistration", Value::Bool(false)),
    ];
    let begun = device.ask(link, &register, r#"{"registrationId":"dev-1"}"#).await.unwrap();
    assert_eq!(begun.properties.as_ref().unwrap().correlation_id, Some(MessageId::String("c".to_owned())));
    assert_eq!(begun.application_properties.get("retry-after"), Some(&Value::Int(1)));
    let operation = document(&begun)["operationId"].as_str().unwrap().to_owned();
    let poll = [
        ("iotdps-operation-type", Value::from("iotdps-get-operationstatus")),
        ("iotdps-operation-id", Value::from(operation)),
    ];
    let done = loop {
        let answer = device.ask(link, &poll, "").await.unwrap();
        if answer.application_properties.get("retry-after").is_none() {
            break document(&answer);
        }
    };
    assert_eq!(
        (&done["status"], &done["registrationState"]["deviceId"]),
        (&"assigned".into(), &"Dev-1".into())
    );
    let nonsense = [("iotdps-operation-type", Value::from("nonsense"))];
    let (condition, description) = device.ask(link, &nonsense, "").await.unwrap_err();
    assert_eq!(condition, "com.microsoft:argument-error");
    let envelope: serde_json::Value = serde_json::from_str(&description).unwrap();
    assert_eq!(envelope["errorCode"], 400_004);
}

#[tokio::test]
async fn a_device_that_signs_with_another_key_is_not_let_in() {
    let mut device = Device::connect("dev-1", "dev-2").await;
    loop {
        match device.peer.next().await {
            None => return,
            Some(Event::Closed { error, .. }) => {
                assert!(error.is_some());
                return;
            }
            Some(Event::Opened(_)) => panic!("it was let in"),
            Some(_) => {}
        }
    }
}

#[tokio::test]
async fn a_device_does_not_get_another_ones_place() {
    let mut device = Device::connect("dev-1", "dev-1").await;
    device.peer.open().await;
    let place = format!("{}/registrations/dev-2", device.scope);
    let options = LinkOptions {
        source: Some(Source::at("peer")),
        target: Some(Target::at(&*place)),
        ..LinkOptions::default()
    };
    let link = device.peer.machine.attach_sender(device.peer.session.unwrap(), "other", options).unwrap();
    loop {
        match device.peer.next().await.unwrap() {
            Event::Attached(_) => panic!("it got the place"),
            Event::Detached { link: gone, error: Some(error), .. } if gone == link => {
                assert_eq!(error.condition, condition::UNAUTHORIZED_ACCESS);
                return;
            }
            _ => {}
        }
    }
}

/// Were it looked at again for each link, a stranger could have us follow certificates all day.
#[tokio::test]
async fn a_certificate_that_makes_nobody_a_device_is_looked_at_once() {
    let (services, folder) = crate::fixture::services().await;
    let dps = services.context.table.serving(ResourceKind::Dps, "localhost").unwrap();
    let Of::Dps(own) = &dps.properties else { panic!("no provisioning service") };
    let place = format!("{}/registrations/dev-1", own.id_scope);
    let now = services.context.clock.now().as_secs();
    let leaf = Authority::root("nobody's", now, |_| {}).leaf("dev-1", |_| {});
    let who = crate::peer::Peer::showing(SocketAddr::from((Ipv4Addr::LOCALHOST, 1)), vec![leaf.der]);
    let (services, kept) = (Arc::clone(&services), services);
    let mut peer = Peer::connect_from(who, services, folder, Credentials::Anonymous, Limits::default());
    peer.open().await;
    for _ in 0..5 {
        let link = peer.attach_sender(&place).await;
        peer.machine.detach(link, None);
    }
    let asked = AuditQuery::default();
    let refusals = kept.provisioning.audit_records(&Caller::admin(), &dps, &asked, 100).await.unwrap();
    assert_eq!(refusals.records.len(), 1);
}

/// Its certificate is that of a device of the hub, which says nothing of where it may register: it hears so when it asks, as
/// others do, for npm's client waits for ever on a link that is refused.
#[tokio::test]
async fn a_device_of_the_hub_hears_when_it_asks_that_it_may_not_register() {
    let (services, folder) = crate::fixture::services().await;
    let hub = services.context.table.serving(ResourceKind::Hub, "localhost").unwrap();
    let now = services.context.clock.now().as_secs();
    let leaf = Authority::root("its own", now, |_| {}).leaf("dev-1", |_| {});
    let thumbprint = pollux_x509::Certificate::from_der(&leaf.der).unwrap().sha256_thumbprint();
    let mut registered = DeviceInput::new("dev-1");
    registered.authentication =
        Some(AuthenticationInput::SelfSigned { primary: Some(thumbprint), secondary: None });
    services.hub.create_device(&Caller::admin(), &hub, registered).await.unwrap();
    let who = crate::peer::Peer::showing(SocketAddr::from((Ipv4Addr::LOCALHOST, 1)), vec![leaf.der]);
    let peer = Peer::connect_from(who, services, folder, Credentials::Anonymous, Limits::default());
    let clock = Arc::new(ManualClock::new(Timestamp::from_secs(now)));
    let mut device = Device { peer, scope: "0ne00000000".to_owned(), answers: None, clock };
    let link = device.links("dev-1").await;
    let register = [("iotdps-operation-type", Value::from("iotdps-register"))];
    let (condition, _) = device.ask(link, &register, "{}").await.unwrap_err();
    assert_eq!(condition, "amqp:unauthorized-access");
}

/// Azure closes a device's connection when what it proved itself with holds no more.
#[tokio::test]
async fn a_token_that_runs_out_ends_the_connection() {
    let mut device = Device::connect("dev-1", "dev-1").await;
    device.links("dev-1").await;
    device.clock.advance(Duration::from_secs(u64::try_from(HOLDS).unwrap()));
    assert_eq!(device.peer.closed().await.0, condition::UNAUTHORIZED_ACCESS.as_str());
}
