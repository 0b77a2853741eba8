//! The peer: PostgreSQL with jsonb documents and relationships in a table, indexed for the questions.

use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result};
use bytes::Bytes;
use futures_util::SinkExt as _;
use futures_util::future::try_join_all;
use pollux_testkit::{Postgres, PostgresSettings};
use tokio_postgres::{Client, NoTls, Statement};

use super::campus::{Campus, Edge, Twin};
use super::load::Load;
use super::questions::Question;
use super::samples::{Sample, ask_for};
use crate::process;

const DATABASE: &str = "graph";
const SETTINGS: &str = "shared_buffers = 512MB\nmax_wal_size = 4GB\njit = off\n";
const SCHEMA: &str = "
    CREATE TABLE twins (id text PRIMARY KEY, model text NOT NULL, doc jsonb NOT NULL);
    CREATE TABLE rels (source text NOT NULL, id text NOT NULL, name text NOT NULL, target text NOT NULL,
        PRIMARY KEY (source, id));";
const INDEXES: &str = "
    CREATE INDEX ON twins (model);
    CREATE INDEX ON twins (((doc->>'temperature')::float8));
    CREATE INDEX ON rels (source, name) INCLUDE (target);
    CREATE INDEX ON rels (target, name);
    VACUUM ANALYZE;";
/// Bytes in one message while the graph is copied.
const PORTION: usize = 64 * 1024;

pub(super) struct Peer {
    server: Postgres,
    url: String,
    turn: AtomicUsize,
}

impl Peer {
    /// With the graph, and what it took; `None` where PostgreSQL is not installed.
    pub(super) async fn start(campus: &Campus) -> Result<Option<(Self, Load)>> {
        let settings =
            PostgresSettings { fsync: true, more: SETTINGS.to_owned(), ..PostgresSettings::default() };
        let server = tokio::task::spawn_blocking(move || Postgres::start_with(&settings)).await?;
        let Some(server) = server else { return Ok(None) };
        let pid = server.pid().context("it runs")?;
        process::pin(pid)?;
        let url = server.create_database(DATABASE);
        let peer = Self { server, url, turn: AtomicUsize::new(0) };
        let client = peer.connect().await?;
        client.batch_execute(SCHEMA).await?;
        let (twins, edges) = (twin_rows(campus), edge_rows(campus));
        let load = Load::of(
            async || {
                copy(&client, "twins", twins).await?;
                copy(&client, "rels", edges).await?;
                // Each by itself: VACUUM cannot be in a transaction.
                for sql in INDEXES.split(';').filter(|sql| !sql.trim().is_empty()) {
                    client.batch_execute(sql).await?;
                }
                Ok(())
            },
            || process::cpu_seconds_with_children(pid),
        )
        .await?;
        Ok(Some((peer, load)))
    }

    async fn connect(&self) -> Result<Client> {
        let (client, connection) = tokio_postgres::connect(&self.url, NoTls).await?;
        // Its end is that of the client.
        tokio::spawn(async move { connection.await.ok() });
        Ok(client)
    }

    /// As many answers as there is time for.
    pub(super) async fn ask(
        &self,
        campus: &Campus,
        question: Question,
        clients: usize,
        duration: Duration,
    ) -> Result<Sample> {
        let ready = async |_| -> Result<(Client, Statement)> {
            let client = self.connect().await?;
            let statement = client.prepare(&question.postgres()).await?;
            Ok((client, statement))
        };
        let mut ready = try_join_all((0..clients).map(ready)).await?;
        let pid = self.server.pid().context("it runs")?;
        let rows = one(&ready[0], campus, question, 0).await?;
        let cpu = process::cpu_seconds_with_children(pid)?;
        let ask = async |ready: &mut (Client, Statement)| {
            let turn = self.turn.fetch_add(1, Ordering::Relaxed);
            one(ready, campus, question, turn).await.map(drop)
        };
        let (took, seconds) = ask_for(duration, &mut ready, ask).await?;
        Ok(Sample::new(took, seconds, process::cpu_seconds_with_children(pid)? - cpu, rows))
    }
}

/// Asks once; gives how many rows there are, or the number that was asked for.
async fn one(
    (client, statement): &(Client, Statement),
    campus: &Campus,
    question: Question,
    turn: usize,
) -> Result<f64> {
    let id = question.id(campus, turn);
    let rows = match (question, &id) {
        (Question::Patch, Some(id)) => {
            return Ok(client.execute(statement, &[id, &(turn as f64)]).await? as f64);
        }
        (Question::Filter, _) => client.query(statement, &[&campus.warm()]).await?,
        (_, Some(id)) => client.query(statement, &[id]).await?,
        (_, None) => client.query(statement, &[]).await?,
    };
    let texts: Vec<&str> = rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?;
    Ok(match question {
        Question::Count | Question::Match => texts.first().context("no count")?.parse()?,
        _ => texts.len() as f64,
    })
}

/// Rows of CSV, in portions.
fn portions(rows: impl Iterator<Item = String>) -> Vec<Bytes> {
    let (mut portions, mut portion) = (Vec::new(), String::new());
    for row in rows {
        portion.push_str(&row);
        if portion.len() >= PORTION {
            portions.push(std::mem::take(&mut portion).into());
        }
    }
    portions.push(portion.into());
    portions
}

fn twin_rows(campus: &Campus) -> Vec<Bytes> {
    let row = |twin: &Twin| {
        let document = twin.document().to_string().replace('"', "\"\"");
        format!("{},{},\"{document}\"\n", twin.id, twin.model)
    };
    portions(campus.twins().iter().map(row))
}

fn edge_rows(campus: &Campus) -> Vec<Bytes> {
    let row = |edge: &Edge| format!("{},{},{},{}\n", edge.source, edge.id, edge.name, edge.target);
    portions(campus.relationships().iter().map(row))
}

async fn copy(client: &Client, table: &str, portions: Vec<Bytes>) -> Result<()> {
    let sink = client.copy_in(&format!("COPY {table} FROM STDIN (FORMAT csv)")).await?;
    let mut sink = pin!(sink);
    for portion in portions {
        sink.as_mut().send(portion).await?;
    }
    sink.as_mut().finish().await?;
    Ok(())
}
