//! The device twin as documents: for the service side (and queries over it) and for the device.

use pollux_model::configuration::ConfigurationStatus;
use pollux_model::device::{Authentication, Device, TwinCollection};
use pollux_model::resource::{Resource, ResourceKind};
use pollux_model::{DeviceAddress, Result};
use serde_json::{Map, Value, json};

use super::{Hub, Operation, Presence, place};
use crate::caller::{Caller, HubAction, Right};

/// What a device asks to see of its twin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Show {
    /// Properties and their versions: what Azure shows to devices.
    Properties,
    /// And `$metadata`, as the service side sees it: when each property was changed, and by which version.
    Metadata,
}

impl Show {
    /// What is shown to who asks for metadata, or does not.
    #[must_use]
    pub const fn metadata(wanted: bool) -> Self {
        if wanted { Self::Metadata } else { Self::Properties }
    }
}

impl Hub {
    /// A device's or module's twin for the service side.
    pub async fn twin(&self, caller: &Caller, hub: &Resource, id: &DeviceAddress) -> Result<Value> {
        caller.require(ResourceKind::Hub, &hub.name, Right::Hub(HubAction::TwinsRead))?;
        self.throttle(hub, Operation::TwinRead, 1)?;
        let device = self.addressed(hub, id).await?;
        Ok(twin_document(&device, self.presence(hub, &device).await?))
    }

    /// A device's or module's own view of its twin.
    pub async fn own_twin(
        &self,
        caller: &Caller,
        hub: &Resource,
        id: &DeviceAddress,
        show: Show,
    ) -> Result<Value> {
        caller.require_device(&hub.name, id)?;
        self.throttle(hub, Operation::TwinRead, 1)?;
        let device = self.addressed(hub, id).await?;
        self.connections.active(&hub.name, id);
        Ok(properties_for_device(&device, show))
    }
}

/// The twin as the service side sees it; also the row that queries run over.
#[must_use]
pub fn twin_document(device: &Device, Presence { connected, activity, messages }: Presence) -> Value {
    let (identity, twin) = (&device.identity, &device.twin);
    let (kind, primary, secondary) = match &identity.authentication {
        Authentication::Sas { .. } => ("sas", None, None),
        Authentication::SelfSigned { primary, secondary } => {
            ("selfSigned", primary.as_ref(), secondary.as_ref())
        }
        Authentication::CertificateAuthority => ("certificateAuthority", None, None),
    };
    let mut document = json!({
        "deviceId": device.id,
        "etag": twin.service_etag,
        "deviceEtag": identity.etag,
        "status": identity.status.as_str(),
        "statusUpdateTime": identity.status_updated,
        "connectionState": if connected { "Connected" } else { "Disconnected" },
        "lastActivityTime": activity.last,
        "cloudToDeviceMessageCount": messages,
        "authenticationType": kind,
        "x509Thumbprint": {"primaryThumbprint": primary, "secondaryThumbprint": secondary},
        "modelId": twin.model_id,
        "version": twin.version,
        "properties": {"desired": side(&twin.desired), "reported": side(&twin.reported)},
    });
    if let Some(reason) = &identity.status_reason {
        document["statusReason"] = json!(reason);
    }
    if !twin.tags.is_empty() {
        document["tags"] = json!(twin.tags);
    }
    if !twin.configured.by.is_empty() {
        let status =
            |(id, status): (&String, &ConfigurationStatus)| (id.clone(), json!({"status": status.as_str()}));
        document["configurations"] = twin.configured.by.iter().map(status).collect();
    }
    match &device.module {
        Some(module) => document["moduleId"] = json!(module),
        None => {
            document["capabilities"] = json!({"iotEdge": identity.iot_edge});
            place(identity, &mut document);
        }
    }
    document
}

/// The twin as the device sees it: no tags.
#[must_use]
pub fn properties_for_device(device: &Device, show: Show) -> Value {
    let twin = &device.twin;
    json!({ "desired": shown(&twin.desired, show), "reported": shown(&twin.reported, show) })
}

/// Properties with `$metadata` and `$version`.
pub(super) fn side(collection: &TwinCollection) -> Map<String, Value> {
    shown(collection, Show::Metadata)
}

fn shown(collection: &TwinCollection, show: Show) -> Map<String, Value> {
    let mut out = collection.properties.clone();
    if show == Show::Metadata {
        out.insert("$metadata".into(), json!(collection.metadata));
    }
    out.insert("$version".into(), json!(collection.version));
    out
}
