//! One AMQP connection: the socket, the protocol machine, and what is done for its links.
//!
//! All in one task: reads what is there, lets the machine make events of it, does what they ask, writes. What takes time
//! (appends, reads, tokens) runs beside it as futures, whose ends are events too.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf as _, Bytes, BytesMut};
use futures_util::future::BoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use pollux_amqp::endpoint::{Attached, DeliveryId, Endpoint, Event, LinkId, OpenOptions, SessionId};
use pollux_amqp::performative::{Error as AmqpError, condition};
use pollux_amqp::sasl::{self, Code};
use pollux_amqp::{Annotations, Fields, Message, Symbol, Value};
use pollux_model::{Error, Result, Timestamp};
use pollux_services::HubAction;
use pollux_services::events::{Claim, Reader, Record, Seated};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::cbs::{At, Claims, Put};
use super::consumer::Consumer;
use super::hub::{HubDone, HubLink, Hubs, Plain};
use super::outbox::Outbox;
use super::publisher::{Publisher, Sink};
use super::registration::{Place, is_ours};
use super::request::{Answers, Node, Request};
use super::tpm::Exchange;
use super::{Amqp, LINKLESS, STRANGER};
use crate::accept::Admission;
use crate::peer::Peer;
use crate::registering::Registering;

/// Bytes read at once.
const READ: usize = 64 * 1024;
/// Bytes of messages that wait to be appended, all links together. At the bound nothing more is read.
const WAITING: usize = 4 * 1024 * 1024;
/// Requests under way, all links together. At the bound nothing more is read.
const ASKED: usize = 64;
/// How long, and how many bytes, the peer is still listened to after the last frame was written.
const LINGER: Duration = Duration::from_secs(1);
const LINGER_BYTES: usize = 1024 * 1024;

/// A connection.
pub(super) struct Connection {
    pub(super) edge: Arc<Amqp>,
    pub(super) endpoint: Endpoint,
    /// The host the client wants, as it says.
    pub(super) host: String,
    pub(super) claims: Claims,
    /// Who is at the other end, as the network knows it.
    pub(super) peer: Peer,
    /// Who it is, once a registering device has proved that.
    pub(super) device: Option<Arc<Registering>>,
    /// Why the certificate that the connection began with makes nobody a device.
    pub(super) refused: Option<Arc<Error>>,
    /// What a device with a TPM and we have said so far.
    pub(super) exchange: Option<Exchange>,
    /// Hubs, and their devices that are connected here.
    pub(super) hubs: Hubs,
    pub(super) links: HashMap<LinkId, Link>,
    /// Which session each is part of.
    pub(super) sessions: HashMap<LinkId, SessionId>,
    pub(super) work: FuturesUnordered<BoxFuture<'static, Done>>,
    admission: Admission,
    /// Since when there is no token that holds.
    stranger: Option<Instant>,
    /// Since when there is no link but those of `$cbs`.
    linkless: Option<Instant>,
    /// Bytes of messages that wait to be appended.
    pub(super) waiting: usize,
    /// Requests that are not answered.
    pub(super) asked: usize,
}

/// What a link is for.
pub(super) enum Link {
    /// The peer's attach is being looked at.
    Attaching,
    /// The peer sends events.
    Publisher(Publisher),
    /// The peer receives events.
    Consumer(Box<Consumer>),
    /// The peer sends requests.
    Requests(Node),
    /// The peer receives the answers.
    Answers(Answers),
    /// A registering device sends requests; see [`crate::registering::is_before_reprovisioning`].
    Device { device: Arc<Registering>, stays: bool },
    /// Somebody does who is no such device.
    Refused(Arc<Error>),
    /// A link of a hub's device.
    Hub(HubLink),
}

impl Link {
    /// What waits for the peer's credit, where answers do.
    pub(super) const fn outbox(&mut self) -> Option<&mut Outbox> {
        match self {
            Self::Answers(answers) => Some(&mut answers.waiting),
            Self::Hub(link) => link.outbox(),
            _ => None,
        }
    }

    /// When to look for what may be there for it then.
    const fn next(&self) -> Option<Timestamp> {
        match self {
            Self::Hub(link) => link.next(),
            _ => None,
        }
    }
}

