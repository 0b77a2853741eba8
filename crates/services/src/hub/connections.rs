//! Live connections of devices, and of their modules, each for itself: at most one an address in the whole deployment, the
//! newest wins. Here: those of this node, and the one way to a device wherever it is; how nodes reach each other is in
//! `elsewhere.rs`.

mod departures;
mod elsewhere;
mod methods;
mod order;
mod watch;

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};
use std::fmt::Debug;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};

use dashmap::DashMap;
use parking_lot::Mutex;
use pollux_model::device::{Activity, Device};
use pollux_model::resource::Resource;
use pollux_model::sas::SasToken;
use pollux_model::{Clock, DeviceAddress, ResourceName, Result, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::oneshot;
use tokio::task::AbortHandle;

pub(super) use self::departures::Departure;
use self::departures::Departures;
pub use self::methods::OpenMethods;
use self::order::Order;
use self::watch::Unsaid;
use super::activity::Noted;
use super::authenticate::signed_by_policy;
use super::throttle::Today;
use super::{MethodAnswer, MethodCall, MethodFailure};
use crate::context::Context;

/// What a service wants of a live connection. Neutral: an edge turns it into its protocol's words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum DeviceCommand {
    /// Desired properties changed: the patch and the version it leads to.
    Desired {
        /// What changed (`null` for what is gone).
        patch: Value,
        /// The version of the desired properties after it.
        version: u64,
    },
    /// There may be cloud-to-device messages for the device: whoever delivers them looks.
    MessageWaiting,
    /// End the connection.
    Close {
        /// Why, for the log.
        reason: Cow<'static, str>,
    },
}

/// The edge's end of a live connection. MUST NOT block; a link that cannot take a command closes itself.
pub trait DeviceLink: Send + Sync + Debug {
    /// Hands over a command.
    fn deliver(&self, command: DeviceCommand);

    /// Hands over a method; the answer comes later, and never where the connection ends before.
    ///
    /// # Errors
    /// [`MethodFailure::NotOnline`] where the device listens to no methods, and unless an edge says
    /// otherwise; [`MethodFailure::Busy`].
    fn invoke(
        &self,
        _call: MethodCall,
    ) -> std::result::Result<oneshot::Receiver<MethodAnswer>, MethodFailure> {
        Err(MethodFailure::NotOnline)
    }
}

pub(super) type Key = (ResourceName, DeviceAddress);
type Map = DashMap<Key, Arc<Live>>;

/// The live connections.
#[derive(Debug)]
pub struct Connections {
    pub(super) context: Arc<Context>,
    pub(super) live: Arc<Map>,
    departures: Arc<Departures>,
    /// When devices were last heard of, until it is stored.
    pub(super) noted: Arc<Noted>,
    counter: AtomicU64,
    /// What other nodes may not have been told: they must look for themselves.
    unsaid: Mutex<Unsaid>,
    /// Messages of the day of hubs that are held to a tier: nodes tell each other beside how many devices they have.
    pub(super) today: Today,
}

/// A connection as services see it.
#[derive(Debug)]
pub(super) struct Live {
    number: u64,
    key: Key,
    /// The device's generation; one that is made anew is another device.
    generation: String,
    link: Arc<dyn DeviceLink>,
    by_policy: Option<Arc<SasToken>>,
    pub(super) since: Timestamp,
    /// When it last received or sent a message, in microseconds, and which time of it was noted.
    pub(super) active: AtomicI64,
    pub(super) stored: AtomicI64,
    order: Mutex<Order>,
    /// Whether it counts: the device was let in.
    entered: AtomicBool,
}

/// Who connects.
#[derive(Debug, Clone)]
pub struct Entering {
    /// The hub.
    pub hub: ResourceName,
    /// The device, or a module of it.
    pub device: DeviceAddress,
    /// Its generation.
    pub generation: String,
    /// What a policy's key signed, if that let it in.
    pub by_policy: Option<Arc<SasToken>>,
}

impl Entering {
    /// A device that came by a key or certificate of its own.
    #[must_use]
    pub const fn new(hub: ResourceName, device: DeviceAddress, generation: String) -> Self {
        Self { hub, device, generation, by_policy: None }
    }
}

