//! From the first byte to open, and from close to the last: protocol headers, SASL, the phases of a connection
//! (part 2, sections 2.2 and 2.4; part 5, section 5.3).

use std::time::Instant;

use bytes::{Bytes, BytesMut};

use super::event::{Event, OpenOptions, Party};
use super::{Endpoint, Fault};
use crate::frame::{Frame, FrameError, FrameType, Frames, MIN_MAX_FRAME_SIZE, ProtocolHeader};
use crate::performative::{Close, Error, Open, Performative, condition};
use crate::sasl::{self, Code, SaslFrame};

/// What the peer has to say next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// The first protocol header.
    Header,
    /// SASL frames.
    Sasl,
    /// The protocol header after SASL.
    AmqpHeader,
    /// Its open.
    Open,
    /// Nothing: it has opened, and the driver has not.
    Deciding,
    /// Anything.
    Opened,
    /// Its close; all else is ignored.
    Closing { until: Instant },
    /// Nothing any more.
    Closed,
}

/// This side's part in SASL.
#[derive(Debug)]
pub(super) enum Sasl {
    None,
    Server { server: sasl::Server, required: bool },
    Client(sasl::Client),
}

impl Sasl {
    pub(super) fn is_deciding(&self) -> bool {
        matches!(self, Self::Server { server, .. } if server.is_deciding())
    }
}

impl Endpoint {
    /// Takes one header or frame; false when it is not all there.
    pub(super) fn receive_one(&mut self, bytes: &mut BytesMut, now: Instant) -> Result<bool, Error> {
        match self.phase {
            Phase::Header | Phase::AmqpHeader => match ProtocolHeader::take(bytes) {
                Ok(None) => Ok(false),
                Ok(Some(header)) => self.on_header(header).map(|()| true),
                Err(error) => {
                    // The answer to a header we do not know is one we do (section 2.2).
                    if self.phase == Phase::Header && !matches!(self.sasl, Sasl::Client(_)) {
                        self.io.write_bytes(&self.first_header().bytes());
                    }
                    Err(framing(&error))
                }
            },
            Phase::Sasl => {
                match Frames::new(self.io.limits.max_sasl_frame_size).take(bytes).map_err(|e| framing(&e))? {
                    None => Ok(false),
                    Some(frame) => self.on_sasl_frame(frame).map(|()| true),
                }
            }
            _ => match Frames::new(self.io.limits.max_frame_size).take(bytes).map_err(|e| framing(&e))? {
                None => Ok(false),
                Some(frame) => self.on_frame(frame, now).map(|()| true),
            },
        }
    }

    fn first_header(&self) -> ProtocolHeader {
        match self.sasl {
            Sasl::Server { .. } | Sasl::Client(_) => ProtocolHeader::Sasl,
            Sasl::None => ProtocolHeader::Amqp,
        }
    }

    fn on_header(&mut self, header: ProtocolHeader) -> Result<(), Error> {
        match (&self.sasl, header, self.phase) {
            (Sasl::Server { server, .. }, ProtocolHeader::Sasl, Phase::Header) => {
                let offer = server.offer();
                self.io.write_bytes(&ProtocolHeader::Sasl.bytes());
                self.io.write_sasl(&offer);
                self.phase = Phase::Sasl;
            }
            (Sasl::Server { required: true, .. }, ProtocolHeader::Amqp, Phase::Header) => {
                self.io.write_bytes(&ProtocolHeader::Sasl.bytes());
                let text = "authentication is required: begin with the SASL header";
                return Err(Error::new(condition::UNAUTHORIZED_ACCESS, text));
            }
            (Sasl::Server { .. }, ProtocolHeader::Amqp, _) => {
                self.io.write_bytes(&ProtocolHeader::Amqp.bytes());
                self.phase = Phase::Open;
                self.send_open();
            }
            (Sasl::Client(_), ProtocolHeader::Sasl, Phase::Header) => self.phase = Phase::Sasl,
            (Sasl::Client(_), ProtocolHeader::Amqp, Phase::AmqpHeader)
            | (Sasl::None, ProtocolHeader::Amqp, _) => {
                self.phase = Phase::Open;
                self.send_open();
            }
            _ => {
                let text = format!("the peer's protocol header ({header:?}) is not the one for this moment");
                return Err(Error::new(condition::CONNECTION_FRAMING_ERROR, text));
            }
        }
        Ok(())
    }

