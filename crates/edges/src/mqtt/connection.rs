//! One MQTT connection: the socket, the protocol machine and the session behind it, as one hand-written future.
//!
//! Written by hand rather than as an `async fn` so that an idle connection is small and a woken one does all there is to
//! do: reads what is there, hands it on, takes what has ended, and writes once. Sockets are in `io`, what the client
//! sent is in `events`, what runs beside the connection is in `work`.
//!
//! ```text
//!   Serving ─(goodbye, loss, close, shutdown)─▶ Draining ─(work done, output out)─▶ Closing ─▶ gone
//! ```

mod events;
mod io;
mod work;

use std::fmt::Display;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::BytesMut;
use futures_util::future::BoxFuture;
use pollux_mqtt::{ByteString, Connect, ConnectRefusal, Connection, QoS};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, Sleep};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use super::mailbox::Mailbox;
use super::open::open;
use super::session::{Command, Ending, Session};
use super::{Mqtt, status};
use crate::accept::Admission;
use crate::peer::Peer;
use io::Output;
use work::Work;

/// How long a connection that ends may take to finish what the device sent and to write its acknowledgements.
const DRAIN: Duration = Duration::from_secs(5);
/// How long closing the stream and the last will may take after that.
const CLOSE: Duration = Duration::from_secs(2);

/// What a CONNECT led to.
type Opened = Result<Box<dyn Session>, ConnectRefusal>;

/// The future of one connection. About 750 bytes beside the stream.
pub(super) struct Driver<S> {
    stream: S,
    edge: Arc<Mqtt>,
    peer: Peer,
    admission: Option<Admission>,
    started: Instant,
    phase: Phase,
    machine: Connection,
    /// What was read and is not yet a whole packet.
    input: BytesMut,
    /// The client will send nothing more.
    eof: bool,
    output: Output,
    /// The decision about the CONNECT.
    opening: Option<BoxFuture<'static, Opened>>,
    session: Option<Box<dyn Session>>,
    counted: Option<Counted>,
    /// What the service side wants of this connection.
    mailbox: Arc<Mailbox>,
    subscriptions: Vec<(ByteString, QoS)>,
    work: Work,
    /// When the credential runs out.
    expires: Option<Instant>,
    timer: Pin<Box<Sleep>>,
    shutdown: Pin<Box<WaitForCancellationFutureOwned>>,
}

const _: () = assert!(size_of::<Driver<()>>() <= 768, "ten thousand idle connections are meant to be cheap");

enum Phase {
    Serving,
    /// Nothing more is read; what runs may end.
    Draining {
        how: Ending,
        until: Instant,
    },
    Closing {
        until: Instant,
        /// Whether the stream is still to be closed.
        open: bool,
        /// What the session has left to do.
        farewell: Option<BoxFuture<'static, ()>>,
    },
}

/// Counts an accepted connection while it lives.
struct Counted;

impl Counted {
    fn new() -> Self {
        metrics::counter!("pollux_mqtt_connections_total").increment(1);
        metrics::gauge!("pollux_mqtt_connections").increment(1.0);
        Self
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        metrics::gauge!("pollux_mqtt_connections").decrement(1.0);
    }
}

impl<S> Driver<S> {
    pub(super) fn new(
        edge: Arc<Mqtt>,
        stream: S,
        peer: Peer,
        admission: Option<Admission>,
        shutdown: &CancellationToken,
    ) -> Self {
        let started = Instant::now();
        let machine = Connection::new(Arc::clone(&edge.limits), Duration::ZERO);
        let timer = Box::pin(tokio::time::sleep_until(started + edge.limits.connect_timeout));
        Self {
            stream,
            edge,
            peer,
            admission,
            started,
            phase: Phase::Serving,
            machine,
            input: BytesMut::new(),
            eof: false,
            output: Output::default(),
            opening: None,
            session: None,
            counted: None,
            mailbox: Arc::default(),
            subscriptions: Vec::new(),
            work: Work::default(),
            expires: None,
            timer,
            // A token of its own: polling it takes a lock, which ten thousand connections should not share.
            shutdown: Box::pin(shutdown.child_token().cancelled_owned()),
        }
    }

    /// Begins the end, once.
    fn end(&mut self, how: Ending, reason: impl Display) {
        if !self.is_serving() {
            return;
        }
        tracing::debug!(peer = %self.peer, ?how, "MQTT connection ends: {reason}");
        if how == Ending::Closed {
            // Its right to be here is gone: what was not acknowledged is not.
            self.work.abandon();
        }
        self.opening = None;
        self.phase = Phase::Draining { how, until: Instant::now() + DRAIN };
    }

    fn is_serving(&self) -> bool {
        matches!(self.phase, Phase::Serving)
    }

    /// Whether the device must wait for what it sent before it may send more.
    fn is_full(&self) -> bool {
        self.work.is_full(&self.edge.limits)
    }

    /// Time on the machine's scale.
    fn elapsed(&self, now: Instant) -> Duration {
        now.duration_since(self.started)
    }

    fn begin_open(&mut self, connect: Box<Connect>) {
        let opening = open(Arc::clone(&self.edge), connect, self.peer.clone(), Arc::clone(&self.mailbox));
        let patience = self.edge.limits.connect_timeout;
        self.opening = Some(Box::pin(async move {
            let decided = tokio::time::timeout(patience, opening).await;
            decided.unwrap_or(Err(status::refusal(pollux_model::ErrorCode::Unavailable)))
        }));
    }

