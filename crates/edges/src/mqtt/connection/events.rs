//! What the client sent, handed to the session; what the session sends, handed to the client.

use bytes::BytesMut;
use pollux_mqtt::{Event, PacketId, Publish, PublishError, QoS, topic};
use tokio::time::Instant;

use super::Driver;
use super::work::Reply;
use crate::mqtt::session::{Ending, Handling, Inbound, Outbound, Receipt, Sent};

impl<S> Driver<S> {
    /// Takes the packets that were read, as far as the work under way allows; whether there were any.
    pub(super) fn handle_events(&mut self, now: Instant) -> bool {
        let mut moved = false;
        loop {
            let elapsed = self.elapsed(now);
            self.machine.receive(&mut self.input, elapsed);
            let mut handled = false;
            while self.is_serving() && !self.is_full() {
                let Some(event) = self.machine.poll_event() else { break };
                handled = true;
                self.handle(event);
            }
            moved |= handled;
            if !handled || self.input.is_empty() || !self.is_serving() {
                break;
            }
        }
        if self.input.is_empty() {
            // Payloads share the buffer: whoever still needs it holds it, an idle connection does not.
            self.input = BytesMut::new();
        }
        // Only now: a goodbye may have come with the last bytes. What waits for room is looked at later.
        if self.eof && !moved && self.opening.is_none() && !self.is_full() {
            self.end(Ending::Lost, "the client closed the connection");
            moved = true;
        }
        moved
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Connect(connect) => self.begin_open(connect),
            Event::Publish(publish) => self.handle_publish(publish),
            Event::PubAck(packet_id) => {
                if let Some(session) = &mut self.session {
                    session.acknowledged(packet_id);
                }
            }
            Event::Subscribe { packet_id, filters } => {
                let granted: Vec<_> =
                    filters.into_iter().map(|(filter, qos)| self.subscribe(filter, qos)).collect();
                self.keep_subscriptions(Reply::Suback(packet_id, granted));
            }
            Event::Unsubscribe { packet_id, filters } => {
                self.subscriptions.retain(|(filter, _)| !filters.contains(filter));
                if let Some(session) = &mut self.session {
                    filters.iter().for_each(|filter| session.unsubscribe(filter));
                }
                self.keep_subscriptions(Reply::Unsuback(packet_id));
            }
            Event::Disconnect => self.end(Ending::Goodbye, "goodbye"),
            Event::Violation(violation) => self.end(Ending::Lost, violation),
        }
    }

    fn handle_publish(&mut self, publish: Publish) {
        let Publish { topic, payload, retain, packet_id, .. } = publish;
        let Some(session) = &mut self.session else { return };
        let bytes = weight(&topic, &payload);
        match session.publish(Inbound { topic, payload, retain }) {
            Handling::Done => self.acknowledge(packet_id),
            Handling::Batched => self.work.collect(packet_id, bytes),
            Handling::Request(future) => {
                let reply = packet_id.map_or(Reply::Nothing, Reply::Puback);
                self.work.request(reply, bytes, future);
            }
            Handling::Close(close) => self.end(Ending::Lost, close.reason),
        }
    }

    fn acknowledge(&mut self, packet_id: Option<PacketId>) {
        if let Some(packet_id) = packet_id {
            self.machine.ack_publish(packet_id);
        }
    }

    /// What is granted; none for 0x80. A filter subscribed to again takes the new quality of service (MQTT-3.8.4-3).
    fn subscribe(&mut self, filter: pollux_mqtt::ByteString, qos: QoS) -> Option<QoS> {
        if !self.session.as_mut()?.subscribe(&filter) {
            return None;
        }
        match self.subscriptions.iter_mut().find(|(known, _)| *known == filter) {
            Some((_, granted)) => *granted = qos,
            // A copy of its own: the filter shares the read buffer.
            None => self.subscriptions.push((pollux_mqtt::ByteString::from(&*filter), qos)),
        }
        Some(qos)
    }

    /// Answers once what the session keeps of the subscriptions is kept.
    fn keep_subscriptions(&mut self, reply: Reply) {
        let Some(session) = &mut self.session else { return };
        match session.keep(&self.subscriptions) {
            Some(kept) => {
                let kept = Box::pin(async move { kept.await.map(|()| Vec::new()) });
                self.work.request(reply, 0, kept);
            }
            None => self.reply(reply),
        }
    }

    /// Answers what the client asked.
    pub(super) fn reply(&mut self, reply: Reply) {
        match reply {
            Reply::Nothing => {}
            Reply::Puback(packet_id) => self.machine.ack_publish(packet_id),
            Reply::Suback(packet_id, granted) => self.machine.suback(packet_id, &granted),
            Reply::Unsuback(packet_id) => self.machine.unsuback(packet_id),
        }
    }

    /// Sends a message if the client subscribed to its topic.
    pub(super) fn send(&mut self, message: Outbound) {
        // Whatever came of it, whoever sent it has no use for it.
        let _unfollowed = self.send_out(message);
    }

    /// Sends a message whose way is followed.
    pub(super) fn follow(&mut self, message: Outbound, receipt: Receipt) {
        let sent = self.send_out(message);
        if let (Some(session), Some(sent)) = (&mut self.session, sent) {
            session.sent(receipt, sent);
        }
    }

    /// Sends a message if the client subscribed to its topic; none where the connection ends.
    fn send_out(&mut self, message: Outbound) -> Option<Sent> {
        let Outbound { topic, payload } = message;
        let covering = self.subscriptions.iter().filter(|(filter, _)| topic::matches(filter, &topic));
        let Some(qos) = covering.map(|(_, qos)| *qos).max() else { return Some(Sent::Unheard) };
        match self.machine.publish(topic, payload, qos) {
            Ok(packet_id) => Some(packet_id.map_or(Sent::Away, Sent::Awaits)),
            Err(PublishError::NotConnected) => None,
            Err(PublishError::Full) => {
                // It does not read: there is no point in waiting until it does.
                self.output.give_up();
                self.end(Ending::Lost, PublishError::Full);
                None
            }
            Err(PublishError::TooLarge) => {
                tracing::warn!(peer = %self.peer, "a message is too large for the device");
                Some(Sent::TooLarge)
            }
        }
    }
}

/// What a message counts for while it is worked on, in bytes: itself, and what each property of its topic takes once it
/// is taken apart. A topic may be thirty thousand of them.
fn weight(topic: &str, payload: &[u8]) -> usize {
    const PROPERTY: usize = 64;
    let properties = topic.bytes().filter(|byte| *byte == b'&').count();
    topic.len() + payload.len() + properties * PROPERTY
}

#[cfg(test)]
mod tests {
    use super::weight;

    #[test]
    fn properties_weigh_what_they_take() {
        assert_eq!(weight("devices/d/messages/events/", b"1234"), 30);
        let most = format!("devices/d/messages/events/{}", "a&".repeat(32_000));
        assert!(weight(&most, b"") > 2_000_000, "it alone fills a connection's share");
    }
}
