//! What runs beside a connection: one batch of messages, and requests one after the other.

use std::collections::VecDeque;
use std::task::{Context, Poll};

use futures_util::future::BoxFuture;
use pollux_mqtt::{Limits, PacketId, QoS};

use super::Driver;
use crate::mqtt::session::{BatchEnd, Close, Ending, Outbound, Session};

/// How a request ended: with answers for the device, or with the end of the connection.
type RequestEnd = Result<Vec<Outbound>, Close>;

/// What the client is told when a request has ended well.
pub(super) enum Reply {
    /// It asked for none.
    Nothing,
    /// To a message.
    Puback(PacketId),
    /// To a SUBSCRIBE, with what is granted.
    Suback(PacketId, Vec<Option<QoS>>),
    /// To an UNSUBSCRIBE.
    Unsuback(PacketId),
}

/// A request that runs or waits its turn.
struct Request {
    reply: Reply,
    bytes: usize,
    future: BoxFuture<'static, RequestEnd>,
}

/// A batch on its way to the disk.
struct Batch {
    packets: Packets,
    future: BoxFuture<'static, BatchEnd>,
}

/// The messages of a batch in their order.
#[derive(Debug, Default)]
struct Packets {
    /// Their packet ids; none for QoS 0.
    ids: Vec<Option<PacketId>>,
    bytes: usize,
}

/// What the device sent and is not yet answered for. QoS 0 counts as well.
#[derive(Default)]
pub(super) struct Work {
    collected: Packets,
    running: Option<Box<Batch>>,
    requests: VecDeque<Request>,
    request_bytes: usize,
}

impl Work {
    pub(super) fn is_empty(&self) -> bool {
        self.collected.ids.is_empty() && self.running.is_none() && self.requests.is_empty()
    }

    /// Whether the device must wait before it may send more.
    pub(super) fn is_full(&self, limits: &Limits) -> bool {
        let running =
            self.running.as_ref().map_or((0, 0), |batch| (batch.packets.ids.len(), batch.packets.bytes));
        self.collected.ids.len() + running.0 + self.requests.len() >= limits.max_inflight_in
            || self.collected.bytes + running.1 + self.request_bytes >= limits.max_inflight_in_bytes
    }

    /// A message that the session keeps for its next batch.
    pub(super) fn collect(&mut self, packet_id: Option<PacketId>, bytes: usize) {
        self.collected.ids.push(packet_id);
        self.collected.bytes += bytes;
    }

    /// A request that runs after those before it.
    pub(super) fn request(&mut self, reply: Reply, bytes: usize, future: BoxFuture<'static, RequestEnd>) {
        self.request_bytes += bytes;
        self.requests.push_back(Request { reply, bytes, future });
    }

    /// Starts the next batch when there is one and none runs.
    pub(super) fn start_batch(&mut self, session: &mut dyn Session) -> bool {
        if self.running.is_some() || self.collected.ids.is_empty() {
            return false;
        }
        let packets = std::mem::take(&mut self.collected);
        self.running = Some(Box::new(Batch { packets, future: session.batch() }));
        true
    }

    /// Forgets everything.
    pub(super) fn abandon(&mut self) {
        *self = Self::default();
    }

    fn poll_batch(&mut self, cx: &mut Context<'_>) -> Option<(Packets, BatchEnd)> {
        let Poll::Ready(end) = self.running.as_mut()?.future.as_mut().poll(cx) else { return None };
        self.running.take().map(|batch| (batch.packets, end))
    }

    fn poll_request(&mut self, cx: &mut Context<'_>) -> Option<(Reply, RequestEnd)> {
        let Poll::Ready(outcome) = self.requests.front_mut()?.future.as_mut().poll(cx) else { return None };
        let request = self.requests.pop_front()?;
        self.request_bytes -= request.bytes;
        if self.requests.is_empty() {
            self.requests = VecDeque::new();
        }
        Some((request.reply, outcome))
    }
}

impl<S> Driver<S> {
    /// Takes what has ended: acknowledges, answers.
    pub(super) fn poll_work(&mut self, cx: &mut Context<'_>) -> bool {
        let mut moved = false;
        if let Some((packets, end)) = self.work.poll_batch(cx) {
            moved = true;
            for packet_id in packets.ids.into_iter().take(end.durable).flatten() {
                self.machine.ack_publish(packet_id);
            }
            if let Some(close) = end.close {
                self.end(Ending::Lost, close.reason);
            }
        }
        while let Some((reply, outcome)) = self.work.poll_request(cx) {
            moved = true;
            match outcome {
                Ok(answers) => {
                    self.reply(reply);
                    answers.into_iter().for_each(|answer| self.send(answer));
                }
                Err(close) => self.end(Ending::Lost, close.reason),
            }
        }
        moved
    }
}
