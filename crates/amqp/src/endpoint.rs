//! [`Endpoint`]: one side of an AMQP 1.0 connection as a state machine: bytes and now go in, bytes and events come out.
//!
//! No sockets, no clock. Server and client are the same machine but for who speaks first. Which addresses mean what, who may
//! attach, and where messages go is the driver's. Source of every rule: OASIS AMQP 1.0 part 2 (transport), part 5 (security).
//!
//! ```text
//!            bytes, now                   events
//!  socket ───────────► receive ─► Endpoint ─► next_event ──► driver
//!         ◄─────────── take_output ◄──┘  ◄── open, accept_attach, grant, send, settle, detach, close
//! ```
//!
//! How a driver turns the crank: read while [`Endpoint::wants_read`]; give what was read to [`Endpoint::receive`]; drain
//! [`Endpoint::next_event`]; write [`Endpoint::take_output`]; sleep until [`Endpoint::next_deadline`] at most and then call
//! [`Endpoint::tick`]; stop when [`Endpoint::is_closed`] and the output is written. A command or a drained event can make
//! room: call `receive` again with the bytes that were left over.

mod attach;
mod commands;
mod dispatch;
mod event;
mod incoming;
mod io;
mod limits;
mod link;
mod negotiation;
mod outgoing;
mod serial;
mod session;

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};

pub use event::{
    Attached, BeginError, Delivery, DeliveryId, Event, LinkId, LinkOptions, OpenOptions, Outgoing, Party,
    SendError, SessionId,
};
pub use limits::Limits;
pub use serial::Serial;

use crate::frame::ProtocolHeader;
use crate::performative::{Error, condition};
use crate::sasl::{self, Credentials};
use crate::value::Symbol;
use io::{Fault, Io};
use negotiation::{Phase, Sasl};
use session::Session;

/// One side of an AMQP connection.
#[derive(Debug)]
pub struct Endpoint {
    phase: Phase,
    sasl: Sasl,
    /// Given before it could be sent.
    open: Option<OpenOptions>,
    open_sent: bool,
    /// Highest channel the peer takes.
    channel_max: u16,
    /// By our channel.
    sessions: Vec<Option<Box<Session>>>,
    /// The peer's channels to ours.
    channels: Vec<Option<u16>>,
    serial: u32,
    started: Instant,
    last_received: Instant,
    /// How often to look whether the peer needs a sign of life, and when next.
    heartbeat: Option<(Duration, Instant)>,
    io: Io,
}

impl Endpoint {
    /// The server's side of a connection that starts now. `mechanisms` are offered in this order; with `sasl_required`
    /// false, a client may leave SASL out.
    #[must_use]
    pub fn server(limits: Arc<Limits>, mechanisms: Vec<Symbol>, sasl_required: bool, now: Instant) -> Self {
        let sasl = Sasl::Server { server: sasl::Server::new(mechanisms), required: sasl_required };
        Self::new(limits, sasl, now)
    }

    /// The client's side of a connection that starts now. Without `credentials` SASL is left out. `hostname` is the host to
    /// authenticate with. Call [`Endpoint::open`] right away: it is sent when its turn comes.
    #[must_use]
    pub fn client(
        limits: Arc<Limits>,
        credentials: Option<Credentials>,
        hostname: Option<String>,
        now: Instant,
    ) -> Self {
        let (sasl, header) = match credentials {
            Some(credentials) => {
                (Sasl::Client(sasl::Client::new(credentials, hostname)), ProtocolHeader::Sasl)
            }
            None => (Sasl::None, ProtocolHeader::Amqp),
        };
        let mut endpoint = Self::new(limits, sasl, now);
        endpoint.io.write_bytes(&header.bytes());
        endpoint
    }

    fn new(limits: Arc<Limits>, sasl: Sasl, now: Instant) -> Self {
        Self {
            phase: Phase::Header,
            sasl,
            open: None,
            open_sent: false,
            channel_max: 0,
            sessions: Vec::new(),
            channels: Vec::new(),
            serial: 0,
            started: now,
            last_received: now,
            heartbeat: None,
            io: Io::new(limits),
        }
    }

    /// Whether [`Endpoint::receive`] would take more. False means: stop reading from the socket until events were drained,
    /// requests answered or output taken, then give `receive` the bytes left over.
    #[must_use]
    pub fn wants_read(&self) -> bool {
        match self.phase {
            Phase::Header | Phase::AmqpHeader | Phase::Open | Phase::Opened => !self.io.is_full(),
            Phase::Sasl => !self.sasl.is_deciding() && !self.io.is_full(),
            Phase::Closing { .. } => true,
            Phase::Deciding | Phase::Closed => false,
        }
    }

    /// Takes whole frames off the front of `bytes`, as many as are there and as [`Endpoint::wants_read`] allows. What stays
    /// is less than one frame, plus what came behind it in the same read.
    pub fn receive(&mut self, bytes: &mut BytesMut, now: Instant) {
        while self.wants_read() {
            match self.receive_one(bytes, now) {
                Ok(true) => self.last_received = now,
                Ok(false) => break,
                Err(error) => self.fail(error, now),
            }
            self.check_overflow(now);
        }
        if std::mem::take(&mut self.io.replenish) && matches!(self.phase, Phase::Opened) {
            for session in self.sessions.iter_mut().flatten() {
                session.replenish(&mut self.io);
            }
        }
    }

