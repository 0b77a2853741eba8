//! What a connection has shown that holds at a hub: tokens of devices and of policies, and bearer tokens.
//!
//! A token of a policy may open links of any device (right DeviceConnect) and those of services (ServiceConnect); one of a
//! device its own only (Azure article "Control access to IoT Hub by using shared access signatures").

use std::sync::Arc;

use pollux_amqp::sasl;
use pollux_model::resource::{Resource, ResourceKind};
use pollux_model::sas::SasToken;
use pollux_model::{DeviceAddress, Error, ErrorCode, Result, Timestamp};
use pollux_services::{Caller, HubAction, Right, Services};

use super::address::addresses;
use crate::amqp::cbs::{Put, put_in_place};

/// The words before a hub's name in the user name of SASL PLAIN, of a device and of a policy.
const OF_DEVICE: &str = "@sas.";
const OF_POLICY: &str = "root.";

/// A token, and the hub that it holds at.
#[derive(Debug, Clone)]
pub(in crate::amqp) struct Credential {
    pub(super) hub: Arc<Resource>,
    proof: Proof,
}

/// Ids as a token writes them: of a device and, where it is for one, of its module.
#[derive(Debug, Clone)]
struct Ids(String, Option<String>);

impl Ids {
    fn addresses(&self) -> Vec<DeviceAddress> {
        addresses(&self.0, self.1.as_deref())
    }
}

#[derive(Debug, Clone)]
enum Proof {
    /// Of one device or module, as the token writes its ids.
    Device { token: SasToken, id: Ids },
    /// Of a policy.
    Policy(SasToken),
    /// A bearer token's caller.
    Bearer(Box<Caller>),
}

impl Credential {
    /// What a token is at this host; `None` where it is for no hub that is there.
    pub(in crate::amqp) async fn of_token(
        services: &Services,
        host: &str,
        token: &SasToken,
    ) -> Option<Result<Self>> {
        let (hub, id) = scope(services, host, token)?;
        let Some(id) = id else {
            let now = services.context.clock.now();
            let believed = services.authority.service_sas(&hub, token, now);
            return Some(believed.map(|_| Self { hub, proof: Proof::Policy(token.clone()) }));
        };
        let mut refused = Error::new(ErrorCode::Unauthorized, "the token is for no device");
        for one in id.addresses() {
            match services.hub.authenticate_device(&hub, &one, token).await {
                Ok(_) => return Some(Ok(Self { hub, proof: Proof::Device { token: token.clone(), id } })),
                Err(error) => refused = error,
            }
        }
        Some(Err(refused))
    }

    /// What a bearer token is at this host.
    pub(in crate::amqp) async fn of_bearer(
        services: &Services,
        host: &str,
        token: &str,
    ) -> Option<Result<Self>> {
        let hub = services.context.table.serving(ResourceKind::Hub, host)?;
        let caller = services.authority.bearer(token, ResourceKind::Hub).await;
        Some(caller.map(|caller| Self { hub, proof: Proof::Bearer(Box::new(caller)) }))
    }

    /// Until when it holds.
    fn expires(&self) -> Option<Timestamp> {
        match &self.proof {
            Proof::Device { token, .. } | Proof::Policy(token) => Some(Timestamp::from_secs(token.expiry)),
            Proof::Bearer(caller) => caller.expires,
        }
    }

    /// The token, where it may be this device's.
    fn of_device(&self, device: &DeviceAddress) -> Option<&SasToken> {
        match &self.proof {
            Proof::Device { token, id } => id.addresses().contains(device).then_some(token),
            Proof::Policy(token) => Some(token),
            Proof::Bearer(_) => None,
        }
    }

    fn is_of_only(&self, device: &DeviceAddress) -> bool {
        matches!(&self.proof, Proof::Device { id, .. } if id.addresses().contains(device))
    }

    /// The caller that a service is by it, as the hub is now.
    fn service(&self, services: &Services) -> Result<(Arc<Resource>, Caller)> {
        let gone = || Error::new(ErrorCode::Unauthorized, "the hub is gone");
        let hub = services.context.table.named(ResourceKind::Hub, &self.hub.name).ok_or_else(gone)?;
        let caller = match &self.proof {
            Proof::Device { .. } => return Err(Error::new(ErrorCode::Unauthorized, "it is a device's")),
            Proof::Policy(token) => {
                services.authority.service_sas(&hub, token, services.context.clock.now())?
            }
            Proof::Bearer(caller) => (**caller).clone(),
        };
        Ok((hub, caller))
    }

