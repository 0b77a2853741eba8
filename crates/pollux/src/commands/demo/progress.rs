//! The live display: a bar per step, on standard error, for a terminal only.

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressFinish, ProgressStyle};

/// The bars.
pub(super) struct Progress {
    bars: MultiProgress,
    style: ProgressStyle,
}

impl Progress {
    /// Nothing is drawn when `quiet`, or where standard error is no terminal.
    pub(super) fn new(quiet: bool) -> Self {
        let target = if quiet { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
        let style = ProgressStyle::with_template("{prefix:>24} {bar:30.green/dim} {pos:>5}/{len}  {elapsed}");
        let style = style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("━━─");
        Self { bars: MultiProgress::with_draw_target(target), style }
    }

    /// A bar for a step.
    pub(super) fn step(&self, name: &'static str, of: usize) -> ProgressBar {
        let bar = ProgressBar::new(of as u64).with_style(self.style.clone()).with_prefix(name);
        // A step that is over stays on display, at what it reached.
        let bar = bar.with_finish(ProgressFinish::Abandon);
        self.bars.add(bar)
    }

    /// Takes the bars away.
    pub(super) fn clear(&self) {
        // A terminal that is gone needs no clearing.
        let _ = self.bars.clear();
    }
}
