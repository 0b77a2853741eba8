//! Tables `checkpoints` and `dead_letters`.

use async_trait::async_trait;
use pollux_model::event::Checkpoint;
use pollux_model::function::DeadLetter;
use pollux_model::{OwnerName, ResourceName};
use rusqlite::{Connection, Row, params};

use super::SqliteStore;
use super::failure::Refusal;
use super::rows::{document, execute, many, one, page, require};
use crate::batch::Expect;
use crate::error::StoreError;
use crate::functions::{ConsumerKey, Functions};
use crate::keys::{dead_letter_place, fetch};
use crate::store::Page;

#[async_trait]
impl Functions for SqliteStore {
    async fn checkpoints(&self, key: &ConsumerKey) -> Result<Vec<(u32, Checkpoint)>, StoreError> {
        let sql = "SELECT partition, sequence_number, position FROM checkpoints
            WHERE namespace = ?1 AND event_hub = ?2 AND consumer_group = ?3 AND owner = ?4 ORDER BY partition";
        let ConsumerKey { owner, namespace, event_hub, consumer_group } = key;
        self.readers
            .point(|connection| {
                many(connection, sql, [namespace.as_str(), event_hub, consumer_group, owner], |row| {
                    Ok((row.get(0)?, Checkpoint { sequence_number: row.get(1)?, offset: row.get(2)? }))
                })
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
            WHERE app = ?1 AND (?2 IS NULL OR function = ?2) AND id > ?3 ORDER BY id LIMIT ?4";
        let after = dead_letter_place(after)?;
        let (app, function) = (app.clone(), function.map(ToOwned::to_owned));
        self.readers
            .list(move |connection| {
                let key = params![app.as_str(), function, after, fetch(limit)];
                page(connection, sql, key, limit, read, |letter| letter.id.to_string())
            })
            .await
    }

    async fn dead_letter(&self, app: &OwnerName, id: i64) -> Result<Option<DeadLetter>, StoreError> {
        let sql = "SELECT id, document, payload FROM dead_letters WHERE app = ?1 AND id = ?2";
        self.readers.point(|connection| one(connection, sql, params![app.as_str(), id], read)).await
    }
}

/// The id is the row's own; the document was written before it was known.
fn read(row: &Row<'_>) -> Result<DeadLetter, StoreError> {
    let letter: DeadLetter = document(row, 1, "dead_letters")?;
    Ok(DeadLetter { id: row.get(0)?, payload: row.get(2)?, ..letter })
}

pub(super) fn put_checkpoint(
    connection: &Connection,
    key: &ConsumerKey,
    partition: u32,
    checkpoint: Checkpoint,
) -> Result<(), Refusal> {
    let sql = "INSERT INTO checkpoints
            (namespace, event_hub, consumer_group, owner, partition, sequence_number, position)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
        ON CONFLICT DO UPDATE SET sequence_number = excluded.sequence_number, position = excluded.position";
    let row = params![
        key.namespace.as_str(),
        key.event_hub,
        key.consumer_group,
        key.owner,
        partition,
        checkpoint.sequence_number,
        checkpoint.offset,
    ];
    Ok(execute(connection, sql, row)?)
}

pub(super) fn delete_checkpoints(
    connection: &Connection,
    namespace: &OwnerName,
    event_hub: &str,
    consumer_group: Option<&str>,
) -> Result<(), Refusal> {
    let sql = "DELETE FROM checkpoints
        WHERE namespace = ?1 AND event_hub = ?2 AND (?3 IS NULL OR consumer_group = ?3)";
    Ok(execute(connection, sql, params![namespace.as_str(), event_hub, consumer_group])?)
}

pub(super) fn put_dead_letter(
    connection: &Connection,
    letter: &DeadLetter,
    text: &str,
) -> Result<(), Refusal> {
    let sql = "INSERT INTO dead_letters
            (app, function, namespace, event_hub, partition, sequence_number, document, payload)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
        ON CONFLICT (app, function, namespace, event_hub, partition, sequence_number)
            DO UPDATE SET document = excluded.document, payload = excluded.payload";
    let row = params![
        letter.app.as_str(),
        letter.function,
        letter.namespace.as_str(),
        letter.event_hub,
        letter.partition,
        letter.sequence_number,
        text,
        letter.payload,
    ];
    Ok(execute(connection, sql, row)?)
}

/// By distance of ids, so that it costs no more than what it removes.
pub(super) fn keep_dead_letters(
    connection: &Connection,
    app: &OwnerName,
    newest: u32,
) -> Result<(), Refusal> {
    let sql = "DELETE FROM dead_letters WHERE app = ?1 AND id <= (SELECT max(id) FROM dead_letters) - ?2";
    Ok(execute(connection, sql, params![app.as_str(), newest])?)
}

/// Dead letters have no etag: an expectation of one never holds.
pub(super) fn delete_dead_letter(
    connection: &Connection,
    app: &OwnerName,
    id: i64,
    expect: &Expect,
) -> Result<(), Refusal> {
    let found = "SELECT NULL FROM dead_letters WHERE app = ?1 AND id = ?2";
    require(connection, found, params![app.as_str(), id], expect)?;
    let sql = "DELETE FROM dead_letters WHERE app = ?1 AND id = ?2";
    Ok(execute(connection, sql, params![app.as_str(), id])?)
}

/// Checkpoints in an event hubs namespace go with it; dead letters stay with their app.
pub(super) fn delete_namespace(connection: &Connection, namespace: &ResourceName) -> Result<(), StoreError> {
    execute(connection, "DELETE FROM checkpoints WHERE namespace = ?1", [namespace.as_str()])
}

/// What a hub or digital twins instance keeps of its own streams goes with it: places in them and dead letters.
pub(super) fn delete_owner(connection: &Connection, owner: &OwnerName) -> Result<(), StoreError> {
    execute(connection, "DELETE FROM checkpoints WHERE namespace = ?1", [owner.as_str()])?;
    execute(connection, "DELETE FROM dead_letters WHERE app = ?1", [owner.as_str()])
}

/// Dead letters of a function app go with it, and the checkpoints of its functions: an app of the same name made later
/// must not start in the middle.
pub(super) fn delete_app(connection: &Connection, app: &ResourceName) -> Result<(), StoreError> {
    execute(connection, "DELETE FROM dead_letters WHERE app = ?1", [app.as_str()])?;
    let sql = "DELETE FROM checkpoints WHERE substr(owner, 1, length(?1)) = ?1";
    execute(connection, sql, [format!("functions/{app}/")])
}
