//! What each performative means in which state, and what ends when one is out of place.

use std::time::Instant;

use bytes::Bytes;

use super::Endpoint;
use super::event::{Event, Party, SessionId};
use super::io::Fault;
use super::negotiation::Phase;
use super::session::{Session, State};
use crate::frame::{Frame, FrameType};
use crate::performative::{Begin, Disposition, End, Error, Performative, Role, condition};

impl Endpoint {
    pub(super) fn on_frame(&mut self, frame: Frame, now: Instant) -> Result<(), Error> {
        if frame.kind != FrameType::Amqp {
            return Err(Error::new(condition::NOT_ALLOWED, "a SASL frame after SASL has ended"));
        }
        if frame.body.is_empty() {
            return Ok(());
        }
        if matches!(self.phase, Phase::Closing { .. }) {
            self.on_late_frame(frame.body);
            return Ok(());
        }
        self.io.frame_bytes = frame.body.len();
        let decoded = Performative::decode(frame.body);
        let (performative, payload) =
            decoded.map_err(|error| Error::new(condition::DECODE_ERROR, error.to_string()))?;
        match performative {
            Performative::Open(open) if self.phase == Phase::Open => self.on_open(open, now),
            Performative::Open(_) => Err(illegal("a second open")),
            _ if self.phase == Phase::Open => Err(illegal("the first performative must be open")),
            Performative::Close(close) => {
                self.on_close(close);
                Ok(())
            }
            Performative::Begin(begin) => self.on_begin(frame.channel, &begin),
            other => self.on_session_frame(frame.channel, other, payload),
        }
    }

    fn on_session_frame(
        &mut self,
        channel: u16,
        performative: Performative,
        payload: Bytes,
    ) -> Result<(), Error> {
        let serial = if matches!(performative, Performative::Attach(_)) { self.next_serial() } else { 0 };
        let local = self.local_channel(channel)?;
        let Some(session) = self.sessions.get_mut(usize::from(local)).and_then(Option::as_deref_mut) else {
            return Ok(());
        };
        let io = &mut self.io;
        if session.state == State::Ending {
            if let Performative::End(_) = performative {
                self.forget_session(local);
            }
            return Ok(());
        }
        let result = match performative {
            Performative::Transfer(transfer) => session.on_transfer(io, transfer, payload),
            Performative::Disposition(disposition) => on_disposition(session, io, disposition),
            Performative::Flow(flow) => session.on_flow(io, *flow),
            Performative::Attach(attach) => session.on_attach(io, *attach, serial),
            Performative::Detach(detach) => session.on_detach(io, detach),
            Performative::End(end) => {
                session.flush_settling(io);
                io.write(local, &End::default());
                io.emit(Event::SessionEnded { session: session.id, error: end.error, by: Party::Peer });
                self.forget_session(local);
                return Ok(());
            }
            Performative::Open(_) | Performative::Begin(_) | Performative::Close(_) => Ok(()),
        };
        match result {
            Ok(()) => Ok(()),
            Err(Fault::Connection(error)) => Err(error),
            Err(Fault::Session(error)) => {
                self.fail_session(local, error);
                Ok(())
            }
            Err(Fault::Link(handle, error)) => {
                session.fail_link(io, handle, error);
                Ok(())
            }
        }
    }

    fn on_begin(&mut self, channel: u16, begin: &Begin) -> Result<(), Error> {
        let index = usize::from(channel);
        if channel >= self.io.limits.max_sessions.max(1) {
            let max = self.io.limits.max_sessions.max(1) - 1;
            let text = format!("channel {channel} is above the channel-max of our open, {max}");
            return Err(Error::new(condition::CONNECTION_FRAMING_ERROR, text));
        }
        if self.channels.get(index).copied().flatten().is_some() {
            return Err(illegal(&format!("a begin on channel {channel}, which has a session: end it first")));
        }
        let local = match begin.remote_channel {
            Some(local) => self.on_begin_answer(local, channel, begin)?,
            None => self.begin_for_peer(channel, begin)?,
        };
        if self.channels.len() <= index {
            self.channels.resize(index + 1, None);
        }
        self.channels[index] = Some(local);
        Ok(())
    }

