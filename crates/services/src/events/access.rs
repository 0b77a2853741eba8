//! Who may do what on a namespace: tokens and keys become [`Claim`]s, and a link needs one that covers its address.
//!
//! Azure articles "Authenticate access to Event Hubs resources using shared access signatures (SAS)" and "Authorize
//! access to Event Hubs resources using Microsoft Entra ID". A policy of the namespace is good for all its event hubs, a
//! policy of an event hub for that one; a token is good for what its `sr` names and all below.

use pollux_model::resource::{EventHub, Policy, PolicyRight, ResourceKind};
use pollux_model::sas::{SasToken, secrets_equal};
use pollux_model::{Error, ErrorCode, OwnerName, Result, Timestamp};

use super::Events;
use super::namespace::Namespace;
use crate::caller::{Caller, Right};

/// What a credential allows, and where.
#[derive(Debug, Clone)]
pub struct Claim {
    /// The namespace; `None`: each event hubs namespace.
    namespace: Option<OwnerName>,
    allowed: Allowed,
    expires: Option<Timestamp>,
    /// The path it is for and all below, in lower case; empty: the whole namespace.
    scope: String,
    proof: Proof,
}

/// What it allows.
#[derive(Debug, Clone)]
enum Allowed {
    /// What this policy allows at the time it is asked: it may change under open links.
    Policy {
        name: String,
        event_hub: Option<String>,
    },
    Rights(Vec<PolicyRight>),
}

/// What the claim rests on, to see later whether it still holds.
#[derive(Debug, Clone)]
enum Proof {
    Token(SasToken),
    Key { policy: String, key: Secret },
    Bearer,
}

/// A key as it was presented.
#[derive(Clone)]
struct Secret(String);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(***)")
    }
}

impl Claim {
    /// Until when it holds.
    #[must_use]
    pub const fn expires(&self) -> Option<Timestamp> {
        self.expires
    }

    /// What a caller of another API may do here: the operator everything, whoever has roles what they allow.
    fn of(caller: &Caller) -> Self {
        let held = |right: &PolicyRight| caller.holds_everywhere(ResourceKind::Events, Right::Policy(*right));
        let rights = [PolicyRight::Listen, PolicyRight::Send, PolicyRight::Manage].into_iter().filter(held);
        Self {
            namespace: None,
            allowed: Allowed::Rights(rights.collect()),
            expires: caller.expires,
            scope: String::new(),
            proof: Proof::Bearer,
        }
    }

    /// What it allows as things are.
    fn rights<'a>(&'a self, namespace: &'a Namespace) -> &'a [PolicyRight] {
        match &self.allowed {
            Allowed::Rights(rights) => rights,
            Allowed::Policy { name, event_hub } => {
                let of_hub = |wanted: &String| namespace.event_hubs.iter().find(|hub| hub.name == *wanted);
                let policies = match event_hub {
                    Some(event_hub) => of_hub(event_hub).map(|hub| &*hub.policies).unwrap_or_default(),
                    None => &namespace.policies,
                };
                let policy = policies.iter().find(|one| one.name == *name);
                policy.map(|policy| &*policy.rights).unwrap_or_default()
            }
        }
    }

    /// Whether it covers a path, such as `hub1/partitions/0`.
    fn covers(&self, path: &str) -> bool {
        let rest = path.strip_prefix(&self.scope);
        self.scope.is_empty() || rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}

impl Events {
    /// The claim that a shared access signature, put for this audience, makes at a host.
    pub fn claim_by_token(&self, host: &str, audience: &str, token: &SasToken) -> Result<Claim> {
        let mut refused = None;
        for namespace in self.namespaces_for(host, audience) {
            match self.claim_in(&namespace, token.clone()) {
                Ok(claim) => return Ok(claim),
                Err(error) => refused = refused.or(Some(error)),
            }
        }
        Err(refused.unwrap_or_else(no_namespace))
    }

