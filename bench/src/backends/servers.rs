//! PostgreSQL and nats-server for a deployment: on the server's core, durable as they are where it counts.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use pollux_testkit::{Nats, Postgres, PostgresSettings};

use crate::process;
use crate::subject::Subject;

/// The database of the nodes.
const DATABASE: &str = "pollux";
/// Beyond a test's: room to work, and no full pages after each of many small checkpoints.
const SETTINGS: &str = "shared_buffers = 256MB\nmax_wal_size = 4GB\n";
/// Larger frames than a megabyte, as deploy/nats.conf has it.
const NATS: &str = "max_payload: 8MB\n";
/// The tables a registration leaves rows in.
const TABLES: [&str; 3] = ["devices", "registrations", "digital_twins"];

/// A PostgreSQL and a nats-server.
#[derive(Debug)]
pub(crate) struct Backends {
    pub(super) postgres: Postgres,
    pub(super) nats: Nats,
    url: String,
}

impl Backends {
    /// Starts both; `None` where one is not installed.
    pub(super) async fn start() -> Result<Option<Self>> {
        let settings =
            PostgresSettings { fsync: true, more: SETTINGS.to_owned(), ..PostgresSettings::default() };
        let postgres = tokio::task::spawn_blocking(move || Postgres::start_with(&settings)).await?;
        let options = pollux_testkit::NatsOptions { config: NATS.to_owned(), ..Default::default() };
        let nats = Nats::start_with(options).await;
        let (Some(postgres), Some(nats)) = (postgres, nats) else { return Ok(None) };
        process::pin(postgres.pid().context("it runs")?)?;
        process::pin(nats.pid().context("it runs")?)?;
        let url = postgres.create_database(DATABASE);
        Ok(Some(Self { postgres, nats, url }))
    }

    /// The lines that point a node at them.
    pub(crate) fn settings(&self) -> String {
        format!("\n[state]\nurl = \"{}\"\n\n[events]\nurl = \"{}\"\n", self.url, self.nats.url())
    }

    /// CPU seconds of PostgreSQL, and of nats-server.
    pub(crate) fn cpu(&self) -> Result<(f64, f64)> {
        let (postgres, nats) = (self.postgres.pid().context("it runs")?, self.nats.pid().context("it runs")?);
        Ok((process::cpu_seconds_with_children(postgres)?, process::cpu_seconds(nats)?))
    }
}

/// Bytes of what a registration leaves: of its tables with their indexes in PostgreSQL, of the database file of SQLite
/// (what is still in the write-ahead log does not count: 4 MB at most).
pub(super) fn state_bytes(subject: &Subject) -> Result<f64> {
    let Some(backends) = subject.backends() else {
        return Ok(fs::metadata(subject.data().join("state.db"))?.len() as f64);
    };
    let sizes = TABLES.map(|table| format!("pg_total_relation_size('{table}')")).join(" + ");
    Ok(backends.postgres.sql(DATABASE, &format!("SELECT {sizes}")).trim().parse()?)
}

/// Bytes of the events.
pub(super) fn log_bytes(subject: &Subject) -> Result<f64> {
    match subject.backends() {
        Some(backends) => below(&backends.nats.store()),
        None => below(&subject.data().join("events")),
    }
}

/// Bytes of WAL written so far; not a number without PostgreSQL.
pub(super) fn wal(subject: &Subject) -> f64 {
    let bytes = |backends: &Backends| {
        let position = backends.postgres.sql(DATABASE, "SELECT pg_current_wal_lsn() - '0/0'::pg_lsn");
        position.trim().parse().unwrap_or(f64::NAN)
    };
    subject.backends().map_or(f64::NAN, bytes)
}

fn below(folder: &Path) -> Result<f64> {
    let mut bytes = 0.0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        // Removed meanwhile: counts nothing.
        let Ok(data) = entry.metadata() else { continue };
        bytes += if data.is_dir() { below(&entry.path())? } else { data.len() as f64 };
    }
    Ok(bytes)
}