    fn holds(&self, services: &Services) -> bool {
        let in_time = self.expires().is_none_or(|expires| services.context.clock.now() < expires);
        in_time && (matches!(self.proof, Proof::Device { .. }) || self.service(services).is_ok())
    }
}

/// The hub that a token is for, and the device as it is written where it is for one.
fn scope(services: &Services, host: &str, token: &SasToken) -> Option<(Arc<Resource>, Option<Ids>)> {
    let (own, path) = token.place();
    let host = if host.is_empty() { own } else { host };
    let table = &services.context.table;
    // A name of this machine is that of each hub: the other name may say more.
    let hub = [own, host].into_iter().find_map(|name| {
        let found = table.serving(ResourceKind::Hub, name)?;
        (table.answers_to(&found, own) && table.answers_to(&found, host)).then_some(found)
    })?;
    let words: Vec<&str> = path.trim_matches('/').split('/').collect();
    let is = |word: &str, wanted: &str| word.eq_ignore_ascii_case(wanted);
    match words.as_slice() {
        [devices, id, modules, module, ..] if is(devices, "devices") && is(modules, "modules") => {
            Some((hub, Some(Ids((*id).to_owned(), Some((*module).to_owned())))))
        }
        [devices, id, ..] if is(devices, "devices") && !id.is_empty() => {
            Some((hub, Some(Ids((*id).to_owned(), None))))
        }
        [""] => Some((hub, None)),
        // For a part of it, such as its built-in endpoint: event hubs know.
        _ => None,
    }
}

/// What the user name and password of SASL PLAIN are, where they are those of a hub's client: `{device}@sas.{hub}`,
/// `{device}/{module}@sas.{hub}` or `{policy}@sas.root.{hub}`, and a token (Azure article "Communicate with your IoT hub by using the AMQP Protocol").
pub(in crate::amqp) async fn shown(services: Arc<Services>, host: String, plain: Plain) -> Result<Put> {
    let token = SasToken::parse(&plain.password)
        .map_err(|error| Error::new(ErrorCode::Unauthorized, error.to_string()))?;
    let events = services.events.claim_by_password(&host, &plain.user, &plain.password);
    let events = events.map(|(_, claim)| claim);
    // A token for a part of the hub, such as its built-in endpoint, is a claim on event hubs only.
    match (events, plain.credential(&services, &host, &token).await) {
        (None, Err(error)) => Err(error),
        (events, hub) => Ok(Put { audience: token.resource, events, hub: hub.ok() }),
    }
}

/// The user name of SASL PLAIN, taken apart.
pub(in crate::amqp) struct Plain {
    user: String,
    name: String,
    policy: bool,
    hub: String,
    password: String,
}

impl Plain {
    /// `None`: it is none of a hub's client.
    pub(in crate::amqp) fn of(shown: &sasl::Plain<'_>) -> Option<Self> {
        let (name, rest) = shown.user.rsplit_once(OF_DEVICE)?;
        let of_policy = rest.get(..OF_POLICY.len()).filter(|word| word.eq_ignore_ascii_case(OF_POLICY));
        let hub = of_policy.map_or(rest, |word| &rest[word.len()..]);
        Some(Self {
            user: shown.user.to_owned(),
            name: name.to_owned(),
            policy: of_policy.is_some(),
            hub: hub.to_owned(),
            password: shown.password.to_owned(),
        })
    }

    /// What the token is, if it is that of the policy or device, and the hub, of the user name.
    async fn credential(&self, services: &Services, host: &str, token: &SasToken) -> Result<Credential> {
        let refused =
            || Error::new(ErrorCode::Unauthorized, "the user name is not that of the token, or of no hub");
        let (hub, id) = scope(services, host, token).ok_or_else(refused)?;
        let same = if self.policy {
            token.key_name.as_deref().is_some_and(|name| name.eq_ignore_ascii_case(&self.name))
        } else {
            let named = match self.name.split_once('/') {
                Some((device, module)) => addresses(device, Some(module)),
                None => addresses(&self.name, None),
            };
            id.is_some_and(|id| id.addresses().iter().any(|one| named.contains(one)))
        };
        if !same || !services.context.table.is_called(&hub, token.place().0, &self.hub) {
            return Err(refused());
        }
        Credential::of_token(services, host, token).await.ok_or_else(refused)?
    }
}