/// Work that has ended.
pub(super) enum Done {
    /// Messages were appended, or not.
    Published { link: LinkId, bytes: usize, outcomes: Vec<(DeliveryId, bool, Result<()>)> },
    /// A consumer has its place, or not.
    Seated { link: LinkId, seated: Result<(Seated, Reader)> },
    /// Events were read.
    Read { link: LinkId, reader: Reader, read: Result<Vec<Record>>, runtime: Annotations },
    /// A consumer must go.
    Displaced { link: LinkId },
    /// The peer is to look elsewhere.
    Redirected { link: LinkId, error: Box<AmqpError> },
    /// Work of a link that is gone.
    Nothing,
    /// SASL: a device's credential was looked at.
    Attested(Result<Arc<Registering>>),
    /// SASL: there is a key for a device's TPM to open, or none.
    Challenged { scope: String, id: String, challenged: Result<Vec<u8>> },
    /// A link: a device's certificate was looked at.
    Admitted { attached: Box<Attached>, attested: Result<Arc<Registering>> },
    /// A device's request was answered, or refused.
    Registered { link: LinkId, delivery: Option<DeliveryId>, answer: Result<Box<Message>> },
    /// A token was looked at.
    Claimed { request: Box<Request>, put: Result<Box<Put>> },
    /// A request was answered.
    Answered { node: Node, reply_to: Option<String>, message: Box<Message> },
    /// Something for a hub's links.
    Hub(HubDone),
}

/// What woke the task.
enum Woken {
    Read(usize),
    Wrote,
    Done(Done),
    Time,
    Changed,
    /// Services want something of the devices here.
    Told,
    Shutdown,
}

impl Connection {
    pub(super) fn new(edge: Arc<Amqp>, peer: Peer, admission: Admission) -> Self {
        let started = Instant::now();
        let mechanisms = vec![sasl::MSSBCBS, sasl::PLAIN, sasl::ANONYMOUS, sasl::EXTERNAL, sasl::TPM];
        let endpoint = Endpoint::server(Arc::clone(&edge.limits), mechanisms, false, started.into_std());
        Self {
            edge,
            endpoint,
            // Until the peer names one: `hostname` may be absent in SASL (azure-uamqp and amqp10 leave it out).
            host: peer.server_name.as_deref().unwrap_or_default().to_owned(),
            claims: Claims::default(),
            peer,
            device: None,
            refused: None,
            exchange: None,
            hubs: Hubs::default(),
            links: HashMap::new(),
            sessions: HashMap::new(),
            work: FuturesUnordered::new(),
            admission,
            stranger: Some(started),
            linkless: Some(started),
            waiting: 0,
            asked: 0,
        }
    }

    /// Serves to the end.
    pub(super) async fn run<S>(mut self, stream: S, shutdown: &CancellationToken) -> io::Result<()>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send,
    {
        let (mut reader, mut writer) = tokio::io::split(stream);
        let (mut input, mut output, mut unflushed) = (BytesMut::new(), Bytes::new(), false);
        let mut changes = self.edge.services.context.table.subscribe();
        let mailbox = Arc::clone(&self.hubs.mailbox);
        let mut ending = false;
        loop {
            self.advance(&mut input);
            self.look_for_links();
            if output.is_empty() {
                output = self.endpoint.take_output().unwrap_or_default();
            }
            if output.is_empty() && !unflushed && self.endpoint.is_closed() {
                writer.shutdown().await?;
                linger(&mut reader).await;
                return Ok(());
            }
            let deadline = self.next_deadline();
            let reads = self.endpoint.wants_read() && self.waiting < WAITING && self.asked < ASKED;
            let woken = tokio::select! {
                read = read_some(&mut reader, &mut input), if reads => Woken::Read(read?),
                wrote = write_some(&mut writer, &mut output), if !output.is_empty() || unflushed => {
                    unflushed = wrote?;
                    Woken::Wrote
                }
                Some(done) = self.work.next(), if !self.work.is_empty() => Woken::Done(done),
                () = tokio::time::sleep_until(deadline) => Woken::Time,
                _ = changes.changed() => Woken::Changed,
                () = mailbox.filled() => Woken::Told,
                () = shutdown.cancelled(), if !ending => Woken::Shutdown,
            };
            let now = Instant::now();
            match woken {
                // The peer is gone without a goodbye.
                Woken::Read(0) => return Ok(()),
                Woken::Read(_) | Woken::Wrote => {}
                Woken::Done(done) => self.done(done),
                Woken::Time => self.tick(now),
                Woken::Changed => self.review(),
                Woken::Told => self.told(),
                Woken::Shutdown => {
                    ending = true;
                    let text = "the server shuts down: connect again";
                    let error = AmqpError::new(condition::CONNECTION_FORCED, text);
                    self.endpoint.close(Some(error), now.into_std());
                }
            }
        }
    }

