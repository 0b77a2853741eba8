//! How long it takes until the graph is there, with everything that it is found by: an import job of a local file, COPY and
//! the indexes behind it, a transaction of SQLite, ladybug's COPY.

use std::fs;
use std::io::{BufWriter, Write as _};
use std::path::Path;

use anyhow::Result;
use serde_json::json;
use tokio::time::Instant;

use super::campus::Campus;
use crate::report::{Figure, Report};

/// What it took.
#[derive(Debug, Clone, Copy)]
pub(super) struct Load {
    pub(super) seconds: f64,
    /// Of whoever was loaded.
    pub(super) cpu_seconds: f64,
}

impl Load {
    /// Of this work; `cpu` tells what was used so far.
    pub(super) async fn of(
        work: impl AsyncFnOnce() -> Result<()>,
        cpu: impl Fn() -> Result<f64>,
    ) -> Result<Self> {
        let (used, began) = (cpu()?, Instant::now());
        work().await?;
        Ok(Self { seconds: began.elapsed().as_secs_f64(), cpu_seconds: cpu()? - used })
    }
}

/// All of them, by who was loaded.
#[derive(Debug, Default)]
pub(super) struct Loads(Vec<(&'static str, Load)>);

impl Loads {
    pub(super) fn add(&mut self, who: &'static str, load: Load) {
        self.0.push((who, load));
    }

    /// Figures, and the ratios of P15.
    pub(super) fn tell(&self, report: &mut Report) {
        for (who, load) in &self.0 {
            report.figure(Figure::new(format!("the graph loaded: {who}"), "s", vec![load.seconds]));
            report.figure(Figure::new("  cost", "CPU-s", vec![load.cpu_seconds]));
        }
        let Some(((_, ours), peers)) = self.0.split_first() else { return };
        for (peer, load) in peers {
            report.ratio(format!("P15 import: seconds / {peer}'s"), ours.seconds / load.seconds);
            report.ratio(format!("P15 import: CPU / {peer}'s"), ours.cpu_seconds / load.cpu_seconds);
        }
    }
}

/// The graph as an import job reads it.
pub(super) fn write(campus: &Campus, path: &Path) -> Result<()> {
    let mut file = BufWriter::new(fs::File::create(path)?);
    writeln!(file, "{}", json!({ "Section": "Header" }))?;
    writeln!(file, "{}", json!({ "fileVersion": "1.0.0", "author": "bench", "organization": "bench" }))?;
    writeln!(file, "{}", json!({ "Section": "Twins" }))?;
    for twin in campus.twins() {
        let mut line = twin.contents.clone();
        line["$dtId"] = twin.id.as_str().into();
        line["$metadata"] = json!({ "$model": twin.model });
        writeln!(file, "{line}")?;
    }
    writeln!(file, "{}", json!({ "Section": "Relationships" }))?;
    for edge in campus.relationships() {
        let line = json!({
            "$dtId": edge.source, "$relationshipId": edge.id, "$targetId": edge.target,
            "$relationshipName": edge.name,
        });
        writeln!(file, "{line}")?;
    }
    file.flush()?;
    Ok(())
}
