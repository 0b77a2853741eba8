//! A device in its hub, or a module of a device: the identity and the twin.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::configuration::Configured;
use crate::{DeviceAddress, DeviceId, Etag, KeyPair, ModuleId, Timestamp};

/// A device, or a module of a device: its identity and its twin live and die together.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Device {
    /// Unique in the hub; of a module that of its device.
    pub id: DeviceId,
    /// Of a module its id, unique on its device (Azure article "Understand and use module twins in IoT Hub").
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub module: Option<ModuleId>,
    /// Who it is and whether it may connect.
    pub identity: Identity,
    /// Its desired and reported state.
    pub twin: DeviceTwin,
}

impl Device {
    /// Whom the hub knows it as.
    #[must_use]
    pub fn address(&self) -> DeviceAddress {
        DeviceAddress { device: self.id.clone(), module: self.module.clone() }
    }
}

/// The identity registry's entry. Azure article "Understand the identity registry in your IoT hub".
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Tells a device from an earlier one of the same id; decimal digits.
    pub generation_id: String,
    /// Changes with every change of the identity.
    pub etag: Etag,
    /// Whether it may connect. A module has none of its own: it may as long as its device may.
    pub status: Status,
    /// Why, in the operator's words; up to 128 characters.
    pub status_reason: Option<String>,
    /// When the status last changed.
    pub status_updated: Timestamp,
    /// When the identity was made.
    pub created: Timestamp,
    /// How it proves who it is.
    pub authentication: Authentication,
    /// Whether it is an edge device.
    pub iot_edge: bool,
    /// The provisioning service that registered it, if one did: resource name and registration id.
    pub provisioned_by: Option<ProvisionedBy>,
    /// Of a module: who looks after it, in the operator's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub managed_by: Option<String>,
    /// Of an edge device: the scope that it is the head of. Of another: that of the edge device whose child it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device_scope: Option<String>,
    /// The scopes of the edge devices right above it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parent_scopes: Vec<String>,
}

/// When a device or module was last heard of. Each time only grows. Azure article "Understand the identity registry in your IoT
/// hub": `connectionStateUpdatedTime` and `lastActivityTime`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Activity {
    /// When it last connected, or its connection ended.
    pub state_updated: Timestamp,
    /// When it last connected, received or sent a message.
    pub last: Timestamp,
}

impl Default for Activity {
    fn default() -> Self {
        Self::NONE
    }
}

impl Activity {
    /// Never.
    pub const NONE: Self = Self { state_updated: Timestamp::NEVER, last: Timestamp::NEVER };

    /// It connected, or its connection ended.
    #[must_use]
    pub fn state(now: Timestamp) -> Self {
        Self { state_updated: now, ..Self::NONE }
    }

    /// It received or sent a message.
    #[must_use]
    pub fn message(now: Timestamp) -> Self {
        Self { last: now, ..Self::NONE }
    }

    /// The later of each time.
    #[must_use]
    pub fn merge(self, other: Self) -> Self {
        Self { state_updated: self.state_updated.max(other.state_updated), last: self.last.max(other.last) }
    }

    /// What is not of an earlier device of the same id.
    #[must_use]
    pub fn since(self, created: Timestamp) -> Self {
        let kept = |time| if time < created { Timestamp::NEVER } else { time };
        Self { state_updated: kept(self.state_updated), last: kept(self.last) }
    }
}

/// Which provisioning service registered a device, and under which id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProvisionedBy {
    /// The DPS's resource name.
    pub dps: String,
    /// The registration id.
    pub registration_id: String,
}

/// Whether a device may connect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// It may.
    Enabled,
    /// It may not; a live connection is cut.
    Disabled,
}

impl Status {
    /// Whether it may.
    #[must_use]
    pub const fn is_enabled(self) -> bool {
        matches!(self, Self::Enabled)
    }

    /// `enabled` or `disabled`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Enabled => "enabled",
            Self::Disabled => "disabled",
        }
    }
}

/// How a device proves who it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "camelCase")]
pub enum Authentication {
    /// By tokens signed with one of two keys.
    Sas {
        /// The keys.
        keys: KeyPair,
    },
    /// By a certificate of a known thumbprint (SHA-1 or SHA-256, upper-case hex).
    SelfSigned {
        /// The one in use.
        primary: Option<String>,
        /// The one to come.
        secondary: Option<String>,
    },
    /// By a certificate that a CA known to the hub signed, with the device id as common name.
    CertificateAuthority,
}

/// The device twin. Azure article "Understand and use device twins in IoT Hub".
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DeviceTwin {
    /// Changes with every change, whoever makes it: what the store's expectations compare.
    pub etag: Etag,
    /// Changes with changes of tags and desired properties only: what the service side sees and gives back, so that a
    /// device that reports does not upset an operator who edits.
    pub service_etag: Etag,
    /// Grows by one with every change.
    pub version: u64,
    /// The model the device said it is of (Plug and Play), empty if none.
    pub model_id: String,
    /// What only the service side sees.
    pub tags: Map<String, Value>,
    /// What the service wants.
    pub desired: TwinCollection,
    /// What the device says.
    pub reported: TwinCollection,
    /// What configurations made of it.
    #[serde(default, skip_serializing_if = "Configured::is_empty")]
    pub configured: Configured,
}

/// One side of a device twin.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Default)]
pub struct TwinCollection {
    /// The properties, without `$metadata` and `$version`.
    pub properties: Map<String, Value>,
    /// The tree of `$lastUpdated` and `$lastUpdatedVersion` that runs beside the properties.
    pub metadata: Map<String, Value>,
    /// Grows by one with every change; 1 at birth.
    pub version: u64,
}
