//! A device identity created.

use base64::Engine as _;
use pollux_model::configuration::Configured;
use pollux_model::device::{Authentication, Device, DeviceTwin, Identity, Status, TwinCollection};
use pollux_model::resource::{Resource, ResourceKind};
use pollux_model::{DeviceId, Error, ErrorCode, Etag, Key, KeyPair, Result};
use pollux_store::{Batch, CommitError, Mismatch};
use serde_json::Map;

use super::edge_device::{Scopes, own_scope};
use super::plan_twin::{Planned, TwinChange};
use super::{Hub, Operation};
use crate::caller::{Caller, HubAction, Right};

/// A device identity as a client writes it.
#[derive(Debug, Clone)]
pub struct DeviceInput {
    /// Its id.
    pub id: String,
    /// Enabled when absent.
    pub status: Option<Status>,
    /// Up to 128 characters.
    pub status_reason: Option<String>,
    /// By keys that are made here when absent.
    pub authentication: Option<AuthenticationInput>,
    /// An edge device.
    pub iot_edge: bool,
    /// Where it stands among edge devices.
    pub scopes: Scopes,
}

impl DeviceInput {
    /// An enabled device with keys that are made, no edge device, that stands nowhere.
    #[must_use]
    pub fn new(id: impl Into<String>) -> Self {
        Self {
            id: id.into(),
            status: None,
            status_reason: None,
            authentication: None,
            iot_edge: false,
            scopes: Scopes::default(),
        }
    }
}

/// How a device proves who it is, as a client writes it.
#[derive(Debug, Clone)]
pub enum AuthenticationInput {
    /// Keys in base64; those absent are kept, or made; those that are empty are made anew.
    Sas {
        /// The primary key.
        primary: Option<String>,
        /// The secondary key.
        secondary: Option<String>,
    },
    /// Thumbprints in hex: SHA-1 or SHA-256.
    SelfSigned {
        /// The one in use.
        primary: Option<String>,
        /// The one to come.
        secondary: Option<String>,
    },
    /// A certificate signed by a CA.
    CertificateAuthority,
}

