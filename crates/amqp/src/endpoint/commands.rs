//! What the driver commands on sessions and links. A command on one that is gone does nothing and says so.

use super::Endpoint;
use super::event::{BeginError, DeliveryId, LinkId, LinkOptions, Outgoing, SendError, SessionId};
use super::io::Io;
use super::link::{End, State as LinkState};
use super::negotiation::Phase;
use super::session::{Session, State};
use crate::performative::{DeliveryState, Error, Role};

impl Endpoint {
    /// Begins a session; [`super::Event::SessionBegun`] comes when the peer has answered.
    ///
    /// # Errors
    /// [`BeginError`]: before [`super::Event::Opened`], or at the bound of this side or the peer.
    pub fn begin_session(&mut self) -> Result<SessionId, BeginError> {
        if self.phase != Phase::Opened {
            return Err(BeginError::NotOpen);
        }
        let id = self.new_session_id().ok_or(BeginError::TooMany)?;
        let session = Session::new(id, State::Beginning, &self.io);
        session.write_begin(&mut self.io, None);
        self.put_session(session);
        Ok(id)
    }

    /// Ends a session, and its links with it. False when it is gone.
    pub fn end_session(&mut self, session: SessionId, error: Option<Error>) -> bool {
        let Some(ending) = self.sessions.get_mut(usize::from(session.channel)).and_then(Option::as_deref_mut)
        else {
            return false;
        };
        if ending.id != session || ending.state == State::Ending {
            return false;
        }
        ending.flush_settling(&mut self.io);
        self.leave_session(session, error);
        true
    }

    /// Attaches a link on which we send; [`super::Event::Attached`] or [`super::Event::Detached`] comes.
    ///
    /// # Errors
    /// [`BeginError`]: before [`super::Event::SessionBegun`], or at the bound of this side or the peer.
    pub fn attach_sender(
        &mut self,
        session: SessionId,
        name: impl Into<String>,
        options: LinkOptions,
    ) -> Result<LinkId, BeginError> {
        self.attach(session, name.into(), Role::Sender, options)
    }

    /// Attaches a link on which we receive; otherwise as [`Endpoint::attach_sender`]. Nothing comes before
    /// [`Endpoint::grant`].
    ///
    /// # Errors
    /// As [`Endpoint::attach_sender`].
    pub fn attach_receiver(
        &mut self,
        session: SessionId,
        name: impl Into<String>,
        options: LinkOptions,
    ) -> Result<LinkId, BeginError> {
        self.attach(session, name.into(), Role::Receiver, options)
    }

    fn attach(
        &mut self,
        session: SessionId,
        name: String,
        role: Role,
        options: LinkOptions,
    ) -> Result<LinkId, BeginError> {
        let serial = self.next_serial();
        let index = usize::from(session.channel);
        match self.sessions.get_mut(index).and_then(Option::as_deref_mut) {
            Some(found) if found.id == session => found.attach(&mut self.io, name, role, options, serial),
            _ => Err(BeginError::NotOpen),
        }
    }

    /// Agrees to [`super::Event::AttachRequested`]. Start from [`super::Attached::agreed`]. False when the link is gone.
    pub fn accept_attach(&mut self, link: LinkId, options: LinkOptions) -> bool {
        self.at(link).is_some_and(|(session, io)| session.accept(io, link, options))
    }

    /// Refuses [`super::Event::AttachRequested`] with a reason. False when the link is gone.
    pub fn refuse_attach(&mut self, link: LinkId, error: Error) -> bool {
        self.at(link).is_some_and(|(session, io)| session.refuse(io, link, error))
    }

    /// Detaches a link for good. False when it is gone.
    pub fn detach(&mut self, link: LinkId, error: Option<Error>) -> bool {
        self.at(link).is_some_and(|(session, io)| session.detach(io, link, error))
    }

