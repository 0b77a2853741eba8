//! What a client says of an enrollment, checked and made whole.

use pollux_model::device::Status;
use pollux_model::enrollment::{
    Allocation, Attestation, EnrollmentRules, InitialTwin, ReprovisionPolicy, Rollover, Webhook,
};
use pollux_model::resource::{Resource, ResourceKind, ServiceAllocation};
use pollux_model::{Error, Etag, Key, KeyPair, Result};
use serde_json::{Map, Value};
use url::Url;

use super::Provisioning;

mod certificates;
mod tpm;

/// An individual enrollment as a client writes it.
#[derive(Debug, Clone)]
pub struct IndividualInput {
    /// Whose it is, as written.
    pub registration_id: String,
    /// The id the device gets in its hub.
    pub device_id: Option<String>,
    /// Handed to the webhook.
    pub optional_device_information: Option<Map<String, Value>>,
    /// What groups have too.
    pub common: EnrollmentInput,
}

/// An enrollment group as a client writes it.
#[derive(Debug, Clone)]
pub struct GroupInput {
    /// Its id.
    pub id: String,
    /// What individual enrollments have too.
    pub common: EnrollmentInput,
}

/// What both kinds of enrollment have.
#[derive(Debug, Clone, Default)]
pub struct EnrollmentInput {
    /// How devices prove who they are; `None`: by keys that are made here.
    pub attestation: Option<AttestationInput>,
    /// Enabled when absent.
    pub status: Option<Status>,
    /// `hashed`, `static`, `geoLatency` or `custom`.
    pub allocation_policy: Option<String>,
    /// For `custom`: URL and API version.
    pub webhook: Option<(String, Option<String>)>,
    /// Host names to choose from.
    pub hubs: Vec<String>,
    /// What new devices start with.
    pub initial_twin: Option<InitialTwin>,
    /// Update the assignment and migrate, when absent.
    pub reprovision: Option<ReprovisionPolicy>,
    /// Edge devices.
    pub iot_edge: bool,
}

/// An attestation as a client writes it.
#[derive(Debug, Clone)]
pub enum AttestationInput {
    /// Keys in base64; those absent are kept, or made.
    SymmetricKey {
        /// The primary key.
        primary: Option<String>,
        /// The secondary key.
        secondary: Option<String>,
    },
    /// Certificates; those absent are kept where they are there already.
    X509 {
        /// What they are.
        kind: CertificateKind,
        /// The one in use: PEM, base64, or a name.
        primary: Option<String>,
        /// The one to come.
        secondary: Option<String>,
    },
    /// The public keys of a TPM, in base64.
    Tpm {
        /// The endorsement key.
        endorsement_key: String,
        /// The storage root key.
        storage_root_key: Option<String>,
    },
}

/// What the certificates of an enrollment are to its devices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CertificateKind {
    /// Their own.
    Client,
    /// Their signers.
    Signing,
    /// Their signers, by the names of certificates that are known to the service.
    References,
}

impl Provisioning {
    /// The attestation to store: keys and certificates given are checked, those not given are kept from `before`; keys are
    /// made where there are none.
    pub(super) fn attestation(
        &self,
        dps: &Resource,
        input: Option<AttestationInput>,
        before: Option<&Attestation>,
    ) -> Result<Attestation> {
        let (primary, secondary) = match input {
            None => {
                if let Some(before) = before {
                    return Ok(before.clone());
                }
                (None, None)
            }
            Some(AttestationInput::SymmetricKey { primary, secondary }) => (primary, secondary),
            Some(AttestationInput::X509 { kind, primary, secondary }) => {
                let given = Rollover { primary, secondary };
                return Ok(Attestation::X509 { trust: certificates::trust(dps, kind, given, before)? });
            }
            Some(AttestationInput::Tpm { endorsement_key, storage_root_key }) => {
                let given = tpm::keys(&endorsement_key, storage_root_key.as_deref())?;
                return Ok(tpm::attestation(given, before, || Key::generate(&*self.context.random)));
            }
        };
        let made = match before {
            Some(Attestation::SymmetricKey { keys }) => keys.clone(),
            _ => KeyPair::generate(&*self.context.random),
        };
        let keys = KeyPair {
            primary: key(primary, "primaryKey")?.unwrap_or(made.primary),
            secondary: key(secondary, "secondaryKey")?.unwrap_or(made.secondary),
        };
        Ok(Attestation::SymmetricKey { keys })
    }

