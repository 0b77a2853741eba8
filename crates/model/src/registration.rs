//! Registration records: what became of each device that registered.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::enrollment::Der;
use crate::{Etag, RegistrationId, Timestamp};

/// The record of one device in one provisioning service. It outlives the enrollment it came through.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Registration {
    /// Whose record it is (case folded).
    pub registration_id: RegistrationId,
    /// The id as the device wrote it: the default device id.
    pub displayed_id: String,
    /// The enrollment group that let it in; `None`: an individual enrollment.
    pub group: Option<String>,
    /// Where it stands.
    pub status: RegistrationStatus,
    /// How the last assignment came about.
    pub substatus: Option<Substatus>,
    /// Host name of the hub it was assigned to.
    pub assigned_hub: Option<String>,
    /// Its id in that hub.
    pub device_id: Option<String>,
    /// Why it failed, when it did.
    pub failure: Option<Failure>,
    /// What the webhook gave back for the device.
    pub payload: Option<Value>,
    /// Certificates made of its requests that its hub knows it by: the newest, and the one before, which it may use until it
    /// has the newest.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub issued: Vec<IssuedCertificate>,
    /// The operation that runs now, or the last one.
    pub operation: Operation,
    /// When the record was made.
    pub created: Timestamp,
    /// When it last changed.
    pub updated: Timestamp,
    /// Changes with every change.
    pub etag: Etag,
}

/// A certificate that was made of a device's request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IssuedCertificate {
    /// The certificate, then those above it.
    pub chain: Vec<Der>,
    /// Whose it is: the subject of its authority, as text.
    pub issuer: String,
    /// In upper-case hexadecimal digits.
    pub serial_number: String,
    /// Its SHA-256 thumbprint.
    pub thumbprint: String,
    /// Until when it holds.
    pub not_after: Timestamp,
}

/// Where a registration stands (names as in the DPS API).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RegistrationStatus {
    /// Known but not assigned.
    Unassigned,
    /// An operation is running.
    Assigning,
    /// It has a hub.
    Assigned,
    /// The last operation failed.
    Failed,
    /// Its enrollment is disabled.
    Disabled,
}

impl RegistrationStatus {
    /// The word of the DPS API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unassigned => "unassigned",
            Self::Assigning => "assigning",
            Self::Assigned => "assigned",
            Self::Failed => "failed",
            Self::Disabled => "disabled",
        }
    }
}

/// How an assignment came about (names as in the DPS API).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Substatus {
    /// The first one.
    InitialAssignment,
    /// Its state moved to another hub.
    DeviceDataMigrated,
    /// Its state was reset to the initial twin.
    DeviceDataReset,
    /// It was put back to where it first was.
    ReprovisionedToInitialAssignment,
}

impl Substatus {
    /// The word of the DPS API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InitialAssignment => "initialAssignment",
            Self::DeviceDataMigrated => "deviceDataMigrated",
            Self::DeviceDataReset => "deviceDataReset",
            Self::ReprovisionedToInitialAssignment => "reprovisionedToInitialAssignment",
        }
    }
}

/// Why a registration failed, as the device and the operator are told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// Six digits; the first three are the HTTP status.
    pub code: u32,
    /// What happened: for a webhook its status and body.
    pub message: String,
}

/// A run of the allocation for one registration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Operation {
    /// What the device polls with.
    pub id: String,
    /// When it began.
    pub started: Timestamp,
    /// What the device sent along (handed to the webhook).
    pub payload: Option<Value>,
    /// Whether the device asked to be assigned anew.
    pub force: bool,
    /// Whether it stays in its hub where its entry does not say what happens: it speaks an API from before that could be said.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub stays: bool,
    /// The SHA-256 thumbprint of the certificate that the device proved itself with, where it was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<String>,
    /// The public part of the storage root key of the device's TPM (`TPM2B_PUBLIC`), where it proved itself with one: what
    /// it gets is wrapped for that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage_root_key: Option<Der>,
    /// What the device wants a certificate made of (PKCS#10).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signing_request: Option<Der>,
    /// The node that works on it, where there are several: others leave it alone while that one lives.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// Where the device came from, where its allocation may depend on that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<IpAddr>,
}
