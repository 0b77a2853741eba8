//! The peer: PostgreSQL with jsonb documents and relationships in a table, indexed for the questions.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result};
use futures_util::future::try_join_all;
use pollux_testkit::{Postgres, PostgresSettings};
use tokio_postgres::{Client, NoTls, Statement};

use super::campus::Campus;
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
/// Rows in one statement while the graph is made.
const AT_ONCE: usize = 1000;

pub(super) struct Peer {
    server: Postgres,
    url: String,
    turn: AtomicUsize,
}

impl Peer {
    /// With the graph; `None` where PostgreSQL is not installed.
    pub(super) async fn start(campus: &Campus) -> Result<Option<Self>> {
        let settings =
            PostgresSettings { fsync: true, more: SETTINGS.to_owned(), ..PostgresSettings::default() };
        let server = tokio::task::spawn_blocking(move || Postgres::start_with(&settings)).await?;
        let Some(server) = server else { return Ok(None) };
        process::pin(server.pid().context("it runs")?)?;
        let url = server.create_database(DATABASE);
        let peer = Self { server, url, turn: AtomicUsize::new(0) };
        peer.load(campus).await?;
        Ok(Some(peer))
    }

    async fn load(&self, campus: &Campus) -> Result<()> {
        let client = self.connect().await?;
        client.batch_execute(SCHEMA).await?;
        let sql = "INSERT INTO twins SELECT id, model, doc::jsonb FROM unnest($1::text[], $2::text[], $3::text[]) AS t (id, model, doc)";
        for twins in campus.twins().chunks(AT_ONCE) {
            let ids: Vec<&str> = twins.iter().map(|twin| twin.id.as_str()).collect();
            let models: Vec<&str> = twins.iter().map(|twin| twin.model.as_str()).collect();
            let documents: Vec<String> = twins.iter().map(|twin| twin.document().to_string()).collect();
            client.execute(sql, &[&ids, &models, &documents]).await?;
        }
        let sql = "INSERT INTO rels SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[])";
        for edges in campus.relationships().chunks(AT_ONCE) {
            let column = |of: fn(&super::campus::Edge) -> &str| edges.iter().map(of).collect::<Vec<_>>();
            let (sources, ids) = (column(|edge| &edge.source), column(|edge| &edge.id));
            let (names, targets) = (column(|edge| edge.name), column(|edge| &edge.target));
            client.execute(sql, &[&sources, &ids, &names, &targets]).await?;
        }
        // Each by itself: VACUUM cannot be in a transaction.
        for sql in INDEXES.split(';').filter(|sql| !sql.trim().is_empty()) {
            client.batch_execute(sql).await?;
        }
        Ok(())
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
