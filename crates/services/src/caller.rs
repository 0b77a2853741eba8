//! Authority is a value: an edge turns a credential into a [`Caller`], a service asks it for the right it needs.

mod hub_action;

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use pollux_model::resource::{PolicyRight, ResourceKind};
use pollux_model::sas::SasToken;
use pollux_model::{DeviceAddress, Error, ErrorCode, RegistrationId, ResourceName, Result, Timestamp};

use crate::issuer;
use crate::trace::Trace;

pub use hub_action::HubAction;

/// What a caller may be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Right {
    /// A right that shared access policies give.
    Policy(PolicyRight),
    /// A hub: what roles allow one by one, and policies by their rights.
    Hub(HubAction),
    /// Digital twins: read models, twins, relationships; query. Role "Azure Digital Twins Data Reader" or Owner.
    TwinsRead,
    /// Digital twins: everything. Role "Azure Digital Twins Data Owner".
    TwinsWrite,
    /// A function app: call its webhook.
    Invoke,
    /// A function app: settings and dead letters; any resource: create, change, delete.
    Administer,
}

impl fmt::Display for Right {
    /// As whoever gives it finds it: the word of a policy, the name of a role.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // Their words are their names.
            Self::Policy(right) => write!(f, "{right:?}"),
            Self::Hub(action) => action.fmt(f),
            Self::TwinsRead => f.write_str("Azure Digital Twins Data Reader"),
            Self::TwinsWrite => f.write_str("Azure Digital Twins Data Owner"),
            Self::Invoke => f.write_str("Invoke"),
            Self::Administer => f.write_str("Administer"),
        }
    }
}

impl Right {
    /// Whether it is among these, or what they amount to.
    pub(crate) fn is_held(self, rights: &[Self]) -> bool {
        rights.contains(&self) || (matches!(self, Self::Hub(_)) && self.lacking(rights).is_none())
    }

    /// What a policy with these rights lacks of it.
    fn lacking(self, rights: &[Self]) -> Option<Self> {
        let Self::Hub(action) = self else { return (!rights.contains(&self)).then_some(self) };
        action.policy_rights().iter().map(|right| Self::Policy(*right)).find(|right| !rights.contains(right))
    }
}

/// Who calls. For audit and messages; rights are in [`Caller::require`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Identity {
    /// A shared access policy of a resource.
    Policy { kind: ResourceKind, resource: ResourceName, policy: String },
    /// A device of a hub, or a module of one.
    Device { hub: ResourceName, id: DeviceAddress, generation_id: String, by: DeviceProof },
    /// A device that registers with a provisioning service.
    Registration {
        /// The provisioning service.
        dps: ResourceName,
        /// The registration id, case folded.
        id: RegistrationId,
        /// The id as the device wrote it: what its derived key was made from.
        displayed: String,
        /// The enrollment group whose root it proved; `None`: its individual enrollment.
        group: Option<String>,
        /// The SHA-256 thumbprint of the certificate it showed, where it showed one.
        certificate: Option<String>,
    },
    /// A principal of the built-in issuer or of a configured OIDC issuer.
    Principal { issuer: String, subject: String },
    /// Whoever knows a function key.
    FunctionKey { app: ResourceName },
    /// A function app acting through its own identity.
    Function { app: ResourceName },
    /// The operator, by the admin key.
    Admin,
}

/// What a device proved itself with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeviceProof {
    /// A key of its own.
    Key,
    /// A key of its hub's.
    Policy,
    /// A certificate.
    Certificate,
}

/// An authenticated caller and what it may do.
#[derive(Debug, Clone)]
pub struct Caller {
    /// Who.
    pub identity: Identity,
    /// Until when the credential holds; a live connection ends then.
    pub expires: Option<Timestamp>,
    /// Where it calls from, if over a network.
    pub address: Option<IpAddr>,
    /// The token of a device that a policy's key let in: when that key goes, so does the connection.
    pub by_policy: Option<Arc<SasToken>>,
    /// The trace that its request is part of.
    pub trace: Option<Box<Trace>>,
    grants: Grants,
}

#[derive(Debug, Clone)]
enum Grants {
    /// Every right everywhere: the operator.
    All,
    /// These rights on one resource.
    On { kind: ResourceKind, resource: ResourceName, rights: Vec<Right> },
    /// These rights on every resource of a kind (roles in tokens).
    Kind { kind: ResourceKind, rights: Vec<Right> },
    /// None but to be who it is (devices, registrations).
    Own,
}

impl Caller {
    const fn new(identity: Identity, grants: Grants) -> Self {
        Self { identity, expires: None, address: None, by_policy: None, trace: None, grants }
    }

    /// The operator.
    #[must_use]
    pub const fn admin() -> Self {
        Self::new(Identity::Admin, Grants::All)
    }

    /// A caller with rights on one resource.
    #[must_use]
    pub const fn on(
        identity: Identity,
        kind: ResourceKind,
        resource: ResourceName,
        rights: Vec<Right>,
    ) -> Self {
        Self::new(identity, Grants::On { kind, resource, rights })
    }

