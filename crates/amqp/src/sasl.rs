//! SASL before AMQP (OASIS AMQP 1.0 part 5, section 5.3): its frames, and each side's part in the exchange.
//!
//! Whether a credential is good is not decided here: the caller does.

mod client;
mod frames;
mod server;

pub use client::Credentials;
pub(crate) use client::{Client, Next};
pub use frames::{Code, Response, SaslFrame};
pub(crate) use server::{Server, Step};

use bytes::Bytes;

use crate::value::Symbol;

/// No credential at all; in Azure, CBS follows.
pub const ANONYMOUS: Symbol = Symbol::from_static("ANONYMOUS");
/// A name and a password (RFC 4616).
pub const PLAIN: Symbol = Symbol::from_static("PLAIN");
/// What TLS has shown: the client's certificate.
pub const EXTERNAL: Symbol = Symbol::from_static("EXTERNAL");
/// Microsoft's: CBS follows.
pub const MSSBCBS: Symbol = Symbol::from_static("MSSBCBS");

/// The provisioning service's: a TPM opens a key and signs with it.
pub const TPM: Symbol = Symbol::from_static("TPM");

/// A peer asks to be authenticated.
#[derive(Clone, PartialEq, Eq)]
pub struct Init {
    /// One of those offered.
    pub mechanism: Symbol,
    /// The mechanism's first message.
    pub response: Option<Bytes>,
    /// The host the peer wants to talk to.
    pub hostname: Option<String>,
}

/// Without the response: it holds the password.
impl std::fmt::Debug for Init {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Init")
            .field("mechanism", &self.mechanism)
            .field("hostname", &self.hostname)
            .finish_non_exhaustive()
    }
}

/// The parts of a PLAIN response.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Plain<'a> {
    /// Whom to act for; mostly empty.
    pub authorization: &'a str,
    /// Who it is.
    pub user: &'a str,
    /// The proof.
    pub password: &'a str,
}

impl<'a> Plain<'a> {
    /// Takes a response apart: `[authorization] NUL user NUL password`. `None` when it is something else.
    #[must_use]
    pub fn parse(response: &'a [u8]) -> Option<Self> {
        let mut parts = std::str::from_utf8(response).ok()?.split('\0');
        let plain = Self { authorization: parts.next()?, user: parts.next()?, password: parts.next()? };
        parts.next().is_none().then_some(plain)
    }
}

/// Without the password.
impl std::fmt::Debug for Plain<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Plain")
            .field("authorization", &self.authorization)
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_is_taken_apart() {
        let plain = Plain { authorization: "", user: "dev@sas.hub", password: "SharedAccessSignature x" };
        assert_eq!(Plain::parse(b"\0dev@sas.hub\0SharedAccessSignature x"), Some(plain));
        for bad in [&b""[..], b"user", b"\0user", b"\0user\0pass\0more", b"\0\xff\0x"] {
            assert_eq!(Plain::parse(bad), None, "{bad:?}");
        }
        assert!(!format!("{plain:?}").contains("SharedAccess"));
    }
}
