//! When each device and module was last heard of (`connectionStateUpdatedTime`, `lastActivityTime`), kept beyond its connection.
//!
//! Azure article "Monitor device connection status": both may be minutes behind. Here what this node knows is shown at once and
//! stored with that of all others a second later; of a connection that stands, once a minute. A node that is killed takes with it
//! what it had not stored.
//!
//! ```text
//!   connects, leaves  ─▶ noted ─┬─▶ one batch a second
//!   a message, no connection ───┤
//!   a message ─▶ the connection ┘ (each minute)
//! ```

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use parking_lot::Mutex;
use pollux_model::device::{Activity, Device};
use pollux_model::resource::Resource;
use pollux_model::{DeviceAddress, ResourceName, Result, Timestamp};
use pollux_store::{Batch, Write};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::Hub;
use super::connections::{Connections, Key, Live};

/// How long is gathered what is written together.
const GATHERED: Duration = Duration::from_secs(1);
/// How far what is stored of a connection that stands may be behind.
const BEHIND: Duration = Duration::from_secs(60);
/// Writes of a batch.
const CHUNK: usize = 256;
/// The pause after a failure.
const PAUSE: Duration = Duration::from_secs(5);

/// What is noted and not stored yet: each device once, so that there are no more than devices that were heard of.
#[derive(Debug, Default)]
pub(super) struct Noted {
    waiting: Mutex<BTreeMap<Key, Activity>>,
    news: Notify,
}

impl Noted {
    pub(super) fn add(&self, key: Key, activity: Activity) {
        let mut waiting = self.waiting.lock();
        let noted = waiting.entry(key).or_insert(Activity::NONE);
        *noted = noted.merge(activity);
        drop(waiting);
        self.news.notify_one();
    }

    fn of(&self, key: &Key) -> Activity {
        self.waiting.lock().get(key).copied().unwrap_or(Activity::NONE)
    }
}

impl Live {
    /// What is known of it while it stands.
    pub(super) fn activity(&self) -> Activity {
        let last = Timestamp::from_micros(self.active.load(Ordering::Relaxed));
        Activity { state_updated: self.since, last }
    }
}

impl Connections {
    /// The device or module received or sent a message.
    pub(super) fn active(&self, hub: &ResourceName, device: &DeviceAddress) {
        let (key, now) = ((hub.clone(), device.clone()), self.context.clock.now());
        match self.here(&key) {
            Some(live) => drop(live.active.fetch_max(now.as_micros(), Ordering::Relaxed)),
            None => self.noted.add(key, Activity::message(now)),
        }
    }

    /// What this node knows and may not have stored yet.
    fn activity_here(&self, key: &Key) -> Activity {
        let live = self.here(key).map_or(Activity::NONE, |live| live.activity());
        live.merge(self.noted.of(key))
    }

    /// Notes what became of connections that stand since it was noted last.
    fn note_live(&self) {
        for entry in self.live.iter() {
            let (live, active) = (entry.value(), entry.value().active.load(Ordering::Relaxed));
            if live.stored.swap(active, Ordering::Relaxed) != active {
                self.noted.add(entry.key().clone(), live.activity());
            }
        }
    }

    /// Notes that they all leave: this node ends.
    fn note_leaving(&self) {
        let left = Activity::state(self.context.clock.now());
        for entry in self.live.iter() {
            self.noted.add(entry.key().clone(), entry.value().activity().merge(left));
        }
    }
}

impl Hub {
    /// Of each of these devices or modules.
    pub(super) async fn activities(
        &self,
        hub: &Resource,
        devices: &[Device],
    ) -> Result<HashMap<DeviceAddress, Activity>> {
        let addresses: Vec<_> = devices.iter().map(Device::address).collect();
        // Before the store is read: what is stored in between is forgotten here.
        let of = |id: &DeviceAddress| self.connections.activity_here(&(hub.name.clone(), id.clone()));
        let here: Vec<_> = addresses.iter().map(of).collect();
        let stored = self.context.store.activities(&hub.name, &addresses).await?;
        let known = addresses.into_iter().zip(here).zip(devices).map(|((id, here), device)| {
            let activity = stored.get(&id).map_or(here, |stored| stored.merge(here));
            (id, activity.since(device.identity.created))
        });
        Ok(known.collect())
    }

    /// Stores what is noted, until shutdown, and then once more.
    pub(crate) async fn run_activity(self: Arc<Self>, shutdown: CancellationToken) {
        let mut standing = tokio::time::interval(BEHIND);
        standing.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = shutdown.cancelled() => break,
                _ = standing.tick() => self.connections.note_live(),
                () = self.connections.noted.news.notified() => {}
            }
            let pause = match self.store_activity().await {
                Ok(()) => GATHERED,
                Err(error) => {
                    tracing::warn!(%error, "when devices were last heard of cannot be stored: it is tried again");
                    // After the pause, whether or not anybody else is heard of.
                    self.connections.noted.news.notify_one();
                    PAUSE
                }
            };
            tokio::select! {
                () = shutdown.cancelled() => break,
                () = tokio::time::sleep(pause) => {}
            }
        }
        self.connections.note_leaving();
        if let Err(error) = self.store_activity().await {
            tracing::warn!(%error, "when devices were last heard of is lost");
        }
    }

    /// Stores what is noted; what cannot be stored stays noted. In order of hub and device, so that nodes do not wait for each
    /// other in a circle.
    pub(super) async fn store_activity(&self) -> Result<()> {
        let noted = &self.connections.noted;
        let mut after = Bound::Unbounded;
        loop {
            let chunk: Vec<(Key, Activity)> = {
                let (waiting, rest) = (noted.waiting.lock(), (after, Bound::Unbounded));
                waiting.range(rest).take(CHUNK).map(|(key, activity)| (key.clone(), *activity)).collect()
            };
            let Some((last, _)) = chunk.last() else { return Ok(()) };
            after = Bound::Excluded(last.clone());
            let write = |((hub, device), activity): &(Key, Activity)| Write::NoteActivity {
                hub: hub.clone(),
                device: device.clone(),
                activity: *activity,
            };
            self.context.store.commit(Batch { writes: chunk.iter().map(write).collect() }).await?;
            // Only now: until it can be read in the store it is read here.
            let mut waiting = noted.waiting.lock();
            for (key, stored) in chunk {
                if waiting.get(&key) == Some(&stored) {
                    waiting.remove(&key);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
