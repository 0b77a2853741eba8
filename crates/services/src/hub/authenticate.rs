//! Which device is this, and may it connect?
//!
//! Azure article "Control access to IoT Hub by using shared access signatures": a device signs `{host}/devices/{id}`
//! with one of its keys, a module `{host}/devices/{id}/modules/{id}` with one of its own; a policy with DeviceConnect may
//! sign for any of them. A module may connect as long as its device may.

use std::sync::Arc;

use pollux_model::device::{Authentication, Device, Status};
use pollux_model::resource::{PolicyRight, Properties, Resource, ResourceKind};
use pollux_model::sas::SasToken;
use pollux_model::{DeviceAddress, Error, ErrorCode, Result, Timestamp};
use pollux_x509::{Certificate, Chain};

use super::{Connection, DeviceLink, Entering, Hub, Operation};
use crate::caller::{Caller, DeviceProof, Identity};

impl Hub {
    /// Believes a device's token, or refuses with [`ErrorCode::Unauthorized`] or [`ErrorCode::DeviceDisabled`]. Unknown
    /// devices and wrong keys look the same.
    pub async fn authenticate_device(
        &self,
        hub: &Resource,
        id: &DeviceAddress,
        token: &SasToken,
    ) -> Result<(Caller, Device)> {
        let refused = || {
            Error::new(
                ErrorCode::Unauthorized,
                "the device is unknown or its token is not signed with its key",
            )
        };
        if token.expired(self.context.clock.now().as_secs()) {
            return Err(Error::new(ErrorCode::Unauthorized, "the token has expired"));
        }
        if !self.covers(hub, id, token) {
            let wanted = format!("{}/{}", hub.host_name, path_of(id));
            return Err(Error::new(
                ErrorCode::Unauthorized,
                format!("the token is for another resource: its sr must be '{wanted}'"),
            ));
        }
        let device = self.context.store.addressed(&hub.name, id).await?.ok_or_else(refused)?;
        let signed = match &token.key_name {
            Some(_) => signed_by_policy(hub, token),
            None => {
                matches!(&device.identity.authentication, Authentication::Sas { keys } if keys.signed(token))
            }
        };
        if !signed {
            tracing::info!(hub = %hub.name, device = %id, "refused: no key of the device or of a policy signed the token");
            return Err(refused());
        }
        self.require_enabled(hub, &device).await?;
        let generation_id = device.identity.generation_id.clone();
        let by = match &token.key_name {
            Some(_) => DeviceProof::Policy,
            None => DeviceProof::Key,
        };
        let identity = Identity::Device { hub: hub.name.clone(), id: id.clone(), generation_id, by };
        let mut caller = Caller::own(identity).until(Timestamp::from_secs(token.expiry));
        caller.by_policy = (by == DeviceProof::Policy).then(|| Arc::new(token.clone()));
        Ok((caller, device))
    }

    /// Believes a device's certificate, whose key the handshake has shown it to have, or refuses as
    /// [`Self::authenticate_device`] does. As the device is registered, it must be of a thumbprint that the registry has, or
    /// bear the device's id as its subject's common name and be signed, directly or through what was shown with it, by an
    /// authority whose certificate the hub has and somebody proved to have the key of (Azure article "Authenticate
    /// identities with X.509 certificates").
    pub async fn authenticate_device_by_certificate(
        &self,
        hub: &Resource,
        id: &DeviceAddress,
        chain: &Chain,
    ) -> Result<(Caller, Device)> {
        let refused = || {
            Error::new(
                ErrorCode::Unauthorized,
                "the device is unknown or its certificate is not the one registered",
            )
        };
        let device = self.context.store.addressed(&hub.name, id).await?.ok_or_else(refused)?;
        let (leaf, now) = (chain.leaf(), self.context.clock.now());
        let believed = match &device.identity.authentication {
            Authentication::Sas { .. } => Err("the device is not registered with a certificate".to_owned()),
            Authentication::SelfSigned { primary, secondary } => {
                let shown = [leaf.sha1_thumbprint(), leaf.sha256_thumbprint()];
                let known = primary.iter().chain(secondary).any(|known| shown.contains(known));
                if known { Ok(()) } else { Err("a certificate of another thumbprint".to_owned()) }
            }
            Authentication::CertificateAuthority => vouched_for(hub, id, chain, now),
        };
        let holds = || leaf.holds(now).map_err(|refusal| refusal.to_string());
        if let Err(why) = believed.and_then(|()| holds()) {
            tracing::info!(hub = %hub.name, device = %id, "refused: {why}");
            return Err(refused());
        }
        self.require_enabled(hub, &device).await?;
        let generation_id = device.identity.generation_id.clone();
        let by = DeviceProof::Certificate;
        let identity = Identity::Device { hub: hub.name.clone(), id: id.clone(), generation_id, by };
        Ok((Caller::own(identity).until(leaf.not_after()), device))
    }