/// A device's place among the live connections; gives it up when dropped.
#[derive(Debug)]
pub struct Connection {
    map: Arc<Map>,
    clock: Arc<dyn Clock>,
    departures: Arc<Departures>,
    noted: Arc<Noted>,
    live: Arc<Live>,
    /// What hears for this device what other nodes say.
    listening: Option<AbortHandle>,
}

impl Connections {
    pub(super) fn new(context: Arc<Context>) -> Self {
        Self {
            context,
            live: Arc::default(),
            departures: Arc::default(),
            noted: Arc::default(),
            counter: AtomicU64::new(0),
            unsaid: Mutex::default(),
            today: Today::default(),
        }
    }

    /// Takes the device's place; the connection that had it, on whatever node, is closed. Whoever looks at the device's
    /// state after that misses nothing: what is said to the device from then on is kept until [`Connection::knows`].
    pub async fn enter(
        &self,
        who: Entering,
        link: Arc<dyn DeviceLink>,
        now: Timestamp,
    ) -> Result<Connection> {
        let key = (who.hub, who.device);
        let number = self.counter.fetch_add(1, Ordering::Relaxed);
        let live = Arc::new(Live {
            number,
            key: key.clone(),
            generation: who.generation,
            link,
            by_policy: who.by_policy,
            since: now,
            active: AtomicI64::new(now.as_micros()),
            stored: AtomicI64::new(now.as_micros()),
            order: Mutex::default(),
            entered: AtomicBool::new(false),
        });
        let before = self.live.insert(key, Arc::clone(&live));
        if let Some(before) = before {
            before.close("the device connected again elsewhere");
        }
        let (map, clock) = (Arc::clone(&self.live), Arc::clone(&self.context.clock));
        let (departures, noted) = (Arc::clone(&self.departures), Arc::clone(&self.noted));
        let mut connection = Connection { map, clock, departures, noted, live, listening: None };
        if let Some(shared) = self.context.cluster.others() {
            connection.listening = Some(self.enter_among(shared, &connection.live).await?);
        }
        Ok(connection)
    }

    /// Hands a command to the device's live connection; `false` when it has none.
    pub async fn deliver(&self, hub: &ResourceName, device: &DeviceAddress, command: DeviceCommand) -> bool {
        let key = (hub.clone(), device.clone());
        if let Some(live) = self.here(&key) {
            live.deliver(command);
            return true;
        }
        self.deliver_elsewhere(&key, command).await
    }

    /// Hands a command to the device's connection if this node has it; gives it back where it does not.
    pub(super) fn deliver_here(
        &self,
        hub: &ResourceName,
        device: &DeviceAddress,
        command: DeviceCommand,
    ) -> Option<DeviceCommand> {
        match self.here(&(hub.clone(), device.clone())) {
            Some(live) => live.deliver(command),
            None => return Some(command),
        }
        None
    }

    /// Lets the node that has the device's connection compare it with the device's state: the device was replaced, moved or
    /// reset.
    pub async fn look_after(&self, hub: &ResourceName, device: &DeviceAddress) {
        let key = (hub.clone(), device.clone());
        match self.here(&key) {
            Some(live) => self.look(&live).await,
            None => self.look_elsewhere(&key).await,
        }
    }

    /// The same, for its modules too, when it can be: a change of the device may have been made that nobody knows of for
    /// certain.
    pub fn look_later(&self, hub: &ResourceName, device: &DeviceAddress) {
        let key = (hub.clone(), device.clone());
        if self.context.cluster.others().is_some() {
            self.unsaid.lock().add(key);
        } else {
            self.covered(&BTreeSet::from([key])).into_iter().for_each(|live| self.looker()(live));
        }
    }

    /// The connections here of these, and of the modules of those that are devices.
    fn covered(&self, keys: &BTreeSet<Key>) -> Vec<Arc<Live>> {
        let covers = |key: &Key| {
            let (hub, id) = key;
            let of_module = || keys.contains(&(hub.clone(), id.device.clone().into()));
            keys.contains(key) || (id.module.is_some() && of_module())
        };
        let live = self.live.iter().filter(|entry| covers(entry.key()));
        live.map(|entry| Arc::clone(entry.value())).collect()
    }

