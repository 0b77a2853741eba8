//! Failed attempts by address: after ten in a minute an address waits for the minute to end.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use parking_lot::Mutex;
use pollux_model::Timestamp;

/// Failures in a window before an address is held back.
const TOLERATED: u32 = 10;
/// The window.
const WINDOW: Duration = Duration::from_secs(60);
/// Addresses remembered at most; beyond it those whose window ended are forgotten, then all.
const REMEMBERED: usize = 4096;

/// Failed attempts by address.
#[derive(Debug, Default)]
pub(super) struct Attempts(Mutex<HashMap<IpAddr, (Timestamp, u32)>>);

impl Attempts {
    /// Seconds this address must wait; `None` if it may try.
    pub(super) fn held_back(&self, address: IpAddr, now: Timestamp) -> Option<u32> {
        let failures = self.0.lock();
        let (since, count) = failures.get(&address)?;
        let left = WINDOW.saturating_sub(now.since(*since));
        (*count >= TOLERATED && !left.is_zero()).then(|| u32::try_from(left.as_secs()).unwrap_or(0) + 1)
    }

    /// Remembers a failure.
    pub(super) fn failed(&self, address: IpAddr, now: Timestamp) {
        let mut failures = self.0.lock();
        if failures.len() >= REMEMBERED && !failures.contains_key(&address) {
            failures.retain(|_, (since, _)| now.since(*since) < WINDOW);
            if failures.len() >= REMEMBERED {
                failures.clear();
            }
        }
        let entry = failures.entry(address).or_insert((now, 0));
        if now.since(entry.0) >= WINDOW {
            *entry = (now, 0);
        }
        entry.1 = entry.1.saturating_add(1);
    }

    /// Forgets an address that succeeded.
    pub(super) fn succeeded(&self, address: IpAddr) {
        self.0.lock().remove(&address);
    }
}
