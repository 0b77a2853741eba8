//! What the service side wants of a live connection: a bounded queue that takes no memory while it is empty.

use std::collections::VecDeque;
use std::task::Waker;

use futures_util::task::AtomicWaker;
use parking_lot::Mutex;

use super::session::{Close, Command};

/// Commands that may wait. A connection that does not keep up is closed: the device reads its state anew when it comes
/// back.
const ROOM: usize = 64;

/// The queue. One connection takes, anybody puts.
#[derive(Debug, Default)]
pub(super) struct Mailbox {
    queue: Mutex<VecDeque<Command>>,
    waker: AtomicWaker,
}

impl Mailbox {
    /// Puts a command; never waits. A full queue becomes one order to close.
    pub(super) fn put(&self, command: Command) {
        {
            let mut queue = self.queue.lock();
            if let Some(Command::Close(_)) = queue.back() {
                return;
            }
            match command {
                // What waits before it need not be sent any more.
                Command::Close(_) => {
                    queue.clear();
                    queue.push_back(command);
                }
                Command::Send(_) | Command::Follow(..) if queue.len() >= ROOM => {
                    queue.clear();
                    queue.push_back(Command::Close(Close::because("the device does not keep up")));
                }
                Command::Send(_) | Command::Follow(..) => queue.push_back(command),
            }
        }
        self.waker.wake();
    }

    /// The next command; of those that can wait only where there is `room`.
    pub(super) fn take(&self, room: bool) -> Option<Command> {
        let mut queue = self.queue.lock();
        let command = queue.pop_front_if(|next| room || !matches!(next, Command::Follow(..)));
        if queue.is_empty() && queue.capacity() > 0 {
            *queue = VecDeque::new();
        }
        command
    }

    /// Who is woken by the next command. Look into the queue after this, not before.
    pub(super) fn register(&self, waker: &Waker) {
        self.waker.register(waker);
    }
}

#[cfg(test)]
mod tests {
    use super::super::session::Outbound;
    use super::*;

    fn send(number: usize) -> Command {
        Command::Send(Outbound { topic: number.to_string(), payload: bytes::Bytes::new() })
    }

    #[test]
    fn commands_come_out_in_order_and_a_close_comes_at_once() {
        let mailbox = Mailbox::default();
        mailbox.put(send(1));
        mailbox.put(send(2));
        assert_eq!(mailbox.take(true), Some(send(1)));
        mailbox.put(Command::Close(Close::because("enough")));
        mailbox.put(send(3));
        assert_eq!(mailbox.take(true), Some(Command::Close(Close::because("enough"))));
        assert_eq!(mailbox.take(true), None);
    }

    #[test]
    fn what_can_wait_waits_for_room() {
        let mailbox = Mailbox::default();
        let message = Outbound { topic: "t".to_owned(), payload: bytes::Bytes::new() };
        mailbox.put(Command::Follow(message, pollux_model::Etag::new("token")));
        assert_eq!(mailbox.take(false), None);
        assert!(matches!(mailbox.take(true), Some(Command::Follow(..))));
        mailbox.put(send(1));
        assert_eq!(mailbox.take(false), Some(send(1)));
    }

    #[test]
    fn a_full_mailbox_closes_the_connection() {
        let mailbox = Mailbox::default();
        (0..=ROOM).for_each(|number| mailbox.put(send(number)));
        assert!(matches!(mailbox.take(true), Some(Command::Close(_))));
        assert_eq!(mailbox.take(true), None);
    }
}
