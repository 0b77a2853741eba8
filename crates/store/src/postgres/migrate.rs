//! The schema and its versions.
//!
//! A new version is a new file in `migrations/`, a new line in [`VERSIONS`] and a new golden file in `tests/golden/`.
//! A file that was released never changes. Nodes that start at once wait for each other at an advisory lock.

use deadpool_postgres::Object;
use tokio_postgres::Error;
use tokio_postgres::error::SqlState;

use super::failure::words;
use super::open_error::OpenError;

/// The SQL that leads from each version to the next; the first leads from nothing to version 1.
const VERSIONS: &[&str] = &[
    include_str!("migrations/0001_first.sql"),
    include_str!("migrations/0002_jobs.sql"),
    include_str!("migrations/0003_twin_history.sql"),
    include_str!("migrations/0004_messages.sql"),
    include_str!("migrations/0005_modules.sql"),
    include_str!("migrations/0006_scheduled_jobs.sql"),
    include_str!("migrations/0007_configurations.sql"),
    include_str!("migrations/0008_device_activity.sql"),
];
/// Which version a database has.
const VERSION_TABLE: &str = "CREATE TABLE pollux_schema (
    one boolean PRIMARY KEY DEFAULT true CHECK (one), version bigint NOT NULL);
    INSERT INTO pollux_schema (version) VALUES (0);";
/// `Pollux` in ASCII: the lock under which the schema is changed.
const LOCK: i64 = 0x506f_6c6c_7578;
const OLDEST_SERVER: i32 = 130_000;
const TABLES: &[&str] = &[
    "resources",
    "devices",
    "enrollments",
    "enrollment_groups",
    "registrations",
    "models",
    "digital_twins",
    "relationships",
    "checkpoints",
    "dead_letters",
    "secrets",
    "leases",
    "outbox",
    "jobs",
    "twin_history",
    "queued_messages",
    "mqtt_sessions",
    "device_activity",
    "modules",
    "configurations",
    "scheduled_jobs",
    "device_jobs",
];

/// Who we are there.
struct Session<'a> {
    client: &'a Object,
    place: &'a str,
    user: String,
    schema: Option<String>,
    database: String,
}

/// Brings the schema up to date, each version in a transaction of its own.
pub(super) async fn migrate(client: &Object, place: &str) -> Result<(), OpenError> {
    let session = Session::meet(client, place).await?;
    if session.version().await? == Some(VERSIONS.len()) {
        return session.try_reading().await;
    }
    // Not bounded by the time a statement may take: another node may be at work on large tables.
    session.run(&format!("SET statement_timeout = 0; SELECT pg_advisory_lock({LOCK})")).await?;
    let migrated = session.migrate().await;
    // The connection is the pool's own and lives on; should this fail, it is closed, which gives the lock back too.
    session.run(&format!("SELECT pg_advisory_unlock({LOCK})")).await?;
    migrated
}

impl<'a> Session<'a> {
    async fn meet(client: &'a Object, place: &'a str) -> Result<Self, OpenError> {
        let sql = "SELECT current_setting('server_version_num')::int, current_setting('server_version'),
            current_setting('server_encoding'), current_user::text, current_schema()::text,
            current_database()::text";
        let failed = |error: Error| OpenError::of_statement(place, &error);
        let row = client.query_one(sql, &[]).await.map_err(failed)?;
        let column = |at: usize| row.try_get::<_, String>(at).map_err(failed);
        let place_owned = place.to_owned();
        if row.try_get::<_, i32>(0).map_err(failed)? < OLDEST_SERVER {
            return Err(OpenError::TooOld { place: place_owned, found: column(1)? });
        }
        let encoding = column(2)?;
        if encoding != "UTF8" {
            return Err(OpenError::Encoding { place: place_owned, found: encoding });
        }
        let schema = row.try_get(4).map_err(failed)?;
        Ok(Self { client, place, user: column(3)?, schema, database: column(5)? })
    }

