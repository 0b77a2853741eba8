//! The one task behind a connected client: it alone touches the socket, reading and writing at the same time.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use bytestring::ByteString;
use rmqtt_codec::types::{Publish, QoS};
use rmqtt_codec::v3::{Codec, Packet, SubscribeReturnCode};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use tokio_util::codec::{Decoder as _, Encoder as _};

use super::handshake::Connected;
use super::{Closed, Incoming};

/// Requests under way before no more are taken.
const MAX_WAITING: usize = 4096;
/// Unsent bytes before no more requests are taken.
const HIGH_WATER: usize = 256 * 1024;
/// Room to read into, in bytes: small, for there are many of us.
const READ: usize = 1024;

/// What the application asks for. Dropping `done` unanswered means: the connection is gone.
#[derive(Debug)]
pub(super) enum Command {
    Publish { topic: ByteString, payload: Bytes, qos: QoS, done: oneshot::Sender<()> },
    Subscribe { filters: Vec<(ByteString, QoS)>, done: oneshot::Sender<Vec<Option<QoS>>> },
    Unsubscribe { filters: Vec<ByteString>, done: oneshot::Sender<()> },
    Disconnect,
    Vanish,
}

/// Who waits for the answer with a packet id.
enum Waiter {
    /// PUBACK or UNSUBACK.
    Done(oneshot::Sender<()>),
    Granted(oneshot::Sender<Vec<Option<QoS>>>),
}

struct Task {
    codec: Codec,
    input: BytesMut,
    output: BytesMut,
    /// Whether the TLS layer may hold bytes back.
    unflushed: bool,
    deliver: mpsc::Sender<Incoming>,
    /// A message for which the application has no room; nothing is decoded meanwhile.
    stalled: Option<Publish>,
    waiting: HashMap<u16, Waiter>,
    last_id: u16,
    keep_alive: Duration,
    last_sent: Instant,
    pinged: Option<Instant>,
    /// The goodbye is in `output`.
    leaving: bool,
}

/// Runs until the connection ends; says why in `closed` before anybody who waits is told.
pub(super) async fn run(
    connected: Connected,
    mut commands: mpsc::Receiver<Command>,
    deliver: mpsc::Sender<Incoming>,
    keep_alive: Duration,
    closed: Arc<OnceLock<Closed>>,
) {
    let mut task = Task {
        codec: connected.codec,
        input: connected.received,
        output: BytesMut::new(),
        unflushed: false,
        deliver,
        stalled: None,
        waiting: HashMap::new(),
        last_id: 0,
        keep_alive,
        last_sent: Instant::now(),
        pinged: None,
        leaving: false,
    };
    let (mut reader, mut writer) = tokio::io::split(connected.stream);
    let why = task.turn(&mut commands, &mut reader, &mut writer).await;
    if why == Closed::ByUs && task.leaving {
        // The goodbye is out; whether the server hears the end of TLS as well does not matter any more.
        let _ = writer.shutdown().await;
    }
    let _ = closed.set(why);
}

impl Task {
    async fn turn<R, W>(
        &mut self,
        commands: &mut mpsc::Receiver<Command>,
        reader: &mut R,
        writer: &mut W,
    ) -> Closed
    where
        R: tokio::io::AsyncRead + Unpin,
        W: tokio::io::AsyncWrite + Unpin,
    {
        let timer = tokio::time::sleep(self.keep_alive * 3 / 4);
        tokio::pin!(timer);
        loop {
            if let Err(why) = self.decode() {
                return why;
            }
            self.input.reserve(READ);
            let takes_commands =
                !self.leaving && self.waiting.len() < MAX_WAITING && self.output.len() < HIGH_WATER;
            let step = tokio::select! {
                read = reader.read_buf(&mut self.input), if self.stalled.is_none() => received(read),
                wrote = write(writer, &mut self.output), if self.unflushed || !self.output.is_empty() => {
                    self.wrote(&wrote)
                }
                command = commands.recv(), if takes_commands => self.command(command, commands),
                () = room(&self.deliver), if self.stalled.is_some() => {
                    self.stalled.take().map_or(Ok(()), |message| self.deliver(message))
                }
                () = &mut timer, if !self.keep_alive.is_zero() => {
                    self.keep_alive().map(|next| timer.as_mut().reset(next))
                }
            };
            if let Err(why) = step {
                return why;
            }
        }
    }

    /// Handles the packets in `input` until the application has no room for a message.
    fn decode(&mut self) -> Result<(), Closed> {
        while self.stalled.is_none() {
            match self.codec.decode(&mut self.input) {
                Ok(Some((packet, _))) => self.handle(packet)?,
                Ok(None) => return Ok(()),
                Err(error) => return Err(Closed::Protocol(error.to_string())),
            }
        }
        Ok(())
    }

    fn handle(&mut self, packet: Packet) -> Result<(), Closed> {
        match packet {
            Packet::Publish(publish) => self.deliver(*publish),
            Packet::PublishAck { packet_id } | Packet::UnsubscribeAck { packet_id } => {
                if let Some(Waiter::Done(done)) = self.waiting.remove(&packet_id.get()) {
                    let _ = done.send(());
                }
                Ok(())
            }
            Packet::SubscribeAck { packet_id, status } => {
                let granted = status.into_iter().map(|code| match code {
                    SubscribeReturnCode::Success(qos) => Some(qos),
                    SubscribeReturnCode::Failure => None,
                });
                if let Some(Waiter::Granted(done)) = self.waiting.remove(&packet_id.get()) {
                    let _ = done.send(granted.collect());
                }
                Ok(())
            }
            Packet::PingResponse => {
                self.pinged = None;
                Ok(())
            }
            other => Err(Closed::Protocol(format!("a packet of type {}", other.packet_type() >> 4))),
        }
    }

