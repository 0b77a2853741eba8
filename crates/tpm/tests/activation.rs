//! What a TPM would do with an activation, done by hand: opened with both private keys, checked at every step.

#![expect(clippy::unwrap_used, reason = "a test that meets an error has failed")]
use std::cell::Cell;

use aws_lc_rs::agreement::{self, ECDH_P256};
use aws_lc_rs::cipher::{AES_128, DecryptingKey, DecryptionContext, UnboundCipherKey};
use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::iv::FixedLength;
use aws_lc_rs::rsa::{KeySize, OAEP_SHA256_MGF1SHA256, OaepPrivateDecryptingKey, PrivateDecryptingKey};
use aws_lc_rs::signature::{KeyPair as _, RsaKeyPair};
use aws_lc_rs::{digest, hmac};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use pollux_model::Random as _;
use pollux_testkit::SeededRandom;
use pollux_tpm::{Public, PublicError, activation};

/// A storage root key and an endorsement key of P-256 as swtpm 0.7 makes them, and the first one's name as it tells it.
const SRK: &str = "ARoAAQALAAMEcgAAAAYAgABDABAIAAAAAAABAKVzHUxdzBY54bxjJKMFeijb2pmxRe+IwWAcZQbxGOCqlDnmsHKtm5swo6phtDJthHOj/jjQr436ApgnmH8EWqnXVzMJzrbHkNYXM93CeBfhp7YvWY4a9BDb5z4DYa7HB8kmTZksp9R2r4znspd111G8Couwv2Zq29YaX+K2/3e1WIh4MydLDWHtKbJn9cE+DJUsfn92kfy2GjhkqVdvXC45d6JsTgBbGFyO0dPm1pbqvITcE1GzmiI66m5++fJb+XKPiWnyuA16Lf3pjLN/46yydBaJsRty3ZdzJkh9FdT1DAbqnmmq2BbP5nTiaPUSwFLSEkJMiRsU0us7Bh2UHe0=";
const EK_P256: &str = "AHoAIwALAAMAsgAgg3GXZ0SEs/gakMyNRqXXJP1S124GUgtk8qHaGzMUaaoABgCAAEMAEAADABAAIH2X2cjQ3ctcOFoIAGHY8qNh3xcOraJ9kp+02Lh6EkxgACALLCMRNXBa4OADKCGHJqZS6wpN6RI01dnPSKWTpGkxuQ==";
const SRK_NAME: &str = "000b27bdeb61231905d41c3dd8b51be2798d14f5df443f6de0f022edbc224b7d34a8";
const EK_P256_NAME: &str = "000bf818936dc0e0a23544509141fa6ff4296b6e4a857354065a38e0cb9f03e97398";

/// A private key, and its public part as a TPM would write it.
struct Key {
    private: Private,
    public: Vec<u8>,
}

enum Private {
    Rsa(OaepPrivateDecryptingKey),
    P256(agreement::PrivateKey, Vec<u8>),
}

fn sized(bytes: &[u8]) -> Vec<u8> {
    [&(bytes.len() as u16).to_be_bytes()[..], bytes].concat()
}

fn area(kind: u16, rest: &[u8]) -> Vec<u8> {
    let attributes = 0x0003_0472_u32;
    let common = [&kind.to_be_bytes()[..], &[0, 0x0b], &attributes.to_be_bytes(), &[0, 0]].concat();
    sized(&[&common[..], &[0, 6, 0, 128, 0, 0x43, 0, 0x10], rest].concat())
}

impl Key {
    fn rsa() -> Self {
        let private = PrivateDecryptingKey::generate(KeySize::Rsa2048).unwrap();
        let der = AsDer::<Pkcs8V1Der<'_>>::as_der(&private).unwrap();
        let modulus = RsaKeyPair::from_pkcs8(der.as_ref()).unwrap();
        let modulus = modulus.public_key().modulus().big_endian_without_leading_zero().to_vec();
        let public = area(1, &[&[8, 0, 0, 0, 0, 0][..], &sized(&modulus)].concat());
        Self { private: Private::Rsa(OaepPrivateDecryptingKey::new(private).unwrap()), public }
    }

