//! What only the TPM with a certain key can open: a seed that is encrypted to the key, and something that is encrypted and
//! authenticated under the seed (part 1, sections 22.4 "Outer Wrapper" and 24 "Credential Protection").

use aws_lc_rs::agreement::{ECDH_P256, EphemeralPrivateKey, UnparsedPublicKey, agree_ephemeral};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::OaepPublicEncryptingKey;
use pollux_model::Random;

use crate::Unusable;
use crate::marshal::{joined, put_sized, sized};
use crate::primitives::{cfb, kdfa, kdfe};
use crate::public::{Key, Public};

/// What a seed is for; part of its encryption, so that none is taken for another.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Purpose {
    /// A credential (part 1, annex B.10.4 and C.6.4).
    Identity,
    /// A key that comes from elsewhere (part 1, annex B.10.3 and C.6.3).
    Duplicate,
}

impl Purpose {
    const fn label(self) -> &'static str {
        match self {
            Self::Identity => "IDENTITY",
            Self::Duplicate => "DUPLICATE",
        }
    }
}

/// Something that is protected, and the seed that opens it, encrypted.
pub(crate) struct Protected {
    /// The HMAC behind its size, then the encrypted bytes.
    pub(crate) bytes: Vec<u8>,
    /// `TPM2B_ENCRYPTED_SECRET` without its size.
    pub(crate) secret: Vec<u8>,
}

/// Protects `content` for the TPM that has `key`; `name` is the object that it is bound to.
pub(crate) fn protect(
    key: &Public,
    purpose: Purpose,
    name: &[u8],
    mut content: Vec<u8>,
    random: &dyn Random,
) -> Result<Protected, Unusable> {
    let (seed, secret) = seed(key, purpose, random)?;
    let hash = key.hash;
    cfb(&kdfa(hash, &seed, "STORAGE", name, key.symmetric_bits), &mut content)?;
    let bits = u16::try_from(hash.size() * 8).unwrap_or(u16::MAX);
    let hmac = hash.hmac(&kdfa(hash, &seed, "INTEGRITY", &[], bits), &[&content, name]);
    Ok(Protected { bytes: joined(&[&sized(hmac.as_ref()), &content]), secret })
}

/// A new seed, and the same encrypted to the key.
fn seed(key: &Public, purpose: Purpose, random: &dyn Random) -> Result<(Vec<u8>, Vec<u8>), Unusable> {
    match &key.key {
        Key::Rsa(public) => {
            let mut seed = vec![0; key.hash.size()];
            random.fill(&mut seed);
            let public = OaepPublicEncryptingKey::new(public.clone())?;
            let mut secret = vec![0; public.ciphertext_size()];
            // The label is encrypted with its zero byte (part 1, annex B.4).
            let label = joined(&[purpose.label().as_bytes(), &[0]]);
            public.encrypt(key.hash.oaep(), &seed, &mut secret, Some(&label))?;
            Ok((seed, secret))
        }
        Key::P256 { x, y } => {
            let ours = EphemeralPrivateKey::generate(&ECDH_P256, &SystemRandom::new())?;
            // Uncompressed: 4, x, y.
            let point = ours.compute_public_key()?;
            let (our_x, our_y) =
                point.as_ref().get(1..).ok_or(Unusable)?.split_at_checked(32).ok_or(Unusable)?;
            let theirs = UnparsedPublicKey::new(&ECDH_P256, joined(&[&[4], x, y]));
            let seed = agree_ephemeral(ours, &theirs, Unusable, |shared| {
                Ok(kdfe(key.hash, shared, purpose.label(), our_x, x))
            })?;
            let mut secret = Vec::new();
            put_sized(&mut secret, our_x);
            put_sized(&mut secret, our_y);
            Ok((seed.as_ref().to_vec(), secret))
        }
    }
}
