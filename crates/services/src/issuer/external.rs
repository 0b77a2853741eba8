//! Other OpenID Connect issuers: discovery, their keys, their roles.

use std::collections::BTreeMap;
use std::time::Duration;

use jsonwebtoken::jwk::{Jwk, JwkSet};
use jsonwebtoken::{DecodingKey, Header};
use parking_lot::RwLock;
use pollux_model::resource::ResourceKind;
use pollux_model::{Error, ErrorCode, Result, Timestamp};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use tokio::sync::Mutex;

use super::verify::{ALGORITHMS, SKEW, check_times, signed_claims};
use super::{refused, roles};
use crate::caller::{Caller, Identity};

/// Keys are fetched again after this long.
const FRESH_FOR: Duration = Duration::from_secs(24 * 3600);
/// And for an unknown key not more often than this.
const RETRY_AFTER: Duration = Duration::from_secs(60);
/// What a document may take, in time and bytes.
const FETCH_TIMEOUT: Duration = Duration::from_secs(5);
const MAX_DOCUMENT: usize = 256 * 1024;

/// An issuer that is trusted beside the built-in one.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExternalIssuer {
    /// Its issuer URL, exactly as its tokens say it.
    pub issuer: String,
    /// What its tokens' `aud` must be.
    pub audience: String,
    /// The claim that carries roles: a name, or a path with dots such as `realm_access.roles`.
    #[serde(default = "default_role_claim")]
    pub role_claim: String,
    /// From its role names to ours; a role without an entry counts under its own name.
    #[serde(default)]
    pub mapping: BTreeMap<String, Vec<String>>,
}

fn default_role_claim() -> String {
    "roles".to_owned()
}

/// An issuer and what is known of its keys.
#[derive(Debug)]
pub(super) struct External {
    pub(super) config: ExternalIssuer,
    keys: RwLock<Fetched>,
    /// One fetch at a time; held while it runs.
    fetching: Mutex<()>,
}

#[derive(Debug, Default)]
struct Fetched {
    keys: Vec<Jwk>,
    /// When they were fetched; `None`: never.
    at: Option<Timestamp>,
    /// When a fetch was last tried.
    tried: Option<Timestamp>,
}

impl External {
    pub(super) fn new(config: ExternalIssuer) -> Self {
        Self { config, keys: RwLock::default(), fetching: Mutex::default() }
    }

    /// The caller a token of this issuer makes, and until when.
    pub(super) async fn verify(
        &self,
        http: &reqwest::Client,
        token: &str,
        header: &Header,
        kind: ResourceKind,
        now: Timestamp,
    ) -> Result<(Caller, Timestamp)> {
        if !ALGORITHMS.contains(&header.alg) {
            return Err(refused("its algorithm is not allowed"));
        }
        let jwk = self.key(http, header, now).await?;
        let key = DecodingKey::from_jwk(&jwk).map_err(|_| refused("its issuer's key cannot be used"))?;
        let claims: Map<String, Value> = signed_claims(token, &key, header.alg)?;
        if claims.get("iss").and_then(Value::as_str) != Some(&self.config.issuer) {
            return Err(refused("its issuer is not trusted here"));
        }
        if !names(claims.get("aud")).iter().any(|audience| *audience == self.config.audience) {
            return Err(refused("it is for another audience"));
        }
        let number = |claim: &str| claims.get(claim).and_then(Value::as_f64).map(whole_seconds);
        let expires = check_times(number("exp"), number("nbf"), SKEW, now)?;
        let subject =
            claims.get("sub").and_then(Value::as_str).ok_or_else(|| refused("it names no subject"))?;
        let identity =
            Identity::Principal { issuer: self.config.issuer.clone(), subject: subject.to_owned() };
        Ok((Caller::on_kind(identity, kind, roles::rights(kind, &self.roles(&claims))), expires))
    }

    fn roles(&self, claims: &Map<String, Value>) -> Vec<String> {
        let mut place = claims.get(&self.config.role_claim);
        if place.is_none() {
            let mut steps = self.config.role_claim.split('.');
            place = steps.next().and_then(|first| claims.get(first));
            place = steps.fold(place, |place, step| place.and_then(|value| value.get(step)));
        }
        let map =
            |role: &str| self.config.mapping.get(role).cloned().unwrap_or_else(|| vec![role.to_owned()]);
        names(place).into_iter().flat_map(map).collect()
    }