    /// The version found, after making sure that it is ours and that we know it. `None`: there is nothing yet.
    async fn version(&self) -> Result<Option<usize>, OpenError> {
        let sql = "SELECT name FROM unnest($1::text[]) AS name WHERE to_regclass(name) IS NOT NULL";
        let present = async |names: &[&str]| -> Result<Option<String>, OpenError> {
            let rows = self.client.query(sql, &[&names]).await.map_err(|error| self.failed(&error))?;
            rows.first().map(|row| row.try_get(0)).transpose().map_err(|error| self.failed(&error))
        };
        // In this order: another node may be making all of it now, its own table first.
        let table = present(TABLES).await?;
        if present(&["pollux_schema"]).await?.is_none() {
            let place = self.place.to_owned();
            return match table {
                Some(table) => Err(OpenError::NotOurs { place, table }),
                None => Ok(None),
            };
        }
        let row = self.client.query_one("SELECT version FROM pollux_schema", &[]).await;
        let row = row.map_err(|error| self.failed(&error))?;
        let found: i64 = row.try_get(0).map_err(|error| self.failed(&error))?;
        match usize::try_from(found) {
            Ok(known) if known <= VERSIONS.len() => Ok(Some(known)),
            _ => Err(OpenError::Newer {
                place: self.place.to_owned(),
                found,
                known: i64::try_from(VERSIONS.len()).unwrap_or(i64::MAX),
            }),
        }
    }

    async fn migrate(&self) -> Result<(), OpenError> {
        let found = self.version().await?;
        if found.is_none() {
            self.run(&format!("BEGIN; {VERSION_TABLE} COMMIT")).await?;
        }
        for (at, sql) in VERSIONS.iter().enumerate().skip(found.unwrap_or(0)) {
            self.run(&format!("BEGIN; {sql} UPDATE pollux_schema SET version = {}; COMMIT", at + 1)).await?;
        }
        Ok(())
    }

    /// Tables that somebody else made are of use only if we may read and write them.
    async fn try_reading(&self) -> Result<(), OpenError> {
        let sql = "SELECT name FROM unnest($1::text[]) AS name
            WHERE NOT (has_table_privilege(name, 'SELECT') AND has_table_privilege(name, 'INSERT')
                AND has_table_privilege(name, 'UPDATE') AND has_table_privilege(name, 'DELETE'))
            UNION ALL SELECT 'outbox_batches' WHERE NOT has_sequence_privilege('outbox_batches', 'USAGE')";
        let rows = self.client.query(sql, &[&TABLES]).await.map_err(|error| self.failed(&error))?;
        match rows.first().map(|row| row.try_get::<_, String>(0)) {
            None => Ok(()),
            Some(table) => {
                let table = table.map_err(|error| self.failed(&error))?;
                Err(self.rights(format!("it may not use {table}")))
            }
        }
    }

    async fn run(&self, sql: &str) -> Result<(), OpenError> {
        let run = self.client.batch_execute(sql).await;
        if run.is_err() {
            // Whatever was open is taken back; when this fails too, the first error says why.
            drop(self.client.batch_execute("ROLLBACK").await);
        }
        run.map_err(|error| self.failed(&error))
    }

    fn failed(&self, error: &Error) -> OpenError {
        let rights = [&SqlState::INSUFFICIENT_PRIVILEGE, &SqlState::INVALID_SCHEMA_NAME];
        match error.code() {
            Some(code) if rights.contains(&code) => self.rights(words(error)),
            _ => OpenError::of_statement(self.place, error),
        }
    }

    fn rights(&self, reason: String) -> OpenError {
        let user = quoted(&self.user);
        let grant = match &self.schema {
            Some(schema) if reason.contains("for schema") => {
                format!("GRANT USAGE, CREATE ON SCHEMA {} TO {user}", quoted(schema))
            }
            Some(schema) => {
                let schema = quoted(schema);
                format!(
                    "GRANT ALL ON ALL TABLES IN SCHEMA {schema} TO {user}; \
                     GRANT ALL ON ALL SEQUENCES IN SCHEMA {schema} TO {user}"
                )
            }
            None => format!("GRANT CREATE ON DATABASE {} TO {user}", quoted(&self.database)),
        };
        OpenError::Rights { place: self.place.to_owned(), user: self.user.clone(), reason, grant }
    }
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
