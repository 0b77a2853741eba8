//! Public keys of a TPM in an enrollment, checked.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use pollux_model::enrollment::{Attestation, Der};
use pollux_model::{Error, Key, Result};
use pollux_tpm::Public;

/// The endorsement key, and the storage root key where it is given, in base64 of what the TPM writes.
pub(super) fn keys(endorsement: &str, storage_root: Option<&str>) -> Result<(Der, Option<Der>)> {
    let storage_root = storage_root.filter(|text| !text.is_empty());
    Ok((
        key(endorsement, "endorsementKey")?,
        storage_root.map(|text| key(text, "storageRootKey")).transpose()?,
    ))
}

/// What to store. The secret stays as long as the TPM is the same.
pub(super) fn attestation(
    (endorsement_key, storage_root_key): (Der, Option<Der>),
    before: Option<&Attestation>,
    new: impl FnOnce() -> Key,
) -> Attestation {
    let kept = match before {
        Some(Attestation::Tpm { endorsement_key: known, secret, .. }) if *known == endorsement_key => {
            Some(secret.clone())
        }
        _ => None,
    };
    Attestation::Tpm { endorsement_key, storage_root_key, secret: kept.unwrap_or_else(new) }
}

fn key(text: &str, name: &str) -> Result<Der> {
    let bytes = STANDARD
        .decode(text.trim())
        .map_err(|error| Error::invalid(format!("attestation.tpm.{name} is no base64: {error}")))?;
    Public::parse(&bytes)
        .map_err(|error| Error::invalid(format!("attestation.tpm.{name} is refused: {error}")))?;
    Ok(Der(bytes))
}
