//! What the demo says at the end, for eyes and as JSON.

use std::time::Duration;

use serde_json::{Value, json};

use super::check::Checks;
use super::device::ROUNDS;
use super::timeline::Timeline;
use crate::output::table;

/// What is told beside the checks.
#[derive(Debug)]
pub(super) struct Story {
    pub(super) devices: u32,
    pub(super) ready_after: Duration,
    pub(super) took: Duration,
    pub(super) timeline: Option<Timeline>,
    pub(super) twin_before: Option<Value>,
    pub(super) twin_after: Option<Value>,
    /// Start to assignment, of each device.
    pub(super) registrations: Vec<Duration>,
    /// The slowest acknowledgement of each device.
    pub(super) acks: Vec<Duration>,
}

impl Story {
    pub(super) fn new(devices: u32, ready_after: Duration) -> Self {
        Self {
            devices,
            ready_after,
            took: Duration::ZERO,
            timeline: None,
            twin_before: None,
            twin_after: None,
            registrations: Vec::new(),
            acks: Vec::new(),
        }
    }

    fn summary(&self, checks: &Checks) -> Value {
        let quantiles = |values: &[Duration]| {
            let mut sorted = values.to_vec();
            sorted.sort_unstable();
            let at =
                |part: f64| sorted.get(((sorted.len().saturating_sub(1)) as f64 * part).round() as usize);
            json!({ "p50": at(0.5).map(|d| ms(*d)), "p99": at(0.99).map(|d| ms(*d)), "max": sorted.last().map(|d| ms(*d)) })
        };
        json!({
            "devices": self.devices,
            "messages": u64::from(self.devices) * u64::from(ROUNDS),
            "checks": checks.0.len(),
            "failed": checks.0.iter().filter(|check| !check.ok).count(),
            "seconds": (self.took.as_secs_f64() * 1000.0).round() / 1000.0,
            "serverReadyMs": ms(self.ready_after),
            "registrationMs": quantiles(&self.registrations),
            "slowestAckMs": quantiles(&self.acks),
        })
    }
}

/// Milliseconds, to the microsecond.
fn ms(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}

/// The one document of `--json`.
pub(super) fn json(checks: &Checks, story: &Story) -> Value {
    let check =
        |check: &super::check::Check| json!({ "name": check.name, "ok": check.ok, "detail": check.detail });
    let hops = story.timeline.iter().flat_map(|timeline| &timeline.hops);
    let hops: Vec<_> =
        hops.map(|hop| json!({ "hop": hop.name, "atMs": ms(hop.at), "tookMs": ms(hop.took) })).collect();
    json!({
        "ok": checks.all_held(),
        "checks": checks.0.iter().map(check).collect::<Vec<_>>(),
        "timeline": hops,
        "twin": { "before": story.twin_before, "after": story.twin_after },
        "summary": story.summary(checks),
    })
}

/// The same for eyes.
pub(super) fn text(checks: &Checks, story: &Story) -> String {
    let mut text = String::from("\nWhat happened to one device\n\n");
    let hops = story.timeline.iter().flat_map(|timeline| &timeline.hops);
    let rows = hops.map(|hop| {
        vec![format!("{:>9.1} ms", ms(hop.at)), format!("{:>9.2} ms", ms(hop.took)), hop.name.clone()]
    });
    text.push_str(&table(&["       at", "     took", "hop"], rows.collect()));
    for (title, twin) in
        [("before its first message", &story.twin_before), ("after its last", &story.twin_after)]
    {
        if let Some(twin) = twin {
            text.push_str(&format!("\nIts twin {title}\n\n{twin:#}\n"));
        }
    }
    text.push_str("\nChecks\n\n");
    for check in &checks.0 {
        let mark = if check.ok { "✓" } else { "✗" };
        let detail = if check.detail.is_empty() { String::new() } else { format!(" ({})", check.detail) };
        text.push_str(&format!("  {mark} {}{detail}\n", check.name));
    }
    text.push_str("\nSummary\n\n");
    text.push_str(&table(&["figure", "value"], summary_rows(&story.summary(checks))));
    let verdict = if checks.all_held() { "Every check held." } else { "Not every check held." };
    text.push_str(&format!("\n{verdict}"));
    text
}

fn summary_rows(summary: &Value) -> Vec<Vec<String>> {
    let quantiles = |name: &str| {
        let number =
            |part: &str| summary[name][part].as_f64().map_or("-".to_owned(), |value| format!("{value:.1}"));
        format!("p50 {}, p99 {}, max {} ms", number("p50"), number("p99"), number("max"))
    };
    let row = |title: &str, value: String| vec![title.to_owned(), value];
    vec![
        row("devices", summary["devices"].to_string()),
        row("messages", summary["messages"].to_string()),
        row("server ready after", format!("{:.0} ms", summary["serverReadyMs"].as_f64().unwrap_or_default())),
        row("registration", quantiles("registrationMs")),
        row("slowest acknowledgement", quantiles("slowestAckMs")),
        row("everything", format!("{:.1} s", summary["seconds"].as_f64().unwrap_or_default())),
        row("checks", format!("{}, {} failed", summary["checks"], summary["failed"])),
    ]
}
