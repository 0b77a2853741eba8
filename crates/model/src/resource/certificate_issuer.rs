//! The authority with which a provisioning service makes certificates of devices' requests.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::Timestamp;
use crate::enrollment::Der;

/// An authority with its key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertificateIssuer {
    /// Its own certificate first, then those above it that devices are given along.
    pub chain: Vec<Der>,
    /// The key of the first.
    pub key: PrivateKey,
    /// For how many days what it issues holds.
    pub days: u32,
    /// When it was set.
    pub updated: Timestamp,
}

/// A private key in PKCS#8. `Debug` does not show it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PrivateKey(Der);

impl PrivateKey {
    /// Of DER.
    #[must_use]
    pub const fn new(der: Vec<u8>) -> Self {
        Self(Der(der))
    }

    /// The DER. Only to sign with.
    #[must_use]
    pub fn reveal(&self) -> &[u8] {
        &self.0.0
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PrivateKey(***)")
    }
}

/// A certificate that holds no more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revocation {
    /// Whose certificate it is: the subject of the authority, as text.
    pub issuer: String,
    /// Its serial number in upper-case hexadecimal digits.
    pub serial_number: String,
    /// The device that it was issued to.
    pub registration_id: String,
    /// Since when.
    pub revoked: Timestamp,
    /// When it would have ended by itself: nobody need remember it any longer.
    pub until: Timestamp,
}