    fn p256() -> Self {
        let private = agreement::PrivateKey::generate(&ECDH_P256).unwrap();
        let point = private.compute_public_key().unwrap().as_ref()[1..].to_vec();
        let (x, y) = point.split_at(32);
        let public = area(0x23, &[&[0, 3, 0, 0x10][..], &sized(x), &sized(y)].concat());
        let x = x.to_vec();
        Self { private: Private::P256(private, x), public }
    }

    fn seed(&self, label: &str, secret: &[u8]) -> Option<Vec<u8>> {
        match &self.private {
            Private::Rsa(private) => {
                let mut out = vec![0; private.min_output_size()];
                let label = [label.as_bytes(), &[0]].concat();
                let seed = private.decrypt(&OAEP_SHA256_MGF1SHA256, secret, &mut out, Some(&label)).ok()?;
                Some(seed.to_vec())
            }
            Private::P256(private, own_x) => {
                let mut rest = Bytes(secret);
                let (x, y) = (rest.sized(), rest.sized());
                let point = [&[4][..], x, y].concat();
                let theirs = agreement::UnparsedPublicKey::new(&ECDH_P256, point);
                agreement::agree(private, &theirs, (), |shared| {
                    Ok(sha256(&[&[0, 0, 0, 1], shared, label.as_bytes(), &[0], x, own_x]))
                })
                .ok()
            }
        }
    }

    /// What was protected for this key and an object of this name.
    fn open(&self, label: &str, name: &[u8], bytes: &[u8], secret: &[u8]) -> Option<Vec<u8>> {
        let seed = self.seed(label, secret)?;
        let mut rest = Bytes(bytes);
        let (tag, content) = (rest.sized(), rest.0);
        let integrity = kdfa(&seed, "INTEGRITY", &[], 256);
        let key = hmac::Key::new(hmac::HMAC_SHA256, &integrity);
        hmac::verify(&key, &[content, name].concat(), tag).ok()?;
        Some(uncfb(&kdfa(&seed, "STORAGE", name, 128), content))
    }
}

#[derive(Clone)]
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn take(&mut self, count: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(count);
        self.0 = rest;
        taken
    }

    fn sized(&mut self) -> &'a [u8] {
        let size = self.take(2);
        self.take(usize::from(size[0]) << 8 | usize::from(size[1]))
    }
}

fn sha256(parts: &[&[u8]]) -> Vec<u8> {
    digest::digest(&digest::SHA256, &parts.concat()).as_ref().to_vec()
}

/// One block is all that is needed here.
fn kdfa(seed: &[u8], label: &str, context: &[u8], bits: u32) -> Vec<u8> {
    let text = [&1_u32.to_be_bytes()[..], label.as_bytes(), &[0], context, &bits.to_be_bytes()].concat();
    let block = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, seed), &text);
    block.as_ref()[..bits as usize / 8].to_vec()
}

fn uncfb(key: &[u8], bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let key = DecryptingKey::cfb128(UnboundCipherKey::new(&AES_128, key).unwrap()).unwrap();
    key.decrypt(&mut bytes, DecryptionContext::Iv128(FixedLength::from([0; 16]))).unwrap();
    bytes
}

fn name(public: &[u8]) -> Vec<u8> {
    [&[0, 0x0b][..], &sha256(&[public])].concat()
}

