//! A client of AMQP 1.0 that does one thing after the other, as fast as it goes: our protocol machine over a socket.
//! The same for Pollux and for RabbitMQ.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use bytes::{Bytes, BytesMut};
use pollux_amqp::endpoint::{
    Endpoint, Event, Limits, LinkId, LinkOptions, OpenOptions, Outgoing, SendError, SessionId,
};
use pollux_amqp::performative::{DeliveryState, SenderSettleMode, Source, Target};
use pollux_amqp::sasl::Credentials;
use pollux_amqp::{Body, Header, Message};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::Instant;

/// The format of a message that carries others.
const BATCH_FORMAT: u32 = 0x8001_3700;
/// Bytes read at once.
const READ: usize = 256 * 1024;

/// Who connects, and to what.
#[derive(Debug, Clone)]
pub(super) struct Login {
    pub(super) address: SocketAddr,
    pub(super) host: String,
    pub(super) user: String,
    pub(super) password: String,
}

/// A connection with one session.
pub(super) struct Client {
    stream: TcpStream,
    endpoint: Endpoint,
    input: BytesMut,
    session: Option<SessionId>,
    tag: u64,
    links: u32,
    /// Messages that were sent and are not accepted yet.
    under_way: u32,
}

/// A link on which events come, so many asked for at once.
#[derive(Debug, Clone, Copy)]
pub(super) struct Receiver {
    link: LinkId,
    credit: u32,
}

impl Client {
    /// Connects, shows who it is, begins a session.
    pub(super) async fn connect(login: &Login) -> Result<Self> {
        let stream = TcpStream::connect(login.address).await?;
        stream.set_nodelay(true)?;
        let credentials = Credentials::Plain { user: login.user.clone(), password: login.password.clone() };
        let host = Some(login.host.clone());
        // A reader is not to be held up by what is prudent with strangers.
        let limits = Limits { max_events: 16_384, max_event_bytes: 16 << 20, ..Limits::default() };
        let now = Instant::now().into_std();
        let mut endpoint = Endpoint::client(Arc::new(limits), Some(credentials), host.clone(), now);
        let container_id = "pollux-bench".to_owned();
        endpoint.open(OpenOptions { container_id, hostname: host, ..OpenOptions::default() });
        let input = BytesMut::new();
        let mut client = Self { stream, endpoint, input, session: None, tag: 0, links: 0, under_way: 0 };
        loop {
            match client.event().await.context("it is not let in")? {
                Event::Opened(_) => drop(client.endpoint.begin_session()?),
                Event::SessionBegun(session) => {
                    client.session = Some(session);
                    return Ok(client);
                }
                _ => {}
            }
        }
    }

    /// A link to send on, when the peer takes something.
    pub(super) async fn sender(&mut self, target: Target) -> Result<LinkId> {
        let options = LinkOptions {
            source: Some(Source::at("bench")),
            target: Some(target),
            snd_settle_mode: SenderSettleMode::Unsettled,
            ..LinkOptions::default()
        };
        let name = self.link_name();
        let link = self.endpoint.attach_sender(self.session()?, name, options)?;
        while self.endpoint.credit(link) == 0 {
            self.event().await?;
        }
        Ok(link)
    }

    /// Sends a message; there may be so many that are not accepted.
    pub(super) async fn send(&mut self, link: LinkId, sent: &Sent, window: u32) -> Result<()> {
        loop {
            let tag = self.tag.to_be_bytes();
            let (message_format, payload) = (sent.format, sent.payload.clone());
            let outgoing = Outgoing { tag: &tag, message_format, payload, settled: false };
            match self.endpoint.send(link, outgoing) {
                Ok(_) => break,
                Err(SendError::TooLarge(_) | SendError::TagTooLong | SendError::NotAttached) => {
                    bail!("a message was not taken")
                }
                Err(_) => drop(self.event().await?),
            }
        }
        self.tag += 1;
        self.under_way += 1;
        while self.under_way > window {
            self.event().await?;
        }
        Ok(())
    }

    /// Waits until all that was sent is accepted.
    pub(super) async fn accepted(&mut self) -> Result<()> {
        while self.under_way > 0 {
            self.event().await?;
        }
        Ok(())
    }