    /// Lets the machine make events of what was read, and does what they ask.
    fn advance(&mut self, input: &mut BytesMut) {
        loop {
            self.endpoint.receive(input, Instant::now().into_std());
            let mut any = false;
            while let Some(event) = self.endpoint.next_event() {
                any = true;
                self.event(event);
            }
            if !any {
                break;
            }
        }
        self.start_appends();
        self.feed();
        self.send_answers();
        self.pump_hubs();
    }

    fn event(&mut self, event: Event) {
        match event {
            Event::Sasl(init) => self.authenticate(&init),
            Event::SaslResponse(response) => self.tpm_answered(&response),
            Event::Opened(open) => {
                if let Some(host) = open.hostname {
                    self.host = host;
                }
                self.endpoint.open(said_of_us(&self.edge.services.context.random.uuid().to_string()));
                self.recognize();
            }
            Event::AttachRequested(attached) => self.attach(*attached),
            Event::Credit { link, drain, .. } => self.credited(link, drain),
            Event::Delivery(delivery) => self.delivered(delivery),
            Event::Detached { link, .. } => self.leave(link),
            Event::SessionEnded { session, .. } => {
                let of_it = self.sessions.iter().filter(|(_, of)| **of == session);
                let gone: Vec<_> = of_it.map(|(link, _)| *link).collect();
                for link in gone {
                    self.leave(link);
                }
            }
            Event::Closed { .. } => {
                self.links.clear();
                self.hubs.clear();
                self.sessions.clear();
                self.waiting = 0;
            }
            // Events are sent settled: this is of a hub's messages.
            Event::Settled { link, first, last, state, waits } => {
                self.hub_settled(link, (first, last), state.as_ref(), waits);
            }
            // New windows are looked at in `feed` and `pump_hubs`.
            Event::WindowOpened(_) | Event::SessionBegun(_) => {}
            // What only clients hear.
            Event::Attached(_) | Event::Drained(_) => {}
        }
    }

    /// SASL: PLAIN is a policy and its key, a hub's policy and a token, or a registering device and its token; the other
    /// mechanisms say nothing: tokens follow on `$cbs`, and a certificate is looked at when there is a link to be had for it.
    fn authenticate(&mut self, init: &sasl::Init) {
        if init.mechanism == sasl::TPM {
            // Its host name is where the device registers.
            self.tpm_begun(init.response.as_deref().unwrap_or_default());
            return;
        }
        if let Some(host) = &init.hostname {
            self.host.clone_from(host);
        }
        if init.mechanism != sasl::PLAIN {
            self.endpoint.sasl_outcome(Code::Ok);
            return;
        }
        let shown = sasl::Plain::parse(init.response.as_deref().unwrap_or_default());
        if let Some(plain) = shown.as_ref().and_then(Plain::of) {
            let (services, host) = (Arc::clone(&self.edge.services), self.host.clone());
            self.work.push(Box::pin(async move {
                let put = super::hub::shown(services, host, plain).await;
                Done::Hub(HubDone::Shown(put.map(Box::new)))
            }));
            return;
        }
        if let Some((shown, place)) = shown.and_then(|shown| Some((shown, Place::of(shown.user)?))) {
            self.attest_by_token(place, shown.password);
            return;
        }
        let events = &self.edge.services.events;
        let claims = shown.map(|shown| events.claims_by_key(&self.host, shown.user, shown.password));
        let claims = claims.unwrap_or_default();
        let code = if claims.is_empty() { Code::Auth } else { Code::Ok };
        for (audience, claim) in claims {
            // A connection that begins has room for them.
            let _ = self.claims.put(&audience, claim);
        }
        self.known();
        self.endpoint.sasl_outcome(code);
    }

    /// A hub's client has shown a token in place of a password.
    pub(super) fn hub_shown(&mut self, put: Result<Box<Put>>) {
        let code = match put.and_then(|put| self.put(*put)) {
            Ok(_) => Code::Ok,
            Err(error) => {
                tracing::info!(peer = %self.peer, "a hub's client is refused: {error}");
                if is_ours(&error) { Code::SystemTemporary } else { Code::Auth }
            }
        };
        self.known();
        self.endpoint.sasl_outcome(code);
    }

