//! What a TPM 2.0 is told from outside: its public keys are read, credentials made for them, keys wrapped for them. Pure:
//! what is random comes in as a value, but for what encryption itself needs.
//!
//! | file | concern |
//! |---|---|
//! | `public` | a TPM's public key, as the TPM writes it |
//! | `protect` | what only the TPM with that key can open: seeds, and what hangs on them |
//! | `identity` | a key for a device, wrapped so that it comes to life in this TPM only |
//! | `primitives` | hashes, KDFa, KDFe, AES in CFB mode |
//! | `marshal` | sized buffers and whole numbers |
//!
//! Source: Trusted Platform Module Library 2.0, part 1 ("Protected Storage", "Credential Protection", and annexes B and C on
//! RSA and ECC secrets), part 2 (structures), part 3 (`TPM2_MakeCredential`, `TPM2_Import`).

mod identity;
mod marshal;
mod primitives;
mod protect;
mod public;

pub use identity::activation;
pub use public::{Public, PublicError};

/// Something that cannot be done with the key at hand: it passed as a public key, and is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the TPM's key cannot be encrypted to")]
pub struct Unusable;

impl From<aws_lc_rs::error::Unspecified> for Unusable {
    fn from(_: aws_lc_rs::error::Unspecified) -> Self {
        Self
    }
}
