//! The peer without a server: SQLite within the generator, durable as the subject's.

use std::cell::Cell;
use std::time::Duration;

use anyhow::{Context as _, Result};
use rusqlite::{Connection, params};
use tempfile::TempDir;
use tokio::time::Instant;

use super::campus::Campus;
use super::load::Load;
use super::questions::Question;
use super::samples::Sample;
use crate::process;
use crate::subject::work_folder;

const SCHEMA: &str = "
    PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA cache_size = -262144;
    CREATE TABLE twins (id TEXT PRIMARY KEY, model TEXT NOT NULL, doc TEXT NOT NULL) STRICT;
    CREATE TABLE rels (source TEXT NOT NULL, id TEXT NOT NULL, name TEXT NOT NULL, target TEXT NOT NULL,
        PRIMARY KEY (source, id)) STRICT, WITHOUT ROWID;";
const INDEXES: &str = "
    CREATE INDEX twins_by_model ON twins (model);
    CREATE INDEX twins_by_temperature ON twins (CAST(doc ->> '$.temperature' AS REAL));
    CREATE INDEX rels_by_name ON rels (source, name, target);
    CREATE INDEX rels_by_target ON rels (target, name);
    ANALYZE;";

pub(super) struct Peer {
    connection: Connection,
    turn: Cell<usize>,
    /// After the connection: the file must be closed before it goes.
    _folder: TempDir,
}

impl Peer {
    /// With the graph, and what it took.
    pub(super) async fn start(campus: &Campus) -> Result<(Self, Load)> {
        let folder = work_folder()?;
        let mut connection = Connection::open(folder.path().join("graph.db"))?;
        connection.execute_batch(SCHEMA)?;
        let documents: Vec<String> = campus.twins().iter().map(|twin| twin.document().to_string()).collect();
        let load = async || {
            let transaction = connection.transaction()?;
            for (twin, document) in campus.twins().iter().zip(&documents) {
                let row = params![twin.id, twin.model, document];
                transaction.prepare_cached("INSERT INTO twins VALUES (?1, ?2, ?3)")?.execute(row)?;
            }
            for edge in campus.relationships() {
                let row = params![edge.source, edge.id, edge.name, edge.target];
                transaction.prepare_cached("INSERT INTO rels VALUES (?1, ?2, ?3, ?4)")?.execute(row)?;
            }
            transaction.commit()?;
            Ok(connection.execute_batch(INDEXES)?)
        };
        let load = Load::of(load, || process::cpu_seconds(std::process::id())).await?;
        Ok((Self { connection, turn: Cell::new(0), _folder: folder }, load))
    }

    /// As many answers as there is time for.
    pub(super) fn ask(&self, campus: &Campus, question: Question, duration: Duration) -> Result<Sample> {
        let (sql, own) = (question.sqlite(), std::process::id());
        let rows = self.one(campus, question, &sql, 0)?;
        let (cpu, began, mut took) = (process::cpu_seconds(own)?, Instant::now(), Vec::new());
        while began.elapsed() < duration {
            let turn = self.turn.replace(self.turn.get() + 1);
            let began = Instant::now();
            self.one(campus, question, &sql, turn)?;
            took.push(began.elapsed());
        }
        let seconds = began.elapsed().as_secs_f64();
        Ok(Sample::new(took, seconds, process::cpu_seconds(own)? - cpu, rows))
    }

    /// As of PostgreSQL.
    fn one(&self, campus: &Campus, question: Question, sql: &str, turn: usize) -> Result<f64> {
        let mut statement = self.connection.prepare_cached(sql)?;
        let id = question.id(campus, turn);
        if question == Question::Patch {
            return Ok(statement.execute(params![id, turn as f64])? as f64);
        }
        let mut rows = match (question, id) {
            (Question::Filter, _) => statement.query([campus.warm()])?,
            (_, Some(id)) => statement.query([id])?,
            (_, None) => statement.query([])?,
        };
        let (mut count, mut first) = (0.0, None);
        while let Some(row) = rows.next()? {
            let text = row.get_ref(0)?.as_str()?;
            count += 1.0;
            first.get_or_insert_with(|| text.to_owned());
        }
        Ok(match question {
            Question::Count | Question::Match => first.context("no count")?.parse()?,
            _ => count,
        })
    }
}
