//! Device identities as IoT Hub's API writes them (Azure article "Understand the identity registry in your IoT hub",
//! section "Device identity properties"). Read-only members that clients send back are not looked at.

use pollux_model::device::{Authentication, Device, Status};
use pollux_model::{Error, Result, ids};
use pollux_services::hub::{AuthenticationInput, DeviceInput, ModuleInput, Presence, Scopes, place};
use serde::Deserialize;
use serde_json::{Value, json};

use super::device_twins::named;

/// A device identity as a client writes it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct DeviceBody {
    /// `id` where several are written at once.
    #[serde(alias = "id")]
    device_id: String,
    status: Option<String>,
    status_reason: Option<String>,
    authentication: Option<AuthenticationBody>,
    capabilities: Option<CapabilitiesBody>,
    device_scope: Option<String>,
    parent_scopes: Option<Vec<String>>,
}

/// How it proves who it is.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct AuthenticationBody {
    r#type: Option<String>,
    symmetric_key: Option<KeysBody>,
    x509_thumbprint: Option<ThumbprintsBody>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct KeysBody {
    primary_key: Option<String>,
    secondary_key: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ThumbprintsBody {
    primary_thumbprint: Option<String>,
    secondary_thumbprint: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct CapabilitiesBody {
    iot_edge: Option<bool>,
}

impl DeviceBody {
    /// Whose identity it is.
    pub(super) fn id(&self) -> &str {
        &self.device_id
    }

    /// The same of a module of that device.
    pub(super) fn of_module(self, id: String, managed_by: Option<String>) -> Result<ModuleInput> {
        let authentication = self.authentication.map(AuthenticationBody::input).transpose()?;
        Ok(ModuleInput { device: self.device_id, id, authentication, managed_by })
    }

    /// What the service is told; `id` is the path's.
    pub(super) fn input(self, id: String) -> Result<DeviceInput> {
        named("deviceId", Some(self.device_id), &id)?;
        Ok(DeviceInput {
            id,
            status: self.status.as_deref().map(status).transpose()?,
            status_reason: self.status_reason,
            authentication: self.authentication.map(AuthenticationBody::input).transpose()?,
            iot_edge: self.capabilities.and_then(|capabilities| capabilities.iot_edge).unwrap_or(false),
            scopes: Scopes { device: self.device_scope, parents: self.parent_scopes },
        })
    }
}

impl AuthenticationBody {
    pub(super) fn input(self) -> Result<AuthenticationInput> {
        let keys = self.symmetric_key.unwrap_or_default();
        let thumbprints = self.x509_thumbprint.unwrap_or_default();
        let some = |text: &Option<String>| text.as_ref().is_some_and(|text| !text.is_empty());
        let by_thumbprint = some(&thumbprints.primary_thumbprint) || some(&thumbprints.secondary_thumbprint);
        // Older clients leave the type out.
        let kind = self.r#type.unwrap_or_else(|| if by_thumbprint { "selfSigned" } else { "sas" }.to_owned());
        match kind.to_ascii_lowercase().as_str() {
            "sas" => {
                Ok(AuthenticationInput::Sas { primary: keys.primary_key, secondary: keys.secondary_key })
            }
            "selfsigned" => Ok(AuthenticationInput::SelfSigned {
                primary: thumbprints.primary_thumbprint,
                secondary: thumbprints.secondary_thumbprint,
            }),
            "certificateauthority" => Ok(AuthenticationInput::CertificateAuthority),
            _ => Err(Error::invalid(format!(
                "authentication.type '{}' is unknown: use sas, selfSigned or certificateAuthority",
                ids::shown(&kind)
            ))),
        }
    }
}

fn status(text: &str) -> Result<Status> {
    match text.to_ascii_lowercase().as_str() {
        "enabled" => Ok(Status::Enabled),
        "disabled" => Ok(Status::Disabled),
        _ => {
            Err(Error::invalid(format!("status '{}' is unknown: use enabled or disabled", ids::shown(text))))
        }
    }
}

/// A device identity as the API shows it, keys included: who may read the registry may see them.
pub(super) fn device(device: &Device, Presence { connected, activity, messages }: Presence) -> Value {
    let identity = &device.identity;
    let mut document = json!({
        "deviceId": device.id,
        "generationId": identity.generation_id,
        "etag": identity.etag,
        "connectionState": if connected { "Connected" } else { "Disconnected" },
        "status": identity.status.as_str(),
        "statusReason": identity.status_reason,
        "connectionStateUpdatedTime": activity.state_updated,
        "statusUpdatedTime": identity.status_updated,
        "lastActivityTime": activity.last,
        "cloudToDeviceMessageCount": messages,
        "authentication": authentication(&identity.authentication),
        "capabilities": {"iotEdge": identity.iot_edge},
    });
    place(identity, &mut document);
    document
}

/// How it proves who it is, keys included.
pub(super) fn authentication(authentication: &Authentication) -> Value {
    let (kind, keys, thumbprints) = match authentication {
        Authentication::Sas { keys } => ("sas", Some(keys), (None, None)),
        Authentication::SelfSigned { primary, secondary } => {
            ("selfSigned", None, (primary.as_deref(), secondary.as_deref()))
        }
        Authentication::CertificateAuthority => ("certificateAuthority", None, (None, None)),
    };
    let primary = keys.map(|keys| keys.primary.reveal());
    let secondary = keys.map(|keys| keys.secondary.reveal());
    json!({
        "type": kind,
        "symmetricKey": {"primaryKey": primary, "secondaryKey": secondary},
        "x509Thumbprint": {"primaryThumbprint": thumbprints.0, "secondaryThumbprint": thumbprints.1},
    })
}
