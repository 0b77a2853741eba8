//! A TPM's public key: `TPM2B_PUBLIC` of a storage key (part 2, section 12.2.4), as endorsement and storage root keys are.

use aws_lc_rs::rsa::{PublicEncryptingKey, PublicKeyComponents};

use crate::marshal::Reader;
use crate::primitives::Hash;

/// `TPM_ALG_ID`s.
pub(crate) mod alg {
    pub(crate) const RSA: u16 = 0x0001;
    pub(crate) const HMAC: u16 = 0x0005;
    pub(crate) const AES: u16 = 0x0006;
    pub(crate) const KEYED_HASH: u16 = 0x0008;
    pub(crate) const NULL: u16 = 0x0010;
    pub(crate) const ECC: u16 = 0x0023;
    pub(crate) const CFB: u16 = 0x0043;
}

/// `TPM_ECC_NIST_P256`.
const P256: u16 = 0x0003;
/// `TPMA_OBJECT`: restricted, and decrypt: together a storage key (part 2, section 8.3).
const STORAGE_KEY: u32 = (1 << 16) | (1 << 17);
/// What an exponent of 0 stands for.
const DEFAULT_EXPONENT: u32 = 65_537;
/// The longest that is looked at, in bytes: RSA of 4096 bits takes 600.
const LONGEST: usize = 1024;

/// The public key of an endorsement or storage root key.
#[derive(Debug)]
pub struct Public {
    pub(crate) hash: Hash,
    name: Vec<u8>,
    /// Bits of the AES key that protects what is below it.
    pub(crate) symmetric_bits: u16,
    pub(crate) key: Key,
}

/// The key itself.
#[derive(Debug)]
pub(crate) enum Key {
    Rsa(PublicEncryptingKey),
    P256 { x: [u8; 32], y: [u8; 32] },
}

/// Why bytes are no such key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PublicError {
    /// Too short, too long, or with something behind it.
    #[error("it is not a whole TPM2B_PUBLIC")]
    Malformed,
    /// A key that signs, or may be used for anything.
    #[error("it is not the public part of a storage key: restricted and decrypt must both be set")]
    NoStorageKey,
    /// Anything but what the TCG's profile for endorsement keys has.
    #[error(
        "only RSA of 2048 to 4096 bits and ECC P-256 are known here, with SHA-256 or SHA-384 and AES in CFB mode"
    )]
    Unknown,
}

impl Public {
    /// Reads a `TPM2B_PUBLIC`: the form in which the SDKs and `tpm2_readpublic -f tss` give it.
    ///
    /// # Errors
    /// [`PublicError`].
    pub fn parse(bytes: &[u8]) -> Result<Self, PublicError> {
        let mut reader = Reader(bytes);
        let area = reader.sized().filter(|_| reader.0.is_empty() && bytes.len() <= LONGEST);
        let area = area.ok_or(PublicError::Malformed)?;
        let mut reader = Reader(area);
        let read = Self::read(&mut reader, area).ok_or(PublicError::Malformed)??;
        if reader.0.is_empty() { Ok(read) } else { Err(PublicError::Malformed) }
    }

    /// The object's name: its hash's id, and the hash of its public area (part 1, section 16).
    #[must_use]
    pub fn name(&self) -> &[u8] {
        &self.name
    }

    /// `None` when the bytes end early.
    fn read(reader: &mut Reader<'_>, area: &[u8]) -> Option<Result<Self, PublicError>> {
        let (kind, hash, attributes) = (reader.u16()?, reader.u16()?, reader.u32()?);
        let _policy = reader.sized()?;
        let Some(hash) = Hash::of_id(hash) else { return Some(Err(PublicError::Unknown)) };
        if attributes & STORAGE_KEY != STORAGE_KEY {
            return Some(Err(PublicError::NoStorageKey));
        }
        // A storage key has a symmetric cipher and no scheme.
        let symmetric = reader.u16()?;
        if symmetric != alg::AES {
            return Some(Err(PublicError::Unknown));
        }
        let (symmetric_bits, mode, scheme) = (reader.u16()?, reader.u16()?, reader.u16()?);
        if ![128, 256].contains(&symmetric_bits) || mode != alg::CFB || scheme != alg::NULL {
            return Some(Err(PublicError::Unknown));
        }
        let key = match kind {
            alg::RSA => rsa(reader)?,
            alg::ECC => ecc(reader)?,
            _ => None,
        };
        let name = [&hash.id().to_be_bytes()[..], hash.digest(&[area]).as_ref()].concat();
        Some(key.map(|key| Self { hash, name, symmetric_bits, key }).ok_or(PublicError::Unknown))
    }
}

fn rsa(reader: &mut Reader<'_>) -> Option<Option<Key>> {
    let (bits, exponent, modulus) = (reader.u16()?, reader.u32()?, reader.sized()?);
    let exponent = if exponent == 0 { DEFAULT_EXPONENT } else { exponent };
    if !(2048..=4096).contains(&bits) || modulus.len() != usize::from(bits / 8) {
        return Some(None);
    }
    let exponent = exponent.to_be_bytes();
    let first = exponent.iter().position(|byte| *byte != 0).unwrap_or(0);
    let components = PublicKeyComponents { n: modulus, e: &exponent[first..] };
    let key: Result<PublicEncryptingKey, _> = components.try_into();
    Some(key.ok().map(Key::Rsa))
}

fn ecc(reader: &mut Reader<'_>) -> Option<Option<Key>> {
    let (curve, kdf) = (reader.u16()?, reader.u16()?);
    let (x, y) = (reader.sized()?, reader.sized()?);
    if curve != P256 || kdf != alg::NULL {
        return Some(None);
    }
    Some(coordinate(x).zip(coordinate(y)).map(|(x, y)| Key::P256 { x, y }))
}

/// A coordinate in full length: a TPM may leave leading zeros out.
fn coordinate(bytes: &[u8]) -> Option<[u8; 32]> {
    let mut out = [0; 32];
    let start = out.len().checked_sub(bytes.len())?;
    out[start..].copy_from_slice(bytes);
    Some(out)
}
