//! Connections on which little happens, in time that is made to pass.

use std::net::{Ipv4Addr, SocketAddr};

use bytes::BytesMut;
use pollux_amqp::endpoint::{Endpoint, Event, LinkId, LinkOptions, OpenOptions, SessionId};
use pollux_amqp::performative::{Source, Target, condition};
use pollux_amqp::sasl::Credentials;
use pollux_model::resource::ResourceKind;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use tokio::time::Instant;

use super::*;
use crate::accept::Gate;

mod hub;
mod registration;

/// A client that does what the protocol asks of it, and nothing by itself.
struct Peer {
    machine: Endpoint,
    stream: DuplexStream,
    input: BytesMut,
    began: Instant,
    session: Option<SessionId>,
    _folder: tempfile::TempDir,
}

impl Peer {
    /// Opens a connection and a session; with the namespace's key, or as a stranger. From here on time is the test's.
    async fn new(known: bool, limits: Limits) -> Self {
        let (services, folder) = crate::fixture::services().await;
        let namespace = services.context.table.serving(ResourceKind::Events, "localhost").unwrap();
        let policy = "RootManageSharedAccessKey";
        let password = namespace.policy(policy).unwrap().primary().reveal().to_owned();
        tokio::time::pause();
        let credentials = match known {
            true => Credentials::Plain { user: policy.to_owned(), password },
            false => Credentials::Anonymous,
        };
        let mut peer = Self::connect(services, folder, credentials, limits);
        peer.open().await;
        peer
    }

    /// Connects, and says nothing yet.
    fn connect(
        services: Arc<Services>,
        folder: tempfile::TempDir,
        credentials: Credentials,
        limits: Limits,
    ) -> Self {
        Self::connect_from(
            SocketAddr::from((Ipv4Addr::LOCALHOST, 1)).into(),
            services,
            folder,
            credentials,
            limits,
        )
    }

    /// The same as somebody.
    fn connect_from(
        who: crate::peer::Peer,
        services: Arc<Services>,
        folder: tempfile::TempDir,
        credentials: Credentials,
        limits: Limits,
    ) -> Self {
        let host = Some("localhost".to_owned());
        Self::connect_saying(host, who, services, folder, credentials, limits)
    }

    /// The same, with this host name in SASL.
    fn connect_saying(
        host: Option<String>,
        who: crate::peer::Peer,
        services: Arc<Services>,
        folder: tempfile::TempDir,
        credentials: Credentials,
        limits: Limits,
    ) -> Self {
        let (ours, theirs) = tokio::io::duplex(1 << 16);
        let gate = Gate::new(10, 10);
        let admission = gate.admit(Ipv4Addr::LOCALHOST.into()).unwrap();
        tokio::spawn(Amqp::new(services).serve(theirs, who, admission, CancellationToken::new()));
        let now = Instant::now();
        let mut machine = Endpoint::client(Arc::new(limits), Some(credentials), host, now.into_std());
        machine.open(OpenOptions {
            container_id: "peer".to_owned(),
            hostname: Some("localhost".to_owned()),
            ..OpenOptions::default()
        });
        Self { machine, stream: ours, input: BytesMut::new(), began: now, session: None, _folder: folder }
    }

    async fn open(&mut self) {
        assert!(matches!(self.next().await, Some(Event::Opened(_))));
        self.machine.begin_session().unwrap();
        let Some(Event::SessionBegun(session)) = self.next().await else { panic!("no session") };
        self.session = Some(session);
    }

    /// The next that happens; `None` when the server has hung up.
    async fn next(&mut self) -> Option<Event> {
        loop {
            self.machine.receive(&mut self.input, Instant::now().into_std());
            if let Some(event) = self.machine.next_event() {
                return Some(event);
            }
            while let Some(output) = self.machine.take_output() {
                self.stream.write_all(&output).await.ok()?;
            }
            let due = self.machine.next_deadline().map_or_else(|| self.began + DAY, Instant::from_std);
            tokio::select! {
                read = self.stream.read_buf(&mut self.input) => if read.ok()? == 0 { return None },
                () = tokio::time::sleep_until(due) => {
                    self.machine.tick(Instant::now().into_std());
                }
            }
        }
    }

