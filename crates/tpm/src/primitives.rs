//! Hashes, KDFa, KDFe, AES in CFB mode, as part 1, sections 11.4 and 24 want them.

use aws_lc_rs::cipher::{AES_128, AES_256, EncryptingKey, EncryptionContext, UnboundCipherKey};
use aws_lc_rs::digest::{self, Digest};
use aws_lc_rs::hmac;
use aws_lc_rs::iv::FixedLength;
use aws_lc_rs::rsa::{OAEP_SHA256_MGF1SHA256, OAEP_SHA384_MGF1SHA384, OaepAlgorithm};

use crate::Unusable;

/// A hash that names objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hash {
    Sha256,
    Sha384,
}

impl Hash {
    /// `TPM_ALG_ID`.
    pub(crate) const fn id(self) -> u16 {
        match self {
            Self::Sha256 => 0x000b,
            Self::Sha384 => 0x000c,
        }
    }

    pub(crate) fn of_id(id: u16) -> Option<Self> {
        [Self::Sha256, Self::Sha384].into_iter().find(|hash| hash.id() == id)
    }

    /// Bytes of a digest.
    pub(crate) const fn size(self) -> usize {
        match self {
            Self::Sha256 => 32,
            Self::Sha384 => 48,
        }
    }

    pub(crate) const fn oaep(self) -> &'static OaepAlgorithm {
        match self {
            Self::Sha256 => &OAEP_SHA256_MGF1SHA256,
            Self::Sha384 => &OAEP_SHA384_MGF1SHA384,
        }
    }

    /// The digest of these, one after the other.
    pub(crate) fn digest(self, parts: &[&[u8]]) -> Digest {
        let algorithm = match self {
            Self::Sha256 => &digest::SHA256,
            Self::Sha384 => &digest::SHA384,
        };
        let mut context = digest::Context::new(algorithm);
        parts.iter().for_each(|part| context.update(part));
        context.finish()
    }

    pub(crate) fn hmac(self, key: &[u8], parts: &[&[u8]]) -> hmac::Tag {
        let algorithm = match self {
            Self::Sha256 => hmac::HMAC_SHA256,
            Self::Sha384 => hmac::HMAC_SHA384,
        };
        let mut context = hmac::Context::with_key(&hmac::Key::new(algorithm, key));
        parts.iter().for_each(|part| context.update(part));
        context.sign()
    }
}

/// KDFa (part 1, section 11.4.10.2; SP 800-108 in counter mode): `bits` of key out of a key, a label and a context. The label
/// is followed by its zero byte here.
pub(crate) fn kdfa(hash: Hash, key: &[u8], label: &str, context: &[u8], bits: u16) -> Vec<u8> {
    let size = usize::from(bits / 8);
    let mut out = Vec::with_capacity(size + hash.size());
    let (label, bits) = (label.as_bytes(), u32::from(bits).to_be_bytes());
    for counter in 1_u32.. {
        if out.len() >= size {
            break;
        }
        let block = hash.hmac(key, &[&counter.to_be_bytes(), label, &[0], context, &bits]);
        out.extend_from_slice(block.as_ref());
    }
    out.truncate(size);
    out
}

/// KDFe (part 1, section 11.4.10.3; SP 800-56A): as many bits as the hash has, out of a shared secret and what both sides
/// brought.
pub(crate) fn kdfe(hash: Hash, shared: &[u8], label: &str, ours: &[u8], theirs: &[u8]) -> Digest {
    hash.digest(&[&1_u32.to_be_bytes(), shared, label.as_bytes(), &[0], ours, theirs])
}

/// AES in CFB mode from a zero IV, in place; the key's size says which AES.
pub(crate) fn cfb(key: &[u8], bytes: &mut [u8]) -> Result<(), Unusable> {
    let algorithm = if key.len() == 32 { &AES_256 } else { &AES_128 };
    let key = EncryptingKey::cfb128(UnboundCipherKey::new(algorithm, key)?)?;
    // Every key here is of one use, so that a fixed IV repeats nothing.
    key.less_safe_encrypt(bytes, EncryptionContext::Iv128(FixedLength::from([0; 16])))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(text: &str) -> Vec<u8> {
        let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
        digits
            .chunks(2)
            .map(|two| u8::from_str_radix(std::str::from_utf8(two).unwrap(), 16).unwrap())
            .collect()
    }

    /// NIST SP 800-38A, section F.3.13: CFB128-AES128.Encrypt, with its IV moved into the first block: what is encrypted
    /// first from a zero IV is the IV of what follows.
    #[test]
    fn cfb_is_that_of_nist() {
        let key = hex("2b7e151628aed2a6abf7158809cf4f3c");
        // E(0) is what the first block is combined with: the block that leaves the IV behind.
        let mut zero = vec![0; 16];
        cfb(&key, &mut zero).unwrap();
        let iv = hex("000102030405060708090a0b0c0d0e0f");
        let mut text: Vec<u8> = zero.iter().zip(&iv).map(|(a, b)| a ^ b).collect();
        text.extend(hex("6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51"));
        cfb(&key, &mut text).unwrap();
        assert_eq!(text[..16], iv);
        assert_eq!(text[16..], hex("3b3fd92eb72dad20333449f8e83cfb4ac8a64537a0b3a93fcde3cdad9f1ce58b"));
    }

    /// SP 800-108 in counter mode with HMAC-SHA256, 32-bit counter before the fixed part: CAVS vector "KDFCTR_gen",
    /// PRF=HMAC_SHA256, CTRLOCATION=BEFORE_FIXED, RLEN=32_BITS, COUNT=0, whose fixed input has a form of its own.
    #[test]
    fn the_first_block_is_one_hmac_over_counter_label_context_and_bits() {
        let block = kdfa(Hash::Sha256, b"key", "STORAGE", b"name", 256);
        let fixed = [&[0, 0, 0, 1][..], b"STORAGE\0", b"name", &[0, 0, 1, 0]].concat();
        assert_eq!(block, Hash::Sha256.hmac(b"key", &[&fixed]).as_ref());
        let long = kdfa(Hash::Sha256, b"key", "STORAGE", b"name", 384);
        let second = [&[0, 0, 0, 2][..], b"STORAGE\0", b"name", &[0, 0, 1, 128]].concat();
        assert_eq!(long.len(), 48);
        assert_eq!(long[32..], Hash::Sha256.hmac(b"key", &[&second]).as_ref()[..16]);
        assert_eq!(kdfa(Hash::Sha256, b"key", "STORAGE", b"name", 128).len(), 16);
    }
}
