//! Which keys and tokens make which caller. Devices and registrations are known by `hub` and `provisioning`.
//!
//! Secrets are compared in constant time; an unknown policy and a wrong key are not told apart.

use std::fmt;
use std::sync::{Arc, OnceLock};

use pollux_model::resource::{Properties, Resource, ResourceKind};
use pollux_model::sas::{SasToken, secrets_equal};
use pollux_model::{Error, ErrorCode, Etag, Key, KeyPair, Result, Timestamp};
use pollux_store::secrets::Secret;
use pollux_store::{Batch, Expect, Write};

use crate::caller::{Caller, Identity, Right};
use crate::context::Context;
use crate::issuer::Issuer;
use crate::resources::{commit_failed, store_failed};

/// Turns credentials into callers.
pub struct Authority {
    context: Arc<Context>,
    issuer: Arc<Issuer>,
    admin: OnceLock<Key>,
    /// Tried in place of an unknown policy's keys, so that the answer takes as long.
    nobody: KeyPair,
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authority").finish_non_exhaustive()
    }
}

impl Authority {
    /// Over a context and the verifier of tokens.
    #[must_use]
    pub fn new(context: Arc<Context>, issuer: Arc<Issuer>) -> Self {
        let nobody = KeyPair::generate(&*context.random);
        Self { context, issuer, admin: OnceLock::new(), nobody }
    }

    /// Reads the admin key; makes it at the first start.
    pub async fn load(&self) -> Result<()> {
        let known = self.context.store.secrets("admin").await.map_err(store_failed)?;
        let key = match known.into_iter().next() {
            Some(secret) => serde_json::from_str(&secret.value).map_err(|_| Error::internal())?,
            None => self.make_admin_key().await?,
        };
        self.admin.get_or_init(|| key);
        Ok(())
    }

    /// The operator's key, for connection information.
    #[must_use]
    pub fn reveal_admin_key(&self) -> Option<&Key> {
        self.admin.get()
    }

    /// The caller a service's token makes: signed with a shared access policy's key, for the whole resource.
    pub fn service_sas(&self, resource: &Resource, token: &SasToken, now: Timestamp) -> Result<Caller> {
        let policy = token.key_name.as_deref().and_then(|name| resource.policy(name));
        let keys = policy.map_or(&self.nobody, |policy| &policy.keys);
        let signed = keys.signed(token);
        let Some(policy) = policy.filter(|_| signed) else {
            return Err(unauthorized(
                "the token's policy (skn) or signature does not hold for this resource",
            ));
        };
        if !self.is_for(resource, token) {
            return Err(unauthorized("the token's resource (sr) is not this host name"));
        }
        if token.expired(now.as_secs()) {
            return Err(unauthorized("the token has expired: sign a new one with a later se"));
        }
        let rights = policy.rights.iter().map(|right| Right::Policy(*right)).collect();
        let identity = Identity::Policy {
            kind: resource.kind(),
            resource: resource.name.clone(),
            policy: policy.name.clone(),
        };
        let caller = Caller::on(identity, resource.kind(), resource.name.clone(), rights);
        Ok(caller.until(Timestamp::from_secs(token.expiry)))
    }

    /// The caller a bearer token makes on resources of a kind.
    pub async fn bearer(&self, token: &str, kind: ResourceKind) -> Result<Caller> {
        self.issuer.verify(token, kind).await
    }

    /// The caller a function key makes.
    pub fn function_key(&self, app: &Resource, code: &str) -> Result<Caller> {
        let Properties::Functions(functions) = &app.properties else { return Err(Error::internal()) };
        let same = |key: &Key| secrets_equal(key.reveal().as_bytes(), code.as_bytes());
        if !(same(&functions.keys.primary) | same(&functions.keys.secondary)) {
            return Err(unauthorized("the function key (code) does not hold for this function app"));
        }
        let identity = Identity::FunctionKey { app: app.name.clone() };
        Ok(Caller::on(identity, ResourceKind::Functions, app.name.clone(), vec![Right::Invoke]))
    }

    /// The operator, by the admin key.
    pub fn admin_key(&self, key: &str) -> Result<Caller> {
        let known =
            self.admin.get().is_some_and(|admin| secrets_equal(admin.reveal().as_bytes(), key.as_bytes()));
        if known { Ok(Caller::admin()) } else { Err(unauthorized("the admin key does not hold")) }
    }

    /// Whether `sr` names this resource whole: a host name it answers to, with or without scheme, port and final slash.
    fn is_for(&self, resource: &Resource, token: &SasToken) -> bool {
        let (host, path) = token.place();
        path.is_empty() && self.context.table.answers_to(resource, host)
    }

    async fn make_admin_key(&self) -> Result<Key> {
        let random = &*self.context.random;
        let key = Key::generate(random);
        let secret = Secret {
            scope: "admin".to_owned(),
            id: "key".to_owned(),
            value: serde_json::to_string(&key).map_err(|_| Error::internal())?,
            etag: Etag::fresh(random),
            created: self.context.clock.now(),
        };
        let write = Write::PutSecret { secret: Box::new(secret), expect: Expect::Absent };
        self.context.store.commit(Batch::from(write)).await.map_err(commit_failed)?;
        Ok(key)
    }
}

fn unauthorized(message: &str) -> Error {
    Error::new(ErrorCode::Unauthorized, message)
}

#[cfg(test)]
mod tests;
