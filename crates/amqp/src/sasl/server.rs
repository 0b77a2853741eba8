//! The server's part: offers mechanisms, passes the client's choice on, and waits for the caller's verdict.

use bytes::Bytes;

use super::{Code, Init, Response, SaslFrame};
use crate::value::Symbol;

/// Whose turn it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// The mechanisms are out; the client chooses.
    Offered,
    /// The caller decides.
    Deciding,
    /// A challenge is out; the client answers.
    Challenged,
    Done,
}

/// What the client did.
#[derive(Debug)]
pub(crate) enum Step {
    Init(Init),
    Response(Response),
}

#[derive(Debug)]
pub(crate) struct Server {
    offered: Vec<Symbol>,
    state: State,
}

impl Server {
    pub(crate) fn new(offered: Vec<Symbol>) -> Self {
        Self { offered, state: State::Offered }
    }

    /// The frame that begins the exchange.
    pub(crate) fn offer(&self) -> SaslFrame {
        SaslFrame::Mechanisms(self.offered.clone())
    }

    /// Takes a frame of the client. `Err` with what it did wrong: the exchange has failed then.
    pub(crate) fn receive(&mut self, frame: SaslFrame) -> Result<Step, String> {
        match (self.state, frame) {
            (State::Offered, SaslFrame::Init(init)) if self.offered.contains(&init.mechanism) => {
                self.state = State::Deciding;
                Ok(Step::Init(init))
            }
            (State::Offered, SaslFrame::Init(init)) => {
                self.state = State::Done;
                Err(format!("{} is not among the mechanisms offered", init.mechanism))
            }
            (State::Challenged, SaslFrame::Response(response)) => {
                self.state = State::Deciding;
                Ok(Step::Response(response))
            }
            _ => {
                self.state = State::Done;
                Err("a SASL frame out of turn".to_owned())
            }
        }
    }

    /// Whether the caller is to decide; nothing is read meanwhile.
    pub(crate) fn is_deciding(&self) -> bool {
        self.state == State::Deciding
    }

    /// Asks for more; `None` when it is not the caller's turn.
    pub(crate) fn challenge(&mut self, challenge: Bytes) -> Option<SaslFrame> {
        if self.state != State::Deciding {
            return None;
        }
        self.state = State::Challenged;
        Some(SaslFrame::Challenge(challenge))
    }

    /// Ends the exchange; `None` when it is not the caller's turn.
    pub(crate) fn outcome(&mut self, code: Code) -> Option<SaslFrame> {
        if self.state != State::Deciding {
            return None;
        }
        self.state = State::Done;
        Some(SaslFrame::Outcome(code, None))
    }
}
