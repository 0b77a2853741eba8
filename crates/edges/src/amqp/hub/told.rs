//! What services want of the devices of a connection: one bounded queue, which its task empties.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use pollux_amqp::performative::{Error as AmqpError, condition};
use pollux_services::hub::{DeviceCommand, DeviceLink, MethodAnswer, MethodCall, MethodFailure, OpenMethods};
use serde_json::Value;
use tokio::sync::{Notify, oneshot};

use super::condition::hub_error;
use super::{HubDone, Own, SeatId, method, twin};
use crate::amqp::connection::{Connection, Done};

/// Commands for one device that may wait; a device that does not keep up must go: it reads its state anew when it comes back.
const ROOM: usize = 64;

/// The queue of a connection, for all its devices.
#[derive(Debug, Default)]
pub(in crate::amqp) struct Mailbox {
    queue: Mutex<VecDeque<(Arc<SeatLink>, Said)>>,
    filled: Notify,
}

#[derive(Debug)]
enum Said {
    Desired { patch: Value, version: u64 },
    Method { id: u64, call: MethodCall },
    MessageWaiting,
    Close(Cow<'static, str>),
}

impl Mailbox {
    /// Ends when something was put since it ended last.
    pub(in crate::amqp) async fn filled(&self) {
        self.filled.notified().await;
    }

    fn put(&self, link: Arc<SeatLink>, said: Said) {
        self.queue.lock().push_back((link, said));
        self.filled.notify_one();
    }

    fn take(&self) -> Option<(Arc<SeatLink>, Said)> {
        let mut queue = self.queue.lock();
        let taken = queue.pop_front();
        if queue.is_empty() && queue.capacity() > 0 {
            *queue = VecDeque::new();
        }
        taken
    }
}

/// The services' end of a device's seat.
#[derive(Debug)]
pub(super) struct SeatLink {
    seat: SeatId,
    /// Gone with its connection.
    mailbox: Weak<Mailbox>,
    /// How many of its commands wait.
    waiting: AtomicUsize,
    /// Whether the device listens to methods.
    listens: AtomicBool,
    /// Whether it was told to go.
    closed: AtomicBool,
    /// Whether it was told that messages wait, and has not looked yet.
    messages: AtomicBool,
    open: OpenMethods,
}

impl SeatLink {
    pub(super) fn new(seat: SeatId, mailbox: &Arc<Mailbox>) -> Arc<Self> {
        let (waiting, listens, closed, messages) = Default::default();
        let mailbox = Arc::downgrade(mailbox);
        Arc::new(Self { seat, mailbox, waiting, listens, closed, messages, open: OpenMethods::default() })
    }

    /// Whether the device listens to methods from now on.
    pub(super) fn listens(&self, listens: bool) {
        self.listens.store(listens, Ordering::Release);
    }

    /// Whether the device was told to go.
    pub(super) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// The device answers a method.
    pub(super) fn answered(&self, id: u64, answer: MethodAnswer) {
        self.open.answer(id, answer);
    }

    /// The seat is given up.
    pub(super) fn end(&self) {
        self.open.end();
    }

    fn close(self: &Arc<Self>, reason: Cow<'static, str>) {
        if !self.closed.swap(true, Ordering::AcqRel) {
            self.leave(Said::Close(reason));
        }
    }

    fn put(self: &Arc<Self>, said: Said) {
        if self.is_closed() {
            return;
        }
        if self.waiting.fetch_add(1, Ordering::AcqRel) >= ROOM {
            self.close("the device does not keep up".into());
        } else {
            self.leave(said);
        }
    }

    fn leave(self: &Arc<Self>, said: Said) {
        if let Some(mailbox) = self.mailbox.upgrade() {
            mailbox.put(Arc::clone(self), said);
        }
    }
}

/// [`SeatLink`] behind a handle of its own kind: what it puts into the queue names it.
#[derive(Debug)]
pub(super) struct Handle(pub(super) Arc<SeatLink>);

impl DeviceLink for Handle {
    fn deliver(&self, command: DeviceCommand) {
        match command {
            DeviceCommand::Desired { patch, version } => self.0.put(Said::Desired { patch, version }),
            // One look finds all.
            DeviceCommand::MessageWaiting if self.0.messages.swap(true, Ordering::AcqRel) => {}
            DeviceCommand::MessageWaiting => self.0.put(Said::MessageWaiting),
            DeviceCommand::Close { reason } => self.0.close(reason),
        }
    }

    fn invoke(&self, call: MethodCall) -> Result<oneshot::Receiver<MethodAnswer>, MethodFailure> {
        if !self.0.listens.load(Ordering::Acquire) {
            return Err(MethodFailure::NotOnline);
        }
        let (id, waits) = self.0.open.ask()?;
        self.0.put(Said::Method { id, call });
        Ok(waits)
    }
}

impl Connection {
    /// Does what services want of the devices here.
    pub(in crate::amqp) fn told(&mut self) {
        let mailbox = Arc::clone(&self.hubs.mailbox);
        while let Some((link, said)) = mailbox.take() {
            let number = link.seat;
            if !matches!(said, Said::Close(_)) {
                link.waiting.fetch_sub(1, Ordering::AcqRel);
            }
            if matches!(said, Said::MessageWaiting) {
                // Before there is a seat there is no link either; that looks when it comes.
                link.messages.store(false, Ordering::Release);
            }
            let Some(seat) = self.hubs.seats.get(&number) else { continue };
            match said {
                Said::Desired { patch, version } if seat.twin.subscribed => {
                    self.for_twin(number, None, &twin::desired(patch, version));
                }
                // The device reads its twin before it asks to be told of changes, or after.
                Said::Desired { .. } => {}
                Said::MessageWaiting => self.look_for_messages(number),
                Said::Method { id, call } => self.for_methods(number, &method::message(number, id, &call)),
                Said::Close(reason) => {
                    let (own, superseded) = (Arc::clone(&seat.own), seat.place.superseded());
                    self.work.push(Box::pin(async move {
                        let error = Box::new(why(&own, superseded, &reason).await);
                        Done::Hub(HubDone::Ended { seat: number, error })
                    }));
                }
            }
        }
    }
}

/// Why a device that was told to go must go, in the words that its client knows.
async fn why(own: &Own, superseded: bool, reason: &str) -> AmqpError {
    if superseded {
        return AmqpError::new(condition::LINK_STOLEN, reason);
    }
    match own.services.hub.standing(&own.caller, &own.hub, &own.id).await {
        Err(error) => hub_error(&error),
        Ok(_) => AmqpError::new(condition::LINK_DETACH_FORCED, reason),
    }
}