    /// A link on which events come settled.
    pub(super) async fn receiver(&mut self, source: Source, credit: u32) -> Result<Receiver> {
        let options = LinkOptions {
            source: Some(source),
            target: Some(Target::at("bench")),
            snd_settle_mode: SenderSettleMode::Settled,
            ..LinkOptions::default()
        };
        let name = self.link_name();
        let link = self.endpoint.attach_receiver(self.session()?, name, options)?;
        loop {
            if let Event::Attached(attached) = self.event().await?
                && attached.link == link
            {
                self.endpoint.grant(link, credit);
                return Ok(Receiver { link, credit });
            }
        }
    }

    /// The next message.
    pub(super) async fn receive(&mut self, receiver: Receiver) -> Result<Bytes> {
        loop {
            let Event::Delivery(delivery) = self.event().await? else { continue };
            // What comes of a link that was left is not meant.
            if delivery.link == receiver.link {
                // Not earlier: RabbitMQ's plugin sends more than it may when a flow meets what is under way.
                if self.endpoint.credit(receiver.link) == 0 {
                    self.endpoint.grant(receiver.link, receiver.credit);
                }
                return Ok(delivery.payload);
            }
        }
    }

    /// Leaves a link.
    pub(super) fn detach(&mut self, receiver: Receiver) {
        self.endpoint.detach(receiver.link, None);
    }

    fn session(&self) -> Result<SessionId> {
        self.session.context("there is no session")
    }

    fn link_name(&mut self) -> String {
        self.links += 1;
        format!("bench-{}", self.links)
    }

    /// The next event. What ends something is an error.
    async fn event(&mut self) -> Result<Event> {
        loop {
            let Some(event) = self.endpoint.next_event() else {
                self.turn().await?;
                continue;
            };
            match &event {
                Event::Settled { first, last, state: Some(DeliveryState::Accepted), .. } => {
                    self.under_way = self.under_way.saturating_sub(last.since(*first) + 1);
                }
                Event::Settled { state, .. } => bail!("a message was not accepted: {state:?}"),
                Event::Detached { .. } | Event::SessionEnded { .. } | Event::Closed { .. } => {
                    bail!("the server ends what it should not: {event:?}")
                }
                _ => {}
            }
            return Ok(event);
        }
    }

    /// Takes what was read; where that is nothing, writes what there is and reads.
    async fn turn(&mut self) -> Result<()> {
        let left = self.input.len();
        self.endpoint.receive(&mut self.input, Instant::now().into_std());
        if self.input.len() < left {
            return Ok(());
        }
        while let Some(output) = self.endpoint.take_output() {
            self.stream.write_all(&output).await?;
        }
        self.input.reserve(READ);
        if self.stream.read_buf(&mut self.input).await? == 0 {
            bail!("the server closed the connection");
        }
        Ok(())
    }
}

/// A message as it is sent: one event, or a batch of them.
#[derive(Debug, Clone)]
pub(super) struct Sent {
    format: u32,
    payload: Bytes,
}

impl Sent {
    /// So many events of this size in one message.
    pub(super) fn events(size: usize, batch: usize) -> Self {
        let event = Message { body: Body::data(vec![b'x'; size]), ..Message::default() }.encode();
        if batch == 1 {
            return Self { format: 0, payload: event };
        }
        let outer = Message { body: Body::Data(vec![event; batch]), ..Message::default() };
        Self { format: BATCH_FORMAT, payload: outer.encode() }
    }

    /// One that a queue is to keep on disk.
    pub(super) fn durable(size: usize) -> Self {
        let header = Some(Header { durable: Some(true), ..Header::default() });
        let message = Message { header, body: Body::data(vec![b'x'; size]), ..Message::default() };
        Self { format: 0, payload: message.encode() }
    }
}

#[cfg(test)]
mod tests {
    use pollux_amqp::Sections;

    use super::*;

    #[test]
    fn a_batch_carries_encoded_events_and_fits_into_a_message() {
        let one = Sent::events(256, 1);
        assert_eq!(one.format, 0);
        let batch = Sent::events(256, 100);
        assert_eq!(batch.format, BATCH_FORMAT);
        let Body::Data(pieces) = Sections::find(batch.payload).unwrap().body().unwrap() else {
            panic!("a batch is data")
        };
        assert!(pieces.len() == 100 && pieces.iter().all(|piece| *piece == one.payload));
        assert!(Sent::events(1024, 1000).payload.len() as u64 <= Limits::default().max_message_size);
        assert_eq!(Message::decode(Sent::durable(9).payload).unwrap().header.unwrap().durable, Some(true));
    }
}
