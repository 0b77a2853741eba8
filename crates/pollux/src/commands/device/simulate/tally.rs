//! What happened, counted, and shown while it does.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::time::Instant;

/// Counts of all devices together.
#[derive(Debug)]
pub(super) struct Tally {
    devices: usize,
    began: Instant,
    ready: AtomicU64,
    connected: AtomicU64,
    messages: AtomicU64,
    commands: AtomicU64,
    desired: AtomicU64,
    /// Messages from the cloud.
    received: AtomicU64,
    lost: AtomicU64,
    slowest: Mutex<Duration>,
    /// Of the latest connection or request that failed.
    reason: Mutex<Option<String>>,
    bar: ProgressBar,
}

impl Tally {
    /// Nothing has happened; drawn where somebody looks at a terminal.
    pub(super) fn new(devices: usize, messages: Option<u64>, drawn: bool) -> Self {
        let target = if drawn { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let (bar, form) = match messages {
            Some(each) => (
                ProgressBar::new(each.saturating_mul(devices as u64)),
                "{bar:24.green/dim} {pos} of {len} messages, {per_sec}, {elapsed}  {msg}",
            ),
            None => (ProgressBar::no_length(), "{spinner} {pos} messages, {per_sec}, {elapsed}  {msg}"),
        };
        let style = ProgressStyle::with_template(form).unwrap_or_else(|_| ProgressStyle::default_bar());
        bar.set_draw_target(target);
        bar.set_style(style.progress_chars("━━─"));
        bar.enable_steady_tick(Duration::from_millis(200));
        let zero = AtomicU64::default;
        Self {
            devices,
            began: Instant::now(),
            ready: zero(),
            connected: zero(),
            messages: zero(),
            commands: zero(),
            desired: zero(),
            received: zero(),
            lost: zero(),
            slowest: Mutex::default(),
            reason: Mutex::default(),
            bar,
        }
    }

    /// What begins now.
    pub(super) fn step(&self, what: &'static str) {
        self.bar.set_message(what);
    }

    /// A device has an identity.
    pub(super) fn ready(&self) {
        let ready = self.ready.fetch_add(1, Ordering::Relaxed) + 1;
        self.bar.set_message(format!("{ready} of {} devices made", self.devices));
    }

    pub(super) fn connected(&self) {
        self.connected.fetch_add(1, Ordering::Relaxed);
        self.show();
    }

    /// A connection ended that was not to end; `was_up`: it stood.
    pub(super) fn lost(&self, was_up: bool, reason: String) {
        if was_up {
            self.connected.fetch_sub(1, Ordering::Relaxed);
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
        *self.reason.lock() = Some(reason);
        self.show();
    }

    /// A device that was connected says goodbye.
    pub(super) fn gone(&self) {
        self.connected.fetch_sub(1, Ordering::Relaxed);
    }

    pub(super) fn sent(&self, took: Duration) {
        self.messages.fetch_add(1, Ordering::Relaxed);
        self.bar.inc(1);
        let mut slowest = self.slowest.lock();
        *slowest = took.max(*slowest);
    }

    pub(super) fn command(&self) {
        self.commands.fetch_add(1, Ordering::Relaxed);
        self.show();
    }

    pub(super) fn desired(&self) {
        self.desired.fetch_add(1, Ordering::Relaxed);
        self.show();
    }

    pub(super) fn received(&self) {
        self.received.fetch_add(1, Ordering::Relaxed);
        self.show();
    }

    fn show(&self) {
        let count = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let mut text = format!("{} of {} connected", count(&self.connected), self.devices);
        for (number, what) in [
            (count(&self.commands), "commands"),
            (count(&self.desired), "desired changes"),
            (count(&self.received), "messages from the cloud"),
            (count(&self.lost), "connections lost"),
        ] {
            if number > 0 {
                text.push_str(&format!(", {number} {what}"));
            }
        }
        self.bar.set_message(text);
    }

    /// All of it, and the end of what is drawn.
    pub(super) fn summary(&self) -> Value {
        self.bar.finish_and_clear();
        let count = |count: &AtomicU64| count.load(Ordering::Relaxed);
        json!({
            "devices": self.devices,
            "messages": count(&self.messages),
            "commands": count(&self.commands),
            "desiredChanges": count(&self.desired),
            "cloudToDeviceMessages": count(&self.received),
            "connectionsLost": count(&self.lost),
            "slowestAcknowledgementMs": self.slowest.lock().as_secs_f64() * 1000.0,
            "seconds": self.began.elapsed().as_secs_f64(),
            "lastFailure": *self.reason.lock(),
        })
    }
}

/// The same for eyes.
pub(super) fn told(summary: &Value) -> String {
    let number = |name: &str| summary[name].as_u64().unwrap_or_default();
    let real = |name: &str| summary[name].as_f64().unwrap_or_default();
    let mut text = format!(
        "{} devices sent {} messages in {:.1} s (slowest acknowledgement {:.0} ms); {} commands answered, {} changes of desired \
         properties and {} messages from the cloud received, {} connections lost",
        number("devices"),
        number("messages"),
        real("seconds"),
        real("slowestAcknowledgementMs"),
        number("commands"),
        number("desiredChanges"),
        number("cloudToDeviceMessages"),
        number("connectionsLost"),
    );
    if let Some(reason) = summary["lastFailure"].as_str() {
        text.push_str(&format!("; the last failure: {reason}"));
    }
    text
}
