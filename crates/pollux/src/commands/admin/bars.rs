//! How a transfer goes: a bar per step on a terminal, else a line per step; on standard error.

use std::io::{self, IsTerminal as _, Write as _};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressFinish, ProgressStyle};
use parking_lot::Mutex;
use pollux_server::transfer::{Progress, Unit};
use tokio::time::Instant;

/// One step after the other.
pub(super) struct Bars {
    live: bool,
    bars: MultiProgress,
    step: Mutex<Option<Step>>,
}

struct Step {
    name: String,
    unit: Unit,
    bar: ProgressBar,
    begun: Instant,
}

impl Bars {
    pub(super) fn new() -> Self {
        let live = io::stderr().is_terminal();
        let target = if live { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        Self { live, bars: MultiProgress::with_draw_target(target), step: Mutex::new(None) }
    }
}

fn style(unit: Unit) -> ProgressStyle {
    let figures = match unit {
        Unit::Rows | Unit::Events => "{human_pos:>11} of {human_len}  {per_sec}  {elapsed}, {eta} left",
        Unit::Bytes => "{binary_bytes:>11} of {binary_total_bytes}  {binary_bytes_per_sec}  {elapsed}",
    };
    let style = ProgressStyle::with_template(&format!("{{prefix:>28}} {{bar:24.green/dim}} {figures}"));
    style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("━━─")
}

impl Progress for Bars {
    fn begin(&self, name: &str, unit: Unit, total: u64) {
        let bar = ProgressBar::new(total).with_style(style(unit)).with_prefix(name.to_owned());
        let bar = self.bars.add(bar.with_finish(ProgressFinish::Abandon));
        let step = Step { name: name.to_owned(), unit, bar, begun: Instant::now() };
        *self.step.lock() = Some(step);
    }

    fn advance(&self, more: u64) {
        if let Some(step) = &*self.step.lock() {
            step.bar.inc(more);
        }
    }

    fn end(&self) {
        let Some(step) = self.step.lock().take() else { return };
        let done = step.bar.position();
        step.bar.abandon();
        if !self.live && done > 0 {
            let seconds = step.begun.elapsed().as_secs_f64();
            let unit = match step.unit {
                Unit::Rows => "rows",
                Unit::Events => "events",
                Unit::Bytes => "bytes",
            };
            // Of a moment it says nothing.
            let rate = if seconds < 0.1 {
                String::new()
            } else {
                format!(", {:.0} a second", done as f64 / seconds)
            };
            self.say(&format!("{}: {done} {unit} in {seconds:.1} s{rate}", step.name));
        }
    }

    fn say(&self, text: &str) {
        if self.live {
            // Above the bars; a terminal that is gone needs no word.
            let _ = self.bars.println(text);
        } else {
            let _ = writeln!(io::stderr(), "{text}");
        }
    }
}