    /// Puts what a token is.
    fn put(&mut self, put: Put) -> Result<At> {
        let Put { audience, events, hub } = put;
        let at = if hub.is_some() { At::Hub } else { At::EventHubs };
        if let Some(claim) = events {
            self.claims.put(&audience, claim)?;
        }
        if let Some(credential) = hub {
            self.hubs.credentials.put(&audience, credential)?;
        }
        Ok(at)
    }

    /// Whether the peer has proved nothing.
    pub(super) fn is_stranger(&self) -> bool {
        self.claims.is_empty() && self.device.is_none() && self.hubs.is_stranger()
    }

    /// Nothing may be left of what the peer has proved: it has a while to prove something else.
    pub(super) fn may_be_stranger(&mut self) {
        if self.is_stranger() && !self.hubs.may_be_silent() {
            self.stranger.get_or_insert_with(Instant::now);
        }
    }

    /// Whether the peer has proved who it is may have changed.
    pub(super) fn known(&mut self) {
        if !self.is_stranger() || self.hubs.may_be_silent() {
            self.stranger = None;
            self.admission.settled();
        }
    }

    fn done(&mut self, done: Done) {
        match done {
            Done::Published { link, bytes, outcomes } => self.published(link, bytes, outcomes),
            Done::Seated { link, seated } => self.seated(link, seated),
            Done::Read { link, reader, read, runtime } => self.read(link, reader, read, runtime),
            Done::Displaced { link } => self.displaced(link),
            Done::Claimed { request, put } => {
                self.asked -= 1;
                let put = put.and_then(|put| self.put(*put));
                self.known();
                self.answer(Node::Cbs, request.reply_to(), &super::cbs::answer(&request, put));
            }
            Done::Answered { node, reply_to, message } => {
                self.asked -= 1;
                self.answer(node, reply_to.as_deref(), &message);
            }
            Done::Redirected { link, error } => {
                // Unless the peer has left meanwhile.
                if self.links.contains_key(&link) {
                    self.endpoint.detach(link, Some(*error));
                    self.leave(link);
                }
            }
            Done::Nothing => {}
            Done::Attested(attested) => self.attested(attested),
            Done::Challenged { scope, id, challenged } => self.tpm_challenged(scope, id, challenged),
            Done::Admitted { attached, attested } => self.admitted(&attached, attested),
            Done::Registered { link, delivery, answer } => self.registered(link, delivery, answer),
            Done::Hub(done) => self.hub_done(done),
        }
    }

    fn next_deadline(&self) -> Instant {
        let context = &self.edge.services.context;
        let now = context.clock.now();
        let device = self.device.as_ref().and_then(|device| device.caller.expires);
        let claims = self.claims.all().filter_map(Claim::expires);
        let looks = self.links.values().filter_map(Link::next);
        let expiry = claims.chain(device).chain(self.hubs.expires()).chain(looks).min();
        let expiry = expiry.map(|at| Instant::now() + at.since(now));
        let stranger = self.stranger.map(|since| since + STRANGER);
        let linkless = self.linkless.map(|since| since + LINKLESS);
        let all = [self.endpoint.next_deadline().map(Instant::from_std), expiry, stranger, linkless];
        all.into_iter().flatten().min().unwrap_or_else(|| Instant::now() + STRANGER)
    }

    fn tick(&mut self, now: Instant) {
        self.endpoint.tick(now.into_std());
        if self.stranger.is_some_and(|since| now >= since + STRANGER) {
            self.stranger = None;
            let text = format!("no token was put within {STRANGER:?}");
            let error = AmqpError::new(condition::UNAUTHORIZED_ACCESS, text);
            self.endpoint.close(Some(error), now.into_std());
        }
        if self.linkless.is_some_and(|since| now >= since + LINKLESS) {
            self.linkless = None;
            let text = format!(
                "The connection was closed because it did not have any active links in the past {} milliseconds.",
                LINKLESS.as_millis()
            );
            let error = AmqpError::new(condition::CONNECTION_FORCED, text);
            self.endpoint.close(Some(error), now.into_std());
        }
        let at = self.edge.services.context.clock.now();
        if self.device.as_ref().is_some_and(|device| device.caller.expires.is_some_and(|end| end <= at)) {
            self.device = None;
            let error = AmqpError::new(condition::UNAUTHORIZED_ACCESS, "the device's token has expired");
            self.endpoint.close(Some(error), now.into_std());
        }
        self.review();
    }

