//! The disk below: how often a second a few hundred bytes can be appended and fdatasync'ed.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use tokio::time::Instant;

use crate::Plan;
use crate::report::{Figure, Report};
use crate::subject::work_folder;

/// Bytes appended before each sync: one record, and a group of them.
const SIZES: [usize; 2] = [256, 128 * 256];

/// Measures.
pub(crate) async fn measure(plan: Plan) -> Result<Report> {
    let folder = work_folder()?;
    let mut runs = vec![Vec::new(); SIZES.len()];
    for _ in 0..plan.repetitions {
        for (size, runs) in SIZES.iter().zip(&mut runs) {
            let (path, size, duration) = (folder.path().join("raw"), *size, plan.duration / 4);
            runs.push(tokio::task::spawn_blocking(move || syncs(&path, size, duration)).await??);
        }
    }
    let mut report = Report::new("fdatasync", "fdatasync after every append");
    for (size, runs) in SIZES.iter().zip(runs) {
        report.figure(Figure::new(format!("append {size} B and fdatasync, one at a time"), "syncs/s", runs));
    }
    report.note(
        "the host's write cache counts: a disk that keeps its word after a power cut may be 20 times slower",
    );
    Ok(report)
}

/// How often a second one record can be appended and synced: the limit that figures of the same run stand next to.
pub(crate) async fn rate(duration: Duration) -> Result<f64> {
    let folder = work_folder()?;
    let path = folder.path().join("raw");
    tokio::task::spawn_blocking(move || syncs(&path, SIZES[0], duration)).await?
}

fn syncs(path: &Path, size: usize, duration: Duration) -> Result<f64> {
    let mut file = File::create(path)?;
    let record = vec![b'x'; size];
    let (start, mut count) = (Instant::now(), 0_u32);
    while start.elapsed() < duration {
        file.write_all(&record)?;
        file.sync_data()?;
        count += 1;
    }
    Ok(f64::from(count) / start.elapsed().as_secs_f64())
}
