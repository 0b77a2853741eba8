//! The load: devices that talk, and services that change, register, delete and disable them. It goes on through every fault and
//! pauses for the checks.

pub(crate) mod device;
pub(crate) mod prepare;
pub(crate) mod service;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use pollux_model::{Key, Random as _};
use pollux_testkit::SeededRandom;
use tokio::sync::watch;

use crate::ledger::Ledger;
use crate::target::Targets;

/// The model of all devices.
pub(crate) const MODEL: &str = "dtmi:faults:Thermostat;1";
/// The enrollment group of all devices.
pub(crate) const GROUP: &str = "faults";

/// Whether the load goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// It does.
    Running,
    /// Each device says one last thing, and nothing new is begun. Pauses are counted from 1.
    Pausing(u32),
}

/// What all tasks of the load share.
#[derive(Debug)]
pub(crate) struct Load {
    pub(crate) ledger: Ledger,
    pub(crate) targets: Arc<Targets>,
    pub(crate) group_key: Key,
    /// Between two messages of a device.
    pub(crate) pace: Duration,
    /// Connections that a newer one has replaced and that are still open.
    pub(crate) superseded: AtomicUsize,
    /// Operations of services that have begun and not ended.
    under_way: AtomicUsize,
    phase: watch::Sender<Phase>,
    random: SeededRandom,
}

impl Load {
    pub(crate) fn new(
        ledger: Ledger,
        targets: Arc<Targets>,
        group_key: Key,
        pace: Duration,
        seed: u64,
    ) -> Self {
        Self {
            ledger,
            targets,
            group_key,
            pace,
            superseded: AtomicUsize::new(0),
            under_way: AtomicUsize::new(0),
            phase: watch::Sender::new(Phase::Running),
            random: SeededRandom::new(seed),
        }
    }

    pub(crate) fn set_phase(&self, phase: Phase) {
        self.phase.send_replace(phase);
    }

    /// Resolves while the load goes on.
    async fn running(&self) {
        let mut phase = self.phase.subscribe();
        // The sender is in `self`: it does not go away.
        let _ = phase.wait_for(|phase| *phase == Phase::Running).await;
    }

    pub(crate) fn below(&self, bound: u64) -> u64 {
        self.random.below(bound.max(1))
    }

    /// A part of a duration, by chance.
    fn part_of(&self, whole: Duration) -> Duration {
        Duration::from_millis(self.below(u64::try_from(whole.as_millis()).unwrap_or(u64::MAX)))
    }

    fn begin(&self) -> UnderWay<'_> {
        self.under_way.fetch_add(1, Ordering::Relaxed);
        UnderWay(&self.under_way)
    }

    /// What still keeps a pause from being one; nothing when all stands still.
    pub(crate) fn unsettled(&self, round: u32) -> Option<String> {
        let operations = self.under_way.load(Ordering::Relaxed);
        if operations > 0 {
            return Some(format!("{operations} operations of services have not ended"));
        }
        let (missing, left) = self.ledger.astray();
        if let Some(first) = missing.first() {
            return Some(format!("{} devices are not connected, such as {first}", missing.len()));
        }
        if let Some(first) = left.first() {
            let count = left.len();
            return Some(format!(
                "{count} devices are connected although they were deleted or disabled, such as {first}"
            ));
        }
        let open = self.superseded.load(Ordering::Relaxed);
        if open > 0 {
            return Some(format!("{open} connections are open although the device has a newer one"));
        }
        let talking = self.ledger.devices.iter().filter(|device| {
            let state = device.state.lock();
            state.connected.is_some() && (state.settled < round || state.pending.is_some())
        });
        let talking: Vec<_> = talking.map(|device| device.id.as_str()).collect();
        let first = talking.first()?;
        Some(format!("{} devices wait for a PUBACK, such as {first}", talking.len()))
    }
}

/// An operation that has begun; ends when dropped.
struct UnderWay<'a>(&'a AtomicUsize);

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
