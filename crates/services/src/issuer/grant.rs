//! The client credentials grant (RFC 6749, section 4.4).

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use jsonwebtoken::{Algorithm, Header};
use pollux_model::{Error, ErrorCode};
use serde::{Deserialize, Serialize};

use super::{Issuer, clients, roles};

/// How long a token holds.
const TOKEN_LIFETIME: Duration = Duration::from_secs(3600);

/// What a client sent, each parameter once and still unchecked.
#[derive(Clone, Default)]
pub struct GrantRequest {
    /// From the path.
    pub tenant: String,
    /// `grant_type`.
    pub grant_type: Option<String>,
    /// `client_id`.
    pub client_id: Option<String>,
    /// `client_secret`.
    pub client_secret: Option<String>,
    /// `scope`, such as `https://digitaltwins.azure.net/.default`.
    pub scope: Option<String>,
}

impl fmt::Debug for GrantRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GrantRequest")
            .field("client_id", &self.client_id)
            .field("scope", &self.scope)
            .finish_non_exhaustive()
    }
}

/// A token.
#[derive(Clone)]
pub struct IssuedToken {
    /// The JWT.
    pub access_token: String,
    /// Seconds it holds.
    pub expires_in: u64,
}

impl fmt::Debug for IssuedToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IssuedToken").field("expires_in", &self.expires_in).finish_non_exhaustive()
    }
}

/// Why there is no token; RFC 6749, section 5.2 has a word for each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GrantError {
    /// The path's tenant is not ours.
    UnknownTenant,
    /// A parameter is missing.
    Missing(&'static str),
    /// Another grant than client credentials.
    UnsupportedGrant,
    /// Unknown client or wrong secret; not said which.
    InvalidClient,
    /// No service of that name.
    InvalidScope,
    /// Too many failures from that address.
    TooManyAttempts {
        /// Seconds to wait.
        retry_after: u32,
    },
    /// The server cannot now.
    Unavailable,
}

/// What a token says.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Claims {
    pub(super) iss: String,
    pub(super) aud: String,
    pub(super) sub: String,
    pub(super) oid: String,
    pub(super) appid: String,
    pub(super) azp: String,
    pub(super) tid: String,
    pub(super) roles: Vec<String>,
    pub(super) iat: i64,
    pub(super) nbf: i64,
    pub(super) exp: i64,
    pub(super) ver: String,
    pub(super) uti: String,
}

impl Issuer {
    /// Grants a token to a client.
    pub async fn grant(&self, request: &GrantRequest, address: IpAddr) -> Result<IssuedToken, GrantError> {
        if let Some(retry_after) = self.held_back(address) {
            return Err(GrantError::TooManyAttempts { retry_after });
        }
        if !self.is_tenant(&request.tenant) {
            return Err(GrantError::UnknownTenant);
        }
        let grant_type = request.grant_type.as_deref().ok_or(GrantError::Missing("grant_type"))?;
        if grant_type != "client_credentials" {
            return Err(GrantError::UnsupportedGrant);
        }
        let id = request.client_id.as_deref().ok_or(GrantError::Missing("client_id"))?;
        let secret = request.client_secret.as_deref().ok_or(GrantError::Missing("client_secret"))?;
        let scope = request.scope.as_deref().ok_or(GrantError::Missing("scope"))?;
        let clients = std::sync::Arc::clone(&self.state.read().clients);
        let Some(client) = clients::authenticate(&clients, id, secret) else {
            self.attempts.failed(address, self.context.clock.now());
            return Err(GrantError::InvalidClient);
        };
        self.attempts.succeeded(address);
        let audience = roles::audience_of_scope(scope).ok_or(GrantError::InvalidScope)?;
        let access_token = self.sign(client, audience).await.map_err(|error| {
            tracing::error!(%error, "no token could be signed");
            GrantError::Unavailable
        })?;
        Ok(IssuedToken { access_token, expires_in: TOKEN_LIFETIME.as_secs() })
    }

    async fn sign(&self, client: &clients::Client, audience: &str) -> Result<String, Error> {
        let key = self.keys.current().await?;
        let (tenant, now) = (self.tenant(), self.context.clock.now());
        let claims = Claims {
            iss: format!("{}/{tenant}/v2.0", self.authority()),
            aud: audience.to_owned(),
            sub: client.id.clone(),
            oid: client.id.clone(),
            appid: client.id.clone(),
            azp: client.id.clone(),
            tid: tenant,
            roles: client.roles.clone(),
            iat: now.as_secs(),
            nbf: now.as_secs(),
            exp: now.plus(TOKEN_LIFETIME).as_secs(),
            ver: "2.0".to_owned(),
            uti: self.context.random.uuid().simple().to_string(),
        };
        let header = Header { kid: Some(key.kid.clone()), ..Header::new(Algorithm::RS256) };
        jsonwebtoken::encode(&header, &claims, &key.private)
            .map_err(|error| Error::new(ErrorCode::Internal, error.to_string()))
    }
}
