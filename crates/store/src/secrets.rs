//! Secrets of the deployment: signing keys of the token issuer, its clients, the key of continuation tokens.

use std::fmt;

use async_trait::async_trait;
use pollux_model::{Etag, Timestamp};
use serde::{Deserialize, Serialize};

use crate::error::StoreError;

/// A named secret.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Secret {
    /// What it is for, such as `issuer-key` or `client`.
    pub scope: String,
    /// Its name there.
    pub id: String,
    /// JSON whose form the scope decides.
    pub value: String,
    /// Changes with every change.
    pub etag: Etag,
    /// When it was made.
    pub created: Timestamp,
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secret").field("scope", &self.scope).field("id", &self.id).finish_non_exhaustive()
    }
}

/// Secrets by scope and id. Few; the database file is readable by its owner only.
#[async_trait]
pub trait Secrets {
    /// All of a scope, ordered by id.
    async fn secrets(&self, scope: &str) -> Result<Vec<Secret>, StoreError>;
}