    fn on_sasl_frame(&mut self, frame: Frame) -> Result<(), Error> {
        if frame.kind != FrameType::Sasl {
            return Err(Error::new(condition::NOT_ALLOWED, "an AMQP frame before SASL has ended"));
        }
        let said = SaslFrame::decode(frame.body)
            .map_err(|error| Error::new(condition::DECODE_ERROR, error.to_string()))?;
        match &mut self.sasl {
            Sasl::Server { server, .. } => match server.receive(said) {
                Ok(sasl::Step::Init(init)) => self.io.emit(Event::Sasl(init)),
                Ok(sasl::Step::Response(response)) => self.io.emit(Event::SaslResponse(response)),
                Err(text) => {
                    self.io.write_sasl(&SaslFrame::Outcome(Code::Auth, None));
                    return Err(Error::new(condition::UNAUTHORIZED_ACCESS, text));
                }
            },
            Sasl::Client(client) => match client.receive(said) {
                Ok(sasl::Next::Send(frame)) => self.io.write_sasl(&frame),
                Ok(sasl::Next::Done) => {
                    self.io.write_bytes(&ProtocolHeader::Amqp.bytes());
                    self.phase = Phase::AmqpHeader;
                }
                Err(text) => return Err(Error::new(condition::UNAUTHORIZED_ACCESS, text)),
            },
            Sasl::None => return Err(Error::new(condition::NOT_ALLOWED, "a SASL frame without SASL")),
        }
        Ok(())
    }

    /// Ends SASL with a verdict on [`Event::Sasl`] or [`Event::SaslResponse`]. Anything but [`Code::Ok`] closes the
    /// connection. False when no verdict is due.
    pub fn sasl_outcome(&mut self, code: Code) -> bool {
        let Sasl::Server { server, .. } = &mut self.sasl else { return false };
        let Some(outcome) = server.outcome(code).filter(|_| self.phase == Phase::Sasl) else { return false };
        self.io.write_sasl(&outcome);
        self.phase = if code == Code::Ok { Phase::AmqpHeader } else { Phase::Closed };
        true
    }

    /// Asks for more before the verdict; [`Event::SaslResponse`] comes. False when no verdict is due.
    pub fn sasl_challenge(&mut self, challenge: impl Into<Bytes>) -> bool {
        let Sasl::Server { server, .. } = &mut self.sasl else { return false };
        let Some(frame) = server.challenge(challenge.into()) else { return false };
        self.io.write_sasl(&frame);
        true
    }

    /// Opens the connection: a server in answer to [`Event::Opened`], a client at once. A second call does nothing.
    pub fn open(&mut self, options: OpenOptions) {
        if self.open_sent || self.open.is_some() {
            return;
        }
        self.open = Some(options);
        if matches!(self.phase, Phase::Open | Phase::Deciding) {
            self.send_open();
        }
    }

    fn send_open(&mut self) {
        if let Some(options) = self.open.take() {
            self.write_open(options);
            if self.phase == Phase::Deciding {
                self.phase = Phase::Opened;
            }
        }
    }

    fn write_open(&mut self, options: OpenOptions) {
        let limits = &self.io.limits;
        // Half of what we allow: the peer is to be early (section 2.4.5).
        let half = limits.idle_timeout.map(|timeout| timeout.as_millis() / 2);
        let open = Open {
            container_id: options.container_id,
            hostname: options.hostname,
            max_frame_size: limits.max_frame_size,
            channel_max: limits.max_sessions.max(1) - 1,
            idle_time_out: half.map(|millis| u32::try_from(millis).unwrap_or(u32::MAX)),
            offered_capabilities: options.offered_capabilities,
            desired_capabilities: options.desired_capabilities,
            properties: options.properties,
            ..Open::default()
        };
        self.io.write(0, &open);
        self.open_sent = true;
    }

