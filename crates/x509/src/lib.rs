//! X.509 certificates as devices and operators show them. Pure: what time it is, and whom to trust, the caller says.
//!
//! | file | concern |
//! |---|---|
//! | `certificate` | one certificate: read from DER, PEM or base64; its names, dates and thumbprints |
//! | `chain` | what a device showed, followed to a certificate that is trusted |
//! | `issue` | certificates made of requests, revocation lists |
//! | `version_one` | certificates without extensions |

mod certificate;
mod chain;
mod issue;
mod version_one;

pub use certificate::{Certificate, CertificateError, pem};
pub use chain::{Chain, ChainError, Refusal};
pub use issue::{IssueError, Issuer, SigningRequest, private_key};
