//! The `Authorization` header: signed here, or fetched from a token issuer and kept until shortly before it expires.

use std::fmt;

use pollux_model::{Clock, SystemClock, sas};
use serde_json::Value;
use tokio::sync::Mutex;
use url::{Url, form_urlencoded};

use super::error::RestError;
use super::{Response, ServiceError};
use crate::credential::TOKEN_LIFETIME;

/// A token that expires within this many seconds is replaced.
const EARLY: i64 = 300;

/// Where bearer tokens come from.
#[derive(Clone)]
pub enum TokenSource {
    /// The client credentials grant of OAuth 2.0 (RFC 6749, section 4.4).
    ClientCredentials {
        /// `https://issuer/{tenant}/oauth2/v2.0/token`.
        token_url: String,
        /// The application's id.
        client_id: String,
        /// Its secret.
        client_secret: String,
        /// `https://digitaltwins.azure.net/.default`.
        scope: String,
    },
    /// A token that was got elsewhere.
    Fixed(String),
}

impl fmt::Debug for TokenSource {
    /// Secrets stay out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ClientCredentials { token_url, client_id, .. } => {
                write!(f, "ClientCredentials({client_id} at {token_url})")
            }
            Self::Fixed(_) => f.write_str("Fixed"),
        }
    }
}

/// A header text and when it expires (seconds since the Unix epoch).
pub(super) struct Token {
    header: String,
    expires: i64,
}

/// Who we are to the service.
pub(super) enum Auth {
    Nobody,
    Sas { resource: String, key_name: Option<String>, key: Vec<u8>, current: Mutex<Option<Token>> },
    Bearer { source: TokenSource, current: Mutex<Option<Token>> },
}

impl fmt::Debug for Auth {
    /// Secrets stay out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nobody => f.write_str("Nobody"),
            Self::Sas { resource, key_name, .. } => write!(f, "Sas({resource}, {key_name:?})"),
            Self::Bearer { source, .. } => source.fmt(f),
        }
    }
}

impl Auth {
    pub(super) fn sas(resource: &str, key_name: Option<&str>, key: Vec<u8>) -> Self {
        let (resource, key_name) = (resource.to_owned(), key_name.map(str::to_owned));
        Self::Sas { resource, key_name, key, current: Mutex::new(None) }
    }

    pub(super) fn bearer(source: TokenSource) -> Self {
        Self::Bearer { source, current: Mutex::new(None) }
    }

    /// The header's text, fresh if need be. Callers that come while one is fetched wait for it.
    pub(super) async fn token(&self, http: &reqwest::Client) -> Result<Option<String>, RestError> {
        let now = SystemClock.now().as_secs();
        let mut current = match self {
            Self::Nobody => return Ok(None),
            Self::Sas { current, .. } | Self::Bearer { current, .. } => current.lock().await,
        };
        if let Some(token) = current.as_ref().filter(|token| token.expires > now + EARLY) {
            return Ok(Some(token.header.clone()));
        }
        let token = match self {
            Self::Nobody => return Ok(None),
            Self::Sas { resource, key_name, key, .. } => {
                let expires = now + TOKEN_LIFETIME;
                Token { header: sas::sign(resource, key, expires, key_name.as_deref()), expires }
            }
            Self::Bearer { source, .. } => source.fetch(http, now).await?,
        };
        Ok(Some(current.insert(token).header.clone()))
    }
}

impl TokenSource {
    async fn fetch(&self, http: &reqwest::Client, now: i64) -> Result<Token, RestError> {
        let (token_url, form) = match self {
            Self::Fixed(token) => return Ok(Token { header: format!("Bearer {token}"), expires: i64::MAX }),
            Self::ClientCredentials { token_url, client_id, client_secret, scope } => {
                let form = form_urlencoded::Serializer::new(String::new())
                    .append_pair("grant_type", "client_credentials")
                    .append_pair("client_id", client_id)
                    .append_pair("client_secret", client_secret)
                    .append_pair("scope", scope)
                    .finish();
                (token_url, form)
            }
        };
        let bad = |error| RestError::Setup(format!("'{token_url}' is not an address: {error}"));
        let url = Url::parse(token_url).map_err(bad)?;
        let request =
            http.post(url.clone()).header("content-type", "application/x-www-form-urlencoded").body(form);
        let answer = request.send().await.map_err(|error| RestError::transport(&url, &error))?;
        let answer = Response::read(answer, &url).await?;
        if answer.status >= 400 {
            return Err(RestError::Token(Box::new(ServiceError::read(answer))));
        }
        // RFC 6749, section 5.1; some issuers write the lifetime as a string.
        let seconds = &answer.body["expires_in"];
        let lifetime = seconds.as_i64().or_else(|| seconds.as_str()?.parse().ok()).unwrap_or(TOKEN_LIFETIME);
        match &answer.body["access_token"] {
            Value::String(token) => Ok(Token { header: format!("Bearer {token}"), expires: now + lifetime }),
            _ => Err(RestError::Setup(format!("{url} answered without an access_token"))),
        }
    }
}
