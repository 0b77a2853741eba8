//! Keys of the deployment that nobody chooses: made at first use and kept in the store, so that every node and every later start
//! has the same.

use pollux_model::{Error, Etag, Key, Result};
use pollux_store::secrets::Secret;
use pollux_store::{Batch, CommitError, Expect, Write};

use crate::Context;

/// What the key is for signing with.
const ID: &str = "hmac-sha256";

/// The 32 bytes of a scope's key.
pub(crate) async fn stored_key(context: &Context, scope: &str) -> Result<Vec<u8>> {
    if let Some(key) = find(context, scope).await? {
        return Ok(key);
    }
    let secret = Secret {
        scope: scope.into(),
        id: ID.into(),
        value: serde_json::json!({ "key": Key::generate(&*context.random).reveal() }).to_string(),
        etag: Etag::fresh(&*context.random),
        created: context.clock.now(),
    };
    let write = Write::PutSecret { secret: Box::new(secret), expect: Expect::Absent };
    match context.store.commit(Batch::from(write)).await {
        // Refused: another node was faster, and its key is the one to use.
        Ok(()) | Err(CommitError::Expectation { .. }) => {}
        Err(error) => return Err(error.into()),
    }
    find(context, scope).await?.ok_or_else(Error::internal)
}

async fn find(context: &Context, scope: &str) -> Result<Option<Vec<u8>>> {
    let secrets = context.store.secrets(scope).await?;
    let Some(secret) = secrets.into_iter().find(|secret| secret.id == ID) else { return Ok(None) };
    let value: serde_json::Value = serde_json::from_str(&secret.value).unwrap_or_default();
    let key = value["key"].as_str().and_then(Key::from_base64).map(|key| key.bytes());
    let bytes = key.filter(|bytes| bytes.len() == 32).ok_or_else(|| {
        tracing::error!(scope, "a key in the store is not a key");
        Error::internal()
    })?;
    Ok(Some(bytes))
}
