//! What the generator did and what it was told: every acknowledged fact, and every answer that no fault explains.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::numbers::Numbers;

/// Most texts kept of what went wrong between two checks.
const MOST_TEXTS: usize = 200;

/// How a device stands with its hub.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Life {
    /// Registered and enabled: it should be connected.
    Alive,
    /// Its delete or its disable was asked for, with an answer still to come.
    Leaving,
    /// Acknowledged.
    Disabled,
    /// Acknowledged.
    Deleted,
}

/// A device.
#[derive(Debug)]
pub(crate) struct Device {
    pub(crate) id: String,
    pub(crate) key: Vec<u8>,
    /// Whether it may be deleted and disabled.
    pub(crate) mortal: bool,
    pub(crate) state: Mutex<State>,
    /// Its task is to look at `state`.
    pub(crate) wake: Notify,
}

/// What is known of a device.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) life: Life,
    /// How often its delete or its disable was asked for.
    pub(crate) leaves: u64,
    pub(crate) telemetry: Numbers,
    /// Sent and not acknowledged: its number and the time it bears.
    pub(crate) pending: Option<(u64, String)>,
    /// The last pause of the load in which its last message was acknowledged.
    pub(crate) settled: u32,
    /// The node it is connected to, with all it needs there, and since when.
    pub(crate) connected: Option<usize>,
    pub(crate) connected_since: Option<Instant>,
    /// Since when its connection should be cut.
    pub(crate) to_be_cut: Option<Instant>,
    /// The node it is to connect to next, while it is connected.
    pub(crate) move_to: Option<usize>,
    pub(crate) desired: Numbers,
    pub(crate) desired_busy: bool,
    /// Version and number of the newest acknowledged change in this life.
    pub(crate) desired_version: u64,
    pub(crate) desired_number: u64,
    /// When it was asked for and acknowledged, and by which node.
    pub(crate) desired_through: Option<(Instant, Instant, usize)>,
    /// What the device knows of its desired properties: version and number.
    pub(crate) told: Option<(u64, u64)>,
}

impl Device {
    pub(crate) fn new(id: String, key: Vec<u8>, mortal: bool) -> Self {
        let state = State {
            life: Life::Alive,
            leaves: 0,
            telemetry: Numbers::default(),
            pending: None,
            settled: 0,
            connected: None,
            connected_since: None,
            to_be_cut: None,
            move_to: None,
            desired: Numbers::default(),
            desired_busy: false,
            desired_version: 0,
            desired_number: 0,
            desired_through: None,
            told: None,
        };
        Self { id, key, mortal, state: Mutex::new(state), wake: Notify::new() }
    }

    /// In which of its lives it should be connected, if it should be. What a node says of one life may arrive in the next.
    pub(crate) fn alive(&self) -> Option<u64> {
        let state = self.state.lock();
        (state.life == Life::Alive).then_some(state.leaves)
    }

    /// Its delete or its disable is asked for.
    pub(crate) fn leaves(&self) {
        let mut state = self.state.lock();
        state.life = Life::Leaving;
        state.leaves += 1;
    }
}

/// Counts of acknowledged facts and of what else is worth knowing.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) telemetry: AtomicU64,
    pub(crate) sent_again: AtomicU64,
    pub(crate) desired: AtomicU64,
    pub(crate) desired_open: AtomicU64,
    pub(crate) told: AtomicU64,
    pub(crate) registrations: AtomicU64,
    pub(crate) deletes: AtomicU64,
    pub(crate) disables: AtomicU64,
    pub(crate) connects: AtomicU64,
    pub(crate) refused: AtomicU64,
}

/// The counts at one moment.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Counted {
    pub(crate) telemetry: u64,
    pub(crate) sent_again: u64,
    pub(crate) desired: u64,
    pub(crate) desired_open: u64,
    pub(crate) registrations: u64,
    pub(crate) deletes: u64,
    pub(crate) disables: u64,
    pub(crate) connects: u64,
    pub(crate) refused: u64,
}

/// When telemetry was acknowledged, since a moment.
#[derive(Debug)]
pub(crate) struct Marks {
    since: Instant,
    last: Instant,
    longest: Duration,
    first_of_node: Vec<Option<Instant>>,
}

/// Everything that is known.
#[derive(Debug)]
pub(crate) struct Ledger {
    pub(crate) devices: Vec<Arc<Device>>,
    /// Registered and never connected.
    pub(crate) fresh: Mutex<BTreeSet<String>>,
    pub(crate) counts: Counts,
    wrong: Mutex<Vec<String>>,
    cuts: Mutex<Vec<Duration>>,
    marks: Mutex<Marks>,
}