/// The identity key that a device with these two keys gets out of an activation.
fn activated(ek: &Key, srk: &Key, blob: &[u8]) -> Option<Vec<u8>> {
    let mut rest = Bytes(blob);
    let (credential, secret) = (rest.sized(), rest.sized());
    let (private, wrap, public, data) = (rest.sized(), rest.sized(), rest.sized(), rest.sized());
    assert!(data.is_empty() && rest.0.is_empty());
    let inner = ek.open("IDENTITY", &name(&srk.public[2..]), credential, secret)?;
    let inner_key = Bytes(&inner).sized().to_vec();
    let object = name(public);
    let duplicate = srk.open("DUPLICATE", &object, private, wrap)?;
    let opened = uncfb(&inner_key, &duplicate);
    let mut opened = Bytes(&opened);
    let (integrity, whole) = (opened.sized(), opened.0);
    assert_eq!(integrity, sha256(&[whole, &object]));
    let mut sensitive = Bytes(opened.sized());
    assert_eq!(sensitive.take(2), [0, 8], "a keyed hash");
    assert!(sensitive.sized().is_empty(), "no password");
    let (seed, key) = (sensitive.sized(), sensitive.sized());
    // The public area: a keyed hash named by SHA-256, HMAC with SHA-256, and tied to the private part.
    assert_eq!(public[..2], [0, 8]);
    assert_eq!(public[10..14], [0, 5, 0, 0x0b]);
    assert_eq!(public[16..], sha256(&[seed, key]));
    Some(key.to_vec())
}

#[test]
fn only_both_keys_together_open_an_activation() {
    let random = SeededRandom::new(7);
    let mut key = [0; 32];
    random.fill(&mut key);
    let (ek, srk, other) = (Key::rsa(), Key::rsa(), Key::rsa());
    let [ek_public, srk_public] = [&ek, &srk].map(|key| Public::parse(&key.public).unwrap());
    let blob = activation(&ek_public, &srk_public, &key, &random).unwrap();
    assert_eq!(activated(&ek, &srk, &blob).unwrap(), key);
    assert!(activated(&other, &srk, &blob).is_none());
    assert!(activated(&ek, &other, &blob).is_none());
    let again = activation(&ek_public, &srk_public, &key, &random).unwrap();
    assert_ne!(again, blob, "nothing is encrypted alike twice");
    for at in [0, 40, 60, 400, 700].into_iter().filter(|at| *at < blob.len()) {
        let mut changed = blob.clone();
        changed[at + 2] ^= 1;
        let opened = Cell::new(None);
        let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            opened.set(activated(&ek, &srk, &changed))
        }));
        assert_eq!(opened.take(), None, "byte {at}");
    }
}

#[test]
fn keys_of_p_256_open_one_too() {
    let (ek, srk) = (Key::p256(), Key::p256());
    let [ek_public, srk_public] = [&ek, &srk].map(|key| Public::parse(&key.public).unwrap());
    let blob = activation(&ek_public, &srk_public, &[9; 32], &SeededRandom::new(1)).unwrap();
    assert_eq!(activated(&ek, &srk, &blob).unwrap(), [9; 32]);
    assert!(activated(&Key::p256(), &srk, &blob).is_none());
}

#[test]
fn names_are_those_that_a_tpm_tells() {
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    for (text, told) in [(SRK, SRK_NAME), (EK_P256, EK_P256_NAME)] {
        assert_eq!(hex(Public::parse(&STANDARD.decode(text).unwrap()).unwrap().name()), told);
    }
}

#[test]
fn what_is_no_storage_key_is_refused() {
    let good = STANDARD.decode(SRK).unwrap();
    for end in 0..good.len() {
        assert_eq!(Public::parse(&good[..end]).unwrap_err(), PublicError::Malformed, "{end} bytes");
    }
    assert_eq!(Public::parse(&[&good[..], &[0]].concat()).unwrap_err(), PublicError::Malformed);
    let with = |at: usize, byte: u8| {
        let mut changed = good.clone();
        changed[at] = byte;
        Public::parse(&changed).unwrap_err()
    };
    assert_eq!(with(7, 0x02), PublicError::NoStorageKey, "decrypts, and is not restricted");
    assert_eq!(with(5, 0x04), PublicError::Unknown, "named by SHA-1");
    assert_eq!(with(3, 0x25), PublicError::Unknown, "a symmetric cipher");
    assert_eq!(with(17, 0x42), PublicError::Unknown, "AES in another mode");
}
