//! The PostgreSQL backend: one database that many nodes share.
//!
//! ```text
//!   commit ──▶ a connection ──▶ BEGIN, all statements of the batch at once ──▶ COMMIT     (the server groups the syncs
//!   read   ──▶ a connection ──▶ one statement                                              of all connections)
//! ```
//!
//! Statements run under READ COMMITTED; each expectation is part of the statement that writes, so that a row another
//! node is changing is waited for and looked at again. Nothing here knows a rule: a batch's expectations are compared,
//! its rows are written.
//!
//! The server must be of version 13 or newer and reached directly or through a proxy that keeps sessions (statements
//! are prepared on them).

mod activity;
mod address;
mod bulk;
mod commit;
mod configurations;
mod devices;
mod enrollments;
mod failure;
mod functions;
mod history;
mod jobs;
mod leases;
mod messages;
mod migrate;
mod modules;
mod noun;
mod open_error;
mod outbox;
mod plan;
mod plan_messages;
mod plan_resources;
mod pool;
mod portable;
mod property_indexes;
mod registrations;
mod resources;
mod rows;
mod runs;
mod scheduled_jobs;
mod text;
mod tls;
mod twins;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use pollux_model::event::OutboxEntry;
use tokio_postgres::Row;

use crate::batch::{Batch, Write};
use crate::error::{CommitError, StoreError};
use crate::prepared::Prepared;
use crate::store::Store;
use address::Address;
use outbox::Bells;
use pool::Pool;

pub use open_error::OpenError;

/// Bounds of a [`PostgresStore`].
#[derive(Debug, Clone)]
pub struct PostgresOptions {
    /// Connections at most; they are opened when they are needed. The server's `max_connections` must allow those of
    /// all nodes.
    pub connections: usize,
    /// PEM file with the certificates to trust; without, those of the system. Goes before the URL's `sslrootcert`.
    pub ca: Option<PathBuf>,
    /// How long connecting may take.
    pub connect_timeout: Duration,
    /// How long to wait for a connection while all are busy.
    pub wait_timeout: Duration,
    /// How long a statement may take, and the pause between two statements of a transaction. Removing a whole resource
    /// has a bound of its own.
    pub statement_timeout: Duration,
}

impl Default for PostgresOptions {
    /// 16 connections, the system's certificates, 5 seconds to connect and to wait, 10 for a statement.
    fn default() -> Self {
        Self {
            connections: 16,
            ca: None,
            connect_timeout: Duration::from_secs(5),
            wait_timeout: Duration::from_secs(5),
            statement_timeout: Duration::from_secs(10),
        }
    }
}

/// All state of a deployment in one PostgreSQL database.
pub struct PostgresStore {
    place: String,
    pool: Arc<Pool>,
    bells: Arc<Bells>,
}

impl PostgresStore {
    /// Connects, and brings the schema up to date. `url` is `postgres://user:password@host:port/database?sslmode=…`:
    /// `verify-full`, `verify-ca`, `require` (encrypted; verified only if certificates to trust are named), `prefer`
    /// (the default: encrypted and verified if the server can) or `disable`. Several stores may share a database, and
    /// may be opened at the same moment.
    ///
    /// # Errors
    /// See [`OpenError`]; nothing is changed in a database that is foreign or from a newer version.
    pub async fn connect(url: &str, options: PostgresOptions) -> Result<Self, OpenError> {
        let mut address = Address::parse(url)?;
        address.trust(options.ca.clone());
        let Address { config, verify, ca, place } = address;
        let tls = tls::connector(verify, ca.as_deref())?;
        let pool = Pool::new(config, tls, &options, &place)?;
        let first = pool.first(&place).await?;
        migrate::migrate(&first, &place).await?;
        // Its session has other settings now.
        drop(deadpool_postgres::Object::take(first));
        Ok(Self { place, pool: Arc::new(pool), bells: Arc::default() })
    }
}

impl fmt::Debug for PostgresStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresStore").field("place", &self.place).finish_non_exhaustive()
    }
}

#[async_trait]
impl Store for PostgresStore {
    async fn commit(&self, batch: Batch) -> Result<(), CommitError> {
        if batch.writes.is_empty() {
            return Ok(());
        }
        let (pool, bells) = (Arc::clone(&self.pool), Arc::clone(&self.bells));
        // A task of its own, so that it goes on when nobody waits for it any more.
        let task = tokio::spawn(async move {
            let batch = Prepared::new(batch)?;
            commit::commit(&pool, &batch).await?;
            for (write, _) in &batch.writes {
                if let Write::Outbox(entry) = write {
                    bells.ring(&entry.partition_key);
                }
            }
            Ok(())
        });
        task.await.map_err(|error| StoreError::Unavailable(format!("a commit was broken off: {error}")))?
    }

    fn outbox_shards(&self) -> u32 {
        outbox::SHARDS
    }

    async fn outbox(&self, shard: u32, limit: usize) -> Result<Vec<(i64, OutboxEntry)>, StoreError> {
        outbox::oldest(&self.pool, shard, limit).await
    }

    async fn outbox_done(&self, rows: &[i64]) -> Result<(), StoreError> {
        if rows.is_empty() {
            return Ok(());
        }
        outbox::forget(&self.pool, rows).await
    }

    async fn outbox_changed(&self, shard: u32) {
        self.bells.rung(shard).await;
    }

    async fn healthy(&self) -> Result<(), StoreError> {
        let sql = "SELECT pg_is_in_recovery() OR current_setting('transaction_read_only')::boolean";
        let reads = |row: &Row| Ok(row.try_get::<_, bool>(0)?);
        if rows::one(&self.pool, sql, &[], reads).await?.unwrap_or(true) {
            return Err(StoreError::Unavailable("PostgreSQL only reads now: it is a standby".to_owned()));
        }
        Ok(())
    }
}
