//! Shared access signatures: `SharedAccessSignature sr=…&sig=…&se=…[&skn=…]`.
//!
//! The string to sign is the resource exactly as it was sent, a line feed, and the expiry exactly as it was sent
//! (Azure article "Control access to IoT Hub by using shared access signatures"). Clients differ in the order of the
//! fields and in whether `sr` is percent-encoded, so the verifier keeps both raw texts.

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

/// What `encodeURIComponent` leaves alone.
const COMPONENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// The longest token text that is looked at, in bytes. Real ones stay under 1 KiB.
pub const MAX_TOKEN: usize = 4096;

/// A token taken apart but not yet believed.
#[derive(Clone, PartialEq, Eq)]
pub struct SasToken {
    /// `sr`, percent-decoded.
    pub resource: String,
    /// `sr` as it was sent: part of what was signed.
    raw_resource: String,
    /// `se` as it was sent: part of what was signed.
    raw_expiry: String,
    signature: Vec<u8>,
    /// `se`: seconds since the Unix epoch.
    pub expiry: i64,
    /// `skn`, percent-decoded: the name of the policy whose key signed, if it was one.
    pub key_name: Option<String>,
}

impl std::fmt::Debug for SasToken {
    /// The signature is a secret and stays out.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SasToken")
            .field("resource", &self.resource)
            .field("expiry", &self.expiry)
            .field("key_name", &self.key_name)
            .finish_non_exhaustive()
    }
}

/// Why a token text is no token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SasError {
    /// Does not start with `SharedAccessSignature `, or is longer than [`MAX_TOKEN`].
    #[error("the token must start with 'SharedAccessSignature ' and be at most 4096 bytes long")]
    NotSas,
    /// A field is missing, doubled or not decodable.
    #[error("the token must carry sr, sig (base64) and se (seconds since 1970), each once")]
    Malformed,
}

impl SasToken {
    /// Takes a token apart. Checks its form, not its truth.
    pub fn parse(text: &str) -> Result<Self, SasError> {
        let fields = text.strip_prefix("SharedAccessSignature ").ok_or(SasError::NotSas)?;
        if text.len() > MAX_TOKEN {
            return Err(SasError::NotSas);
        }
        let (mut sr, mut sig, mut se, mut skn) = (None, None, None, None);
        for field in fields.trim().split('&') {
            let (name, value) = field.split_once('=').ok_or(SasError::Malformed)?;
            let slot = match name {
                "sr" => &mut sr,
                "sig" => &mut sig,
                "se" => &mut se,
                "skn" => &mut skn,
                _ => continue,
            };
            if slot.replace(value).is_some() {
                return Err(SasError::Malformed);
            }
        }
        let (Some(sr), Some(sig), Some(se)) = (sr, sig, se) else { return Err(SasError::Malformed) };
        // A raw '+' in a signature is base64's own, not a space: decode percent escapes only.
        let signature = BASE64.decode(decode(sig)?).map_err(|_| SasError::Malformed)?;
        Ok(Self {
            resource: decode(sr)?,
            raw_resource: sr.to_owned(),
            raw_expiry: se.to_owned(),
            signature,
            expiry: se.parse().map_err(|_| SasError::Malformed)?,
            key_name: skn.filter(|name| !name.is_empty()).map(decode).transpose()?,
        })
    }

    /// The host name, with its port if it has one, and the path that the token is for: `sr` may bear a scheme.
    #[must_use]
    pub fn place(&self) -> (&str, &str) {
        let bare = self.resource.split_once("://").map_or(self.resource.as_str(), |(_, rest)| rest);
        bare.split_once('/').unwrap_or((bare, ""))
    }

    /// Whether `key` made this token. Takes the same time whatever the signature.
    #[must_use]
    pub fn signed_by(&self, key: &[u8]) -> bool {
        let key = hmac::Key::new(hmac::HMAC_SHA256, key);
        let text = format!("{}\n{}", self.raw_resource, self.raw_expiry);
        hmac::verify(&key, text.as_bytes(), &self.signature).is_ok()
    }

    /// Whether the token is past its expiry at `now` (seconds since the Unix epoch).
    #[must_use]
    pub const fn expired(&self, now: i64) -> bool {
        self.expiry <= now
    }
}

fn decode(text: &str) -> Result<String, SasError> {
    percent_decode_str(text).decode_utf8().map(std::borrow::Cow::into_owned).map_err(|_| SasError::Malformed)
}

/// Makes a token for `resource` (not yet encoded), valid until `expiry` (seconds since the Unix epoch), signed with
/// `key` (decoded bytes), naming `policy` when a policy's key signs.
#[must_use]
pub fn sign(resource: &str, key: &[u8], expiry: i64, policy: Option<&str>) -> String {
    let resource = utf8_percent_encode(resource, COMPONENT).to_string();
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), format!("{resource}\n{expiry}").as_bytes());
    let signature = BASE64.encode(tag.as_ref());
    let mut token = format!(
        "SharedAccessSignature sr={resource}&sig={}&se={expiry}",
        utf8_percent_encode(&signature, COMPONENT)
    );
    if let Some(policy) = policy {
        token.push_str("&skn=");
        token.extend(utf8_percent_encode(policy, COMPONENT));
    }
    token
}

/// The key of one device of an enrollment group: HMAC-SHA256 of the registration id under the group's key
/// (Azure article "Symmetric key attestation", section "Group enrollments").
#[must_use]
pub fn derive_key(group_key: &[u8], registration_id: &str) -> Vec<u8> {
    let key = hmac::Key::new(hmac::HMAC_SHA256, group_key);
    hmac::sign(&key, registration_id.as_bytes()).as_ref().to_vec()
}

/// Whether two secrets are equal, in time that depends on their lengths only.
#[must_use]
pub fn secrets_equal(a: &[u8], b: &[u8]) -> bool {
    aws_lc_rs::constant_time::verify_slices_are_equal(a, b).is_ok()
}
