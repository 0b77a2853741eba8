//! Queries of a twin graph: a site with buildings, levels, rooms and their devices, 100,000 twins and three times as many
//! relationships, with models of RealEstateCore. The same graph and questions in PostgreSQL (jsonb and joins, indexed), in
//! SQLite within the generator, and in ladybug (an embedded graph database from PyPI), in turns with the subject.
//!
//! ```text
//!   core 1: generator, SQLite          core 0: pollux serve, PostgreSQL, ladybug, axum and nothing else
//! ```
//!
//! Every peer keeps the same documents, and its answers must have as many rows as the subject's: the table shows them.

mod bare_http;
mod campus;
mod client;
mod freshness;
mod ladybug;
mod load;
mod postgres;
mod questions;
mod samples;
mod sqlite;
mod subject;

use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::ValueEnum as _;

use crate::Plan;
use crate::report::{DURABLE, Figure, Report};
pub(crate) use bare_http::serve as serve_bare_http;
use campus::Campus;
use load::Loads;
pub(crate) use questions::Question;
use samples::{Sample, Samples};

/// Clients at the same time, of every question.
const CLIENTS: [usize; 2] = [1, 8];

/// What is measured, with all that is ready for it.
struct Trial {
    campus: Campus,
    subject: subject::Server,
    bare: bare_http::Bare,
    postgres: Option<postgres::Peer>,
    sqlite: sqlite::Peer,
    ladybug: ladybug::Found,
    samples: Samples,
    loads: Loads,
    /// Which are put.
    questions: Vec<Question>,
}

/// Measures; all questions if none is named.
pub(crate) async fn measure(plan: Plan, questions: &[Question]) -> Result<Report> {
    let campus = Campus::new(plan.twins);
    let mut report = Report::new("twins", DURABLE);
    report.note(format!("{} twins, {} relationships", campus.twins().len(), campus.relationships().len()));
    let mut trial = Trial::start(campus, questions).await?;
    trial.subject.warm(&trial.campus).await?;
    // A question has about 14 measurements, each of its part of a repetition.
    let each = plan.duration / 4;
    for _ in 0..plan.repetitions {
        for question in trial.questions.clone() {
            trial.ask(question, each).await.with_context(|| format!("{question:?}"))?;
        }
        trial.goals(each).await?;
    }
    trial.tell(&mut report);
    if trial.questions.contains(&Question::Count) {
        let stale = freshness::measure(&trial.subject, &trial.campus, plan.duration).await?;
        stale.tell(&mut report);
    }
    Ok(report)
}

impl Trial {
    /// Loads the graph into each, one after the other.
    async fn start(campus: Campus, questions: &[Question]) -> Result<Self> {
        let mut loads = Loads::default();
        let (subject, load) = subject::Server::start(&campus).await.context("Pollux")?;
        loads.add("Pollux, an import job", load);
        let postgres = postgres::Peer::start(&campus).await.context("PostgreSQL")?.map(|(peer, load)| {
            loads.add("PostgreSQL, COPY and indexes", load);
            peer
        });
        let (sqlite, load) = sqlite::Peer::start(&campus).await.context("SQLite")?;
        loads.add("SQLite, a transaction and indexes", load);
        let ladybug = ladybug::start(&campus)?;
        if let ladybug::Found::Peer(_, load) = &ladybug {
            loads.add("ladybug, COPY", *load);
        }
        let (bare, samples) = (bare_http::Bare::start()?, Samples::default());
        let questions = if questions.is_empty() { Question::value_variants() } else { questions }.to_vec();
        Ok(Self { campus, subject, bare, postgres, sqlite, ladybug, samples, loads, questions })
    }

