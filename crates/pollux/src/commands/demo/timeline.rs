//! What happened to one device, hop by hop.

use std::time::Duration;

use tokio::time::Instant;

/// One hop.
#[derive(Debug, Clone)]
pub(super) struct Hop {
    pub(super) name: String,
    /// When it ended, since the device's first move.
    pub(super) at: Duration,
    pub(super) took: Duration,
}

/// The hops of one device.
#[derive(Debug, Clone)]
pub(super) struct Timeline {
    start: Instant,
    pub(super) hops: Vec<Hop>,
}

impl Timeline {
    /// Starts now.
    pub(super) fn new() -> Self {
        Self { start: Instant::now(), hops: Vec::new() }
    }

    /// Notes hops that came one after the other, the last of them just now.
    pub(super) fn series(&mut self, hops: &[(String, Duration)]) {
        let all: Duration = hops.iter().map(|(_, took)| *took).sum();
        let mut at = self.start.elapsed().saturating_sub(all);
        for (name, took) in hops {
            at += *took;
            self.hops.push(Hop { name: name.clone(), at, took: *took });
        }
    }

    /// Notes a hop that began then and ends now.
    pub(super) fn hop(&mut self, name: &str, began: Instant) {
        self.hops.push(Hop { name: name.to_owned(), at: self.start.elapsed(), took: began.elapsed() });
    }
}
