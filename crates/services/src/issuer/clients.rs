//! Clients of the built-in issuer: application id, secret, roles.

use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use pollux_model::{Result, sas};
use serde::{Deserialize, Serialize};

use super::{damaged, put_secret, roles};
use crate::context::Context;
use crate::resources::store_failed;

const SCOPE: &str = "client";

/// A client.
#[derive(Clone)]
pub(super) struct Client {
    /// Its GUID.
    pub(super) id: String,
    /// What it proves itself with.
    pub(super) secret: String,
    /// The roles its tokens carry.
    pub(super) roles: Vec<String>,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("id", &self.id).field("roles", &self.roles).finish_non_exhaustive()
    }
}

/// The stored form of a client.
#[derive(Serialize, Deserialize)]
struct Stored {
    secret: String,
    roles: Vec<String>,
}

/// All clients, oldest first; the first one is made at the first start and has every role.
pub(super) async fn load(context: &Context) -> Result<Arc<[Client]>> {
    let mut secrets = context.store.secrets(SCOPE).await.map_err(store_failed)?;
    secrets.sort_by_key(|secret| secret.created);
    if secrets.is_empty() {
        return Ok(Arc::new([make(context).await?]));
    }
    let read = |secret: &pollux_store::secrets::Secret| {
        let stored: Stored = serde_json::from_str(&secret.value).map_err(|_| damaged("a client"))?;
        Ok(Client { id: secret.id.clone(), secret: stored.secret, roles: stored.roles })
    };
    secrets.iter().map(read).collect()
}

async fn make(context: &Context) -> Result<Client> {
    let mut bytes = [0; 32];
    context.random.fill(&mut bytes);
    let client = Client {
        id: context.random.uuid().to_string(),
        secret: URL_SAFE_NO_PAD.encode(bytes),
        roles: roles::DEFAULT_ROLES.iter().map(|&role| role.to_owned()).collect(),
    };
    let stored = serde_json::json!({ "secret": client.secret, "roles": client.roles });
    put_secret(context, SCOPE, &client.id, stored).await?;
    Ok(client)
}

/// The client with this id and secret. Takes the same time for an unknown id as for a wrong secret.
pub(super) fn authenticate<'c>(clients: &'c [Client], id: &str, secret: &str) -> Option<&'c Client> {
    let known = clients.iter().find(|client| client.id.eq_ignore_ascii_case(id));
    let expected = known.map_or("", |client| &client.secret);
    // Of digests, so that not even the length shows.
    let digest = |text: &str| aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes());
    let equal = sas::secrets_equal(digest(expected).as_ref(), digest(secret).as_ref());
    known.filter(|_| equal)
}
