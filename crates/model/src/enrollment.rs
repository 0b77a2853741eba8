//! Enrollments: who may register with a provisioning service, and where they go.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::device::Status;
use crate::{Etag, Key, KeyPair, RegistrationId, Timestamp};

/// An entry for one device.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct IndividualEnrollment {
    /// Whose entry it is (case folded).
    pub registration_id: RegistrationId,
    /// The id the device gets in the hub; the registration id when `None`.
    pub device_id: Option<String>,
    /// How the device proves who it is.
    pub attestation: Attestation,
    /// What individual and group entries share.
    pub rules: EnrollmentRules,
    /// Free text from the service side, handed to the webhook.
    pub optional_device_information: Option<Map<String, Value>>,
}

/// An entry for all devices whose keys or certificates come from one root.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EnrollmentGroup {
    /// Its id: letters, digits, `-` and others, up to 128; compared in lower case.
    pub id: String,
    /// How its devices prove who they are.
    pub attestation: Attestation,
    /// What individual and group entries share.
    pub rules: EnrollmentRules,
}

/// What individual and group entries share.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EnrollmentRules {
    /// A disabled entry refuses its devices.
    pub status: Status,
    /// Which hub a device goes to.
    pub allocation: Allocation,
    /// Host names of the hubs to choose from; empty: all that are linked.
    pub hubs: Vec<String>,
    /// Tags and desired properties a new device starts with.
    pub initial_twin: Option<InitialTwin>,
    /// What happens when a known device registers again; `None`: the entry does not say, which old devices take for "stays".
    #[serde(default)]
    pub reprovision: Option<ReprovisionPolicy>,
    /// Whether the hub is told it is an edge device.
    pub iot_edge: bool,
    /// Changes with every change.
    pub etag: Etag,
    /// When it was made.
    pub created: Timestamp,
    /// When it was last changed.
    pub updated: Timestamp,
}

/// How a device proves who it is to the provisioning service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "camelCase")]
pub enum Attestation {
    /// By a token signed with one of two keys; devices of a group sign with keys derived from them.
    SymmetricKey {
        /// The keys.
        keys: KeyPair,
    },
    /// By a certificate.
    X509 {
        /// Which.
        trust: CertificateTrust,
    },
    /// By a TPM 2.0 that opens what is encrypted to its endorsement key; individual enrollments only.
    Tpm {
        /// The public part of the endorsement key, as the TPM writes it (`TPM2B_PUBLIC`): that is who the device is.
        endorsement_key: Der,
        /// That of the storage root key, where the operator has given it. The device brings its own, which changes with
        /// its owner, and is not compared (Azure article "TPM attestation").
        storage_root_key: Option<Der>,
        /// What the keys are derived from that the device gets into its TPM. Never shown.
        secret: Key,
    },
}

/// Which certificates prove a device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "certificates", rename_all = "camelCase")]
pub enum CertificateTrust {
    /// The device's own, of an individual enrollment.
    Client(Rollover<Der>),
    /// One that this one signed, directly or not: that of a group.
    Signing(Rollover<Der>),
    /// As before, by the name the provisioning service knows the signer under.
    References(Rollover<String>),
}

/// One of something in use and one to come, so that devices can be moved from the one to the other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rollover<T> {
    /// The one in use.
    pub primary: Option<T>,
    /// The one to come.
    pub secondary: Option<T>,
}

impl<T> Rollover<T> {
    /// Those that are there.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.primary.iter().chain(&self.secondary)
    }
}

/// Bytes in a form of their own, such as a certificate as its issuer signed it; in JSON as base64.
#[derive(Clone, PartialEq, Eq)]
pub struct Der(pub Vec<u8>);

impl std::fmt::Debug for Der {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Der({} bytes)", self.0.len())
    }
}

impl Serialize for Der {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Der {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        STANDARD.decode(text).map(Self).map_err(serde::de::Error::custom)
    }
}

/// Which hub a device goes to (Azure article "How to use allocation policies").
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "policy", rename_all = "camelCase")]
pub enum Allocation {
    /// By a hash of the registration id, weighted.
    Hashed,
    /// To the one hub given.
    Static,
    /// To the hub with the lowest latency for the device.
    GeoLatency,
    /// To the hub a webhook names.
    Custom {
        /// Where the webhook is; may carry a function key as `?code=`.
        webhook: Webhook,
    },
}

/// A custom allocation webhook.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Webhook {
    /// The URL, with its `?code=`.
    pub url: String,
    /// The form of the request, such as `2019-03-31`.
    pub api_version: String,
}

impl std::fmt::Debug for Webhook {
    /// The query may carry the function key and stays out.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let url = self.url.split('?').next().unwrap_or_default();
        f.debug_struct("Webhook").field("url", &url).field("api_version", &self.api_version).finish()
    }
}

/// Tags and desired properties a device starts with.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Default)]
pub struct InitialTwin {
    /// Tags.
    #[serde(default)]
    pub tags: Map<String, Value>,
    /// Desired properties.
    #[serde(default)]
    pub desired: Map<String, Value>,
}

/// What happens when a known device registers again (Azure article "IoT Hub Device reprovisioning concepts").
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReprovisionPolicy {
    /// Whether the allocation is made anew (else the device stays where it is).
    pub update_hub_assignment: bool,
    /// Whether its twin's state moves with it (else it starts from the initial twin).
    pub migrate_device_data: bool,
}

impl Default for ReprovisionPolicy {
    fn default() -> Self {
        Self { update_hub_assignment: true, migrate_device_data: true }
    }
}
