//! What is printed: a line per case, figures, the last line that is counted.

use std::io::Write as _;
use std::time::Duration;

use anyhow::Result;

use crate::ledger::Counted;

/// Most examples shown of what went wrong.
const EXAMPLES: usize = 5;

/// What held and what did not.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) passed: usize,
    pub(crate) failed: usize,
}

impl Tally {
    /// Prints a case and counts it.
    pub(crate) fn case(&mut self, name: &str, outcome: Result<String, String>) -> Result<()> {
        match outcome {
            Ok(detail) => {
                self.passed += 1;
                let detail = if detail.is_empty() { detail } else { format!(": {detail}") };
                say(&format!("  ok    {name}{detail}"))
            }
            Err(reason) => {
                self.failed += 1;
                say(&format!("  FAIL  {name}: {reason}"))
            }
        }
    }
}

/// A line on standard output, at once.
pub(crate) fn say(line: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")?;
    Ok(out.flush()?)
}

/// A failure when there is something in the list.
pub(crate) fn none(what: &str, found: &[String]) -> Result<(), String> {
    if found.is_empty() {
        return Ok(());
    }
    let shown: Vec<_> = found.iter().take(EXAMPLES).map(String::as_str).collect();
    let more = if found.len() > EXAMPLES { ", …" } else { "" };
    Err(format!("{} {what}: {}{more}", found.len(), shown.join("; ")))
}

/// `1.2 s`, or that it did not happen.
pub(crate) fn seconds(duration: Option<Duration>) -> String {
    duration.map_or_else(|| "not".to_owned(), |duration| format!("{:.1} s", duration.as_secs_f64()))
}

/// What was acknowledged, and what was not.
pub(crate) fn acknowledged(counted: Counted) -> String {
    let Counted {
        telemetry,
        sent_again,
        desired,
        desired_open,
        registrations,
        deletes,
        disables,
        connects,
        refused,
    } = counted;
    format!(
        "acknowledged: {telemetry} messages ({sent_again} sent again), {desired} desired changes ({desired_open} without an \
         answer), {registrations} registrations, {deletes} deletes, {disables} disables; {connects} connections made, \
         {refused} attempts failed"
    )
}