    /// The next thing that happened.
    pub fn next_event(&mut self) -> Option<Event> {
        self.io.next_event()
    }

    /// Bytes that [`Endpoint::take_output`] would give, but for dispositions that are still gathered: those of
    /// [`Endpoint::settle`] are written then.
    #[must_use]
    pub fn output_len(&self) -> usize {
        self.io.output.len()
    }

    /// Whether [`Endpoint::take_output`] has something to give.
    #[must_use]
    pub fn has_output(&self) -> bool {
        !self.io.output.is_empty() || self.io.settling
    }

    /// Bytes to write to the socket: everything since the last call, in one piece. `None` when there is nothing.
    pub fn take_output(&mut self) -> Option<Bytes> {
        if std::mem::take(&mut self.io.settling) && matches!(self.phase, Phase::Opened) {
            for session in self.sessions.iter_mut().flatten() {
                session.flush_settling(&mut self.io);
            }
        }
        self.check_overflow(self.last_received);
        if self.io.output.is_empty() {
            return None;
        }
        // The buffer goes with the bytes: an idle connection keeps none.
        Some(std::mem::take(&mut self.io.output).freeze())
    }

    /// Whether nothing will come or go any more. What [`Endpoint::next_event`] and [`Endpoint::take_output`] still hold is
    /// valid; afterwards close the socket.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        matches!(self.phase, Phase::Closed)
    }

    /// When [`Endpoint::tick`] wants to be called. It moves with every frame, so a driver may also look at it only when the
    /// last one it saw has passed.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Instant> {
        match self.phase {
            Phase::Header | Phase::AmqpHeader | Phase::Open => {
                Some(self.started + self.io.limits.open_timeout)
            }
            Phase::Sasl if self.sasl.is_deciding() => None,
            Phase::Sasl => Some(self.started + self.io.limits.open_timeout),
            Phase::Opened => {
                let silence = self.io.limits.idle_timeout.map(|timeout| self.last_received + timeout);
                let heartbeat = self.heartbeat.map(|(_, next)| next);
                silence.into_iter().chain(heartbeat).min()
            }
            Phase::Closing { until } => Some(until),
            Phase::Deciding | Phase::Closed => None,
        }
    }

    /// Does what time asks for: a sign of life when the peer's idle-time-out wants one, the end of a connection whose peer
    /// has been silent for too long. Returns [`Endpoint::next_deadline`].
    pub fn tick(&mut self, now: Instant) -> Option<Instant> {
        match self.phase {
            Phase::Header | Phase::AmqpHeader | Phase::Open | Phase::Sasl => {
                if self.next_deadline().is_some_and(|deadline| deadline <= now) {
                    let text = format!("no open within {:?}", self.io.limits.open_timeout);
                    self.fail(Error::new(condition::RESOURCE_LIMIT_EXCEEDED, text), now);
                    self.phase = Phase::Closed;
                }
            }
            Phase::Opened => {
                self.send_heartbeat(now);
                self.check_silence(now);
            }
            Phase::Closing { until } if until <= now => self.phase = Phase::Closed,
            Phase::Closing { .. } | Phase::Deciding | Phase::Closed => {}
        }
        self.next_deadline()
    }

    /// An empty frame, unless something else was written since the last look (part 2, section 2.4.5). With a look every
    /// quarter of the peer's time-out, it is never silent for more than half of it.
    fn send_heartbeat(&mut self, now: Instant) {
        let Some((interval, next)) = &mut self.heartbeat else { return };
        if now < *next {
            return;
        }
        *next = now + *interval;
        let wrote = std::mem::take(&mut self.io.wrote);
        if !wrote && self.io.output.is_empty() {
            self.io.write_heartbeat();
        }
    }

    fn check_silence(&mut self, now: Instant) {
        let Some(timeout) = self.io.limits.idle_timeout else { return };
        if now < self.last_received + timeout {
            return;
        }
        if self.io.is_full() {
            // The peer may well have spoken; it is this side that does not listen. Its time starts anew.
            self.last_received = now;
            return;
        }
        let text = format!("no frame within {timeout:?}: send empty ones in time");
        self.fail(Error::new(condition::RESOURCE_LIMIT_EXCEEDED, text), now);
    }

    /// Ends the connection if something could not be said within the peer's max-frame-size.
    fn check_overflow(&mut self, now: Instant) {
        if std::mem::take(&mut self.io.overflow) {
            let text = "a performative does not fit into your max-frame-size: allow larger frames";
            self.fail(Error::new(condition::FRAME_SIZE_TOO_SMALL, text), now);
        }
    }

    fn next_serial(&mut self) -> u32 {
        self.serial = self.serial.wrapping_add(1);
        self.serial
    }
}
