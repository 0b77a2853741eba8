//! Reading and writing, without a buffer of its own while nothing is under way.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf as _, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use super::Driver;

/// Read at once: the plaintext of one TLS record.
const CHUNK: usize = 16 * 1024;
/// Read before what came is looked at, in bytes.
const BATCH: usize = 64 * 1024;
/// How long the client may leave us waiting with a full socket.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);

thread_local! {
    /// Where bytes are read to before they are copied: one for all connections of a thread, so that those that wait
    /// for bytes hold no buffer.
    static SCRATCH: RefCell<Box<[u8]>> = RefCell::new(vec![0; CHUNK].into_boxed_slice());
}

/// Bytes on their way to the client.
#[derive(Debug, Default)]
pub(super) struct Output {
    bytes: Bytes,
    /// Written to the stream but perhaps not to the socket.
    unflushed: bool,
    /// Nothing more can be written.
    given_up: bool,
    /// The socket has been full until now; this is when it has been for too long.
    deadline: Option<Instant>,
}

impl Output {
    /// Whether nothing waits to be written.
    pub(super) const fn is_out(&self) -> bool {
        self.given_up || self.bytes.is_empty() && !self.unflushed
    }

    pub(super) const fn given_up(&self) -> bool {
        self.given_up
    }

    /// Forgets what waits: the client will not take it.
    pub(super) fn give_up(&mut self) {
        *self = Self { given_up: true, ..Self::default() };
    }

    pub(super) const fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    pub(super) fn overdue(&self, now: Instant) -> bool {
        self.deadline.is_some_and(|deadline| deadline <= now)
    }

    fn stuck(&mut self) {
        self.deadline.get_or_insert_with(|| Instant::now() + WRITE_TIMEOUT);
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Driver<S> {
    /// Reads what is there, as far as the machine and the work under way allow; whether anything came.
    pub(super) fn poll_read(&mut self, cx: &mut Context<'_>) -> bool {
        if self.eof || !self.machine.wants_read() || self.is_full() {
            return false;
        }
        let (stream, input) = (&mut self.stream, &mut self.input);
        let read = SCRATCH.with_borrow_mut(|scratch| read_all(Pin::new(stream), cx, scratch, input));
        match read {
            Ok(Read { bytes, eof }) => {
                self.eof = eof;
                eof || bytes > 0
            }
            Err(error) => {
                // Whoever breaks a TLS connection without closing it comes here too.
                tracing::trace!(peer = %self.peer, %error, "cannot read");
                self.eof = true;
                true
            }
        }
    }

    /// Writes what there is; whether anything was taken from the machine.
    pub(super) fn poll_write(&mut self, cx: &mut Context<'_>) -> bool {
        let mut moved = false;
        loop {
            if self.output.bytes.is_empty() {
                let Some(bytes) = self.machine.take_output() else { break };
                moved = true;
                if self.output.given_up {
                    continue;
                }
                self.output.bytes = bytes;
            }
            match Pin::new(&mut self.stream).poll_write(cx, &self.output.bytes) {
                Poll::Ready(Ok(written @ 1..)) => {
                    self.output.bytes.advance(written);
                    (self.output.unflushed, self.output.deadline) = (true, None);
                }
                Poll::Ready(Ok(0)) => return self.cannot_write(&io::ErrorKind::WriteZero.into()),
                Poll::Ready(Err(error)) => return self.cannot_write(&error),
                Poll::Pending => {
                    self.output.stuck();
                    return moved;
                }
            }
        }
        // An empty `Bytes` may still hold the buffer it was cut from.
        self.output.bytes = Bytes::new();
        if !self.output.unflushed {
            return moved;
        }
        match Pin::new(&mut self.stream).poll_flush(cx) {
            Poll::Ready(Ok(())) => (self.output.unflushed, self.output.deadline) = (false, None),
            Poll::Ready(Err(error)) => return self.cannot_write(&error),
            Poll::Pending => self.output.stuck(),
        }
        moved
    }

    fn cannot_write(&mut self, error: &io::Error) -> bool {
        self.output.give_up();
        self.end(crate::mqtt::session::Ending::Lost, error);
        true
    }
}

struct Read {
    bytes: usize,
    eof: bool,
}

fn read_all<S: AsyncRead>(
    mut stream: Pin<&mut S>,
    cx: &mut Context<'_>,
    scratch: &mut [u8],
    input: &mut BytesMut,
) -> io::Result<Read> {
    let mut bytes = 0;
    while bytes < BATCH {
        let mut chunk = ReadBuf::new(scratch);
        match stream.as_mut().poll_read(cx, &mut chunk)? {
            Poll::Pending => break,
            Poll::Ready(()) if chunk.filled().is_empty() => return Ok(Read { bytes, eof: true }),
            Poll::Ready(()) => {
                bytes += chunk.filled().len();
                input.extend_from_slice(chunk.filled());
            }
        }
    }
    Ok(Read { bytes, eof: false })
}
