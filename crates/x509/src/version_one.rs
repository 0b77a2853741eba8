//! Certificates of version 1, which have no extensions. OpenSSL before 3.2 makes such ones of a request
//! (`openssl x509 -req`), and so do tools over it (npm `pem`); webpki reads none of them.

use rustls_pki_types::{SignatureVerificationAlgorithm, SubjectPublicKeyInfoDer};
use webpki::{ALL_VERIFICATION_ALGS, RawPublicKeyEntity};
use x509_parser::prelude::{FromDer as _, X509Certificate};

use crate::certificate::Certificate;
use crate::chain::Refusal;

impl Certificate {
    /// Its key, as `SubjectPublicKeyInfo`.
    #[must_use]
    pub fn public_key(&self) -> SubjectPublicKeyInfoDer<'_> {
        self.key().into()
    }

    /// Whether that authority itself signed it; dates and path lengths are not looked at.
    #[must_use]
    pub fn is_signed_by(&self, authority: &Self) -> bool {
        directly_below(self, authority).is_ok()
    }

    /// Whether its key made the signature of a message, with one of these algorithms.
    #[must_use]
    pub fn signed(
        &self,
        algorithms: &[&dyn SignatureVerificationAlgorithm],
        message: &[u8],
        signature: &[u8],
    ) -> bool {
        let key = self.public_key();
        let Ok(key) = RawPublicKeyEntity::try_from(&key) else { return false };
        algorithms.iter().any(|algorithm| key.verify_signature(*algorithm, message, signature).is_ok())
    }
}

/// Whether `authority` itself signed `leaf`. Of what may stand between them nothing would say that it may sign.
pub(crate) fn directly_below(leaf: &Certificate, authority: &Certificate) -> Result<(), Refusal> {
    let refused = |why: &str| Refusal::Path(why.to_owned());
    let (_, parsed) = X509Certificate::from_der(leaf.der()).map_err(|error| refused(&error.to_string()))?;
    if parsed.issuer().as_raw() != authority.raw_subject() {
        return Err(refused("a certificate of version 1 must be signed by the enrolled one itself"));
    }
    if !authority.is_authority() {
        return Err(refused("the enrolled certificate is not that of an authority (basic constraints)"));
    }
    let (message, signature) = (parsed.tbs_certificate.as_ref(), &parsed.signature_value.data);
    let algorithm = identifier(leaf.der(), message).ok_or_else(|| refused("it has no signature"))?;
    let same = |known: &&&dyn SignatureVerificationAlgorithm| *known.signature_alg_id() == *algorithm;
    let algorithms: Vec<_> = ALL_VERIFICATION_ALGS.iter().filter(same).copied().collect();
    if authority.signed(&algorithms, message, signature) {
        return Ok(());
    }
    Err(refused("the enrolled certificate did not sign it, or with an algorithm that is not taken"))
}

/// The content of the signature's `AlgorithmIdentifier`, as it is written: it stands behind what is signed.
fn identifier<'d>(der: &'d [u8], signed: &[u8]) -> Option<&'d [u8]> {
    let rest = content(der)?.get(signed.len()..)?;
    content(rest)
}

/// The content of the DER value that begins here.
fn content(der: &[u8]) -> Option<&[u8]> {
    let (_, rest) = der.split_first()?;
    let (first, rest) = rest.split_first()?;
    let (length, rest) = match usize::from(*first) {
        short @ ..0x80 => (short, rest),
        long => {
            let (digits, rest) = rest.split_at_checked(long & 0x7f)?;
            let digit = |length: usize, digit: &u8| length.checked_mul(256)?.checked_add(usize::from(*digit));
            (digits.iter().try_fold(0, digit)?, rest)
        }
    };
    rest.get(..length)
}
