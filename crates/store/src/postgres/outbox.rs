//! Table `outbox`: entries in shards, in the order of their commits.

use std::time::Duration;

use pollux_model::OwnerName;
use pollux_model::event::OutboxEntry;
use tokio::sync::Notify;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use super::plan::{Param, Statement, word};
use super::pool::Pool;
use super::text::{plain, text};
use crate::error::StoreError;
use crate::outbox::shard_of;

/// Rows keep their shard, so a change of this number needs a migration. At most 16: the id has four bits for it.
pub(super) const SHARDS: u32 = 8;
/// Entries that share a number of the sequence: an id has twelve bits for the place.
const BLOCK: usize = 4096;
/// How long until entries of other nodes are looked for.
const ELSEWHERE: Duration = Duration::from_secs(1);

const ONE: &str =
    "INSERT INTO outbox (shard, id, namespace, event_hub, partition_key, idempotency_key, payload)
    VALUES ($1::smallint, nextval('outbox_batches') * 65536 + $1::smallint, $2, $3, $4, $5, $6)";
/// The number is taken once, for the CTE is evaluated once.
const MANY: &str = "WITH block AS MATERIALIZED (SELECT nextval('outbox_batches') * 65536 AS first)
    INSERT INTO outbox (shard, id, namespace, event_hub, partition_key, idempotency_key, payload)
    SELECT shard, first + (place - 1) * 16 + shard, namespace, event_hub, partition_key, idempotency_key, payload
    FROM block, unnest($1::smallint[], $2::text[], $3::text[], $4::text[], $5::bytea[], $6::bytea[])
        WITH ORDINALITY AS e (shard, namespace, event_hub, partition_key, idempotency_key, payload, place)";

/// Wakes the relays of this process.
#[derive(Debug)]
pub(super) struct Bells {
    shards: [Notify; SHARDS as usize],
}

impl Default for Bells {
    fn default() -> Self {
        let bells = Self { shards: Default::default() };
        // What an earlier process left in the outbox is news to whoever waits first.
        bells.shards.iter().for_each(Notify::notify_one);
        bells
    }
}

impl Bells {
    /// Entries of this key were committed.
    pub(super) fn ring(&self, partition_key: &str) {
        if let Some(bell) = self.shards.get(shard_of(partition_key, SHARDS) as usize) {
            bell.notify_one();
        }
    }

    /// Resolves after a commit of this process, or after a moment: another node's commit rings nothing here.
    ///
    /// LISTEN and NOTIFY could tell of those, but a transaction that notifies takes a lock on the whole database until
    /// it is committed: all commits would stand in one line.
    pub(super) async fn rung(&self, shard: u32) {
        match self.shards.get(shard as usize) {
            Some(bell) => drop(tokio::time::timeout(ELSEWHERE, bell.notified()).await),
            // Nothing is ever added to it.
            None => std::future::pending().await,
        }
    }
}

/// The statements that add these entries.
pub(super) fn add<'a>(entries: &[&'a OutboxEntry]) -> Vec<Statement<'a>> {
    if let [entry] = entries {
        return vec![Statement { sql: ONE, params: one(entry) }];
    }
    entries.chunks(BLOCK).map(|block| Statement { sql: MANY, params: many(block) }).collect()
}

fn shard(entry: &OutboxEntry) -> i16 {
    i16::try_from(shard_of(&entry.partition_key, SHARDS)).unwrap_or_default()
}

fn one(entry: &OutboxEntry) -> Vec<Param<'_>> {
    vec![
        Box::new(shard(entry)),
        Box::new(entry.namespace.as_str()),
        word(&entry.event_hub),
        word(&entry.partition_key),
        Box::new(entry.idempotency_key.as_slice()),
        Box::new(&entry.payload),
    ]
}

fn many<'a>(entries: &[&'a OutboxEntry]) -> Vec<Param<'a>> {
    let words =
        |of: fn(&'a OutboxEntry) -> &'a str| entries.iter().map(|entry| text(of(entry))).collect::<Vec<_>>();
    vec![
        Box::new(entries.iter().map(|entry| shard(entry)).collect::<Vec<_>>()),
        Box::new(words(|entry| &entry.namespace)),
        Box::new(words(|entry| &entry.event_hub)),
        Box::new(words(|entry| &entry.partition_key)),
        Box::new(entries.iter().map(|entry| entry.idempotency_key.as_slice()).collect::<Vec<_>>()),
        Box::new(entries.iter().map(|entry| entry.payload.as_slice()).collect::<Vec<_>>()),
    ]
}

/// The oldest entries of a shard with their row numbers.
pub(super) async fn oldest(
    pool: &Pool,
    shard: u32,
    limit: usize,
) -> Result<Vec<(i64, OutboxEntry)>, StoreError> {
    let Ok(shard) = i16::try_from(shard) else { return Ok(Vec::new()) };
    let sql = "SELECT id, namespace, event_hub, partition_key, idempotency_key, payload FROM outbox
        WHERE shard = $1 ORDER BY id LIMIT $2";
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    pool.query(sql, &[&shard, &limit]).await?.iter().map(read).collect()
}

/// Columns: id, namespace, event_hub, partition_key, idempotency_key, payload.
pub(super) fn read(row: &Row) -> Result<(i64, OutboxEntry), StoreError> {
    let key: &[u8] = row.try_get(4)?;
    let entry = OutboxEntry {
        namespace: OwnerName::parse(row.try_get(1)?).map_err(|error| StoreError::Corrupt(error.message))?,
        event_hub: plain(row.try_get(2)?),
        partition_key: plain(row.try_get(3)?),
        idempotency_key: key
            .try_into()
            .map_err(|_| StoreError::Corrupt("an idempotency key has another length than 16".to_owned()))?,
        payload: row.try_get(5)?,
    };
    Ok((row.try_get(0)?, entry))
}

/// Rows that are gone already are no error. Not durable at once: a repeated append is recognized by its key.
pub(super) async fn forget(pool: &Pool, rows: &[i64]) -> Result<(), StoreError> {
    let sql = "DELETE FROM outbox USING unnest($1::bigint[]) AS done
        WHERE outbox.shard = (done & 15) AND outbox.id = done";
    let mut connection = pool.connection().await?;
    connection.clean = false;
    let asked = async {
        let statement = connection.prepare_cached(sql).await?;
        // Sent together: nobody is held up between them, and nothing stays open should the caller go away.
        let params: [&(dyn ToSql + Sync); 1] = [&rows];
        let begin = connection.batch_execute("BEGIN; SET LOCAL synchronous_commit = off");
        let delete = connection.execute(&statement, &params);
        let commit = connection.batch_execute("COMMIT");
        let (begin, delete, commit) = futures_util::future::join3(begin, delete, commit).await;
        begin.and(delete.map(drop)).and(commit)
    };
    pool.patient(asked).await??;
    connection.clean = true;
    Ok(())
}
