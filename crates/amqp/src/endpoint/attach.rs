//! Links come and go: attach and detach, from either side (part 2, sections 2.6.3 to 2.6.6).

use super::event::{BeginError, Event, LinkId, LinkOptions, Party};
use super::io::{Fault, Io};
use super::link::{End, Link, State as LinkState, attached};
use super::session::{Session, State};
use crate::composite::Fields;
use crate::performative::{Attach, AttachTarget, Detach, Error, Role, condition};

impl Session {
    /// The peer's attach. `serial` is a fresh one, in case a link comes of it.
    pub(super) fn on_attach(&mut self, io: &mut Io, attach: Attach, serial: u32) -> Result<(), Fault> {
        let handle = self.check_attach(io, &attach)?;
        let role = attach.role.other();
        let named =
            self.links.iter_mut().flatten().find(|link| link.name == attach.name && link.role() == role);
        if let Some(link) = named {
            match link.state {
                LinkState::Asking => return self.on_attach_answer(io, attach, handle),
                LinkState::Leaving if link.remote_handle.is_none() => {
                    // We attached and took it back; this answers the attach, a detach answers the rest.
                    link.remote_handle = Some(attach.handle);
                    let local = link.id.handle;
                    self.map_handle(handle, local);
                    return Ok(());
                }
                LinkState::Asked | LinkState::Attached | LinkState::Refused => {
                    let local = link.id.handle;
                    let text = "a link of this name was attached again";
                    self.fail_link(io, local, Error::new(condition::LINK_STOLEN, text));
                }
                LinkState::Leaving => {}
            }
        }
        let local = self.free_handle(io).ok_or_else(|| too_many_links(io, self.handle_max))?;
        let id = LinkId { channel: self.id.channel, handle: local, serial };
        let mut link = Link::new(id, attach.name.clone(), role, LinkState::Asked);
        link.learn(&attach);
        self.map_handle(handle, local);
        if attach.target == Some(AttachTarget::Coordinator) {
            self.put_link(link);
            let error = Error::new(condition::NOT_IMPLEMENTED, "there are no transactions here");
            self.refuse(io, id, error);
            return Ok(());
        }
        io.emit(Event::AttachRequested(Box::new(attached(attach, &link, self.id))));
        self.put_link(link);
        Ok(())
    }

    /// Whether an attach keeps to the bounds; its handle as an index.
    fn check_attach(&self, io: &Io, attach: &Attach) -> Result<usize, Fault> {
        let max = usize::from(io.limits.max_links.max(1));
        let handle = usize::try_from(attach.handle).unwrap_or(usize::MAX);
        if handle >= max {
            let text = format!("handle {} is above the handle-max of our begin, {}", attach.handle, max - 1);
            return Err(Fault::Connection(Error::new(condition::CONNECTION_FRAMING_ERROR, text)));
        }
        if self.handles.get(handle).copied().flatten().is_some() {
            let text = format!("handle {handle} has a link: detach it first, or use another");
            return Err(Fault::Session(Error::new(condition::SESSION_HANDLE_IN_USE, text)));
        }
        if attach.name.len() > io.limits.max_link_name {
            let text = format!("a link's name may have {} bytes: use a shorter one", io.limits.max_link_name);
            return Err(Fault::Session(Error::new(condition::RESOURCE_LIMIT_EXCEEDED, text)));
        }
        Ok(handle)
    }

    /// The peer's answer to an attach of ours.
    fn on_attach_answer(&mut self, io: &mut Io, attach: Attach, handle: usize) -> Result<(), Fault> {
        let role = attach.role.other();
        let asking = |link: &&mut Box<Link>| link.name == attach.name && link.role() == role;
        let Some(link) = self.links.iter_mut().flatten().find(asking) else { return Ok(()) };
        link.learn(&attach);
        let refused = match role {
            Role::Sender => attach.target.is_none(),
            Role::Receiver => attach.source.is_none(),
        };
        link.state = if refused { LinkState::Refused } else { LinkState::Attached };
        let local = link.id.handle;
        if !refused {
            link.snd_settle_mode = attach.snd_settle_mode;
            io.emit(Event::Attached(Box::new(attached(attach, link, self.id))));
        }
        self.map_handle(handle, local);
        Ok(())
    }

    /// Attaches a link of ours. `serial` is a fresh one.
    pub(super) fn attach(
        &mut self,
        io: &mut Io,
        name: String,
        role: Role,
        options: LinkOptions,
        serial: u32,
    ) -> Result<LinkId, BeginError> {
        if self.state != State::Mapped {
            return Err(BeginError::NotOpen);
        }
        let handle = self.free_handle(io).ok_or(BeginError::TooMany)?;
        let id = LinkId { channel: self.id.channel, handle, serial };
        let mut link = Link::new(id, name, role, LinkState::Asking);
        let attach = link.attach(options, &io.limits);
        io.write(self.id.channel, &attach);
        self.put_link(link);
        Ok(id)
    }

