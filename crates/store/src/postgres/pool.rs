//! Connections: a bounded pool, and what is settled on each of them.
//!
//! A cut network must end as an error in seconds. So everything has a bound: connecting, waiting for a connection,
//! the server's work on a statement, and, should the server be gone without a word, this side's own waiting.

use std::future::Future;
use std::ops::Deref;
use std::time::Duration;

use deadpool_postgres::{Hook, HookError, Manager, ManagerConfig, Object, RecyclingMethod, Runtime};
use tokio_postgres::config::TargetSessionAttrs;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Config, Row};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::PostgresOptions;
use super::failure::is_lost;
use super::open_error::OpenError;
use crate::error::StoreError;

/// Parameters of a statement.
pub(super) type Params<'a> = &'a [&'a (dyn ToSql + Sync)];

/// All connections.
#[derive(Debug)]
pub(super) struct Pool {
    pool: deadpool_postgres::Pool,
    /// How long an answer is waited for.
    patience: Duration,
}

impl Pool {
    /// Makes the pool; opens nothing yet.
    pub(super) fn new(
        mut config: Config,
        tls: MakeRustlsConnect,
        options: &PostgresOptions,
        place: &str,
    ) -> Result<Self, OpenError> {
        config
            .connect_timeout(options.connect_timeout)
            .tcp_user_timeout(options.statement_timeout)
            .keepalives_idle(Duration::from_secs(5))
            .keepalives_interval(Duration::from_secs(2))
            .keepalives_retries(3)
            // Of several hosts the one that writes; a standby alone is refused.
            .target_session_attrs(TargetSessionAttrs::ReadWrite);
        if config.get_application_name().is_none() {
            config.application_name("pollux");
        }
        let settings = settings(options);
        let manager = ManagerConfig { recycling_method: RecyclingMethod::Fast };
        let pool = deadpool_postgres::Pool::builder(Manager::from_config(config, tls, manager))
            .max_size(options.connections.max(2))
            .runtime(Runtime::Tokio1)
            .wait_timeout(Some(options.wait_timeout))
            .create_timeout(Some(options.connect_timeout))
            .recycle_timeout(Some(options.connect_timeout))
            .post_create(Hook::async_fn(move |client, _| {
                let settings = settings.clone();
                Box::pin(async move { client.batch_execute(&settings).await.map_err(HookError::Backend) })
            }))
            .build()
            .map_err(|error| OpenError::Refused { place: place.to_owned(), reason: error.to_string() })?;
        // The server's own bound comes first, so that its message is the one that is told.
        Ok(Self { pool, patience: options.statement_timeout + Duration::from_secs(2) })
    }

    /// A connection, for opening.
    pub(super) async fn first(&self, place: &str) -> Result<Object, OpenError> {
        self.pool.get().await.map_err(|error| OpenError::of_pool(place, error))
    }

    /// A connection. It goes back when it is dropped, unless it is discarded.
    pub(super) async fn connection(&self) -> Result<Connection, StoreError> {
        Ok(Connection { object: Some(self.pool.get().await?), clean: true })
    }

    /// Waits for what is asked of the server, but not for ever.
    pub(super) async fn patient<T>(&self, asked: impl Future<Output = T>) -> Result<T, StoreError> {
        Self::patient_for(self.patience, asked).await
    }

    /// Waits at most so long.
    pub(super) async fn patient_for<T>(
        patience: Duration,
        asked: impl Future<Output = T>,
    ) -> Result<T, StoreError> {
        tokio::time::timeout(patience, asked)
            .await
            .map_err(|_| StoreError::Unavailable("PostgreSQL did not answer in time".to_owned()))
    }

    /// Runs one statement, a transaction of its own. A connection that turns out to be closed is replaced once: only
    /// for statements that can be repeated.
    pub(super) async fn query(&self, sql: &str, params: Params<'_>) -> Result<Vec<Row>, StoreError> {
        for again in [true, false] {
            let mut connection = self.connection().await?;
            connection.clean = false;
            let asked = async {
                let statement = connection.prepare_cached(sql).await?;
                connection.query(&statement, params).await
            };
            let answer = self.patient(asked).await?;
            // A statement that ran alone leaves nothing behind, however it went.
            connection.clean = answer.as_ref().err().is_none_or(|error| !is_lost(error));
            match answer {
                Err(error) if again && error.is_closed() => {}
                answer => return Ok(answer?),
            }
        }
        Err(StoreError::Unavailable("the connection to PostgreSQL was closed".to_owned()))
    }
}

/// Of every session. Acknowledged means durable, whatever the server's own settings say. A session that stops in the
/// middle of a transaction (its node hangs) must not hold its locks for long: another node waits to take over.
fn settings(options: &PostgresOptions) -> String {
    let timeout = options.statement_timeout.as_millis();
    format!(
        "SET synchronous_commit = on; SET statement_timeout = {timeout}; \
         SET idle_in_transaction_session_timeout = {timeout}; SET default_transaction_isolation = 'read committed'; \
         SET jit = off"
    )
}

/// A connection that is lent.
#[derive(Debug)]
pub(super) struct Connection {
    object: Option<Object>,
    /// Whether the next one can use it: no transaction is open, nothing is broken.
    pub(super) clean: bool,
}

impl Deref for Connection {
    type Target = Object;

    fn deref(&self) -> &Object {
        self.object.as_ref().expect("a connection has its object until it is dropped")
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        if let Some(object) = self.object.take()
            && !self.clean
        {
            // Closed instead of given back: the server rolls back what was open.
            drop(Object::take(object));
        }
    }
}
