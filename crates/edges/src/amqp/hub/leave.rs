//! A device's links go: one by one, by its own doing, or all at once.

use std::sync::Arc;

use pollux_amqp::endpoint::{DeliveryId, LinkId};
use pollux_amqp::performative::{DeliveryState, Error as AmqpError, condition};
use pollux_model::resource::{Resource, ResourceKind};
use pollux_model::{Error, ErrorCode, Result};
use pollux_services::Caller;

use super::condition::hub_error;
use super::{HubDone, HubLink, Own, SeatId};
use crate::amqp::connection::{Connection, Done, Link};
use crate::amqp::publisher::{Publisher, Sink};

impl Connection {
    /// Work for a hub's links has ended.
    pub(in crate::amqp) fn hub_done(&mut self, done: HubDone) {
        match done {
            HubDone::Shown(put) => self.hub_shown(put),
            HubDone::Recognized(recognized) => {
                self.hubs.recognized = recognized;
                self.known();
            }
            HubDone::Entered { number, entered } => self.entered(number, entered),
            HubDone::Announced { seat, asked, announced } => self.announced(seat, asked, announced),
            HubDone::Renewed { seat, renewed } => self.renewed(seat, renewed),
            HubDone::Ended { seat, error } => self.end_seat(seat, &error),
            HubDone::Twin { seat, link, delivery, answer } => {
                self.twin_answered(seat, (link, delivery), &answer);
            }
            HubDone::Received { link, own, received } => self.messages_received(link, own, received),
            HubDone::GaveBack { link, settle, ends } => self.messages_given_back(link, settle, ends),
            HubDone::NoticesSettled { link, ends } => self.tell_ends(link, ends),
            HubDone::Feedback { link, received } => self.feedback_received(link, received),
        }
    }

    /// The peer gives credit on a link, or wants it back.
    pub(in crate::amqp) fn hub_credited(&mut self, id: LinkId, drain: bool) {
        match self.links.get(&id) {
            Some(Link::Hub(HubLink::Twin { .. })) => self.twin_heard(id),
            Some(Link::Hub(HubLink::DeviceBound(_))) => self.messages_wanted(id, drain),
            Some(Link::Hub(HubLink::Feedback(_))) => self.feedback_wanted(id, drain),
            _ => {}
        }
    }

    /// The peer has settled what it was sent.
    pub(in crate::amqp) fn hub_settled(
        &mut self,
        id: LinkId,
        range: (DeliveryId, DeliveryId),
        state: Option<&DeliveryState>,
        waits: bool,
    ) {
        match self.links.get(&id) {
            Some(Link::Hub(HubLink::DeviceBound(_))) => self.messages_settled(id, range, state, waits),
            Some(Link::Hub(HubLink::Feedback(_))) => self.feedback_settled(id, range, state, waits),
            // Answers and calls: nothing is done when they are settled.
            _ if waits => {
                self.endpoint.confirm(id, range, state.cloned());
            }
            _ => {}
        }
    }

    /// Sends what was received and could not be sent, and looks where the time for that has come.
    pub(in crate::amqp) fn pump_hubs(&mut self) {
        let now = self.edge.services.context.clock.now();
        let due = |link: &Link| matches!(link, Link::Hub(link) if link.is_ready() || link.next().is_some_and(|at| at <= now));
        let ids: Vec<_> = self.links.iter().filter(|(_, link)| due(link)).map(|(id, _)| *id).collect();
        for id in ids {
            self.pump_messages(id);
            self.pump_feedback(id);
        }
    }

    /// There may be messages for a device.
    pub(super) fn look_for_messages(&mut self, number: SeatId) {
        let links = self.hubs.seats.get(&number).map(|seat| seat.links.clone()).unwrap_or_default();
        for id in links {
            if let Some(Link::Hub(HubLink::DeviceBound(link))) = self.links.get_mut(&id) {
                link.waiting();
                self.pump_messages(id);
            }
        }
    }

    /// Detaches a link of a hub with the reason.
    pub(in crate::amqp) fn detach_from_hub(&mut self, id: LinkId, error: &Error) {
        self.endpoint.detach(id, Some(hub_error(error)));
        self.leave(id);
    }