    /// The rules to store. When it was created stays what it was; so may hubs that are linked no more: an entry that names one
    /// must yet be disabled.
    pub(super) fn rules(
        &self,
        dps: &Resource,
        input: EnrollmentInput,
        before: Option<&EnrollmentRules>,
    ) -> Result<EnrollmentRules> {
        let now = self.context.clock.now();
        let known = before.map_or(&[][..], |before| &before.hubs);
        for host in input.hubs.iter().filter(|host| !known.contains(host)) {
            self.check_linked(dps, host)?;
        }
        Ok(EnrollmentRules {
            status: input.status.unwrap_or(Status::Enabled),
            allocation: match input.allocation_policy.as_deref() {
                Some(policy) => allocation(policy, input.webhook, &input.hubs)?,
                None => usual(Self::dps(dps)?.allocation, &input.hubs),
            },
            hubs: input.hubs,
            initial_twin: input.initial_twin,
            reprovision: input.reprovision,
            iot_edge: input.iot_edge,
            etag: Etag::fresh(&*self.context.random),
            created: before.map_or(now, |before| before.created),
            updated: now,
        })
    }

    fn check_linked(&self, dps: &Resource, host: &str) -> Result<()> {
        let linked: Vec<_> = Self::dps(dps)?
            .linked_hubs
            .iter()
            .filter_map(|link| self.context.table.named(ResourceKind::Hub, &link.hub))
            .map(|hub| hub.host_name.clone())
            .collect();
        if linked.iter().any(|name| name.eq_ignore_ascii_case(host)) {
            return Ok(());
        }
        let shown = pollux_model::ids::shown(host);
        Err(Error::invalid(format!(
            "the hub '{shown}' is not linked to this provisioning service; linked are: {}",
            linked.join(", ")
        )))
    }
}

fn key(text: Option<String>, name: &str) -> Result<Option<Key>> {
    let Some(text) = text.filter(|text| !text.is_empty()) else { return Ok(None) };
    Key::from_base64(&text)
        .map(Some)
        .ok_or_else(|| Error::invalid(format!("{name} must be base64 of 16 to 64 bytes")))
}

/// What the service gives to an enrollment that names no policy.
fn usual(of_service: Option<ServiceAllocation>, hubs: &[String]) -> Allocation {
    match of_service {
        Some(ServiceAllocation::GeoLatency) => Allocation::GeoLatency,
        Some(ServiceAllocation::Static) if hubs.len() == 1 => Allocation::Static,
        None | Some(ServiceAllocation::Hashed | ServiceAllocation::Static) => Allocation::Hashed,
    }
}

fn allocation(
    policy: &str,
    webhook: Option<(String, Option<String>)>,
    hubs: &[String],
) -> Result<Allocation> {
    match policy.to_ascii_lowercase().as_str() {
        "hashed" => Ok(Allocation::Hashed),
        "geolatency" => Ok(Allocation::GeoLatency),
        // One that names none is taken, as the real service takes it (`_service_create_delete.js` of the SDK for Node): its
        // devices are refused.
        "static" if hubs.len() <= 1 => Ok(Allocation::Static),
        "static" => Err(Error::invalid("allocationPolicy 'static' takes one hub in iotHubs")),
        "custom" => custom(webhook),
        _ => {
            let shown = pollux_model::ids::shown(policy);
            Err(Error::invalid(format!(
                "allocationPolicy '{shown}' is unknown: use hashed, geoLatency, static or custom"
            )))
        }
    }
}

fn custom(webhook: Option<(String, Option<String>)>) -> Result<Allocation> {
    let Some((url, api_version)) = webhook else {
        return Err(Error::invalid("allocationPolicy 'custom' needs customAllocationDefinition.webhookUrl"));
    };
    let parsed =
        Url::parse(&url).map_err(|error| Error::invalid(format!("webhookUrl does not parse: {error}")))?;
    if !matches!(parsed.scheme(), "https" | "http") || parsed.host_str().is_none() {
        return Err(Error::invalid("webhookUrl must be an http or https URL with a host"));
    }
    let api_version = api_version.unwrap_or_else(|| "2021-10-01".to_owned());
    Ok(Allocation::Custom { webhook: Webhook { url, api_version } })
}