    fn poll_open(&mut self, cx: &mut Context<'_>, now: Instant) -> bool {
        let Some(opening) = &mut self.opening else { return false };
        let Poll::Ready(opened) = opening.as_mut().poll(cx) else { return false };
        self.opening = None;
        match opened {
            Ok(mut session) => {
                let clock = &self.edge.services.context.clock;
                let left = session.expires().map(|at| at.since(clock.now()));
                self.expires = left.and_then(|left| now.checked_add(left));
                let resumed = session.resumed();
                self.session = Some(session);
                self.counted = Some(Counted::new());
                if let Some(admission) = &mut self.admission {
                    admission.settled();
                }
                self.machine.accept(resumed.is_some(), self.elapsed(now));
                self.subscriptions = resumed.unwrap_or_default();
            }
            Err(refusal) => {
                metrics::counter!("pollux_mqtt_refused_total").increment(1);
                self.machine.refuse(refusal);
                self.end(Ending::Lost, "CONNECT refused");
            }
        }
        true
    }

    /// Does what the service side wants.
    fn poll_mailbox(&mut self, cx: &Context<'_>) -> bool {
        // Before the session stands nothing is put in, but a takeover may come with the acceptance.
        if self.session.is_none() {
            return false;
        }
        self.mailbox.register(cx.waker());
        let mut moved = false;
        while let Some(command) = self.mailbox.take(self.output.is_out()) {
            moved = true;
            match command {
                Command::Send(message) => self.send(message),
                Command::Follow(message, receipt) => self.follow(message, receipt),
                Command::Close(close) => self.end(Ending::Closed, close.reason),
            }
        }
        moved
    }

    /// Looks whether anything has taken too long.
    fn on_time(&mut self, now: Instant) {
        if self.output.overdue(now) {
            self.output.give_up();
            self.end(Ending::Lost, "the client does not read");
        }
        let full = self.is_full();
        match &mut self.phase {
            Phase::Serving => {
                // A client that is not listened to is not silent.
                if !full {
                    self.machine.on_timeout(now.duration_since(self.started));
                }
                if self.expires.is_some_and(|at| at <= now) {
                    self.end(Ending::Lost, "its token has expired");
                }
            }
            Phase::Draining { until, .. } if *until <= now => {
                self.work.abandon();
                self.output.give_up();
            }
            Phase::Closing { until, open, farewell } if *until <= now => {
                (*open, *farewell) = (false, None);
            }
            Phase::Draining { .. } | Phase::Closing { .. } => {}
        }
    }

    /// Sleeps until something may have taken too long.
    fn arm(&mut self, cx: &mut Context<'_>) {
        let phase = match self.phase {
            Phase::Serving => {
                let silence = self.machine.next_deadline().filter(|_| !self.is_full());
                let silence = silence.and_then(|at| self.started.checked_add(at));
                silence.into_iter().chain(self.expires).min()
            }
            Phase::Draining { until, .. } | Phase::Closing { until, .. } => Some(until),
        };
        let Some(wanted) = phase.into_iter().chain(self.output.deadline()).min() else { return };
        // Deadlines mostly move away; the timer is set anew when it has fired, not with every packet.
        if self.timer.is_elapsed() || self.timer.deadline() > wanted {
            self.timer.as_mut().reset(wanted);
        }
        if self.timer.as_mut().poll(cx).is_ready() {
            cx.waker().wake_by_ref();
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Driver<S> {
    /// Everything that can be done now, once round; whether anything was.
    fn turn(&mut self, cx: &mut Context<'_>, now: Instant) -> bool {
        let serving = self.is_serving();
        let mut moved = false;
        if serving {
            moved |= self.poll_mailbox(cx);
            moved |= self.poll_open(cx, now);
        }
        moved |= self.poll_work(cx);
        if serving {
            moved |= self.poll_read(cx);
            moved |= self.handle_events(now);
        }
        if let Some(session) = &mut self.session {
            moved |= self.work.start_batch(&mut **session);
        }
        let was_out = self.output.is_out();
        moved |= self.poll_write(cx);
        // Whatever waits for that can go now.
        moved |= !was_out && self.output.is_out();
        if let Phase::Draining { how, .. } = self.phase
            && self.work.is_empty()
            && self.output.is_out()
        {
            self.depart(how);
            moved = true;
        }
        moved
    }

    /// From draining to closing: the session gives up its place.
    fn depart(&mut self, how: Ending) {
        let farewell = self.session.take().and_then(|session| session.ended(how));
        self.counted = None;
        let open = !self.output.given_up();
        self.phase = Phase::Closing { until: Instant::now() + CLOSE, open, farewell };
    }

    /// Whether everything is over.
    fn poll_close(&mut self, cx: &mut Context<'_>) -> bool {
        let Phase::Closing { open, farewell, .. } = &mut self.phase else { return false };
        if *open && Pin::new(&mut self.stream).poll_shutdown(cx).is_ready() {
            *open = false;
        }
        if farewell.as_mut().is_some_and(|future| future.as_mut().poll(cx).is_ready()) {
            *farewell = None;
        }
        !*open && farewell.is_none()
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Future for Driver<S> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        let now = Instant::now();
        this.on_time(now);
        if this.is_serving() && this.shutdown.as_mut().poll(cx).is_ready() {
            this.end(Ending::Shutdown, "the server shuts down");
        }
        while !matches!(this.phase, Phase::Closing { .. }) && this.turn(cx, now) {}
        if this.poll_close(cx) {
            return Poll::Ready(());
        }
        this.arm(cx);
        Poll::Pending
    }
}
