//! Messages for the peer that wait for a link's credit.

use std::collections::VecDeque;

use bytes::Bytes;
use pollux_amqp::endpoint::{Endpoint, LinkId, Outgoing};
use pollux_model::{Error, ErrorCode, Result};

/// Encoded messages of which nobody hears again: they are sent settled, in their order.
#[derive(Default)]
pub(super) struct Outbox(VecDeque<Bytes>);

impl Outbox {
    /// Puts one at the end, where no more than `most` wait. [`ErrorCode::QuotaExceeded`].
    pub(super) fn put(&mut self, message: Bytes, most: usize) -> Result<()> {
        if self.0.len() >= most {
            let text = format!("more than {most} messages wait for credit on this link");
            return Err(Error::new(ErrorCode::QuotaExceeded, text));
        }
        self.0.push_back(message);
        Ok(())
    }

    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Sends what there is credit for.
    pub(super) fn send(&mut self, endpoint: &mut Endpoint, link: LinkId) {
        while let Some(payload) = self.0.front() {
            let outgoing =
                Outgoing { tag: b"answer", message_format: 0, payload: payload.clone(), settled: true };
            if endpoint.send(link, outgoing).is_err() {
                break;
            }
            self.0.pop_front();
        }
        if self.0.is_empty() && self.0.capacity() > 0 {
            self.0 = VecDeque::new();
        }
    }
}
