//! How a device proves who it is.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use pollux_model::{Clock, SystemClock, sas};

/// Validity of the tokens made here, in seconds.
pub const TOKEN_LIFETIME: i64 = 3600;

/// What a device proves itself with.
#[derive(Clone, PartialEq, Eq)]
pub enum Credential {
    /// A symmetric key (decoded): a fresh token is signed for each connection.
    Key(Vec<u8>),
    /// A token made elsewhere, `SharedAccessSignature sr=…`.
    Token(String),
    /// The certificate of the TLS configuration; no password.
    Certificate,
}

impl Credential {
    /// A key in base64, as Azure's tools print it. None when it is not base64.
    #[must_use]
    pub fn from_base64(key: &str) -> Option<Self> {
        BASE64.decode(key.trim()).ok().map(Self::Key)
    }

    /// The password that proves the right to `resource`, in the name of `policy`.
    #[must_use]
    pub fn password(&self, resource: &str, policy: Option<&str>) -> Option<String> {
        match self {
            Self::Key(key) => {
                Some(sas::sign(resource, key, SystemClock.now().as_secs() + TOKEN_LIFETIME, policy))
            }
            Self::Token(token) => Some(token.clone()),
            Self::Certificate => None,
        }
    }
}

impl fmt::Debug for Credential {
    /// Secrets stay out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Key(_) => "Key",
            Self::Token(_) => "Token",
            Self::Certificate => "Certificate",
        })
    }
}