    /// One repetition of a question, put to each in turn.
    async fn ask(&mut self, question: Question, duration: Duration) -> Result<()> {
        for clients in CLIENTS {
            let sample = self.subject.ask(&self.campus, question, clients, duration).await?;
            self.samples.add(question, "Pollux", clients, sample);
            if let Some(postgres) = &self.postgres {
                let sample = postgres.ask(&self.campus, question, clients, duration).await?;
                self.samples.add(question, "PostgreSQL", clients, sample);
            }
        }
        let sample = self.sqlite.ask(&self.campus, question, duration)?;
        self.samples.add(question, "SQLite", 1, sample);
        if let ladybug::Found::Peer(peer, _) = &mut self.ladybug
            && let Some(sample) = peer.ask(question, duration)?
        {
            self.samples.add(question, "ladybug", 1, sample);
        }
        Ok(())
    }

    /// What goals name other numbers of clients for.
    async fn goals(&mut self, duration: Duration) -> Result<()> {
        if self.questions.contains(&Question::Get) {
            let bare = self.bare.ask(32, duration).await?;
            self.samples.add(Question::Get, "axum", 32, bare);
            let sample = self.subject.ask(&self.campus, Question::Get, 32, duration).await?;
            self.samples.add(Question::Get, "Pollux", 32, sample);
        }
        if self.questions.contains(&Question::Patch) {
            let sample = self.subject.ask(&self.campus, Question::Patch, 64, duration).await?;
            self.samples.add(Question::Patch, "Pollux", 64, sample);
        }
        Ok(())
    }

    fn tell(&self, report: &mut Report) {
        if self.postgres.is_none() {
            report.note("PostgreSQL SKIPPED: it is not installed");
        }
        if let ladybug::Found::Skipped(reason) = &self.ladybug {
            report.note(format!("ladybug SKIPPED: {reason}"));
        }
        report.table(self.samples.table());
        for (name, sample) in self.samples.all() {
            let of = |part: fn(&Sample) -> f64| sample.iter().map(part).collect::<Vec<_>>();
            for (what, unit, runs) in [
                ("rate", "1/s", of(|one| one.per_second)),
                ("p50", "ms", of(|one| one.p50_ms)),
                ("p99", "ms", of(|one| one.p99_ms)),
                ("cost", "CPU-µs", of(|one| one.cpu_micros)),
            ] {
                report.figure(Figure::new(format!("{name}: {what}"), unit, runs).in_table());
            }
        }
        self.loads.tell(report);
        self.ratios(report);
    }

    fn ratios(&self, report: &mut Report) {
        let mut ratio = |name: &str, value: Option<f64>| {
            if let Some(value) = value {
                report.ratio(name, value);
            }
        };
        let (rate, cost) = (|s: &Sample| s.per_second, |s: &Sample| s.cpu_micros);
        let of = |question, who, clients, part: fn(&Sample) -> f64| {
            self.samples.median(question, who, clients, part)
        };
        let divided = |one: Option<f64>, other: Option<f64>| Some(one? / other?);
        let (get, patch) = (Question::Get, Question::Patch);
        let axum = |part| divided(of(get, "Pollux", 32, part), of(get, "axum", 32, part));
        ratio("P10 GET, 32 clients: requests/s against axum", axum(rate));
        ratio("P10 the same by server CPU: axum's / ours", axum(cost).map(|ratio| 1.0 / ratio));
        for clients in [8, 64] {
            let ours = of(patch, "Pollux", clients, rate);
            let name = format!("P11 PATCH, {clients} clients: changes/s against PostgreSQL's update at 8");
            ratio(&name, divided(ours, of(patch, "PostgreSQL", 8, rate)));
            let ours = of(patch, "Pollux", clients, cost);
            let name = format!("P11 the same by server CPU: PostgreSQL's at 8 / ours at {clients}");
            ratio(&name, divided(of(patch, "PostgreSQL", 8, cost), ours));
        }
        for (goal, question) in [("P12", Question::Join), ("P13", Question::Filter), ("P14", Question::Count)]
        {
            let ours = of(question, "Pollux", 1, cost);
            for peer in ["PostgreSQL", "SQLite", "ladybug"] {
                let name = format!("{goal} {question:?}: CPU per query / {peer}'s");
                ratio(&name, divided(ours, of(question, peer, 1, cost)));
            }
        }
    }
}
