//! Tokens to callers. Nothing of a token is believed before its signature, issuer, audience and times hold.

use std::collections::HashMap;
use std::time::Duration;

use aws_lc_rs::digest;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use parking_lot::RwLock;
use pollux_model::resource::ResourceKind;
use pollux_model::{Error, ErrorCode, Result, Timestamp};
use serde::Deserialize;

use super::grant::Claims;
use super::{Issuer, refused, roles};
use crate::caller::{Caller, Identity};

/// The longest token that is looked at, in bytes.
const MAX_TOKEN: usize = 16 * 1024;
/// What other issuers' clocks may differ from ours.
pub(super) const SKEW: Duration = Duration::from_secs(60);
/// Asymmetric ones only: a public key must never do for a shared secret.
pub(super) const ALGORITHMS: [Algorithm; 8] = [
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
    Algorithm::ES256,
    Algorithm::ES384,
];

impl Issuer {
    /// The caller a bearer token makes on resources of a kind.
    pub async fn verify(&self, token: &str, kind: ResourceKind) -> Result<Caller> {
        if token.len() > MAX_TOKEN {
            return Err(refused("it is too long"));
        }
        let now = self.context.clock.now();
        if let Some(caller) = self.verified.get(token, kind, now) {
            return Ok(caller);
        }
        let header =
            decode_header(token).map_err(|_| refused("it is no signed token of a known algorithm"))?;
        let own = match header.kid.as_deref() {
            Some(kid) => self.keys.find(kid).await?,
            None => None,
        };
        let (caller, expires) = match own {
            Some(key) => self.verify_own(token, &key.public, kind, now)?,
            None => self.verify_external(token, &header, kind, now).await?,
        };
        let caller = caller.until(expires);
        self.verified.put(token, kind, &caller, expires, now);
        Ok(caller)
    }

    fn verify_own(
        &self,
        token: &str,
        key: &DecodingKey,
        kind: ResourceKind,
        now: Timestamp,
    ) -> Result<(Caller, Timestamp)> {
        let claims: Claims = signed_claims(token, key, Algorithm::RS256)?;
        let tenant = self.tenant();
        if claims.tid != tenant || !claims.iss.ends_with(&format!("/{tenant}/v2.0")) {
            return Err(refused("its issuer is not this one"));
        }
        if roles::kind_of_audience(&claims.aud) != Some(kind) {
            return Err(refused("it is for another audience"));
        }
        let expires = check_times(Some(claims.exp), Some(claims.nbf), Duration::ZERO, now)?;
        let identity = Identity::Principal { issuer: claims.iss, subject: claims.sub };
        Ok((Caller::on_kind(identity, kind, roles::rights(kind, &claims.roles)), expires))
    }

    async fn verify_external(
        &self,
        token: &str,
        header: &jsonwebtoken::Header,
        kind: ResourceKind,
        now: Timestamp,
    ) -> Result<(Caller, Timestamp)> {
        #[derive(Deserialize)]
        struct Unverified {
            iss: String,
        }
        // Only to find the keys to verify with; the issuer is checked against the configuration, not believed.
        let said: Unverified = jsonwebtoken::dangerous::insecure_decode_claims(token)
            .map_err(|_| refused("it names no issuer"))?;
        let external = self.external.iter().find(|one| one.config.issuer == said.iss);
        let external = external.ok_or_else(|| refused("its issuer is not trusted here"))?;
        external.verify(&self.context.http, token, header, kind, now).await
    }
}

/// The claims, if the key signed them with that algorithm. Times, issuer and audience are the caller's to check.
pub(super) fn signed_claims<T: serde::de::DeserializeOwned>(
    token: &str,
    key: &DecodingKey,
    algorithm: Algorithm,
) -> Result<T> {
    let mut validation = Validation::new(algorithm);
    // Times are checked by our clock in `check_times`, the audience by whoever asks.
    validation.validate_exp = false;
    validation.validate_nbf = false;
    validation.validate_aud = false;
    validation.set_required_spec_claims(&["exp", "iss", "aud"]);
    decode(token, key, &validation)
        .map(|data| data.claims)
        .map_err(|_| refused("its signature or form does not hold"))
}

/// When the token runs out, if it holds now.
pub(super) fn check_times(
    exp: Option<i64>,
    nbf: Option<i64>,
    skew: Duration,
    now: Timestamp,
) -> Result<Timestamp> {
    let expires = Timestamp::from_secs(exp.ok_or_else(|| refused("it never expires"))?).plus(skew);
    if expires <= now {
        return Err(Error::new(ErrorCode::Unauthorized, "the bearer token has expired: ask for a new one"));
    }
    if nbf.is_some_and(|nbf| Timestamp::from_secs(nbf) > now.plus(skew)) {
        return Err(refused("it does not hold yet"));
    }
    Ok(expires)
}

/// Tokens that were verified a short time ago, by digest: clients send the same one with each request.
#[derive(Debug, Default)]
pub(super) struct Verified(RwLock<HashMap<Asked, (Caller, Timestamp)>>);

/// The digest of a token and what it was asked to open.
type Asked = ([u8; 32], ResourceKind);

/// How long a verification is remembered at most.
const REMEMBERED_FOR: Duration = Duration::from_secs(300);
/// How many are remembered at most.
const REMEMBERED: usize = 4096;

impl Verified {
    fn get(&self, token: &str, kind: ResourceKind, now: Timestamp) -> Option<Caller> {
        let known = self.0.read();
        let (caller, until) = known.get(&(digest_of(token), kind))?;
        (*until > now).then(|| caller.clone())
    }

    fn put(&self, token: &str, kind: ResourceKind, caller: &Caller, expires: Timestamp, now: Timestamp) {
        let until = expires.min(now.plus(REMEMBERED_FOR));
        let mut known = self.0.write();
        if known.len() >= REMEMBERED {
            known.retain(|_, (_, until)| *until > now);
            if known.len() >= REMEMBERED {
                known.clear();
            }
        }
        known.insert((digest_of(token), kind), (caller.clone(), until));
    }
}

fn digest_of(token: &str) -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes.copy_from_slice(digest::digest(&digest::SHA256, token.as_bytes()).as_ref());
    bytes
}