    /// The claim a hub's token makes as a password (SASL PLAIN); the user name is `<policy>@sas.root.<hub>`, as clients of
    /// hubs have it (Azure article "Communicate with your IoT hub by using the AMQP Protocol").
    #[must_use]
    pub fn claim_by_password(&self, host: &str, user: &str, token: &str) -> Option<(OwnerName, Claim)> {
        let (policy, hub) = user.split_once("@sas.root.")?;
        let token = SasToken::parse(token).ok()?;
        if !token.key_name.as_deref().is_some_and(|name| name.eq_ignore_ascii_case(policy)) {
            return None;
        }
        let (own, _) = token.place();
        let mut namespaces = self.namespaces(if host.is_empty() { own } else { host }).into_iter();
        let called = |one: &Namespace| self.context.table.is_called(&one.resource, own, hub);
        let namespace = namespaces.find(|one| one.is_built_in() && called(one))?;
        let claim = self.claim_in(&namespace, token).ok()?;
        Some((namespace.name, claim))
    }

    fn claim_in(&self, namespace: &Namespace, token: SasToken) -> Result<Claim> {
        let (host, path) = token.place();
        if !self.context.table.answers_to(&namespace.resource, host) {
            return Err(unauthorized("the token's resource (sr) is not this host name"));
        }
        let scope = path.trim_matches('/').to_ascii_lowercase();
        let name = token.key_name.as_deref().unwrap_or_default();
        let signed_by = |policy: &Policy| {
            // Clients of hubs sign with what the key's text stands for, those of event hubs with the text itself.
            let as_hubs = namespace.is_built_in() && policy.keys.signed(&token);
            policy.keys.signed_with_text(&token) || as_hubs
        };
        let all = policies_for(namespace, &scope, name);
        if all.is_empty() {
            // As much work for a policy there is not.
            let _ = self.nobody.signed_with_text(&token);
        }
        let signer = all.into_iter().find(|(_, policy)| signed_by(policy));
        let Some((event_hub, policy)) = signer else {
            return Err(unauthorized(
                "the token's policy (skn) or signature does not hold for this resource",
            ));
        };
        if token.expired(self.context.clock.now().as_secs()) {
            return Err(unauthorized("the token has expired: sign a new one with a later se"));
        }
        let expires = Some(Timestamp::from_secs(token.expiry));
        Ok(claim(namespace, (event_hub, policy), scope, expires, Proof::Token(token)))
    }

    /// The claim a policy's name and key make (SASL PLAIN). An event hub's policy is found where the namespace has none of
    /// that name and key.
    fn claim_by_key(&self, namespace: &Namespace, policy: &str, key: &str) -> Result<Claim> {
        let holds = |one: &Policy| {
            let same = |held: &pollux_model::Key| secrets_equal(held.reveal().as_bytes(), key.as_bytes());
            (same(&one.keys.primary) | same(&one.keys.secondary)) & one.name.eq_ignore_ascii_case(policy)
        };
        let whole = namespace.policies.iter().map(|one| (None, one));
        let hubs = namespace.event_hubs.iter();
        let of_hubs = hubs.flat_map(|hub| hub.policies.iter().map(move |one| (Some(hub), one)));
        let Some((event_hub, policy)) = whole.chain(of_hubs).find(|(_, one)| holds(one)) else {
            return Err(unauthorized("the user name must be a shared access policy, the password its key"));
        };
        let scope = event_hub.map(|hub| hub.name.to_ascii_lowercase()).unwrap_or_default();
        let proof = Proof::Key { policy: policy.name.clone(), key: Secret(key.to_owned()) };
        Ok(claim(namespace, (event_hub, policy), scope, None, proof))
    }