    /// Notes since when there is nothing that the connection is kept for.
    fn look_for_links(&mut self) {
        let serves = |link: &Link| match link {
            Link::Publisher(_) | Link::Consumer(_) | Link::Device { .. } | Link::Hub(_) => true,
            Link::Requests(node) | Link::Answers(Answers { node, .. }) => *node != Node::Cbs,
            Link::Attaching | Link::Refused(_) => false,
        };
        // Devices open a connection and may say nothing for long.
        if self.hubs.may_be_silent() || self.links.values().any(serves) {
            self.linkless = None;
        } else {
            self.linkless.get_or_insert_with(Instant::now);
        }
    }

    /// Detaches the links whose claim or event hub is gone.
    fn review(&mut self) {
        let services = Arc::clone(&self.edge.services);
        self.claims.prune(&services);
        self.hubs.credentials.prune(&services);
        self.renew_seats();
        self.may_be_stranger();
        let all: Vec<LinkId> = self.links.keys().copied().collect();
        for id in all {
            let stands = match self.links.get_mut(&id) {
                Some(Link::Publisher(Publisher { sink: Sink::EventHub(entity), .. })) => {
                    entity.review(&services, self.claims.all())
                }
                Some(Link::Consumer(consumer)) => consumer.entity.review(&services, self.claims.all()),
                Some(Link::Publisher(Publisher { sink: Sink::Devices, .. })) => {
                    self.hubs.service(&services, HubAction::MessagesSend).map(drop)
                }
                Some(Link::Hub(HubLink::Feedback(link))) => {
                    self.hubs.service(&services, link.action()).map(drop)
                }
                _ => Ok(()),
            };
            if let Err(error) = stands {
                self.detach(id, &error);
            }
        }
    }

    /// Detaches a link with the reason.
    pub(super) fn detach(&mut self, link: LinkId, error: &Error) {
        let error = super::condition::amqp_error(error);
        match self.links.get(&link) {
            Some(Link::Consumer(consumer)) if consumer.is_pending() => {
                self.endpoint.refuse_attach(link, error)
            }
            _ => self.endpoint.detach(link, Some(error)),
        };
        self.leave(link);
    }

    /// Forgets a link; what is under way for it ends by itself.
    pub(super) fn leave(&mut self, link: LinkId) {
        self.sessions.remove(&link);
        let Some(gone) = self.links.remove(&link) else { return };
        if let Link::Publisher(publisher) = &gone {
            self.waiting = self.waiting.saturating_sub(publisher.waiting_bytes());
        }
        self.left_hub(link, &gone);
    }
}

async fn read_some(reader: &mut (impl AsyncRead + Unpin), input: &mut BytesMut) -> io::Result<usize> {
    // Not before something comes: an idle connection has no buffer.
    let mut first = [0; 1];
    if input.is_empty() && input.capacity() < READ {
        let read = reader.read(&mut first).await?;
        input.reserve(READ);
        input.extend_from_slice(&first[..read]);
        return Ok(read);
    }
    input.reserve(READ / 4);
    reader.read_buf(input).await
}

/// Reads and forgets what the peer is still sending (AMQP 1.0 section 2.4.3 DISCARDING). A socket that is closed with
/// bytes unread resets the connection, and a reset overtakes the close frame that says what was wrong.
async fn linger(reader: &mut (impl AsyncRead + Unpin)) {
    let mut bytes = BytesMut::with_capacity(READ);
    let discard = async {
        let mut left = LINGER_BYTES;
        while let Ok(read @ 1..) = reader.read_buf(&mut bytes).await {
            left = left.saturating_sub(read);
            if left == 0 {
                break;
            }
            bytes.clear();
        }
    };
    tokio::time::timeout(LINGER, discard).await.ok();
}

/// Writes some, or flushes what was written; whether there is something to flush after it.
async fn write_some(writer: &mut (impl AsyncWrite + Unpin), output: &mut Bytes) -> io::Result<bool> {
    if output.is_empty() {
        writer.flush().await?;
        return Ok(false);
    }
    let wrote = writer.write(output).await?;
    if wrote == 0 {
        return Err(io::ErrorKind::WriteZero.into());
    }
    output.advance(wrote);
    Ok(true)
}

fn said_of_us(container: &str) -> OpenOptions {
    let mut properties = Fields::default();
    properties.push(Symbol::from_static("product"), "Pollux");
    properties.push(Symbol::from_static("version"), Value::from(env!("CARGO_PKG_VERSION")));
    OpenOptions { container_id: container.to_owned(), properties, ..OpenOptions::default() }
}