    /// Agrees to a link of the peer. False when there is none to agree to.
    pub(super) fn accept(&mut self, io: &mut Io, id: LinkId, options: LinkOptions) -> bool {
        let channel = self.id.channel;
        let Some(link) = self.link_mut(id).filter(|link| link.state == LinkState::Asked) else {
            return false;
        };
        link.state = LinkState::Attached;
        let attach = link.attach(options, &io.limits);
        io.write(channel, &attach);
        if let End::Sending(sending) = &link.end
            && (sending.credit > 0 || sending.drain)
        {
            let (credit, drain) = (sending.credit, sending.drain);
            io.emit(Event::Credit { link: id, credit, drain, properties: Fields::default() });
        }
        true
    }

    /// Refuses a link of the peer: an attach without source and target, then a detach with the reason (section 2.6.3).
    pub(super) fn refuse(&mut self, io: &mut Io, id: LinkId, error: Error) -> bool {
        if self.link(id).is_none_or(|link| link.state != LinkState::Asked) {
            return false;
        }
        self.answer_attach(io, id.handle);
        self.write_detach(io, id.handle, true, Some(error));
        true
    }

    /// Detaches a link for the driver. False when there is none to detach.
    pub(super) fn detach(&mut self, io: &mut Io, id: LinkId, error: Option<Error>) -> bool {
        let Some(link) = self.link(id).filter(|link| link.state != LinkState::Leaving) else { return false };
        if link.state == LinkState::Asked {
            self.answer_attach(io, id.handle);
        }
        self.write_detach(io, id.handle, true, error);
        true
    }

    /// Detaches a link because of what the peer did with it.
    pub(super) fn fail_link(&mut self, io: &mut Io, handle: u16, error: Error) {
        let Some(link) = self.links.get(usize::from(handle)).and_then(Option::as_deref) else { return };
        let (id, state) = (link.id, link.state);
        if state == LinkState::Leaving {
            return;
        }
        if state == LinkState::Asked {
            self.answer_attach(io, handle);
        }
        io.emit(Event::Detached { link: id, closed: true, error: Some(error.clone()), by: Party::Us });
        self.write_detach(io, handle, true, Some(error));
    }

    /// An attach that has to be there before a detach can be.
    fn answer_attach(&mut self, io: &mut Io, handle: u16) {
        let channel = self.id.channel;
        if let Some(link) = self.links.get_mut(usize::from(handle)).and_then(Option::as_deref_mut) {
            let attach = link.attach(LinkOptions::default(), &io.limits);
            io.write(channel, &attach);
        }
    }

    fn write_detach(&mut self, io: &mut Io, handle: u16, closed: bool, error: Option<Error>) {
        self.flush_settling(io);
        self.drop_deliveries(io, handle);
        if let Some(link) = self.links.get_mut(usize::from(handle)).and_then(Option::as_deref_mut) {
            link.state = LinkState::Leaving;
        }
        io.write(self.id.channel, &Detach { handle: handle.into(), closed, error });
    }

    pub(super) fn on_detach(&mut self, io: &mut Io, detach: Detach) -> Result<(), Fault> {
        let handle = self.local_handle(detach.handle)?;
        let Some(link) = self.links.get(usize::from(handle)).and_then(Option::as_deref) else {
            return Ok(());
        };
        let (id, state) = (link.id, link.state);
        if state == LinkState::Asked {
            self.answer_attach(io, handle);
        }
        if state != LinkState::Leaving {
            self.write_detach(io, handle, detach.closed, None);
            let (closed, error) = (detach.closed, detach.error);
            io.emit(Event::Detached { link: id, closed, error, by: Party::Peer });
        }
        self.links[usize::from(handle)] = None;
        self.handles[detach.handle as usize] = None;
        Ok(())
    }

    /// The lowest handle of ours that is free, if both sides' bounds allow one.
    fn free_handle(&self, io: &Io) -> Option<u16> {
        let free = self.links.iter().position(Option::is_none).unwrap_or(self.links.len());
        let handle = u16::try_from(free).ok()?;
        (handle < io.limits.max_links.max(1) && u32::from(handle) <= self.handle_max).then_some(handle)
    }

    fn put_link(&mut self, link: Link) {
        let index = usize::from(link.id.handle);
        if index == self.links.len() {
            self.links.push(None);
        }
        self.links[index] = Some(Box::new(link));
    }

    fn map_handle(&mut self, remote: usize, local: u16) {
        if self.handles.len() <= remote {
            self.handles.resize(remote + 1, None);
        }
        self.handles[remote] = Some(local);
    }
}

fn too_many_links(io: &Io, handle_max: u32) -> Fault {
    let text = format!(
        "a session has at most {} links, and no more than its own handle-max {handle_max} allows: detach some, or begin \
         another session",
        io.limits.max_links
    );
    Fault::Session(Error::new(condition::RESOURCE_LIMIT_EXCEEDED, text))
}