    /// The claims a policy's name and key make at a host, with the namespace of each. A name of this machine is that of
    /// every namespace, and so is none: old clients (npm azure-event-hubs 0.0.8) name their host after that, in `open`, and
    /// links are looked up there.
    #[must_use]
    pub fn claims_by_key(&self, host: &str, policy: &str, key: &str) -> Vec<(OwnerName, Claim)> {
        let namespaces = if host.is_empty() { self.every_namespace() } else { self.namespaces(host) };
        namespaces
            .into_iter()
            .filter_map(|one| Some((self.claim_by_key(&one, policy, key).ok()?, one.name)))
            .map(|(claim, name)| (name, claim))
            .collect()
    }

    /// The claim a bearer token makes: its roles hold for the whole namespace.
    pub async fn claim_by_bearer(&self, token: &str) -> Result<Claim> {
        Ok(Claim::of(&self.issuer.verify(token, ResourceKind::Events).await?))
    }

    /// Whether the claim still holds after its namespace may have changed, and time has passed.
    #[must_use]
    pub fn still_holds(&self, claim: &Claim) -> bool {
        let now = self.context.clock.now();
        let Some(name) = &claim.namespace else { return claim.expires.is_none_or(|expires| now < expires) };
        let Some(namespace) = self.named(name) else { return false };
        match &claim.proof {
            Proof::Token(token) => self.claim_in(&namespace, token.clone()).is_ok(),
            Proof::Key { policy, key } => self.claim_by_key(&namespace, policy, &key.0).is_ok(),
            Proof::Bearer => claim.expires.is_none_or(|expires| now < expires),
        }
    }

    /// The first claim that gives this right on an event hub's path. [`ErrorCode::Unauthorized`] where none does.
    pub fn require<'c>(
        &self,
        namespace: &Namespace,
        claims: impl IntoIterator<Item = &'c Claim>,
        path: &str,
        right: PolicyRight,
    ) -> Result<&'c Claim> {
        let path = super::address::path(path).to_ascii_lowercase();
        let now = self.context.clock.now();
        let allows = |claim: &&Claim| {
            claim.namespace.as_ref().map_or(!namespace.is_built_in(), |of| *of == namespace.name)
                && claim.expires.is_none_or(|expires| now < expires)
                && claim.covers(&path)
                && claim.rights(namespace).iter().any(|held| [right, PolicyRight::Manage].contains(held))
        };
        claims.into_iter().find(allows).ok_or_else(|| {
            let message = format!("Unauthorized access. '{right:?}' claim(s) are required to perform this operation. Resource: '{path}'");
            Error::new(ErrorCode::Unauthorized, message)
        })
    }
}

/// A policy, and the event hub it is of, unless it is the namespace's.
type Found<'n> = (Option<&'n EventHub>, &'n Policy);

/// The policies of that name that a token for `scope` may be signed with: the event hub's and the namespace's.
fn policies_for<'n>(namespace: &'n Namespace, scope: &str, name: &str) -> Vec<Found<'n>> {
    let hub = scope.split('/').next().unwrap_or_default();
    let hub = namespace.event_hubs.iter().find(|one| one.name.eq_ignore_ascii_case(hub));
    let of_hub = hub.into_iter().flat_map(|hub| hub.policies.iter().map(move |one| (Some(hub), one)));
    let all = of_hub.chain(namespace.policies.iter().map(|one| (None, one)));
    all.filter(|(_, one)| one.name.eq_ignore_ascii_case(name)).collect()
}

fn claim(
    namespace: &Namespace,
    (event_hub, policy): Found<'_>,
    scope: String,
    expires: Option<Timestamp>,
    proof: Proof,
) -> Claim {
    let event_hub = event_hub.map(|hub| hub.name.clone());
    let allowed = Allowed::Policy { name: policy.name.clone(), event_hub };
    Claim { namespace: Some(namespace.name.clone()), allowed, expires, scope, proof }
}

pub(super) fn no_namespace() -> Error {
    Error::new(ErrorCode::EventHubNotFound, "there is no event hubs namespace of this host name")
}

fn unauthorized(message: &str) -> Error {
    Error::new(ErrorCode::Unauthorized, message)
}
