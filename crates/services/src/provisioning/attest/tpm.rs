//! A device that has a TPM.
//!
//! ```text
//!   device: endorsement key, storage root key ─▶ activation: a key that only this TPM can open
//!   device: token signed with that key        ─▶ admitted; registers
//!   assigned                                  ─▶ activation: the key that its hub knows it by
//! ```
//!
//! The key of the first activation is derived from the enrollment's secret and the hour. Nothing need be kept between the
//! two requests, so whoever knows an endorsement key, which is public, can neither fill a store nor spoil the challenge of
//! the device it belongs to, and any node can check the answer. It signs for this enrollment only, and for two hours at most.
//!
//! Azure articles "TPM attestation" and "Understand the TPM attestation flow"; WIRE.md 4.4.

use std::net::IpAddr;

use aws_lc_rs::constant_time;
use pollux_model::enrollment::{Attestation, IndividualEnrollment};
use pollux_model::resource::Resource;
use pollux_model::sas::SasToken;
use pollux_model::{Error, Key, KeyPair, RegistrationId, Result, Timestamp};
use pollux_tpm::{Public, activation};

use super::decision::Entry;
use super::refused;
use crate::provisioning::Provisioning;

/// How long a key is given out, in seconds; it is believed for as long again. The SDKs sign tokens for an hour.
const PERIOD: i64 = 3600;

/// The public keys that a device's TPM shows, as the TPM writes them.
#[derive(Debug, Clone, Copy)]
pub struct TpmKeys<'a> {
    /// The endorsement key.
    pub endorsement: &'a [u8],
    /// The storage root key.
    pub storage_root: &'a [u8],
}

impl Provisioning {
    /// What a device must open with its TPM before it signs: see `pollux_tpm` for its form. Refuses with
    /// [`pollux_model::ErrorCode::Unauthorized`] whom no enrollment knows by this key, and tells no more: a disabled one is
    /// found out about by who has proved that it is the device.
    pub async fn tpm_challenge(
        &self,
        dps: &Resource,
        displayed: &str,
        keys: TpmKeys<'_>,
        from: Option<IpAddr>,
    ) -> Result<Vec<u8>> {
        let id = RegistrationId::parse(displayed)?;
        let storage_root = read(keys.storage_root, "storage root key")?;
        let enrollment = self.context.store.enrollment(&dps.name, &id).await?;
        let by = enrollment.as_ref().map(|_| Entry::Individual(id.clone()));
        let known = match enrollment.map(|one| one.attestation) {
            Some(Attestation::Tpm { endorsement_key, secret, .. })
                if constant_time::verify_slices_are_equal(&endorsement_key.0, keys.endorsement).is_ok() =>
            {
                Ok((endorsement_key, secret))
            }
            Some(Attestation::Tpm { .. }) => Err("the endorsement key is not that of its enrollment"),
            _ => Err("no individual enrollment wants a TPM of it"),
        };
        let (endorsement_key, secret) = match known {
            Ok(known) => known,
            Err(why) => {
                self.audit_refusal(dps, &id, from, (by.as_ref(), why)).await;
                return Err(refused(&id, why));
            }
        };
        let endorsement = read(&endorsement_key.0, "endorsement key")?;
        let period = self.context.clock.now().as_secs() / PERIOD;
        let key = session_key(&secret, &id, period);
        activation(&endorsement, &storage_root, &key.bytes(), &*self.context.random)
            .map_err(|error| Error::invalid(error.to_string()))
    }

    /// The key that the hub knows the device by, for its TPM to open; `None` where the enrollment wants no TPM any more.
    pub(in crate::provisioning) fn tpm_hub_key(
        &self,
        enrollment: &IndividualEnrollment,
        storage_root: &[u8],
    ) -> Result<Option<Vec<u8>>> {
        let Attestation::Tpm { endorsement_key, secret, .. } = &enrollment.attestation else {
            return Ok(None);
        };
        let (endorsement, storage_root) =
            (read(&endorsement_key.0, "endorsement key")?, read(storage_root, "storage root key")?);
        let key = hub_keys(secret, &enrollment.registration_id).primary;
        activation(&endorsement, &storage_root, &key.bytes(), &*self.context.random)
            .map(Some)
            .map_err(|error| Error::invalid(error.to_string()))
    }
}

/// Until when the token proves that its signer opened a challenge; `None`: it does not.
pub(super) fn signed(
    secret: &Key,
    id: &RegistrationId,
    token: &SasToken,
    now: Timestamp,
) -> Option<Timestamp> {
    let now = now.as_secs() / PERIOD;
    let signed = |period: i64| token.signed_by(&session_key(secret, id, period).bytes());
    // Both are always tried.
    let (present, past) = (signed(now), signed(now.saturating_sub(1)));
    let last = if present { now + 1 } else { now };
    (present | past).then(|| Timestamp::from_secs((last + 1) * PERIOD))
}

/// The keys of the device in its hub.
pub(in crate::provisioning) fn hub_keys(secret: &Key, id: &RegistrationId) -> KeyPair {
    KeyPair {
        primary: secret.derive(&format!("hub/1/{id}")),
        secondary: secret.derive(&format!("hub/2/{id}")),
    }
}

fn session_key(secret: &Key, id: &RegistrationId, period: i64) -> Key {
    secret.derive(&format!("challenge/{period}/{id}"))
}