/// Those of a connection, by audience.
#[derive(Debug, Default)]
pub(in crate::amqp) struct Credentials {
    held: Vec<(String, Credential)>,
}

impl Credentials {
    /// Puts one, in the place of the one for the same audience.
    pub(in crate::amqp) fn put(&mut self, audience: &str, credential: Credential) -> Result<()> {
        put_in_place(&mut self.held, audience, credential)
    }

    pub(in crate::amqp) const fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    /// When the first of them runs out.
    pub(in crate::amqp) fn expires(&self) -> Option<Timestamp> {
        self.held.iter().filter_map(|(_, one)| one.expires()).min()
    }

    /// Drops those that do not hold any more.
    pub(in crate::amqp) fn prune(&mut self, services: &Services) {
        self.held.retain(|(_, one)| one.holds(services));
    }

    /// Drops those of one device only: it may not speak here any more.
    pub(super) fn drop_device(&mut self, device: &DeviceAddress) {
        self.held.retain(|(_, one)| !one.is_of_only(device));
    }

    /// The tokens that may be those of one of these devices, each with its hub; a device's own first.
    pub(super) fn of_devices(&self, devices: &[DeviceAddress]) -> Vec<(Arc<Resource>, SasToken)> {
        let mut found: Vec<_> = self
            .held
            .iter()
            .filter_map(|(_, one)| {
                let token = devices.iter().find_map(|device| one.of_device(device))?;
                Some((matches!(one.proof, Proof::Policy(_)), (Arc::clone(&one.hub), token.clone())))
            })
            .collect();
        found.sort_by_key(|(policy, _)| *policy);
        found.into_iter().map(|(_, token)| token).collect()
    }

    /// The hub, and who the peer is as a service of it. [`ErrorCode::Unauthorized`] where nothing that was shown allows the
    /// action.
    pub(in crate::amqp) fn service(
        &self,
        services: &Services,
        action: HubAction,
    ) -> Result<(Arc<Resource>, Caller)> {
        let mut refused = None;
        for (hub, caller) in self.held.iter().filter_map(|(_, one)| one.service(services).ok()) {
            match caller.require(ResourceKind::Hub, &hub.name, Right::Hub(action)) {
                Ok(()) => return Ok((hub, caller)),
                Err(error) => refused = refused.or(Some(error.message)),
            }
        }
        let why = refused.unwrap_or_else(|| "none that was put is a service's".to_owned());
        Err(Error::new(ErrorCode::Unauthorized, format!("no token opens this link: {why}")))
    }
}

#[cfg(test)]
mod tests {
    use pollux_services::caller::Identity;

    use super::*;

    #[tokio::test]
    async fn a_service_has_the_links_that_its_role_allows() {
        let (services, _folder) = crate::fixture::services().await;
        let hub = services.context.table.serving(ResourceKind::Hub, "localhost").unwrap();
        let identity = Identity::Principal { issuer: "i".to_owned(), subject: "s".to_owned() };
        let rights = vec![Right::Hub(HubAction::FileNotifications)];
        let caller = Caller::on_kind(identity, ResourceKind::Hub, rights);
        let mut credentials = Credentials::default();
        let refused =
            |credentials: &Credentials, action| credentials.service(&services, action).unwrap_err().message;
        let notices = HubAction::FileNotifications;
        assert!(refused(&credentials, notices).contains("none that was put is a service's"));
        credentials.put("localhost", Credential { hub, proof: Proof::Bearer(Box::new(caller)) }).unwrap();
        credentials.service(&services, notices).unwrap();
        let told = refused(&credentials, HubAction::MessagesSend);
        assert!(told.contains("the role IoT Hub Data Contributor on hub 'hub1'"), "{told}");
    }

    #[test]
    fn user_names_are_taken_apart() {
        let plain = |user: &str| {
            let shown = sasl::Plain { authorization: "", user, password: "p" };
            Plain::of(&shown).map(|plain| (plain.name, plain.policy, plain.hub))
        };
        assert_eq!(plain("dev@1@sas.hub1"), Some(("dev@1".to_owned(), false, "hub1".to_owned())));
        assert_eq!(plain("service@sas.root.hub1"), Some(("service".to_owned(), true, "hub1".to_owned())));
        assert_eq!(plain("0ne1/registrations/x"), None);
    }
}