    /// `sr` must be the device or module or, for a policy's key, the hub (`{host}`) or its devices.
    fn covers(&self, hub: &Resource, id: &DeviceAddress, token: &SasToken) -> bool {
        let (host, path) = token.resource.split_once('/').unwrap_or((&token.resource, ""));
        if !self.context.table.answers_to(hub, host) {
            return false;
        }
        // The oldest SDKs append the version: `{host}/devices/{id}/api-version=2016-11-14`.
        let path = path.split("/api-version=").next().unwrap_or(path).trim_end_matches('/');
        // Some clients encode the id once more inside the resource.
        let decoded = percent_encoding::percent_decode_str(path).decode_utf8().unwrap_or_default();
        let wanted = path_of(id);
        let own = |path: &str| is_path(path, &wanted);
        let whole = token.key_name.is_some() && (path.is_empty() || path.eq_ignore_ascii_case("devices"));
        own(path) || own(&decoded) || whole
    }

    /// [`ErrorCode::DeviceDisabled`] where the device is, or that of the module.
    async fn require_enabled(&self, hub: &Resource, device: &Device) -> Result<()> {
        let status = match device.module {
            Some(_) => self.existing(hub, &device.id).await?.identity.status,
            None => device.identity.status,
        };
        match status {
            Status::Enabled => Ok(()),
            Status::Disabled => {
                let message = format!("the device '{}' is disabled", device.id);
                Err(Error::new(ErrorCode::DeviceDisabled, message))
            }
        }
    }

    /// Gives an authenticated device its place among the live connections. Looks at the device once more after that:
    /// a disable or delete in between must not be missed.
    pub async fn connect_device(
        &self,
        caller: &Caller,
        hub: &Resource,
        id: &DeviceAddress,
        link: Arc<dyn DeviceLink>,
    ) -> Result<Connection> {
        caller.require_device(&hub.name, id)?;
        let Identity::Device { generation_id, .. } = &caller.identity else {
            return Err(Error::internal());
        };
        self.throttle(hub, Operation::Connection, 1)?;
        let (device, generation) = (id.clone(), generation_id.clone());
        let by_policy = caller.by_policy.clone();
        let entering = Entering { hub: hub.name.clone(), device, generation, by_policy };
        let connection = self.connections.enter(entering, link, self.context.clock.now()).await?;
        let device = self.standing(caller, hub, id).await?;
        connection.knows(device.twin.desired.version);
        self.tell_connected(hub, &device).await?;
        connection.entered();
        Ok(connection)
    }

    /// The device or module that the caller was let in as, if it may be connected as things are now: else
    /// [`ErrorCode::DeviceNotFound`], [`ErrorCode::DeviceDisabled`], or [`ErrorCode::Unavailable`] where another one of
    /// the same id has taken its place.
    pub async fn standing(&self, caller: &Caller, hub: &Resource, id: &DeviceAddress) -> Result<Device> {
        caller.require_device(&hub.name, id)?;
        let device = self.addressed(hub, id).await?;
        self.require_enabled(hub, &device).await?;
        if let Some(token) = &caller.by_policy
            && !signed_by_policy(&*self.context.table.get(ResourceKind::Hub, &hub.name)?, token)
        {
            return Err(Error::new(ErrorCode::Unauthorized, "the key of the policy was made anew just now"));
        }
        // A device takes "not authorized" for the last word; what is registered now may know the same key.
        let same = |of: &Identity| matches!(of, Identity::Device { generation_id, .. } if *generation_id == device.identity.generation_id);
        if !same(&caller.identity) {
            let text = format!("the device '{id}' was replaced just now: connect again");
            return Err(Error::new(ErrorCode::Unavailable, text));
        }
        Ok(device)
    }
}

/// Whether a policy that may let devices in has the key that signed this.
pub(super) fn signed_by_policy(hub: &Resource, token: &SasToken) -> bool {
    let policy = token.key_name.as_deref().and_then(|name| hub.policy(name));
    policy
        .is_some_and(|policy| policy.keys.signed(token) & policy.rights.contains(&PolicyRight::DeviceConnect))
}

/// What a device or module is in the resource of a token.
fn path_of(id: &DeviceAddress) -> String {
    match &id.module {
        Some(module) => format!("devices/{}/modules/{module}", id.device),
        None => format!("devices/{}", id.device),
    }
}

/// Whether it is that path: words compare without case, ids with it.
fn is_path(path: &str, wanted: &str) -> bool {
    let (found, wanted): (Vec<_>, Vec<_>) = (path.split('/').collect(), wanted.split('/').collect());
    let same = |(at, (found, wanted)): (usize, (&&str, &&str))| {
        if at % 2 == 0 { found.eq_ignore_ascii_case(wanted) } else { found == wanted }
    };
    found.len() == wanted.len() && found.iter().zip(&wanted).enumerate().all(same)
}

/// Whether an authority that the hub trusts says that this is the device.
fn vouched_for(hub: &Resource, id: &DeviceAddress, chain: &Chain, now: Timestamp) -> Result<(), String> {
    if chain.leaf().common_name() != Some(&*id.to_string()) {
        return Err(format!("the common name of the certificate is not the {}'s id", id.noun()));
    }
    let Properties::Hub(properties) = &hub.properties else { return Err("it is no hub".to_owned()) };
    let mut why = "the hub has no certificate of an authority that was verified".to_owned();
    for one in properties.certificates.iter().filter(|one| one.verified) {
        let authority = Certificate::from_der(&one.certificate.0).map_err(|error| error.to_string());
        match authority.and_then(|one| chain.below(&one, now).map_err(|refusal| refusal.to_string())) {
            Ok(_) => return Ok(()),
            Err(refusal) => why = format!("not by '{}': {refusal}", one.name),
        }
    }
    Err(why)
}