    /// On a link where we receive: the peer may send `credit` messages from now on, whatever it was allowed before. False
    /// when the link is gone.
    pub fn grant(&mut self, link: LinkId, credit: u32) -> bool {
        self.set_credit(link, Some(credit))
    }

    /// On a link where we receive: the peer is to use up its credit at once or give it back; deliveries and then
    /// [`super::Event::Drained`] come. False when the link is gone.
    pub fn drain(&mut self, link: LinkId) -> bool {
        self.set_credit(link, None)
    }

    /// Grants, or without a number drains.
    fn set_credit(&mut self, id: LinkId, credit: Option<u32>) -> bool {
        let Some((session, io)) = self.at(id) else { return false };
        let Some(link) = session.link_mut(id).filter(|link| link.state == LinkState::Attached) else {
            return false;
        };
        let End::Receiving(receiving) = &mut link.end else { return false };
        receiving.draining = credit.is_none();
        if let Some(credit) = credit {
            receiving.grant(credit);
        }
        session.write_flow(io, Some(id.handle));
        true
    }

    /// Messages that may still come on the link, where we receive, or that may still go, where we send; 0 when it is gone.
    #[must_use]
    pub fn credit(&self, link: LinkId) -> u32 {
        let session = self.sessions.get(usize::from(link.channel)).and_then(Option::as_deref);
        match session.and_then(|session| session.link(link)).map(|link| &link.end) {
            Some(End::Sending(sending)) => sending.credit,
            Some(End::Receiving(receiving)) => receiving.credit,
            None => 0,
        }
    }

    /// Sends a message, within the link's credit and the session's window. Split into frames as the peer's max-frame-size
    /// asks; when the window ends within a message, the rest follows by itself.
    ///
    /// # Errors
    /// [`SendError`]; nothing was sent then.
    pub fn send(&mut self, link: LinkId, delivery: Outgoing<'_>) -> Result<DeliveryId, SendError> {
        let (session, io) = self.at(link).ok_or(SendError::NotAttached)?;
        session.send(io, link, delivery)
    }

    /// On a link where we send: there is no more to send for now, so the credit is given back. In answer to
    /// [`super::Event::Credit`] with `drain`. False when the link is gone or its peer does not drain.
    pub fn drained(&mut self, id: LinkId) -> bool {
        let Some((session, io)) = self.at(id) else { return false };
        let Some(link) = session.link_mut(id).filter(|link| link.state == LinkState::Attached) else {
            return false;
        };
        let End::Sending(sending) = &mut link.end else { return false };
        if !sending.drain {
            return false;
        }
        sending.delivery_count = sending.delivery_count.plus(sending.credit);
        sending.credit = 0;
        session.write_flow(io, Some(id.handle));
        if let Some(End::Sending(sending)) = session.link_mut(id).map(|link| &mut link.end) {
            sending.drain = false;
        }
        true
    }

    /// Settles a delivery on a link where we receive. Those that follow each other and are settled alike go out as one
    /// disposition with the next [`Endpoint::take_output`]. False when the link is gone or the delivery is settled.
    pub fn settle(&mut self, link: LinkId, delivery: DeliveryId, state: DeliveryState) -> bool {
        self.at(link).is_some_and(|(session, io)| session.settle(io, link, delivery, state))
    }

    /// Tells the receiver that what it has decided about these deliveries is done, or what became of it instead: after an
    /// [`super::Event::Settled`] that waits. False when the link is gone.
    pub fn confirm(
        &mut self,
        link: LinkId,
        deliveries: (DeliveryId, DeliveryId),
        state: Option<DeliveryState>,
    ) -> bool {
        let Some((session, io)) = self.at(link) else { return false };
        let there = session.link_mut(link).is_some();
        if there {
            session.confirm(io, deliveries, state);
        }
        there
    }

    fn at(&mut self, link: LinkId) -> Option<(&mut Session, &mut Io)> {
        let session = self.sessions.get_mut(usize::from(link.channel))?.as_deref_mut()?;
        Some((session, &mut self.io))
    }
}
