//! What was measured: medians, every repetition, ratios; as text and as JSON.

use std::io::{self, Write as _};

use anyhow::Result;
use serde_json::{Value, json};

/// What stands behind every acknowledgement of the server, printed with every figure.
pub(crate) const DURABLE: &str = "every acknowledgement after fdatasync: events grouped per commit, state in SQLite (WAL, synchronous=FULL)";

/// More than this part of the cores' time for others, and rates and latencies say more of them than of the subject.
const QUIET: f64 = 0.05;

/// A measured figure.
#[derive(Debug, Clone)]
pub(crate) struct Figure {
    name: String,
    unit: &'static str,
    runs: Vec<f64>,
    /// Whether the text has a line of its own for it.
    listed: bool,
}

impl Figure {
    /// With its repetitions in the order they were made.
    pub(crate) fn new(name: impl Into<String>, unit: &'static str, runs: Vec<f64>) -> Self {
        Self { name: name.into(), unit, runs, listed: true }
    }

    /// In JSON only: the text has it in a table.
    pub(crate) const fn in_table(mut self) -> Self {
        self.listed = false;
        self
    }

    /// The median of the repetitions.
    pub(crate) fn median(&self) -> f64 {
        median(&self.runs)
    }
}

/// One figure divided by another of the same run.
#[derive(Debug, Clone)]
struct Ratio {
    name: String,
    value: f64,
}

/// What one measurement found.
#[derive(Debug, Clone)]
pub(crate) struct Report {
    name: &'static str,
    fsync: &'static str,
    figures: Vec<Figure>,
    ratios: Vec<Ratio>,
    /// For eyes only; what they hold is in figures.
    tables: Vec<String>,
    notes: Vec<String>,
    /// The part of the two cores' time that others took meanwhile.
    others: f64,
}

impl Report {
    /// An empty report; `fsync` says what is on disk before an operation counts.
    pub(crate) const fn new(name: &'static str, fsync: &'static str) -> Self {
        Self {
            name,
            fsync,
            figures: Vec::new(),
            ratios: Vec::new(),
            tables: Vec::new(),
            notes: Vec::new(),
            others: f64::NAN,
        }
    }

    /// Adds a figure; gives its median.
    pub(crate) fn figure(&mut self, figure: Figure) -> f64 {
        let median = figure.median();
        self.figures.push(figure);
        median
    }

    /// Adds a ratio of two medians.
    pub(crate) fn ratio(&mut self, name: impl Into<String>, value: f64) {
        self.ratios.push(Ratio { name: name.into(), value });
    }

    /// Adds a table, which ends with a line's end.
    pub(crate) fn table(&mut self, text: impl Into<String>) {
        self.tables.push(text.into());
    }

    /// Adds a remark.
    pub(crate) fn note(&mut self, text: impl Into<String>) {
        self.notes.push(text.into());
    }

    /// Says which part of the two cores' time others took while this was measured.
    pub(crate) const fn disturbed_by(&mut self, others: f64) {
        self.others = others;
    }

    fn quiet(&self) -> bool {
        self.others <= QUIET
    }

    /// For eyes.
    pub(crate) fn text(&self) -> String {
        let mut text = format!("{}\n", self.name);
        for table in &self.tables {
            text.push_str(table);
        }
        for figure in self.figures.iter().filter(|figure| figure.listed) {
            let runs = figure.runs.iter().map(|run| number(*run)).collect::<Vec<_>>().join(", ");
            text.push_str(&format!(
                "  {:<58} {:>10} {:<24} [{runs}]\n",
                figure.name,
                number(figure.median()),
                figure.unit
            ));
        }
        for ratio in &self.ratios {
            text.push_str(&format!("  {:<58} {:>10}\n", ratio.name, number(ratio.value)));
        }
        for note in &self.notes {
            text.push_str(&format!("  {note}\n"));
        }
        text.push_str(&format!("  fsync: {}\n", self.fsync));
        let others = self.others * 100.0;
        text.push_str(&match self.quiet() {
            true => format!("  others took {others:.0} % of the two cores meanwhile\n"),
            false => format!(
                "  NOT QUIET: others took {others:.0} % of the two cores; do not compare these figures\n"
            ),
        });
        text
    }

    /// All reports as one document.
    pub(crate) fn json(reports: &[Self], pinned: bool) -> String {
        let figure = |figure: &Figure| json!({ "name": figure.name, "unit": figure.unit, "median": figure.median(), "runs": figure.runs });
        let report = |report: &Self| -> Value {
            json!({
                "name": report.name,
                "fsync": report.fsync,
                "figures": report.figures.iter().map(figure).collect::<Vec<_>>(),
                "ratios": report.ratios.iter().map(|ratio| json!({ "name": ratio.name, "value": ratio.value })).collect::<Vec<_>>(),
                "notes": report.notes,
                "othersShare": report.others,
                "quiet": report.quiet(),
            })
        };
        let reports: Vec<_> = reports.iter().map(report).collect();
        format!("{:#}", json!({ "pinned": pinned, "measurements": reports }))
    }
}

/// How it was measured.
pub(crate) fn conditions(pinned: bool) -> String {
    let cores = if pinned {
        "server on core 0, generator on core 1"
    } else {
        "server and generator share the cores: not pinned"
    };
    format!(
        "{cores}; medians, with the repetitions in brackets; CPU seconds are the server process's, user and system"
    )
}

/// The median; of none, not a number.
pub(crate) fn median(runs: &[f64]) -> f64 {
    let mut sorted = runs.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => sorted[n / 2],
        n => f64::midpoint(sorted[n / 2 - 1], sorted[n / 2]),
    }
}

/// Three digits that matter, more for large numbers.
pub(crate) fn number(value: f64) -> String {
    match value.abs() {
        v if v >= 100.0 => format!("{value:.0}"),
        v if v >= 10.0 => format!("{value:.1}"),
        v if v >= 0.1 || v == 0.0 => format!("{value:.2}"),
        _ => format!("{value:.5}"),
    }
}

/// To standard output.
pub(crate) fn say(text: &str) -> Result<()> {
    Ok(writeln!(io::stdout().lock(), "{text}")?)
}

/// To standard error, if anyone is there.
pub(crate) fn say_error(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
        assert!(median(&[]).is_nan());
    }

    #[test]
    fn a_report_shows_runs_and_ratios() {
        let mut report = Report::new("x", "none");
        report.disturbed_by(0.5);
        let median = report.figure(Figure::new("speed", "1/s", vec![1.0, 3.0, 200.0]));
        report.ratio("against the limit", median / 6.0);
        let text = report.text();
        assert!(
            text.contains("[1.00, 3.00, 200]") && text.contains("0.50") && text.contains("fsync: none"),
            "{text}"
        );
        let document: Value = serde_json::from_str(&Report::json(&[report], true)).unwrap();
        assert_eq!(document["measurements"][0]["figures"][0]["median"], 3.0);
        assert!(
            text.contains("NOT QUIET: others took 50 %") && document["measurements"][0]["quiet"] == false,
            "{text}"
        );
    }
}