impl Ledger {
    pub(crate) fn new(devices: Vec<Arc<Device>>, nodes: usize) -> Self {
        Self {
            devices,
            fresh: Mutex::default(),
            counts: Counts::default(),
            wrong: Mutex::default(),
            cuts: Mutex::default(),
            marks: Mutex::new(Marks::new(nodes)),
        }
    }

    /// Notes an answer that no fault explains.
    pub(crate) fn wrong(&self, text: String) {
        let mut wrong = self.wrong.lock();
        if wrong.len() < MOST_TEXTS {
            wrong.push(text);
        }
    }

    /// What went wrong since the last call.
    pub(crate) fn take_wrong(&self) -> Vec<String> {
        std::mem::take(&mut *self.wrong.lock())
    }

    /// Notes how long after the acknowledged delete or disable the connection was cut.
    pub(crate) fn cut_after(&self, delay: Duration) {
        self.cuts.lock().push(delay);
    }

    /// The delays since the last call.
    pub(crate) fn take_cuts(&self) -> Vec<Duration> {
        std::mem::take(&mut *self.cuts.lock())
    }

    /// Notes a PUBACK from a node.
    pub(crate) fn acknowledged(&self, node: usize) {
        self.counts.telemetry.fetch_add(1, Ordering::Relaxed);
        let mut marks = self.marks.lock();
        let now = Instant::now();
        marks.longest = marks.longest.max(now - marks.last);
        marks.last = now;
        marks.first_of_node[node].get_or_insert(now);
    }

    /// From now on, marks count anew.
    pub(crate) fn mark(&self) {
        let mut marks = self.marks.lock();
        *marks = Marks::new(marks.first_of_node.len());
    }

    /// The longest time without any PUBACK since the mark.
    pub(crate) fn longest_pause(&self) -> Duration {
        let marks = self.marks.lock();
        marks.longest.max(marks.last.elapsed())
    }

    /// How long after the mark a node acknowledged for the first time.
    pub(crate) fn first_of(&self, node: usize) -> Option<Duration> {
        let marks = self.marks.lock();
        marks.first_of_node[node].map(|first| first - marks.since)
    }

    /// How long after the mark each node had acknowledged something.
    pub(crate) fn first_of_all(&self) -> Option<Duration> {
        let nodes = self.marks.lock().first_of_node.len();
        (0..nodes).map(|node| self.first_of(node)).collect::<Option<Vec<_>>>()?.into_iter().max()
    }

    pub(crate) fn counted(&self) -> Counted {
        let counts = &self.counts;
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Counted {
            telemetry: of(&counts.telemetry),
            sent_again: of(&counts.sent_again),
            desired: of(&counts.desired),
            desired_open: of(&counts.desired_open),
            registrations: of(&counts.registrations),
            deletes: of(&counts.deletes),
            disables: of(&counts.disables),
            connects: of(&counts.connects),
            refused: of(&counts.refused),
        }
    }

    /// Devices that should be connected and are not; devices that are connected and should not be.
    pub(crate) fn astray(&self) -> (Vec<&str>, Vec<&str>) {
        let (mut missing, mut left) = (Vec::new(), Vec::new());
        for device in &self.devices {
            let state = device.state.lock();
            match (state.life, state.connected) {
                (Life::Alive, None) => missing.push(device.id.as_str()),
                (Life::Disabled | Life::Deleted, Some(_)) => left.push(device.id.as_str()),
                _ => {}
            }
        }
        (missing, left)
    }

    /// How many devices are connected to each node.
    pub(crate) fn connected(&self, nodes: usize) -> Vec<usize> {
        let mut connected = vec![0; nodes];
        for device in &self.devices {
            if let Some(node) = device.state.lock().connected {
                connected[node] += 1;
            }
        }
        connected
    }
}

impl Counted {
    /// What came since `before`.
    pub(crate) fn since(self, before: Self) -> Self {
        Self {
            telemetry: self.telemetry - before.telemetry,
            sent_again: self.sent_again - before.sent_again,
            desired: self.desired - before.desired,
            desired_open: self.desired_open - before.desired_open,
            registrations: self.registrations - before.registrations,
            deletes: self.deletes - before.deletes,
            disables: self.disables - before.disables,
            connects: self.connects - before.connects,
            refused: self.refused - before.refused,
        }
    }
}

impl Marks {
    fn new(nodes: usize) -> Self {
        let now = Instant::now();
        Self { since: now, last: now, longest: Duration::ZERO, first_of_node: vec![None; nodes] }
    }
}
