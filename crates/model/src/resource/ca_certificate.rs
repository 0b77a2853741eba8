//! Certificates of authorities that a provisioning service or a hub trusts.

use serde::{Deserialize, Serialize};

use crate::enrollment::Der;
use crate::{Etag, Timestamp};

/// The certificate of an authority (Azure article "How to verify X.509 CA certificates").
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CaCertificate {
    /// Its name; names compare without case.
    pub name: String,
    /// The certificate.
    pub certificate: Der,
    /// Whether somebody has proved to have its key.
    pub verified: bool,
    /// What a certificate that proves it has as its subject's common name; made anew when asked for.
    pub verification_code: Option<String>,
    /// When it was added.
    pub created: Timestamp,
    /// When it was last changed.
    pub updated: Timestamp,
    /// Changes with every change.
    pub etag: Etag,
}