    /// The peer's open.
    pub(super) fn on_open(&mut self, open: Box<Open>, now: Instant) -> Result<(), Error> {
        if open.max_frame_size < MIN_MAX_FRAME_SIZE {
            let text = format!(
                "open.max-frame-size is {}: the least allowed is {MIN_MAX_FRAME_SIZE}",
                open.max_frame_size
            );
            return Err(Error::new(condition::INVALID_FIELD, text));
        }
        if let Some(millis) = open.idle_time_out.filter(|millis| *millis > 0) {
            let asked = std::time::Duration::from_millis(millis.into());
            let least = self.io.limits.min_peer_idle_timeout;
            if asked < least {
                let text =
                    format!("open.idle-time-out is {asked:?}: at least {least:?} can be kept, ask for more");
                return Err(Error::new(condition::NOT_ALLOWED, text));
            }
            self.heartbeat = Some((asked / 4, now + asked / 4));
        }
        self.io.max_frame = self.io.limits.max_frame_size.min(open.max_frame_size) as usize;
        self.channel_max = open.channel_max;
        self.phase = if self.open_sent { Phase::Opened } else { Phase::Deciding };
        self.io.emit(Event::Opened(open));
        Ok(())
    }

    /// Closes the connection. Before open there is nothing to say: then it is closed at once.
    pub fn close(&mut self, error: Option<Error>, now: Instant) {
        self.flush_all_settling();
        self.leave(error, now);
    }

    /// Closes the connection because of what the peer did, and tells the driver.
    pub(super) fn fail(&mut self, error: Error, now: Instant) {
        match self.phase {
            Phase::Closed => return,
            // Its own words for the goodbye are no news to anyone.
            Phase::Closing { .. } => {
                self.phase = Phase::Closed;
                return;
            }
            _ => {}
        }
        self.leave(Some(error.clone()), now);
        self.io.emit(Event::Closed { error: Some(error), by: Party::Us });
    }

    fn leave(&mut self, error: Option<Error>, now: Instant) {
        match self.phase {
            Phase::Open | Phase::Deciding | Phase::Opened => {
                if !self.open_sent {
                    let options = self.open.take().unwrap_or_default();
                    self.write_open(options);
                }
                self.write_close(error);
                self.phase = Phase::Closing { until: now + self.io.limits.close_timeout };
            }
            Phase::Header | Phase::Sasl | Phase::AmqpHeader => self.phase = Phase::Closed,
            Phase::Closing { .. } | Phase::Closed => {}
        }
        self.forget_sessions();
    }

    fn write_close(&mut self, error: Option<Error>) {
        let condition = error.as_ref().map(|error| error.condition.clone());
        self.io.overflow = false;
        self.io.write(0, &Close { error });
        if std::mem::take(&mut self.io.overflow) {
            let bare = |condition| Error { condition, description: None, info: Default::default() };
            self.io.write(0, &Close { error: condition.map(bare) });
        }
    }

    /// The peer's close. Ours follows, unless it went before.
    pub(super) fn on_close(&mut self, close: Close) {
        if !matches!(self.phase, Phase::Closing { .. }) {
            self.flush_all_settling();
            self.write_close(None);
            self.io.emit(Event::Closed { error: close.error, by: Party::Peer });
        }
        self.phase = Phase::Closed;
        self.forget_sessions();
    }

    /// While we wait for the peer's close, nothing else counts.
    pub(super) fn on_late_frame(&mut self, body: Bytes) {
        if let Ok((Performative::Close(close), _)) = Performative::decode(body) {
            self.on_close(close);
        }
    }
}

fn framing(error: &FrameError) -> Error {
    Error::new(condition::CONNECTION_FRAMING_ERROR, error.to_string())
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self::Connection(error)
    }
}
