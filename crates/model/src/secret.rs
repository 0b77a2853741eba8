//! Keys that must not be printed.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Serialize};

use crate::{Random, sas};

/// A symmetric key, kept as the base64 text its owner knows. `Debug` does not show it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Key(String);

impl Key {
    /// From base64 text. Azure accepts keys of 16 to 64 bytes ("Symmetric key attestation").
    #[must_use]
    pub fn from_base64(text: &str) -> Option<Self> {
        let length = BASE64.decode(text).ok()?.len();
        (16..=64).contains(&length).then(|| Self(text.to_owned()))
    }

    /// From raw bytes.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Self {
        Self(BASE64.encode(bytes))
    }

    /// A new key of 32 random bytes.
    #[must_use]
    pub fn generate(random: &dyn Random) -> Self {
        let mut bytes = [0; 32];
        random.fill(&mut bytes);
        Self::from_bytes(&bytes)
    }

    /// The base64 text. Only for answers to those who may see it, and for storage.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// The key's bytes.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        BASE64.decode(&self.0).unwrap_or_default()
    }

    /// The key of one device of the group that this key belongs to.
    #[must_use]
    pub fn derive(&self, registration_id: &str) -> Self {
        Self::from_bytes(&sas::derive_key(&self.bytes(), registration_id))
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(***)")
    }
}

/// A primary and a secondary key: either opens, so that one can be rolled over while the other serves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyPair {
    /// The key that connection strings carry.
    pub primary: Key,
    /// The key in reserve.
    pub secondary: Key,
}

impl KeyPair {
    /// Two new keys.
    #[must_use]
    pub fn generate(random: &dyn Random) -> Self {
        Self { primary: Key::generate(random), secondary: Key::generate(random) }
    }

    /// The derived pair of one device of the group that this pair belongs to.
    #[must_use]
    pub fn derive(&self, registration_id: &str) -> Self {
        Self {
            primary: self.primary.derive(registration_id),
            secondary: self.secondary.derive(registration_id),
        }
    }

    /// Whether either key signed the token. Both are always tried.
    #[must_use]
    pub fn signed(&self, token: &sas::SasToken) -> bool {
        let (primary, secondary) =
            (token.signed_by(&self.primary.bytes()), token.signed_by(&self.secondary.bytes()));
        primary | secondary
    }

    /// The same as Event Hubs and Service Bus sign: with the key's text as it stands, not with the bytes it encodes
    /// (`_generate_sas_token` of PyPI's azure-eventhub; IoT Hub and DPS decode it first).
    #[must_use]
    pub fn signed_with_text(&self, token: &sas::SasToken) -> bool {
        let by = |key: &Key| token.signed_by(key.reveal().as_bytes());
        by(&self.primary) | by(&self.secondary)
    }
}
