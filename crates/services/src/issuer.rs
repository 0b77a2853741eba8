//! The built-in token issuer (OAuth 2.0 client credentials, OpenID Connect discovery) and the verification of tokens,
//! its own and those of configured OpenID Connect issuers.
//!
//! ```text
//!   client id + secret ──▶ grant.rs ──▶ RS256 token (1 h)        keys.rs: a new key each 30 days, old ones verify on
//!   token ──▶ verify.rs ──▶ own key? | configured issuer? (external.rs: discovery, JWKS) ──▶ roles.rs ──▶ Caller
//! ```

mod attempts;
mod clients;
mod external;
mod grant;
mod keys;
mod roles;
mod verify;

use std::net::IpAddr;
use std::sync::{Arc, OnceLock};

use parking_lot::RwLock;
use pollux_model::{Error, ErrorCode, Etag, Result};
use pollux_store::secrets::Secret;
use pollux_store::{Batch, Expect, Write};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::attempts::Attempts;
use self::clients::Client;
use self::external::External;
use self::keys::{Keys, ROTATION_CHECK};
use self::verify::Verified;
use crate::context::Context;
use crate::resources::{commit_failed, store_failed};

pub use external::ExternalIssuer;
pub use grant::{GrantError, GrantRequest, IssuedToken};
pub use roles::DEFAULT_ROLES;
pub(crate) use roles::roles_with;

/// The built-in issuer and the verifier of all tokens.
#[derive(Debug)]
pub struct Issuer {
    context: Arc<Context>,
    keys: Keys,
    attempts: Attempts,
    verified: Verified,
    external: Vec<External>,
    state: RwLock<State>,
    authority: OnceLock<String>,
}

/// What [`Issuer::load`] reads.
#[derive(Debug, Default)]
struct State {
    tenant: String,
    clients: Arc<[Client]>,
}

/// What a client needs to get a token from the built-in issuer.
#[derive(Clone)]
pub struct Credentials {
    /// The tenant's GUID.
    pub tenant_id: String,
    /// The client's GUID.
    pub client_id: String,
    /// Its secret.
    pub client_secret: String,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials").field("client_id", &self.client_id).finish_non_exhaustive()
    }
}

impl Issuer {
    /// Over a context, trusting these other issuers too.
    #[must_use]
    pub fn new(context: Arc<Context>, external: Vec<ExternalIssuer>) -> Self {
        Self {
            keys: Keys::new(Arc::clone(&context)),
            attempts: Attempts::default(),
            verified: Verified::default(),
            external: external.into_iter().map(External::new).collect(),
            state: RwLock::default(),
            authority: OnceLock::new(),
            context,
        }
    }

    /// Reads keys and clients; makes the tenant and the first client at the first start. The first signing key is made
    /// when it is needed or in the background, whichever comes first: RSA keys take their time.
    pub async fn load(&self) -> Result<()> {
        self.keys.load().await?;
        let tenant = self.load_tenant().await?;
        let clients = clients::load(&self.context).await?;
        *self.state.write() = State { tenant, clients };
        Ok(())
    }

    /// Makes and rotates signing keys until shutdown.
    pub fn start(self: &Arc<Self>, shutdown: CancellationToken, tasks: &TaskTracker) {
        let issuer = Arc::clone(self);
        tasks.spawn(async move {
            loop {
                if let Err(error) = issuer.keys.maintain().await {
                    tracing::error!(%error, "the issuer's signing keys could not be renewed");
                }
                tokio::select! {
                    () = shutdown.cancelled() => return,
                    () = tokio::time::sleep(ROTATION_CHECK) => {}
                }
            }
        });
    }

    /// Where the issuer is reached, once the listeners are bound: `https://localhost:8443`.
    pub fn set_authority(&self, url: &str) {
        if self.authority.set(url.trim_end_matches('/').to_owned()).is_err() {
            tracing::debug!("the authority was set already");
        }
    }