    /// A caller with rights on every resource of a kind.
    #[must_use]
    pub const fn on_kind(identity: Identity, kind: ResourceKind, rights: Vec<Right>) -> Self {
        Self::new(identity, Grants::Kind { kind, rights })
    }

    /// A device or registration: may act for itself only.
    #[must_use]
    pub const fn own(identity: Identity) -> Self {
        Self::new(identity, Grants::Own)
    }

    /// A function app's own identity: reads and writes twins.
    #[must_use]
    pub fn function(app: ResourceName) -> Self {
        Self::on_kind(
            Identity::Function { app },
            ResourceKind::Twins,
            vec![Right::TwinsRead, Right::TwinsWrite],
        )
    }

    /// The same caller with a limit in time.
    #[must_use]
    pub const fn until(mut self, expires: Timestamp) -> Self {
        self.expires = Some(expires);
        self
    }

    /// The same caller with an address.
    #[must_use]
    pub const fn from_address(mut self, address: IpAddr) -> Self {
        self.address = Some(address);
        self
    }

    /// The same caller, as part of a trace.
    #[must_use]
    pub fn within(mut self, trace: Option<Trace>) -> Self {
        self.trace = trace.map(Box::new);
        self
    }

    /// [`ErrorCode::Forbidden`] unless the caller has the right on that resource.
    pub fn require(&self, kind: ResourceKind, resource: &ResourceName, right: Right) -> Result<()> {
        let held = match &self.grants {
            Grants::All => true,
            Grants::On { kind: on, resource: of, rights } => {
                *on == kind && of == resource && right.is_held(rights)
            }
            Grants::Kind { kind: on, rights } => *on == kind && right.is_held(rights),
            Grants::Own => false,
        };
        if held { Ok(()) } else { Err(self.forbidden(right, kind, resource)) }
    }

    /// Says what is missing: the role to whom roles are given, to all others the right.
    fn forbidden(&self, right: Right, kind: ResourceKind, resource: &ResourceName) -> Error {
        let roles = issuer::roles_with(kind, right);
        let message = match &self.grants {
            Grants::Kind { .. } if !roles.is_empty() => {
                format!(
                    "the caller lacks the role {} on {kind} '{resource}', for {right}",
                    roles.join(" or ")
                )
            }
            Grants::On { rights, .. } => {
                let lacking = right.lacking(rights).unwrap_or(right);
                format!("the caller lacks the right {lacking} on {kind} '{resource}'")
            }
            Grants::All | Grants::Kind { .. } | Grants::Own => {
                format!("the caller lacks the right {right} on {kind} '{resource}'")
            }
        };
        Error::new(ErrorCode::Forbidden, message)
    }

    /// Whether the caller has the right on each resource of a kind.
    #[must_use]
    pub fn holds_everywhere(&self, kind: ResourceKind, right: Right) -> bool {
        match &self.grants {
            Grants::All => true,
            Grants::Kind { kind: on, rights } => *on == kind && right.is_held(rights),
            Grants::On { .. } | Grants::Own => false,
        }
    }

    /// [`ErrorCode::Forbidden`] unless the caller is that device or module of that hub (in its present generation, which
    /// the edge made sure of when the connection began). A device is not its modules, nor are they it.
    pub fn require_device(&self, hub: &ResourceName, device: &DeviceAddress) -> Result<()> {
        match &self.identity {
            Identity::Device { hub: own_hub, id, .. } if own_hub == hub && id == device => Ok(()),
            _ => Err(Error::new(
                ErrorCode::Forbidden,
                format!("only the {} '{device}' itself may do this", device.noun()),
            )),
        }
    }

    /// [`ErrorCode::Forbidden`] unless the caller is that registration of that provisioning service.
    pub fn require_registration(&self, dps: &ResourceName, registration: &RegistrationId) -> Result<()> {
        match &self.identity {
            Identity::Registration { dps: own_dps, id, .. } if own_dps == dps && id == registration => Ok(()),
            _ => Err(Error::new(
                ErrorCode::Forbidden,
                format!("only the device '{registration}' itself may do this"),
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_right_that_is_missing_is_named_as_whoever_gives_it_finds_it() {
        let dps = ResourceName::parse("dps1").unwrap();
        let nobody = Caller::on(Identity::Admin, ResourceKind::Dps, dps.clone(), Vec::new());
        let write = Right::Policy(PolicyRight::EnrollmentWrite);
        let refused = nobody.require(ResourceKind::Dps, &dps, write).unwrap_err();
        assert_eq!(refused.message, "the caller lacks the right EnrollmentWrite on dps 'dps1'");
        let reader = Caller::on_kind(Identity::Admin, ResourceKind::Dps, Vec::new());
        let refused = reader.require(ResourceKind::Dps, &dps, write).unwrap_err();
        let role = "the role Device Provisioning Service Data Contributor on dps 'dps1', for EnrollmentWrite";
        assert_eq!(refused.message, format!("the caller lacks {role}"));
    }
}
