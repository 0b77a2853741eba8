//! How far an import has come: a secret of the target, committed with the rows it tells of.

use pollux_model::{Etag, Random, Timestamp};
use pollux_store::secrets::Secret;
use pollux_store::store::DynStore;
use pollux_store::{Expect, Write};
use serde::{Deserialize, Serialize};

use super::error::TransferError;

pub(super) const SCOPE: &str = "transfer";
pub(super) const ID: &str = "import";

/// Up to where the target holds the export.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Marker {
    /// SHA-256 of the export's manifest.
    pub(super) manifest: String,
    /// Whether its events are wanted.
    pub(super) events: bool,
    /// The table that comes next, by its place in [`pollux_store::portable::Table::ALL`]; behind the last: all are there.
    pub(super) table: usize,
    /// Rows of it that are there.
    pub(super) rows: u64,
    /// Where the next begins in the file.
    pub(super) byte: u64,
}

impl Marker {
    /// Writes it down.
    pub(super) fn put(&self, random: &dyn Random) -> Result<Write, TransferError> {
        let value = serde_json::to_string(self).map_err(|error| TransferError::Failed(error.to_string()))?;
        let (scope, id) = (SCOPE.to_owned(), ID.to_owned());
        let secret = Secret { scope, id, value, etag: Etag::fresh(random), created: Timestamp::from_secs(0) };
        Ok(Write::PutSecret { secret: Box::new(secret), expect: Expect::Any })
    }

    /// Forgets it.
    pub(super) fn remove() -> Write {
        Write::DeleteSecret { scope: SCOPE.to_owned(), id: ID.to_owned(), expect: Expect::Any }
    }
}

/// The marker of a store.
pub(super) async fn read(store: &DynStore) -> Result<Option<Marker>, TransferError> {
    let secrets = store.secrets(SCOPE).await?;
    let Some(secret) = secrets.into_iter().find(|secret| secret.id == ID) else { return Ok(None) };
    let marker = serde_json::from_str(&secret.value);
    marker.map(Some).map_err(|_| {
        TransferError::Refused(
            "an import into this deployment was begun by another version of Pollux: go on with that"
                .to_owned(),
        )
    })
}
