//! A client and a server, and the wire between them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use pollux_amqp::endpoint::{Endpoint, Event, Limits, LinkId, LinkOptions, OpenOptions, Outgoing, SessionId};
use pollux_amqp::performative::{Source, Target};
use pollux_amqp::sasl::{ANONYMOUS, Code, Credentials, PLAIN};

/// Some moment; all others are made of it.
#[expect(clippy::disallowed_methods, reason = "an instant cannot be made in another way")]
pub(crate) fn start() -> Instant {
    Instant::now()
}

pub(crate) struct Pair {
    pub(crate) now: Instant,
    pub(crate) client: Endpoint,
    pub(crate) server: Endpoint,
    /// Events not looked at yet.
    pub(crate) at_client: Vec<Event>,
    pub(crate) at_server: Vec<Event>,
    /// Bytes that are handed over at a time.
    pub(crate) chunk: usize,
    to_client: BytesMut,
    to_server: BytesMut,
}

impl Pair {
    pub(crate) fn new(client: Limits, server: Limits) -> Self {
        let now = start();
        let credentials = Credentials::Plain { user: "u".to_owned(), password: "p".to_owned() };
        Self {
            now,
            client: Endpoint::client(Arc::new(client), Some(credentials), Some("hub".to_owned()), now),
            server: Endpoint::server(Arc::new(server), vec![ANONYMOUS, PLAIN], true, now),
            at_client: Vec::new(),
            at_server: Vec::new(),
            chunk: usize::MAX,
            to_client: BytesMut::new(),
            to_server: BytesMut::new(),
        }
    }

    /// Both sides open.
    pub(crate) fn opened(client: Limits, server: Limits) -> Self {
        let mut pair = Self::new(client, server);
        pair.open();
        pair
    }

    pub(crate) fn open(&mut self) {
        self.client.open(OpenOptions { container_id: "client".to_owned(), ..OpenOptions::default() });
        self.turn();
        assert!(matches!(self.at_server[..], [Event::Sasl(_)]), "{:?}", self.at_server);
        assert!(self.server.sasl_outcome(Code::Ok));
        self.turn();
        assert!(matches!(self.at_server[1..], [Event::Opened(_)]), "{:?}", self.at_server);
        self.server.open(OpenOptions { container_id: "server".to_owned(), ..OpenOptions::default() });
        self.turn();
        assert!(matches!(self.at_client[..], [Event::Opened(_)]), "{:?}", self.at_client);
        self.at_client.clear();
        self.at_server.clear();
    }

    /// Hands bytes over, both ways, until nothing moves any more.
    pub(crate) fn turn(&mut self) {
        loop {
            let mut moved =
                carry(&mut self.client, &mut self.to_server, &mut self.server, self.chunk, self.now);
            self.at_server.extend(std::iter::from_fn(|| self.server.next_event()));
            moved |= carry(&mut self.server, &mut self.to_client, &mut self.client, self.chunk, self.now);
            self.at_client.extend(std::iter::from_fn(|| self.client.next_event()));
            if !moved {
                return;
            }
        }
    }

    pub(crate) fn begin(&mut self) -> SessionId {
        let session = self.client.begin_session().unwrap();
        self.turn();
        assert_eq!(self.take_client(), [Event::SessionBegun(session)]);
        assert!(matches!(self.take_server()[..], [Event::SessionBegun(_)]));
        session
    }

    /// A link on which the client sends; its two ids.
    pub(crate) fn client_sends(&mut self, session: SessionId) -> (LinkId, LinkId) {
        let ours = self.client.attach_sender(session, "up", options()).unwrap();
        (ours, self.agree())
    }

    /// A link on which the server sends; its two ids.
    pub(crate) fn server_sends(&mut self, session: SessionId) -> (LinkId, LinkId) {
        let ours = self.client.attach_receiver(session, "down", options()).unwrap();
        (ours, self.agree())
    }

    pub(crate) fn agree(&mut self) -> LinkId {
        self.turn();
        let Some(Event::AttachRequested(asked)) = self.at_server.pop() else {
            panic!("{:?}", self.at_server)
        };
        assert!(self.server.accept_attach(asked.link, asked.agreed()));
        self.turn();
        assert!(matches!(self.at_client.pop(), Some(Event::Attached(_))));
        asked.link
    }

    pub(crate) fn take_client(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.at_client)
    }

    pub(crate) fn take_server(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.at_server)
    }

    pub(crate) fn pass(&mut self, time: Duration) {
        self.now += time;
    }
}

fn carry(from: &mut Endpoint, wire: &mut BytesMut, to: &mut Endpoint, chunk: usize, now: Instant) -> bool {
    let before = wire.len();
    let output = from.take_output().unwrap_or_default();
    let moved = !output.is_empty();
    for piece in output.chunks(chunk) {
        wire.extend_from_slice(piece);
        to.receive(wire, now);
    }
    to.receive(wire, now);
    moved || wire.len() < before
}

pub(crate) fn options() -> LinkOptions {
    LinkOptions { source: Some(Source::at("s")), target: Some(Target::at("t")), ..LinkOptions::default() }
}

pub(crate) fn message(payload: impl Into<Bytes>) -> Outgoing<'static> {
    Outgoing { tag: b"tag", message_format: 0, payload: payload.into(), settled: false }
}

/// What came as messages.
pub(crate) fn payloads(events: &[Event]) -> Vec<Bytes> {
    let payload = |event: &Event| match event {
        Event::Delivery(delivery) => Some(delivery.payload.clone()),
        _ => None,
    };
    events.iter().filter_map(payload).collect()
}
