//! Signing keys: RSA-2048, a new one each 30 days; an old one verifies until its last token has run out.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey};
use parking_lot::RwLock;
use pollux_model::{Error, Result, Timestamp};
use pollux_store::{Batch, Expect, Write};
use serde_json::{Value, json};
use tokio::sync::Mutex;

use super::{damaged, put_secret};
use crate::context::Context;
use crate::resources::{commit_failed, store_failed};

const SCOPE: &str = "issuer-key";
/// How long a key signs.
const SIGNS_FOR: Duration = Duration::from_secs(30 * 24 * 3600);
/// How long it verifies after that: a token's hour and some.
const VERIFIES_ON: Duration = Duration::from_secs(2 * 3600);
/// How often the background task looks after the keys.
pub(super) const ROTATION_CHECK: Duration = Duration::from_secs(3600);

/// A key that signs or signed.
#[derive(Clone)]
pub(super) struct SigningKey {
    /// Names it in tokens.
    pub(super) kid: String,
    /// Signs.
    pub(super) private: EncodingKey,
    /// Verifies.
    pub(super) public: DecodingKey,
    jwk: Value,
    created: Timestamp,
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey").field("kid", &self.kid).finish_non_exhaustive()
    }
}

/// All keys, newest first.
#[derive(Debug)]
pub(super) struct Keys {
    context: Arc<Context>,
    keys: RwLock<Vec<Arc<SigningKey>>>,
    /// One generation at a time; held while it runs.
    making: Mutex<()>,
    /// One read at a time, counted.
    reading: Mutex<()>,
    reads: AtomicU64,
}

impl Keys {
    pub(super) fn new(context: Arc<Context>) -> Self {
        Self {
            context,
            keys: RwLock::default(),
            making: Mutex::default(),
            reading: Mutex::default(),
            reads: AtomicU64::new(0),
        }
    }

    /// Reads the stored keys.
    pub(super) async fn load(&self) -> Result<()> {
        let secrets = self.context.store.secrets(SCOPE).await.map_err(store_failed)?;
        let mut keys = Vec::with_capacity(secrets.len());
        for secret in secrets {
            let value: Value = serde_json::from_str(&secret.value).map_err(|_| damaged("a signing key"))?;
            let pem = value["pem"].as_str().ok_or_else(|| damaged("a signing key"))?;
            keys.push(Arc::new(signing_key(&secret.id, pem, secret.created)?));
        }
        keys.sort_by_key(|key| std::cmp::Reverse(key.created));
        *self.keys.write() = keys;
        Ok(())
    }

    /// The key of that name; one that another node made since is read from the store. Of many who ask for names that
    /// nobody knows, one reads for all.
    pub(super) async fn find(&self, kid: &str) -> Result<Option<Arc<SigningKey>>> {
        if let Some(key) = self.named(kid) {
            return Ok(Some(key));
        }
        self.reread().await?;
        Ok(self.named(kid))
    }

    /// Reads what other nodes made, if there are any.
    pub(super) async fn reread(&self) -> Result<()> {
        if self.context.cluster.node().is_none() {
            return Ok(());
        }
        let asked = self.reads.load(Ordering::SeqCst);
        let _one = self.reading.lock().await;
        // A read that began after this was asked for will do.
        if self.reads.load(Ordering::SeqCst) > asked + 1 {
            return Ok(());
        }
        self.reads.fetch_add(1, Ordering::SeqCst);
        self.load().await
    }

    /// The key that signs now; made if there is none young enough.
    pub(super) async fn current(&self) -> Result<Arc<SigningKey>> {
        if let Some(key) = self.young() {
            return Ok(key);
        }
        let _one = self.making.lock().await;
        if let Some(key) = self.young() {
            return Ok(key);
        }
        self.reread().await?;
        if let Some(key) = self.young() {
            return Ok(key);
        }
        let pem = tokio::task::spawn_blocking(generate).await.map_err(|_| Error::internal())??;
        let kid = self.context.random.uuid().simple().to_string();
        put_secret(&self.context, SCOPE, &kid, json!({ "pem": pem })).await?;
        let key = Arc::new(signing_key(&kid, &pem, self.context.clock.now())?);
        self.keys.write().insert(0, Arc::clone(&key));
        Ok(key)
    }

    /// Makes a new key when it is time and forgets those whose tokens have run out.
    pub(super) async fn maintain(&self) -> Result<()> {
        self.current().await?;
        let now = self.context.clock.now();
        let spent = |key: &Arc<SigningKey>| now.since(key.created) > SIGNS_FOR + VERIFIES_ON;
        let gone: Vec<_> =
            self.keys.read().iter().filter(|key| spent(key)).map(|key| key.kid.clone()).collect();
        if gone.is_empty() {
            return Ok(());
        }
        let mut batch = Batch::new();
        for id in &gone {
            let write = Write::DeleteSecret { scope: SCOPE.to_owned(), id: id.clone(), expect: Expect::Any };
            batch = batch.with(write);
        }
        self.context.store.commit(batch).await.map_err(commit_failed)?;
        self.keys.write().retain(|key| !gone.contains(&key.kid));
        Ok(())
    }

    /// The key of that name.
    pub(super) fn named(&self, kid: &str) -> Option<Arc<SigningKey>> {
        self.keys.read().iter().find(|key| key.kid == kid).cloned()
    }

    /// The public halves as JSON Web Keys.
    pub(super) fn public(&self) -> Vec<Value> {
        self.keys.read().iter().map(|key| key.jwk.clone()).collect()
    }

    fn young(&self) -> Option<Arc<SigningKey>> {
        let now = self.context.clock.now();
        self.keys.read().first().filter(|key| now.since(key.created) < SIGNS_FOR).cloned()
    }
}

/// A new private key as PKCS #8 PEM. Takes tens to hundreds of milliseconds.
fn generate() -> Result<String> {
    let pair = KeyPair::generate(KeySize::Rsa2048).map_err(|_| Error::internal())?;
    let der = pair.as_der().map_err(|_| Error::internal())?;
    let text = BASE64.encode(der.as_ref());
    let lines: Vec<_> = text.as_bytes().chunks(64).map(String::from_utf8_lossy).collect();
    Ok(format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", lines.join("\n")))
}

fn signing_key(kid: &str, pem: &str, created: Timestamp) -> Result<SigningKey> {
    let broken = |_| damaged("a signing key");
    let private = EncodingKey::from_rsa_pem(pem.as_bytes()).map_err(broken)?;
    let jwk = Jwk::from_encoding_key(&private, Algorithm::RS256).map_err(broken)?;
    let public = DecodingKey::from_jwk(&jwk).map_err(broken)?;
    let mut jwk = serde_json::to_value(&jwk).map_err(|_| Error::internal())?;
    jwk["kid"] = json!(kid);
    jwk["use"] = json!("sig");
    Ok(SigningKey { kid: kid.to_owned(), private, public, jwk, created })
}
