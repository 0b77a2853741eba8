//! Reading tables `checkpoints` and `dead_letters`.

use async_trait::async_trait;
use pollux_model::OwnerName;
use pollux_model::event::Checkpoint;
use pollux_model::function::DeadLetter;
use tokio_postgres::Row;

use super::PostgresStore;
use super::rows::{document, many, one, page};
use super::text::text;
use crate::error::StoreError;
use crate::functions::{ConsumerKey, Functions};
use crate::keys::{dead_letter_place, fetch};
use crate::store::Page;

#[async_trait]
impl Functions for PostgresStore {
    async fn checkpoints(&self, key: &ConsumerKey) -> Result<Vec<(u32, Checkpoint)>, StoreError> {
        let sql = "SELECT partition, sequence_number, position FROM checkpoints
            WHERE namespace = $1 AND event_hub = $2 AND consumer_group = $3 AND owner = $4 ORDER BY partition";
        let [hub, group, owner] = [&key.event_hub, &key.consumer_group, &key.owner].map(|part| text(part));
        many(&self.pool, sql, &[&key.namespace.as_str(), &hub, &group, &owner], |row| {
            let checkpoint = Checkpoint { sequence_number: row.try_get(1)?, offset: row.try_get(2)? };
            Ok((partition(row, 0)?, checkpoint))
        })
        .await
    }

    async fn dead_letters(
        &self,
        app: &OwnerName,
        function: Option<&str>,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Page<DeadLetter>, StoreError> {
        let sql = "SELECT id, document, payload FROM dead_letters
            WHERE app = $1 AND ($2::text IS NULL OR function = $2) AND id > $3 ORDER BY id LIMIT $4";
        let after = dead_letter_place(after)?;
        let mark = |letter: &DeadLetter| letter.id.to_string();
        let function = function.map(text);
        page(&self.pool, sql, &[&app.as_str(), &function, &after, &fetch(limit)], limit, read, mark).await
    }

    async fn dead_letter(&self, app: &OwnerName, id: i64) -> Result<Option<DeadLetter>, StoreError> {
        let sql = "SELECT id, document, payload FROM dead_letters WHERE app = $1 AND id = $2";
        one(&self.pool, sql, &[&app.as_str(), &id], read).await
    }
}

/// Columns: id, document, payload. The id is the row's own; the document was written before it was known.
pub(super) fn read(row: &Row) -> Result<DeadLetter, StoreError> {
    let letter: DeadLetter = document(row, 1, "dead_letters")?;
    Ok(DeadLetter { id: row.try_get(0)?, payload: row.try_get(2)?, ..letter })
}

/// A partition's number in a column.
pub(super) fn partition(row: &Row, column: usize) -> Result<u32, StoreError> {
    u32::try_from(row.try_get::<_, i64>(column)?)
        .map_err(|_| StoreError::Corrupt("a partition's number is out of range".to_owned()))
}