    /// Since when the device is connected, if it is.
    pub async fn since(&self, hub: &ResourceName, device: &DeviceAddress) -> Option<Timestamp> {
        let key = (hub.clone(), device.clone());
        match self.here(&key) {
            Some(live) => Some(live.since),
            None => self.since_elsewhere(&key).await,
        }
    }

    /// Since when each of these devices or modules is connected; those that are not are left out.
    pub async fn since_each(
        &self,
        hub: &ResourceName,
        devices: &[Device],
    ) -> HashMap<DeviceAddress, Timestamp> {
        let mut found = HashMap::new();
        let mut others = Vec::new();
        for id in devices.iter().map(Device::address) {
            match self.here(&(hub.clone(), id.clone())) {
                Some(live) => drop(found.insert(id, live.since)),
                None => others.push(id),
            }
        }
        self.add_elsewhere(hub, others, &mut found).await;
        found
    }

    /// How many devices of a hub are connected, modules left out.
    pub async fn count(&self, hub: &ResourceName) -> usize {
        self.count_here(hub) + self.count_elsewhere(hub).await
    }

    /// Ends every connection of a hub on this node: it is deleted.
    pub fn close_all(&self, hub: &ResourceName, reason: &'static str) {
        self.close_those(hub, |_| true, reason);
    }

    /// Ends those of a hub on this node that a policy's key let in which is none of its keys any more.
    pub fn close_unsigned(&self, hub: &Resource) {
        let unsigned =
            |live: &Live| live.by_policy.as_ref().is_some_and(|token| !signed_by_policy(hub, token));
        self.close_those(&hub.name, unsigned, "the key of the policy that let it in is gone");
    }

    fn close_those(&self, hub: &ResourceName, which: impl Fn(&Live) -> bool, reason: &'static str) {
        let of_hub = self.live.iter().filter(|entry| entry.key().0 == *hub && which(entry.value()));
        let all: Vec<_> = of_hub.map(|entry| Arc::clone(entry.value())).collect();
        for live in all {
            live.close(reason);
        }
    }

    pub(super) fn here(&self, key: &Key) -> Option<Arc<Live>> {
        self.live.get(key).map(|entry| Arc::clone(entry.value()))
    }

    fn count_here(&self, hub: &ResourceName) -> usize {
        let counts = |(of, id): &Key| of == hub && id.module.is_none();
        self.live.iter().filter(|entry| counts(entry.key())).count()
    }
}

impl Live {
    fn deliver(self: &Arc<Self>, command: DeviceCommand) {
        match command {
            DeviceCommand::Desired { patch, version } => self.desired(version, patch),
            DeviceCommand::MessageWaiting | DeviceCommand::Close { .. } => self.link.deliver(command),
        }
    }

    fn close(&self, reason: &'static str) {
        self.link.deliver(DeviceCommand::Close { reason: Cow::Borrowed(reason) });
    }
}

impl Connection {
    /// The version of the desired properties that the device will find when it reads its twin: it is told of later ones
    /// only.
    pub fn knows(&self, version: u64) {
        self.live.knows(version);
    }

    /// The device is let in: that it came is noted, and that it leaves will be.
    pub(super) fn entered(&self) {
        self.noted.add(self.live.key.clone(), self.live.activity());
        self.live.entered.store(true, Ordering::Relaxed);
    }

    /// Whether a newer connection of the device has taken the place.
    #[must_use]
    pub fn superseded(&self) -> bool {
        self.map.get(&self.live.key).is_none_or(|entry| entry.number != self.live.number)
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        if let Some(listening) = &self.listening {
            listening.abort();
        }
        // Where another has the place the device has not left.
        if self.map.remove_if(&self.live.key, |_, entry| entry.number == self.live.number).is_some() {
            let entered = self.live.entered.load(Ordering::Relaxed);
            if entered {
                let left = Activity::state(self.clock.now());
                self.noted.add(self.live.key.clone(), self.live.activity().merge(left));
            }
            self.departures.add(Departure { key: self.live.key.clone(), entered });
        }
    }
}

#[cfg(test)]
pub(super) mod tests;