    /// With which condition the server closes, and after how many seconds.
    async fn closed(&mut self) -> (String, u64) {
        loop {
            match self.next().await {
                Some(Event::Closed { error: Some(error), .. }) => {
                    return (error.condition.as_str().to_owned(), self.began.elapsed().as_secs());
                }
                Some(_) => {}
                None => panic!("the server hung up without a word"),
            }
        }
    }

    async fn attach_sender(&mut self, address: &str) -> LinkId {
        let options = LinkOptions {
            source: Some(Source::at("peer")),
            target: Some(Target::at(address)),
            ..LinkOptions::default()
        };
        let link = self.machine.attach_sender(self.session.unwrap(), address, options).unwrap();
        while !matches!(self.next().await, Some(Event::Attached(attached)) if attached.link == link) {}
        link
    }
}

const DAY: Duration = Duration::from_secs(86_400);

#[tokio::test]
async fn a_stranger_is_closed_after_a_minute() {
    let mut peer = Peer::new(false, Limits::default()).await;
    let unauthorized = condition::UNAUTHORIZED_ACCESS.as_str().to_owned();
    assert_eq!(peer.closed().await, (unauthorized, STRANGER.as_secs()));
}

#[tokio::test]
async fn who_is_known_and_has_no_link_is_closed_after_five_minutes() {
    let mut peer = Peer::new(true, Limits::default()).await;
    let forced = condition::CONNECTION_FORCED.as_str().to_owned();
    assert_eq!(peer.closed().await, (forced, LINKLESS.as_secs()));
}

#[tokio::test]
async fn a_link_keeps_the_connection_and_cbs_does_not() {
    let mut peer = Peer::new(true, Limits::default()).await;
    peer.attach_sender("$cbs").await;
    let hub = peer.attach_sender("deviceevents").await;
    // Both sides have asked for a sign of life every two minutes, and give it.
    let hour = Duration::from_secs(3600);
    assert!(tokio::time::timeout(hour, peer.closed()).await.is_err(), "it is kept while the link is there");
    peer.machine.detach(hub, None);
    let forced = condition::CONNECTION_FORCED.as_str().to_owned();
    assert_eq!(peer.closed().await, (forced, hour.as_secs() + LINKLESS.as_secs()));
}

#[tokio::test]
async fn a_peer_that_gives_no_sign_of_life_is_closed() {
    let mut peer = Peer::new(true, Limits::default()).await;
    peer.attach_sender("deviceevents").await;
    let silent = Limits::default().idle_timeout.unwrap();
    tokio::time::sleep(silent + Duration::from_secs(1)).await;
    assert_eq!(peer.closed().await.0, condition::RESOURCE_LIMIT_EXCEEDED.as_str());
}

#[tokio::test]
async fn a_peer_that_wants_signs_of_life_gets_them() {
    // A client with such a limit closes the connection by itself when nothing comes in time.
    let impatient = Limits { idle_timeout: Some(Duration::from_secs(8)), ..Limits::default() };
    let mut peer = Peer::new(true, impatient).await;
    peer.attach_sender("deviceevents").await;
    assert!(tokio::time::timeout(Duration::from_secs(1000), peer.closed()).await.is_err());
}

#[tokio::test]
async fn who_breaks_the_protocol_can_end_what_he_is_sending_and_hears_why() {
    let mut peer = Peer::new(true, Limits::default()).await;
    let mut frames = 200_000_u32.to_be_bytes().to_vec(); // more than a frame may have, and than is read at once
    frames.resize(200_000, 0);
    peer.stream.write_all(&frames).await.unwrap();
    assert_eq!(peer.closed().await.0, condition::CONNECTION_FRAMING_ERROR.as_str());
}

#[tokio::test]
async fn who_does_not_hang_up_is_not_waited_for_longer_than_a_second() {
    let mut peer = Peer::new(true, Limits::default()).await;
    peer.stream.write_all(&[0; 8]).await.unwrap();
    assert_eq!(peer.closed().await.0, condition::CONNECTION_FRAMING_ERROR.as_str());
    let closed = Instant::now();
    while peer.stream.write_all(&[0; 1000]).await.is_ok() {
        assert!(closed.elapsed() <= LINGER_SEEN, "it is still listened to");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// What a connection lingers, and a step of the test's time.
const LINGER_SEEN: Duration = Duration::from_millis(1200);