    /// The key the header names; the keys are fetched where they are unknown, old or lack it.
    async fn key(&self, http: &reqwest::Client, header: &Header, now: Timestamp) -> Result<Jwk> {
        if let Some(key) = self.known(header, now) {
            return Ok(key);
        }
        let _one = self.fetching.lock().await;
        if let Some(key) = self.known(header, now) {
            return Ok(key);
        }
        let tried = self.keys.read().tried;
        if tried.is_none_or(|tried| now.since(tried) >= RETRY_AFTER) {
            self.keys.write().tried = Some(now);
            let keys = self.fetch(http).await?;
            *self.keys.write() = Fetched { keys, at: Some(now), tried: Some(now) };
        }
        self.known(header, now).ok_or_else(|| refused("its issuer has no such key"))
    }

    fn known(&self, header: &Header, now: Timestamp) -> Option<Jwk> {
        let fetched = self.keys.read();
        if fetched.at.is_none_or(|at| now.since(at) > FRESH_FOR) {
            return None;
        }
        let fits = |key: &&Jwk| {
            let signs =
                !matches!(key.common.public_key_use, Some(jsonwebtoken::jwk::PublicKeyUse::Encryption));
            signs && key.common.key_algorithm.as_ref().is_none_or(|algorithm| *algorithm == header.alg.into())
        };
        match &header.kid {
            Some(kid) => {
                fetched.keys.iter().filter(fits).find(|key| key.common.key_id.as_ref() == Some(kid)).cloned()
            }
            None => fetched.keys.iter().find(fits).filter(|_| fetched.keys.len() == 1).cloned(),
        }
    }

    async fn fetch(&self, http: &reqwest::Client) -> Result<Vec<Jwk>> {
        #[derive(Deserialize)]
        struct Discovery {
            issuer: String,
            jwks_uri: String,
        }
        let url = format!("{}/.well-known/openid-configuration", self.config.issuer.trim_end_matches('/'));
        let discovery: Discovery = self.get(http, &url).await?;
        if discovery.issuer != self.config.issuer {
            return Err(self.away(&format!("its discovery document speaks for '{}'", discovery.issuer)));
        }
        // Keys this program does not know the form of must not hide the others.
        let set: Value = self.get(http, &discovery.jwks_uri).await?;
        let set: JwkSet =
            serde_json::from_value(known_keys(set)).map_err(|error| self.away(&error.to_string()))?;
        Ok(set.keys)
    }

    async fn get<T: DeserializeOwned>(&self, http: &reqwest::Client, url: &str) -> Result<T> {
        if !url_is_safe(url) {
            return Err(self.away("its documents must come over https"));
        }
        let away = |error: reqwest::Error| self.away(&error.without_url().to_string());
        let mut answer = http.get(url).timeout(FETCH_TIMEOUT).send().await.map_err(away)?;
        answer.error_for_status_ref().map_err(away)?;
        let mut body = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(away)? {
            if body.len() + chunk.len() > MAX_DOCUMENT {
                return Err(self.away("its document is too large"));
            }
            body.extend_from_slice(&chunk);
        }
        serde_json::from_slice(&body).map_err(|error| self.away(&error.to_string()))
    }

    fn away(&self, cause: &str) -> Error {
        tracing::warn!(issuer = self.config.issuer, cause, "an issuer's keys could not be fetched");
        Error::new(ErrorCode::Unavailable, "the token's issuer cannot be reached now; try again")
    }
}

/// Plain HTTP only to this machine: for an issuer that runs beside us.
fn url_is_safe(url: &str) -> bool {
    url::Url::parse(url).is_ok_and(|url| {
        let local = matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"));
        url.scheme() == "https" || (url.scheme() == "http" && local)
    })
}

fn known_keys(mut set: Value) -> Value {
    if let Some(keys) = set.get_mut("keys").and_then(Value::as_array_mut) {
        keys.retain(|key| serde_json::from_value::<Jwk>(key.clone()).is_ok());
    }
    set
}

/// A claim that is one name or a list of them.
fn names(value: Option<&Value>) -> Vec<&str> {
    match value {
        Some(Value::String(one)) => vec![one],
        Some(Value::Array(many)) => many.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "NumericDate may carry a fraction; out of range saturates"
)]
fn whole_seconds(seconds: f64) -> i64 {
    seconds as i64
}