    /// Where the issuer is reached.
    #[must_use]
    pub fn authority(&self) -> &str {
        self.authority.get().map_or("https://localhost", String::as_str)
    }

    /// The tenant's GUID.
    #[must_use]
    pub fn tenant(&self) -> String {
        self.state.read().tenant.clone()
    }

    /// Whether a path's tenant is ours.
    #[must_use]
    pub fn is_tenant(&self, text: &str) -> bool {
        self.state.read().tenant.eq_ignore_ascii_case(text)
    }

    /// The first client's credentials, for connection information.
    pub fn credentials(&self) -> Result<Credentials> {
        let state = self.state.read();
        let client = state.clients.first().ok_or_else(Error::internal)?;
        Ok(Credentials {
            tenant_id: state.tenant.clone(),
            client_id: client.id.clone(),
            client_secret: client.secret.clone(),
        })
    }

    /// The public keys (RFC 7517), newest first.
    pub async fn jwks(&self) -> Result<Value> {
        self.keys.current().await?;
        self.keys.reread().await?;
        Ok(json!({ "keys": self.keys.public() }))
    }

    /// The discovery document (OpenID Connect Discovery 1.0) as reached under `base`, such as `https://localhost:8443`.
    #[must_use]
    pub fn discovery(&self, base: &str) -> Value {
        let tenant = self.tenant();
        json!({
            "issuer": format!("{base}/{tenant}/v2.0"),
            "token_endpoint": format!("{base}/{tenant}/oauth2/v2.0/token"),
            "authorization_endpoint": format!("{base}/{tenant}/oauth2/v2.0/authorize"),
            "device_authorization_endpoint": format!("{base}/{tenant}/oauth2/v2.0/devicecode"),
            "jwks_uri": format!("{base}/{tenant}/discovery/v2.0/keys"),
            "token_endpoint_auth_methods_supported": ["client_secret_post", "client_secret_basic"],
            "grant_types_supported": ["client_credentials"],
            "response_types_supported": ["token"],
            "response_modes_supported": ["query"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256"],
            "scopes_supported": roles::audiences().map(|(uri, _)| format!("{uri}/.default")).collect::<Vec<_>>(),
            "tenant_region_scope": Value::Null,
            "cloud_instance_name": "pollux",
        })
    }

    /// Seconds an address must wait after too many failed attempts; `None` if it may try.
    fn held_back(&self, address: IpAddr) -> Option<u32> {
        self.attempts.held_back(address, self.context.clock.now())
    }

    async fn load_tenant(&self) -> Result<String> {
        let store = &self.context.store;
        let known = store.secrets("deployment").await.map_err(store_failed)?;
        if let Some(secret) = known.iter().find(|secret| secret.id == "tenant") {
            return serde_json::from_str(&secret.value).map_err(|_| damaged("the tenant id"));
        }
        let tenant = self.context.random.uuid().to_string();
        put_secret(&self.context, "deployment", "tenant", json!(tenant)).await?;
        Ok(tenant)
    }
}

/// Stores a new secret.
async fn put_secret(context: &Context, scope: &str, id: &str, value: Value) -> Result<()> {
    let secret = Secret {
        scope: scope.to_owned(),
        id: id.to_owned(),
        value: value.to_string(),
        etag: Etag::fresh(&*context.random),
        created: context.clock.now(),
    };
    let write = Write::PutSecret { secret: Box::new(secret), expect: Expect::Absent };
    context.store.commit(Batch::from(write)).await.map_err(commit_failed)
}

fn damaged(what: &str) -> Error {
    tracing::error!(what, "a stored secret cannot be read");
    Error::internal()
}

/// The one answer to every token that does not hold; the reason is for the log.
fn refused(reason: &str) -> Error {
    tracing::debug!(reason, "a bearer token was refused");
    Error::new(ErrorCode::Unauthorized, format!("the bearer token does not hold: {reason}"))
}

#[cfg(test)]
mod tests;