    fn deliver(&mut self, publish: Publish) -> Result<(), Closed> {
        if publish.qos == QoS::ExactlyOnce {
            return Err(Closed::Protocol("a message with QoS 2".to_owned()));
        }
        match self.deliver.try_reserve() {
            Err(mpsc::error::TrySendError::Full(())) => {
                self.stalled = Some(publish);
                return Ok(());
            }
            // Without a receiver the application does not care; the server still gets its answer.
            Err(mpsc::error::TrySendError::Closed(())) => {}
            Ok(permit) => {
                let Publish { topic, payload, qos, dup, .. } = publish;
                permit.send(Incoming { topic, payload, qos, dup });
            }
        }
        publish.packet_id.map_or(Ok(()), |packet_id| self.send(Packet::PublishAck { packet_id }))
    }

    /// Takes `first` and what stands behind it in one go, so that they leave in one write.
    fn command(
        &mut self,
        first: Option<Command>,
        commands: &mut mpsc::Receiver<Command>,
    ) -> Result<(), Closed> {
        let mut next = Some(first.unwrap_or(Command::Disconnect));
        while let Some(command) = next {
            self.one(command)?;
            let room = !self.leaving && self.waiting.len() < MAX_WAITING && self.output.len() < HIGH_WATER;
            next = if room { commands.try_recv().ok() } else { None };
        }
        Ok(())
    }

    fn one(&mut self, command: Command) -> Result<(), Closed> {
        match command {
            Command::Publish { topic, payload, qos, done } => {
                let packet_id = if qos == QoS::AtMostOnce {
                    let _ = done.send(());
                    None
                } else {
                    Some(self.wait(Waiter::Done(done)))
                };
                let (dup, retain, properties) = (false, false, None);
                self.send(Packet::from(Publish { dup, retain, qos, topic, packet_id, payload, properties }))
            }
            Command::Subscribe { filters: topic_filters, done } => {
                let packet_id = self.wait(Waiter::Granted(done));
                self.send(Packet::Subscribe { packet_id, topic_filters })
            }
            Command::Unsubscribe { filters: topic_filters, done } => {
                let packet_id = self.wait(Waiter::Done(done));
                self.send(Packet::Unsubscribe { packet_id, topic_filters })
            }
            Command::Disconnect => {
                self.leaving = true;
                self.send(Packet::Disconnect)
            }
            Command::Vanish => Err(Closed::ByUs),
        }
    }

    /// Registers a waiter under the next free packet id.
    fn wait(&mut self, waiter: Waiter) -> std::num::NonZeroU16 {
        loop {
            let id = self.last_id.checked_add(1).unwrap_or(1);
            self.last_id = id;
            if let Some(packet_id) = std::num::NonZeroU16::new(id)
                && !self.waiting.contains_key(&id)
            {
                self.waiting.insert(id, waiter);
                return packet_id;
            }
        }
    }

    fn send(&mut self, packet: Packet) -> Result<(), Closed> {
        self.last_sent = Instant::now();
        self.codec.encode(packet, &mut self.output).map_err(|error| Closed::Protocol(error.to_string()))
    }

    fn wrote(&mut self, wrote: &io::Result<Wrote>) -> Result<(), Closed> {
        match wrote {
            Ok(Wrote::Bytes(0)) => return Err(Closed::ByServer),
            Ok(Wrote::Bytes(_)) => self.unflushed = true,
            Ok(Wrote::Flushed) if self.leaving => return Err(Closed::ByUs),
            Ok(Wrote::Flushed) => self.unflushed = false,
            Err(error) => return Err(broken(error)),
        }
        if self.output.is_empty() {
            // An idle client keeps no buffer.
            self.output = BytesMut::new();
        }
        Ok(())
    }

    /// Pings after three quarters of a keep-alive without a packet of ours. When to look again.
    fn keep_alive(&mut self) -> Result<Instant, Closed> {
        let (now, idle) = (Instant::now(), self.keep_alive * 3 / 4);
        match self.pinged {
            Some(pinged) if now >= pinged + self.keep_alive => return Err(Closed::Silent),
            Some(pinged) => return Ok(pinged + self.keep_alive),
            None if now < self.last_sent + idle => return Ok(self.last_sent + idle),
            None => {}
        }
        self.send(Packet::PingRequest)?;
        self.pinged = Some(now);
        Ok(now + self.keep_alive)
    }
}

enum Wrote {
    Bytes(usize),
    Flushed,
}

/// Writes from `output`, or, when it is empty, pushes out what the TLS layer holds back. May be dropped at any time.
async fn write<W: tokio::io::AsyncWrite + Unpin>(writer: &mut W, output: &mut BytesMut) -> io::Result<Wrote> {
    if output.is_empty() {
        writer.flush().await.map(|()| Wrote::Flushed)
    } else {
        writer.write_buf(output).await.map(Wrote::Bytes)
    }
}

/// Waits until the application has room for a message, or has gone. Only this task sends, so the room stays.
async fn room(deliver: &mpsc::Sender<Incoming>) {
    drop(deliver.reserve().await);
}

fn received(read: io::Result<usize>) -> Result<(), Closed> {
    match read {
        Ok(0) => Err(Closed::ByServer),
        Ok(_) => Ok(()),
        Err(error) => Err(broken(&error)),
    }
}

fn broken(error: &io::Error) -> Closed {
    match error.kind() {
        // TCP or TLS ended without a goodbye.
        io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => {
            Closed::ByServer
        }
        _ => Closed::Broken(error.to_string()),
    }
}