fn read(key: &[u8], what: &str) -> Result<Public> {
    Public::parse(key).map_err(|error| Error::invalid(format!("the {what} cannot be used: {error}")))
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use pollux_model::resource::ResourceKind;
    use pollux_model::{Clock as _, ErrorCode, sas};

    use super::*;
    use crate::caller::Caller;
    use crate::fixture::World;
    use crate::provisioning::{AttestationInput, EnrollmentInput, IndividualInput};

    /// Keys of P-256 as swtpm makes them: an endorsement key, which does for a storage root key too.
    const KEY: &str = "AHoAIwALAAMAsgAgg3GXZ0SEs/gakMyNRqXXJP1S124GUgtk8qHaGzMUaaoABgCAAEMAEAADABAAIH2X2cjQ3ctcOFoIAGHY8qNh3xcOraJ9kp+02Lh6EkxgACALLCMRNXBa4OADKCGHJqZS6wpN6RI01dnPSKWTpGkxuQ==";

    struct Enrolled {
        world: World,
        dps: std::sync::Arc<Resource>,
    }

    impl Enrolled {
        async fn new(ids: &[&str]) -> Self {
            let world = World::new().await;
            let dps = world.resource(ResourceKind::Dps, "dps1");
            let enrolled = Self { world, dps };
            for id in ids {
                enrolled.put(id, KEY).await.unwrap();
            }
            enrolled
        }

        async fn put(&self, id: &str, key: &str) -> Result<IndividualEnrollment> {
            let attestation =
                AttestationInput::Tpm { endorsement_key: key.to_owned(), storage_root_key: None };
            let input = IndividualInput {
                registration_id: id.to_owned(),
                device_id: None,
                optional_device_information: None,
                common: EnrollmentInput { attestation: Some(attestation), ..EnrollmentInput::default() },
            };
            let any = Some(pollux_store::Expect::Present);
            let provisioning = &self.world.services.provisioning;
            let there =
                provisioning.context.store.enrollment(&self.dps.name, &RegistrationId::parse(id)?).await?;
            provisioning
                .put_enrollment(&Caller::admin(), &self.dps, input, any.filter(|_| there.is_some()))
                .await
        }

        async fn secret(&self, id: &str) -> Key {
            let store = &self.world.services.context.store;
            let found = store.enrollment(&self.dps.name, &RegistrationId::parse(id).unwrap()).await.unwrap();
            match found.unwrap().attestation {
                Attestation::Tpm { secret, .. } => secret,
                other => panic!("{other:?}"),
            }
        }

        async fn attest(&self, id: &str, key: &Key) -> Result<Caller> {
            let scope = &Provisioning::dps(&self.dps).unwrap().id_scope;
            let expiry = self.world.clock.now().as_secs() + 100_000;
            let token = sas::sign(&format!("{scope}/registrations/{id}"), &key.bytes(), expiry, None);
            let token = SasToken::parse(&token).unwrap();
            self.world.services.provisioning.attest_by_token(&self.dps, id, &token, None).await
        }

        async fn challenge(&self, id: &str, endorsement: &[u8]) -> Result<Vec<u8>> {
            let own = STANDARD.decode(KEY).unwrap();
            let keys = TpmKeys { endorsement, storage_root: &own };
            self.world.services.provisioning.tpm_challenge(&self.dps, id, keys, None).await
        }
    }

    fn key_of(enrolled: &Enrolled, secret: &Key, id: &str, periods_ago: i64) -> Key {
        let period = enrolled.world.clock.now().as_secs() / PERIOD - periods_ago;
        session_key(secret, &RegistrationId::parse(id).unwrap(), period)
    }

    #[tokio::test]
    async fn a_key_is_believed_for_its_hour_and_the_next_for_one_device() {
        let enrolled = Enrolled::new(&["dev-1", "dev-2"]).await;
        let secret = enrolled.secret("dev-1").await;
        for (ago, believed) in [(-1, false), (0, true), (1, true), (2, false)] {
            let caller = enrolled.attest("dev-1", &key_of(&enrolled, &secret, "dev-1", ago)).await;
            assert_eq!(caller.is_ok(), believed, "{ago}");
            let now = enrolled.world.clock.now().as_secs();
            let hours = caller.ok().map(|caller| caller.expires.unwrap().as_secs() / PERIOD - now / PERIOD);
            assert_eq!(hours, believed.then_some(2 - ago));
        }
        let key = key_of(&enrolled, &secret, "dev-1", 0);
        assert!(enrolled.attest("dev-2", &key).await.is_err(), "another device's");
        assert!(
            enrolled
                .attest("dev-1", &hub_keys(&secret, &RegistrationId::parse("dev-1").unwrap()).primary)
                .await
                .is_err()
        );
        enrolled.put("dev-1", KEY).await.unwrap();
        assert!(enrolled.attest("dev-1", &key).await.is_ok(), "the same TPM keeps its secret");
    }

    #[tokio::test]
    async fn who_is_not_enrolled_by_its_key_gets_no_challenge() {
        let enrolled = Enrolled::new(&["dev-1"]).await;
        let own = STANDARD.decode(KEY).unwrap();
        let first = enrolled.challenge("dev-1", &own).await.unwrap();
        assert_ne!(enrolled.challenge("dev-1", &own).await.unwrap(), first);
        let mut other = own.clone();
        other[60] ^= 1;
        for (id, key) in [("dev-2", &own), ("dev-1", &other)] {
            let error = enrolled.challenge(id, key).await.unwrap_err();
            assert_eq!(error.code, ErrorCode::Unauthorized);
        }
    }

    #[tokio::test]
    async fn another_tpm_makes_the_old_keys_void() {
        let enrolled = Enrolled::new(&["dev-1"]).await;
        let before = enrolled.secret("dev-1").await;
        // The same key written with another policy is another key.
        let mut other = STANDARD.decode(KEY).unwrap();
        other[14] ^= 1;
        enrolled.put("dev-1", &STANDARD.encode(other)).await.unwrap();
        assert_ne!(enrolled.secret("dev-1").await, before);
        assert!(enrolled.attest("dev-1", &key_of(&enrolled, &before, "dev-1", 0)).await.is_err());
    }
}