    /// A link is gone that a device had. The device is not connected any more when it was the last.
    pub(in crate::amqp) fn left_hub(&mut self, id: LinkId, link: &Link) {
        let number = match link {
            Link::Hub(link) => link.seat(),
            Link::Publisher(Publisher { sink: Sink::Telemetry(seat), .. }) => Some(*seat),
            _ => None,
        };
        let Some(number) = number else { return };
        let Some(seat) = self.hubs.seats.get_mut(&number) else { return };
        seat.links.retain(|one| *one != id);
        // Whoever has attached a second one of its kind before goes on with that.
        let is = |left: &Link, kind: fn(&HubLink) -> bool| matches!(left, Link::Hub(link) if kind(link));
        let another =
            |kind| seat.links.iter().filter_map(|one| self.links.get(one)).any(|left| is(left, kind));
        match link {
            Link::Hub(HubLink::Twin { .. }) if !another(|link| matches!(link, HubLink::Twin { .. })) => {
                seat.twin.subscribed = false;
            }
            Link::Hub(HubLink::Methods { .. })
                if !another(|link| matches!(link, HubLink::Methods { .. })) =>
            {
                seat.link.0.listens(false);
            }
            _ => {}
        }
        if seat.links.is_empty() {
            self.hubs.seats.remove(&number);
        }
    }

    /// A device must go: its links are detached with the reason, and what it alone showed is forgotten. The connection is closed
    /// soon if nobody else is on it; npm's client, which hears of both, waits long for answers on one that is closed at once.
    pub(super) fn end_seat(&mut self, number: SeatId, error: &AmqpError) {
        let Some(seat) = self.hubs.seats.remove(&number) else { return };
        tracing::debug!(peer = %self.peer, device = %seat.own.id, "a device must go: {error:?}");
        self.hubs.credentials.drop_device(&seat.own.id);
        for link in seat.links {
            self.endpoint.detach(link, Some(error.clone()));
            self.leave(link);
        }
        self.may_be_stranger();
    }

    /// Looks whether devices whose credential has run out have another one.
    pub(in crate::amqp) fn renew_seats(&mut self) {
        let now = self.edge.services.context.clock.now();
        for (number, seat) in &mut self.hubs.seats {
            if seat.renewing || seat.own.caller.expires.is_none_or(|end| now < end) {
                continue;
            }
            seat.renewing = true;
            let (number, own) = (*number, Arc::clone(&seat.own));
            let tokens = self.hubs.credentials.of_devices(std::slice::from_ref(&own.id));
            self.work.push(Box::pin(async move {
                let renewed = renew(&own, tokens.into_iter().map(|(_, token)| token)).await;
                Done::Hub(HubDone::Renewed { seat: number, renewed })
            }));
        }
    }

    fn renewed(&mut self, number: SeatId, renewed: Result<(Arc<Resource>, Box<Caller>)>) {
        match (self.hubs.seats.get_mut(&number), renewed) {
            (Some(seat), Ok((hub, caller))) => {
                seat.renewing = false;
                seat.own = Arc::new(Own { hub, caller: *caller, ..(*seat.own).clone() });
            }
            (Some(_), Err(error)) => {
                // Where it cannot be known for now whether it may stay, it may come again.
                let told = match error.code {
                    ErrorCode::Unavailable => AmqpError::new(condition::LINK_DETACH_FORCED, error.message),
                    _ => AmqpError::new(condition::UNAUTHORIZED_ACCESS, error.message),
                };
                self.end_seat(number, &told);
            }
            (None, _) => {}
        }
    }
}

/// A caller whose time is not over, by one of these tokens, and the hub as it is now: its keys may be others.
async fn renew(
    own: &Own,
    tokens: impl Iterator<Item = pollux_model::sas::SasToken>,
) -> Result<(Arc<Resource>, Box<Caller>)> {
    let mut refused = Error::new(ErrorCode::Unauthorized, "what the device has shown has expired");
    let Some(hub) = own.services.context.table.named(ResourceKind::Hub, &own.hub.name) else {
        return Err(refused);
    };
    for token in tokens {
        match own.services.hub.authenticate_device(&hub, &own.id, &token).await {
            Ok((caller, _)) => {
                let address = own.caller.address;
                let caller = address.into_iter().fold(caller, Caller::from_address);
                return Ok((hub, Box::new(caller)));
            }
            Err(error) => refused = error,
        }
    }
    Err(refused)
}
