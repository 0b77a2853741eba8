//! Requests to other nodes and their answers, over NATS without JetStream.
//!
//! ```text
//! <prefix>.append.v1.<tag>                 to the log with this tag: hand-overs, and (empty) hellos
//! <prefix>.appended.v1.<tag>.<number>      the answer to one request of the log with this tag
//! ```
//!
//! A release that words its messages otherwise, or sees another node come first (`tag`), takes another `v1`: nodes
//! that do not understand each other find nobody there. Answers have subjects of their own rather than `_INBOX` so that
//! the rights an account has needed so far suffice.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use async_nats::{Message, PublishErrorKind, StatusCode, Subscriber};
use bytes::Bytes;
use futures_util::StreamExt;
use parking_lot::Mutex;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::super::tag::Tag;
use super::super::wire::{Failure, Link, Wire};
use super::message::Reply;

/// How often a node that has been handed something is asked whether it is still there.
const PROBE: Duration = Duration::from_secs(1);
/// How long the answer of a node that takes no more requests is waited for: it may be ending in good order.
const GRACE: Duration = Duration::from_secs(1);

/// What this node has asked others.
#[derive(Debug)]
pub(crate) struct Exchange {
    wire: Wire,
    prefix: String,
    own: Tag,
    open: AtomicBool,
    waiting: Mutex<HashMap<u64, oneshot::Sender<Message>>>,
    next: AtomicU64,
    handed_over: AtomicU64,
}

/// A place in the list of those who wait.
struct Waiting<'a>(&'a Exchange, u64);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.lock().remove(&self.1);
    }
}

impl Exchange {
    pub(crate) fn new(wire: Wire, prefix: &str, own: Tag) -> Self {
        Self {
            wire,
            prefix: prefix.to_owned(),
            own,
            open: AtomicBool::new(true),
            waiting: Mutex::default(),
            next: AtomicU64::new(0),
            handed_over: AtomicU64::new(0),
        }
    }

    /// This node's tag.
    pub(crate) fn own(&self) -> Tag {
        self.own
    }

    /// What requests to this node come on.
    pub(crate) fn requests(&self) -> String {
        self.requests_to(self.own)
    }

    fn requests_to(&self, to: Tag) -> String {
        format!("{}.append.v1.{}", self.prefix, to.hex())
    }

    /// What answers to this node come on.
    pub(crate) fn answers(&self) -> String {
        format!("{}.appended.v1.{}.*", self.prefix, self.own.hex())
    }

    /// Whether a request wants its answer where answers belong.
    pub(super) fn is_answer(&self, subject: &str) -> bool {
        let rest = subject.strip_prefix(&self.prefix).and_then(|rest| rest.strip_prefix(".appended.v1."));
        rest.and_then(|rest| rest.split_once('.')).is_some_and(|(tag, number)| {
            tag.bytes().all(|b| b.is_ascii_hexdigit()) && number.bytes().all(|b| b.is_ascii_digit())
        })
    }

    /// Whether requests have a chance to be answered.
    pub(super) fn is_open(&self) -> bool {
        self.open.load(Ordering::SeqCst)
    }

    /// The log is closed: who still waits is told, nothing more is handed over.
    pub(crate) fn close(&self) {
        self.open.store(false, Ordering::SeqCst);
        self.waiting.lock().clear();
    }

    /// How many groups of calls this node has handed over and had acknowledged.
    pub(crate) fn handed_over(&self) -> u64 {
        self.handed_over.load(Ordering::Relaxed)
    }

    pub(super) fn count_handed_over(&self) {
        metrics::counter!("pollux_events_frames_handed_over_total").increment(1);
        self.handed_over.fetch_add(1, Ordering::Relaxed);
    }

    /// Takes in the answers.
    pub(crate) async fn listen(&self, mut answers: Subscriber) {
        while let Some(answer) = answers.next().await {
            let number = answer.subject.rsplit('.').next().and_then(|number| number.parse().ok());
            let asked = number.and_then(|number: u64| self.waiting.lock().remove(&number));
            if let Some(asked) = asked {
                // Whoever asked may have given up.
                drop(asked.send(answer));
            }
        }
        self.close();
    }

    /// Asks whether a node is there and answers.
    pub(super) async fn hello(&self, to: Tag, deadline: Instant) -> Result<(), Failure> {
        self.send(to, Bytes::new(), deadline).await.map(drop)
    }

    /// Asks a node, and waits for the answer as long as the node is there. [`Failure::Gone`] and
    /// [`Failure::Refused`]: it certainly has not got the request.
    pub(super) async fn ask(&self, to: Tag, body: Bytes, deadline: Instant) -> Result<Reply, Failure> {
        let answer = self.send(to, body, deadline);
        tokio::pin!(answer);
        loop {
            tokio::select! {
                reply = &mut answer => return reply,
                () = tokio::time::sleep(PROBE) => {}
            }
            tokio::select! {
                reply = &mut answer => return reply,
                there = self.hello(to, Instant::now() + PROBE) => {
                    if there == Err(Failure::Gone) {
                        let late = tokio::time::timeout(GRACE, answer).await;
                        let gone = "the node that these records were handed to has gone".to_owned();
                        return late.unwrap_or(Err(Failure::Uncertain(gone)));
                    }
                }
            }
        }
    }

    async fn send(&self, to: Tag, body: Bytes, deadline: Instant) -> Result<Reply, Failure> {
        let mut link = self.wire.link.clone();
        let connected = tokio::time::timeout_at(deadline, link.wait_for(|link| link.up)).await;
        let Ok(Ok(Link { epoch, .. })) = connected.map(|answer| answer.map(|link| *link)) else {
            return Err(Failure::Refused("there is no connection to NATS".to_owned()));
        };
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let (asked, answer) = oneshot::channel();
        self.waiting.lock().insert(number, asked);
        let _waiting = Waiting(self, number);
        tokio::select! {
            reply = tokio::time::timeout_at(deadline, self.exchange(to, number, body, answer)) => {
                reply.unwrap_or_else(|_| Err(Failure::Uncertain("the writer did not answer in time".to_owned())))
            }
            _ = link.wait_for(|link| link.epoch != epoch) => {
                Err(Failure::Uncertain("the connection to NATS was lost".to_owned()))
            }
        }
    }

    async fn exchange(
        &self,
        to: Tag,
        number: u64,
        body: Bytes,
        answer: oneshot::Receiver<Message>,
    ) -> Result<Reply, Failure> {
        let reply_to = format!("{}.appended.v1.{}.{number}", self.prefix, self.own.hex());
        let sent = self.wire.client.publish_with_reply(self.requests_to(to), reply_to, body).await;
        sent.map_err(|error| match error.kind() {
            PublishErrorKind::MaxPayloadExceeded | PublishErrorKind::InvalidSubject => {
                Failure::Refused(error.to_string())
            }
            PublishErrorKind::Send => Failure::Uncertain(error.to_string()),
        })?;
        let answer = answer.await.map_err(|_| Failure::Uncertain("the log is closed".to_owned()))?;
        match answer.status {
            Some(StatusCode::NO_RESPONDERS) => Err(Failure::Gone),
            _ => Reply::decode(answer.payload)
                .ok_or_else(|| Failure::Uncertain("the writer's answer cannot be read".to_owned())),
        }
    }
}
