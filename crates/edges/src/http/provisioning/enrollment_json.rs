//! Enrollments as clients write them: API version 2021-10-01 of the REST reference, "Individual Enrollment" and
//! "Enrollment Group". Read-only members that clients send back are not looked at. What is shown of an enrollment is in
//! `services::provisioning::contract`.

use pollux_model::device::Status;
use pollux_model::enrollment::{InitialTwin, ReprovisionPolicy};
use pollux_model::{Error, Result, ids};
use pollux_services::provisioning::{
    AttestationInput, CertificateKind, EnrollmentInput, GroupInput, IndividualInput,
};
use serde::Deserialize;
use serde_json::{Map, Value};

/// An individual enrollment.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct IndividualBody {
    registration_id: Option<String>,
    device_id: Option<String>,
    optional_device_information: Option<Map<String, Value>>,
    #[serde(flatten)]
    common: CommonBody,
}

/// An enrollment group.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct GroupBody {
    enrollment_group_id: Option<String>,
    #[serde(flatten)]
    common: CommonBody,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct CommonBody {
    attestation: Option<AttestationBody>,
    capabilities: Option<CapabilitiesBody>,
    /// From before there were several.
    iot_hub_host_name: Option<String>,
    iot_hubs: Option<Vec<String>>,
    initial_twin: Option<TwinBody>,
    provisioning_status: Option<String>,
    reprovision_policy: Option<ReprovisionBody>,
    allocation_policy: Option<String>,
    custom_allocation_definition: Option<WebhookBody>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct AttestationBody {
    r#type: Option<String>,
    symmetric_key: Option<KeysBody>,
    x509: Option<X509Body>,
    tpm: Option<TpmBody>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct TpmBody {
    endorsement_key: Option<String>,
    storage_root_key: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct X509Body {
    client_certificates: Option<CertificatesBody>,
    signing_certificates: Option<CertificatesBody>,
    ca_references: Option<NamesBody>,
}

#[derive(Debug, Default, Deserialize)]
struct CertificatesBody {
    primary: Option<CertificateBody>,
    secondary: Option<CertificateBody>,
}

#[derive(Debug, Default, Deserialize)]
struct CertificateBody {
    certificate: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
struct NamesBody {
    primary: Option<String>,
    secondary: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct KeysBody {
    primary_key: Option<String>,
    secondary_key: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct CapabilitiesBody {
    iot_edge: Option<bool>,
}

#[derive(Debug, Deserialize)]
struct TwinBody {
    tags: Option<Map<String, Value>>,
    properties: Option<PropertiesBody>,
}

#[derive(Debug, Deserialize)]
struct PropertiesBody {
    desired: Option<Map<String, Value>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ReprovisionBody {
    update_hub_assignment: Option<bool>,
    migrate_device_data: Option<bool>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct WebhookBody {
    webhook_url: String,
    api_version: Option<String>,
}

impl IndividualBody {
    /// What the service is told; `id` is the path's.
    pub(super) fn input(self, id: String) -> Result<IndividualInput> {
        check_id("registrationId", self.registration_id.as_deref(), &id)?;
        Ok(IndividualInput {
            registration_id: id,
            device_id: self.device_id.filter(|id| !id.is_empty()),
            optional_device_information: self.optional_device_information,
            common: self.common.input()?,
        })
    }
}

impl GroupBody {
    /// What the service is told; `id` is the path's.
    pub(super) fn input(self, id: String) -> Result<GroupInput> {
        check_id("enrollmentGroupId", self.enrollment_group_id.as_deref(), &id)?;
        Ok(GroupInput { id, common: self.common.input()? })
    }
}

/// Ids compare without case here.
fn check_id(name: &str, body: Option<&str>, path: &str) -> Result<()> {
    match body {
        Some(body) if !body.eq_ignore_ascii_case(path) => {
            let (body, path) = (ids::shown(body), ids::shown(path));
            Err(Error::invalid(format!("the body's {name} '{body}' is not the path's '{path}'")))
        }
        _ => Ok(()),
    }
}

impl CommonBody {
    fn input(self) -> Result<EnrollmentInput> {
        let Some(attestation) = self.attestation else {
            return Err(Error::invalid(
                "attestation is missing: send {\"attestation\": {\"type\": \"symmetricKey\"}}",
            ));
        };
        let hubs = self.iot_hubs.filter(|hubs| !hubs.is_empty());
        let before = self.iot_hub_host_name.filter(|host| !host.is_empty());
        Ok(EnrollmentInput {
            attestation: Some(attestation.input()?),
            status: self.provisioning_status.as_deref().map(status).transpose()?,
            allocation_policy: self.allocation_policy,
            webhook: self.custom_allocation_definition.map(|hook| (hook.webhook_url, hook.api_version)),
            hubs: hubs.or_else(|| before.map(|host| vec![host])).unwrap_or_default(),
            initial_twin: self.initial_twin.map(TwinBody::initial),
            reprovision: self.reprovision_policy.map(ReprovisionBody::policy),
            iot_edge: self.capabilities.and_then(|capabilities| capabilities.iot_edge).unwrap_or(false),
        })
    }
}

impl AttestationBody {
    fn input(self) -> Result<AttestationInput> {
        match self.r#type.as_deref() {
            Some(kind) if kind.eq_ignore_ascii_case("symmetricKey") => {
                let keys = self.symmetric_key.unwrap_or_default();
                Ok(AttestationInput::SymmetricKey {
                    primary: keys.primary_key,
                    secondary: keys.secondary_key,
                })
            }
            Some(kind) if kind.eq_ignore_ascii_case("x509") => self.x509.unwrap_or_default().input(),
            Some(kind) if kind.eq_ignore_ascii_case("tpm") => {
                let TpmBody { endorsement_key, storage_root_key } = self.tpm.unwrap_or_default();
                let endorsement_key = endorsement_key.ok_or_else(|| {
                    Error::invalid("attestation.tpm.endorsementKey is missing: it is who the device is")
                })?;
                Ok(AttestationInput::Tpm { endorsement_key, storage_root_key })
            }
            Some(kind) => Err(Error::invalid(format!(
                "attestation.type '{}' is unknown: use symmetricKey, x509 or tpm",
                ids::shown(kind)
            ))),
            None => Err(Error::invalid("attestation.type is missing: use symmetricKey, x509 or tpm")),
        }
    }
}

impl X509Body {
    fn input(self) -> Result<AttestationInput> {
        let text = |certificate: Option<CertificateBody>| certificate.and_then(|body| body.certificate);
        let (kind, primary, secondary) = match (
            self.client_certificates,
            self.signing_certificates,
            self.ca_references,
        ) {
            (Some(own), None, None) => (CertificateKind::Client, text(own.primary), text(own.secondary)),
            (None, Some(signers), None) => {
                (CertificateKind::Signing, text(signers.primary), text(signers.secondary))
            }
            (None, None, Some(names)) => (CertificateKind::References, names.primary, names.secondary),
            _ => {
                return Err(Error::invalid(
                    "attestation.x509 must have one of clientCertificates, signingCertificates and caReferences",
                ));
            }
        };
        Ok(AttestationInput::X509 { kind, primary, secondary })
    }
}

impl TwinBody {
    /// Microsoft's `TwinCollection` writes `$version` and `$metadata` along; they are not a client's to set.
    fn initial(self) -> InitialTwin {
        let own = |map: Option<Map<String, Value>>| -> Map<String, Value> {
            map.unwrap_or_default()
                .into_iter()
                .filter(|(key, _)| !matches!(&**key, "$version" | "$metadata"))
                .collect()
        };
        let desired = self.properties.and_then(|properties| properties.desired);
        InitialTwin { tags: own(self.tags), desired: own(desired) }
    }
}

impl ReprovisionBody {
    fn policy(self) -> ReprovisionPolicy {
        let usual = ReprovisionPolicy::default();
        ReprovisionPolicy {
            update_hub_assignment: self.update_hub_assignment.unwrap_or(usual.update_hub_assignment),
            migrate_device_data: self.migrate_device_data.unwrap_or(usual.migrate_device_data),
        }
    }
}

fn status(text: &str) -> Result<Status> {
    match text.to_ascii_lowercase().as_str() {
        "enabled" => Ok(Status::Enabled),
        "disabled" => Ok(Status::Disabled),
        _ => Err(Error::invalid(format!(
            "provisioningStatus '{}' is unknown: use enabled or disabled",
            ids::shown(text)
        ))),
    }
}