    /// The peer's answer to a begin of ours.
    fn on_begin_answer(&mut self, local: u16, channel: u16, begin: &Begin) -> Result<u16, Error> {
        let session = self.sessions.get_mut(usize::from(local)).and_then(Option::as_deref_mut);
        let Some(session) = session.filter(|session| session.remote_channel.is_none()) else {
            let text =
                format!("begin.remote-channel {local} names no session of ours that waits for a begin");
            return Err(Error::new(condition::NOT_ALLOWED, text));
        };
        session.learn(begin, channel);
        if session.state == State::Beginning {
            session.state = State::Mapped;
            self.io.emit(Event::SessionBegun(session.id));
        }
        Ok(local)
    }

    fn begin_for_peer(&mut self, channel: u16, begin: &Begin) -> Result<u16, Error> {
        let Some(id) = self.new_session_id() else {
            let text = format!(
                "at most {} sessions, and no more than your channel-max {} allows: end some first",
                self.io.limits.max_sessions, self.channel_max
            );
            return Err(Error::new(condition::RESOURCE_LIMIT_EXCEEDED, text));
        };
        let mut session = Session::new(id, State::Mapped, &self.io);
        session.learn(begin, channel);
        session.write_begin(&mut self.io, Some(channel));
        self.put_session(session);
        self.io.emit(Event::SessionBegun(id));
        Ok(id.channel)
    }

    /// An id for a new session, if both sides' bounds allow one.
    pub(super) fn new_session_id(&mut self) -> Option<SessionId> {
        let free = self.sessions.iter().position(Option::is_none).unwrap_or(self.sessions.len());
        let channel = u16::try_from(free).ok()?;
        let allowed = channel < self.io.limits.max_sessions.max(1) && channel <= self.channel_max;
        allowed.then(|| SessionId { channel, serial: self.next_serial() })
    }

    pub(super) fn put_session(&mut self, session: Session) {
        let index = usize::from(session.id.channel);
        if index == self.sessions.len() {
            self.sessions.push(None);
        }
        self.sessions[index] = Some(Box::new(session));
    }

    /// Our channel for one of the peer's.
    fn local_channel(&self, channel: u16) -> Result<u16, Error> {
        if channel >= self.io.limits.max_sessions.max(1) {
            let text = format!("channel {channel} is above the channel-max of our open");
            return Err(Error::new(condition::CONNECTION_FRAMING_ERROR, text));
        }
        let local = self.channels.get(usize::from(channel)).copied().flatten();
        local.ok_or_else(|| illegal(&format!("no session has begun on channel {channel}: begin one first")))
    }

    /// Ends a session because of what the peer did in it.
    fn fail_session(&mut self, local: u16, error: Error) {
        let Some(session) = self.sessions.get_mut(usize::from(local)).and_then(Option::as_deref_mut) else {
            return;
        };
        let id = session.id;
        self.io.emit(Event::SessionEnded { session: id, error: Some(error.clone()), by: Party::Us });
        self.leave_session(id, Some(error));
    }

    /// Writes the end of a session. Its channel is free again when the peer's end has come.
    pub(super) fn leave_session(&mut self, id: SessionId, error: Option<Error>) {
        let Some(session) = self.session_mut(id) else { return };
        session.state = State::Ending;
        let partial = session.release();
        self.io.partial_bytes -= partial;
        self.io.write(id.channel, &End { error });
    }

    fn forget_session(&mut self, local: u16) {
        let Some(mut session) = self.sessions.get_mut(usize::from(local)).and_then(Option::take) else {
            return;
        };
        self.io.partial_bytes -= session.release();
        if let Some(channel) = session.remote_channel {
            self.channels[usize::from(channel)] = None;
        }
    }

    pub(super) fn forget_sessions(&mut self) {
        self.sessions = Vec::new();
        self.channels = Vec::new();
        self.io.partial_bytes = 0;
    }

    pub(super) fn flush_all_settling(&mut self) {
        for session in self.sessions.iter_mut().flatten() {
            session.flush_settling(&mut self.io);
        }
    }

    /// The session of an id that is still good.
    pub(super) fn session_mut(&mut self, id: SessionId) -> Option<&mut Session> {
        let session = self.sessions.get_mut(usize::from(id.channel))?.as_deref_mut()?;
        (session.id == id && session.state != State::Ending).then_some(session)
    }
}

fn on_disposition(session: &mut Session, io: &mut super::Io, disposition: Disposition) -> Result<(), Fault> {
    match disposition.role {
        Role::Receiver => session.on_receiver_disposition(io, disposition),
        Role::Sender => {
            session.on_sender_disposition(&disposition);
            Ok(())
        }
    }
}

fn illegal(text: &str) -> Error {
    Error::new(condition::ILLEGAL_STATE, text)
}
