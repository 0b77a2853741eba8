//! A key for a device, wrapped so that it comes to life in this TPM only: what the provisioning service answers a device with.
//!
//! ```text
//!   TPM2B_ID_OBJECT         a fresh AES key, as a credential: for the endorsement key, bound to the storage root key's name
//!   TPM2B_ENCRYPTED_SECRET  the credential's seed, encrypted to the endorsement key
//!   TPM2B_PRIVATE           the identity key, under the AES key within, and a seed of its own around
//!   TPM2B_ENCRYPTED_SECRET  that seed, encrypted to the storage root key
//!   TPM2B_PUBLIC            the identity key's public area
//!   TPM2B_DATA              the real service's own; empty here
//! ```
//!
//! The order is that in which `_activateIdentityKey` of npm's azure-iot-security-tpm and `secure_device_import_key` of the SDK
//! for C take it apart; then they ask the TPM for `TPM2_ActivateCredential`, `TPM2_Import` below the storage root key, and
//! `TPM2_Load`.

use pollux_model::Random;

use crate::Unusable;
use crate::marshal::{joined, put_sized, sized};
use crate::primitives::{Hash, cfb};
use crate::protect::{Purpose, protect};
use crate::public::{Public, alg};

/// `TPMA_OBJECT` of the identity key: sign, noDA, userWithAuth. It is neither fixed to this TPM nor born in one: it comes from
/// elsewhere. It has no password, so that nobody need be kept from guessing one.
const SIGNS: u32 = (1 << 18) | (1 << 10) | (1 << 6);
/// What names the identity key.
const HASH: Hash = Hash::Sha256;

/// Wraps an HMAC key (at most 64 bytes: more a TPM need not take) for the TPM with these two keys.
///
/// # Errors
/// [`Unusable`], when one of them cannot be encrypted to.
pub fn activation(
    endorsement_key: &Public,
    storage_root_key: &Public,
    key: &[u8],
    random: &dyn Random,
) -> Result<Vec<u8>, Unusable> {
    let mut inner_key = [0; 16];
    random.fill(&mut inner_key);
    let credential =
        protect(endorsement_key, Purpose::Identity, storage_root_key.name(), sized(&inner_key), random)?;
    let mut seed = vec![0; HASH.size()];
    random.fill(&mut seed);
    let public = public(&seed, key);
    let name = joined(&[&HASH.id().to_be_bytes(), HASH.digest(&[&public]).as_ref()]);
    let inner = inner(&sensitive(&seed, key), &name, &inner_key)?;
    let private = protect(storage_root_key, Purpose::Duplicate, &name, inner, random)?;
    let mut out = Vec::new();
    for part in [&credential.bytes, &credential.secret, &private.bytes, &private.secret, &public, &Vec::new()]
    {
        put_sized(&mut out, part);
    }
    Ok(out)
}

/// `TPMT_PUBLIC` of a keyed hash with an HMAC scheme (part 2, section 12.2.4).
fn public(seed: &[u8], key: &[u8]) -> Vec<u8> {
    let numbers =
        |numbers: &[u16]| numbers.iter().flat_map(|number| number.to_be_bytes()).collect::<Vec<u8>>();
    // Without a policy; its unique value ties the private part to it (part 1, section 27.5.3.2).
    let unique = HASH.digest(&[seed, key]);
    joined(&[
        &numbers(&[alg::KEYED_HASH, HASH.id()]),
        &SIGNS.to_be_bytes(),
        &sized(&[]),
        &numbers(&[alg::HMAC, HASH.id()]),
        &sized(unique.as_ref()),
    ])
}

/// `TPM2B_SENSITIVE`: no password, the seed, the key (part 2, section 12.3.2.4).
fn sensitive(seed: &[u8], key: &[u8]) -> Vec<u8> {
    sized(&joined(&[&alg::KEYED_HASH.to_be_bytes(), &sized(&[]), &sized(seed), &sized(key)]))
}

/// The inner wrapper (part 1, section 22.3): a digest that ties it to the object's name, then the sensitive area, encrypted.
fn inner(sensitive: &[u8], name: &[u8], key: &[u8]) -> Result<Vec<u8>, Unusable> {
    let integrity = HASH.digest(&[sensitive, name]);
    let mut out = joined(&[&sized(integrity.as_ref()), sensitive]);
    cfb(key, &mut out)?;
    Ok(out)
}