impl Hub {
    /// Creates a device. [`ErrorCode::DeviceExists`] when one of that id is there.
    pub async fn create_device(&self, caller: &Caller, hub: &Resource, input: DeviceInput) -> Result<Device> {
        caller.require(ResourceKind::Hub, &hub.name, Right::Hub(HubAction::DevicesWrite))?;
        self.throttle(hub, Operation::Identity, 1)?;
        let id = DeviceId::parse(&input.id)?;
        let authentication = self.authentication(input.authentication, None)?;
        let mut device = self.new_device(id, authentication, input.iot_edge);
        device.identity.status = input.status.unwrap_or(Status::Enabled);
        device.identity.status_reason = checked_reason(input.status_reason)?;
        self.check_scopes(hub, &input.scopes, None).await?;
        input.scopes.give(&device.id, &mut device.identity)?;
        let (device, batch) = self.plan_new(hub, device).await?;
        match self.context.store.commit(batch).await {
            Ok(()) => {
                self.deploy_after(hub, &device).await;
                Ok(device)
            }
            Err(CommitError::Expectation { mismatch: Mismatch::Exists, .. }) => {
                Err(Error::new(ErrorCode::DeviceExists, format!("a device '{}' exists", device.id)))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// The writes that make a device or module that must not be there, with the events that tell of it, and what it is
    /// then. Configurations that match it have their part in it from the start.
    pub(super) async fn plan_new(&self, hub: &Resource, device: Device) -> Result<(Device, Batch)> {
        let Planned { device, writes, .. } = self.plan_twin(hub, device, TwinChange::Birth).await?;
        let mut batch = Batch { writes };
        self.plan_edge_modules(hub, &device, &mut batch).await?;
        Ok((device, batch))
    }

    /// An enabled device that was never seen before.
    pub(super) fn new_device(&self, id: DeviceId, authentication: Authentication, iot_edge: bool) -> Device {
        let now = self.context.clock.now();
        // Grows with time, as the real service's does; the random part tells two of the same moment apart.
        let generation_id =
            (now.as_micros().unsigned_abs() * 1000 + self.context.random.below(1000)).to_string();
        let identity = Identity {
            generation_id,
            etag: self.identity_etag(),
            status: Status::Enabled,
            status_reason: None,
            status_updated: now,
            created: now,
            authentication,
            iot_edge,
            provisioned_by: None,
            managed_by: None,
            device_scope: None,
            parent_scopes: Vec::new(),
        };
        let side = || TwinCollection {
            version: 1,
            metadata: super::twin_merge::stamped(now, None),
            properties: Map::new(),
        };
        let twin = DeviceTwin {
            etag: Etag::fresh(&*self.context.random),
            service_etag: service_etag(1),
            version: 1,
            model_id: String::new(),
            tags: Map::new(),
            desired: side(),
            reported: side(),
            configured: Configured::default(),
        };
        let mut device = Device { id, module: None, identity, twin };
        device.identity.device_scope = iot_edge.then(|| own_scope(&device));
        device
    }

    /// Etags of identities are base64 of decimal digits, as the real service's are.
    pub(super) fn identity_etag(&self) -> Etag {
        let number = self.context.random.below(u64::from(u32::MAX)).to_string();
        Etag::new(&base64::engine::general_purpose::STANDARD.encode(number))
    }

    /// The authentication to store: keys given are checked, keys not given are kept from `before` or made.
    pub(super) fn authentication(
        &self,
        input: Option<AuthenticationInput>,
        before: Option<&Authentication>,
    ) -> Result<Authentication> {
        let made = || match before {
            Some(Authentication::Sas { keys }) => keys.clone(),
            _ => KeyPair::generate(&*self.context.random),
        };
        // An empty key asks for a new one (`iothub_device_key_regenerate` of the Azure CLI's extension).
        let chosen = |given: Option<String>, kept: Key, name| match given.as_deref() {
            Some("") => Ok(KeyPair::generate(&*self.context.random).primary),
            _ => Ok::<_, Error>(key(given, name)?.unwrap_or(kept)),
        };
        match input {
            None => Ok(before.cloned().unwrap_or_else(|| Authentication::Sas { keys: made() })),
            Some(AuthenticationInput::Sas { primary, secondary }) => {
                let made = made();
                let keys = KeyPair {
                    primary: chosen(primary, made.primary, "primaryKey")?,
                    secondary: chosen(secondary, made.secondary, "secondaryKey")?,
                };
                Ok(Authentication::Sas { keys })
            }
            Some(AuthenticationInput::SelfSigned { primary, secondary }) => Ok(Authentication::SelfSigned {
                primary: thumbprint(primary, "primaryThumbprint")?,
                secondary: thumbprint(secondary, "secondaryThumbprint")?,
            }),
            Some(AuthenticationInput::CertificateAuthority) => Ok(Authentication::CertificateAuthority),
        }
    }
}

/// Etags of twins are base64 of an eight-byte count, as the real service's are.
pub(super) fn service_etag(count: u64) -> Etag {
    Etag::new(&base64::engine::general_purpose::STANDARD.encode(count.to_be_bytes()))
}

/// The etag after `etag`.
pub(super) fn next_service_etag(etag: &Etag) -> Etag {
    let bytes = base64::engine::general_purpose::STANDARD.decode(etag.as_str()).unwrap_or_default();
    let count = bytes.first_chunk::<8>().map_or(0, |bytes| u64::from_be_bytes(*bytes));
    service_etag(count.wrapping_add(1))
}

pub(super) fn checked_reason(reason: Option<String>) -> Result<Option<String>> {
    match reason {
        Some(text) if text.chars().count() > 128 => {
            Err(Error::invalid("statusReason may have 128 characters at most"))
        }
        reason => Ok(reason.filter(|text| !text.is_empty())),
    }
}

fn key(text: Option<String>, name: &str) -> Result<Option<Key>> {
    let Some(text) = text else { return Ok(None) };
    Key::from_base64(&text)
        .map(Some)
        .ok_or_else(|| Error::invalid(format!("{name} must be base64 of 16 to 64 bytes")))
}

fn thumbprint(text: Option<String>, name: &str) -> Result<Option<String>> {
    let Some(text) = text.filter(|text| !text.is_empty()) else { return Ok(None) };
    let good = matches!(text.len(), 40 | 64) && text.bytes().all(|b| b.is_ascii_hexdigit());
    good.then(|| Some(text.to_ascii_uppercase()))
        .ok_or_else(|| Error::invalid(format!("{name} must be 40 or 64 hex digits")))
}
