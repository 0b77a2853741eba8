//! The client's part: chooses the mechanism its credentials are for.

use bytes::{BufMut, Bytes, BytesMut};

use super::{ANONYMOUS, Code, EXTERNAL, Init, MSSBCBS, PLAIN, SaslFrame};
use crate::value::Symbol;

/// What a client shows.
#[derive(Clone)]
pub enum Credentials {
    /// ANONYMOUS.
    Anonymous,
    /// PLAIN.
    Plain {
        /// Who it is.
        user: String,
        /// The proof.
        password: String,
    },
    /// EXTERNAL: the certificate TLS has shown.
    External,
    /// MSSBCBS: tokens are put over `$cbs` later.
    Cbs,
}

/// Without the password.
impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.mechanism().as_str())
    }
}

impl Credentials {
    fn mechanism(&self) -> Symbol {
        match self {
            Self::Anonymous => ANONYMOUS,
            Self::Plain { .. } => PLAIN,
            Self::External => EXTERNAL,
            Self::Cbs => MSSBCBS,
        }
    }

    fn response(&self) -> Option<Bytes> {
        match self {
            Self::Plain { user, password } => {
                let mut response = BytesMut::with_capacity(user.len() + password.len() + 2);
                response.put_u8(0);
                response.put_slice(user.as_bytes());
                response.put_u8(0);
                response.put_slice(password.as_bytes());
                Some(response.freeze())
            }
            Self::Anonymous | Self::External | Self::Cbs => Some(Bytes::new()),
        }
    }
}

#[derive(Debug)]
pub(crate) struct Client {
    credentials: Credentials,
    hostname: Option<String>,
    chosen: bool,
}

/// What comes after a frame of the server.
#[derive(Debug)]
pub(crate) enum Next {
    /// Send this.
    Send(SaslFrame),
    /// Authenticated.
    Done,
}

impl Client {
    pub(crate) fn new(credentials: Credentials, hostname: Option<String>) -> Self {
        Self { credentials, hostname, chosen: false }
    }

    /// Takes a frame of the server. `Err` with what went wrong: the exchange has failed then.
    pub(crate) fn receive(&mut self, frame: SaslFrame) -> Result<Next, String> {
        match frame {
            SaslFrame::Mechanisms(offered) if !self.chosen => {
                let mechanism = self.credentials.mechanism();
                if !offered.contains(&mechanism) {
                    return Err(format!("the server does not offer {mechanism} but {offered:?}"));
                }
                self.chosen = true;
                let response = self.credentials.response();
                Ok(Next::Send(SaslFrame::Init(Init { mechanism, response, hostname: self.hostname.take() })))
            }
            SaslFrame::Outcome(Code::Ok, _) if self.chosen => Ok(Next::Done),
            SaslFrame::Outcome(code, _) if self.chosen => {
                Err(format!("the server refused the credentials ({code:?})"))
            }
            SaslFrame::Challenge(_) => Err("none of our mechanisms knows challenges".to_owned()),
            _ => Err("a SASL frame out of turn".to_owned()),
        }
    }
}
