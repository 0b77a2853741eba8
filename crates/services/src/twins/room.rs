//! How many twins and relationships an instance may have, and how many relationships a twin ("Azure Digital Twins service
//! limits").
//!
//! Counting is dear where there are many, so it is not done for each: whoever finds room takes a small share of it along
//! for a while, and the next are let through until that is used up. An instance that is nearly full is counted each time.
//! Nodes do not tell each other of their shares, and what is under way at the moment of a count is not in it: the limit
//! may be passed by what other nodes were still let through, a sixteenth of the room that was left, and by requests that
//! are answered at the same moment.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;
use std::time::Duration;

use parking_lot::Mutex;
use pollux_model::digital_twin::Relationship;
use pollux_model::ids::shown;
use pollux_model::{Error, ErrorCode, ResourceName, Result, Timestamp};
use pollux_store::twins::Direction;

use super::{Twins, refusal};

/// The part of the room that is taken along by one count.
const SHARE: u64 = 16;
/// How long a share holds.
const HOLDS: Duration = Duration::from_secs(60);
/// Instances, and twins, whose room is remembered. Those forgotten are counted again.
const REMEMBERED: usize = 10_000;

/// What there is room for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Noun {
    Twin,
    Relationship,
}

/// The room of each instance that is known of.
#[derive(Debug, Default)]
pub(super) struct Rooms {
    instances: Shares<(ResourceName, Noun)>,
    /// Of the relationships of a twin.
    ends: Shares<(ResourceName, Direction, String)>,
    /// Held while somebody counts an instance, so that others do not count too.
    counting: tokio::sync::Mutex<()>,
}

/// How many more are let through, and until when.
#[derive(Debug)]
struct Shares<K>(Mutex<HashMap<K, (u64, Timestamp)>>);

impl<K> Default for Shares<K> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Eq + Hash> Shares<K> {
    fn take(&self, key: &K, count: u64, now: Timestamp) -> bool {
        let mut known = self.0.lock();
        let Some((left, until)) = known.get_mut(key) else { return false };
        match left.checked_sub(count).filter(|_| now < *until) {
            Some(rest) => *left = rest,
            None => return false,
        }
        true
    }

    fn remember(&self, key: K, share: (u64, Timestamp)) {
        let mut known = self.0.lock();
        if known.len() >= REMEMBERED {
            known.clear();
        }
        known.insert(key, share);
    }
}

impl Twins {
    /// Asks for room for so many more of them. Room that is not used after all is found again by the next count.
    ///
    /// # Errors
    /// [`ErrorCode::TwinLimitReached`]; for relationships [`ErrorCode::QuotaExceeded`].
    pub(super) async fn make_room(&self, instance: &ResourceName, noun: Noun, count: u64) -> Result<()> {
        let most = match noun {
            Noun::Twin => self.context.limits.twins,
            Noun::Relationship => self.context.limits.relationships,
        };
        let (now, key) = (self.context.clock.now(), (instance.clone(), noun));
        if most == 0 || count == 0 || self.rooms.instances.take(&key, count, now) {
            return Ok(());
        }
        let _one = self.rooms.counting.lock().await;
        if self.rooms.instances.take(&key, count, now) {
            return Ok(());
        }
        let store = &self.context.store;
        let there = match noun {
            Noun::Twin => store.count_twins(instance, None).await,
            Noun::Relationship => store.count_relationships(instance).await,
        };
        let left = most.saturating_sub(there.map_err(refusal::store)?);
        if left < count {
            return Err(full(noun, most));
        }
        let share = (left / SHARE).saturating_sub(count);
        self.rooms.instances.remember(key, (share, now.plus(HOLDS)));
        Ok(())
    }

    /// Asks for room at the ends of relationships that are to come.
    ///
    /// # Errors
    /// [`ErrorCode::QuotaExceeded`], which names the twin.
    pub(super) async fn make_room_at_ends(
        &self,
        instance: &ResourceName,
        relationships: &[&Relationship],
    ) -> Result<()> {
        let sources = relationships.iter().map(|one| one.source.as_str());
        self.make_room_at(instance, Direction::Outgoing, sources).await?;
        let targets = relationships.iter().map(|one| one.target.as_str());
        self.make_room_at(instance, Direction::Incoming, targets).await
    }

    /// Asks for room for one relationship at each of these twins; one that is named again needs room for another.
    ///
    /// # Errors
    /// [`ErrorCode::QuotaExceeded`], which names the twin.
    pub(super) async fn make_room_at(
        &self,
        instance: &ResourceName,
        direction: Direction,
        twins: impl Iterator<Item = &str> + Send,
    ) -> Result<()> {
        let most = match direction {
            Direction::Outgoing => self.context.limits.outgoing_relationships,
            Direction::Incoming => self.context.limits.incoming_relationships,
        };
        if most == 0 {
            return Ok(());
        }
        let now = self.context.clock.now();
        let mut wanted: BTreeMap<&str, u64> = BTreeMap::new();
        twins.for_each(|twin| *wanted.entry(twin).or_default() += 1);
        let key = |twin: &str| (instance.clone(), direction, twin.to_owned());
        wanted.retain(|twin, count| !self.rooms.ends.take(&key(twin), *count, now));
        if wanted.is_empty() {
            return Ok(());
        }
        let ids: Vec<String> = wanted.keys().map(ToString::to_string).collect();
        let store = &self.context.store;
        let there = store.count_relationships_of(instance, &ids, direction, most).await;
        for ((twin, count), there) in wanted.into_iter().zip(there.map_err(refusal::store)?) {
            let left = most.saturating_sub(there);
            if left < count {
                return Err(crowded(direction, most, twin));
            }
            let share = (left / SHARE).saturating_sub(count);
            if share > 0 {
                self.rooms.ends.remember(key(twin), (share, now.plus(HOLDS)));
            }
        }
        Ok(())
    }
}

fn crowded(direction: Direction, most: u64, twin: &str) -> Error {
    let which = match direction {
        Direction::Outgoing => "outgoing",
        Direction::Incoming => "incoming",
    };
    let message = format!(
        "A twin may have up to {most} {which} relationships, and '{}' has as many. Delete some, or have the operator \
         raise the limit.",
        shown(twin)
    );
    Error::new(ErrorCode::QuotaExceeded, message)
}

fn full(noun: Noun, most: u64) -> Error {
    let (code, nouns) = match noun {
        Noun::Twin => (ErrorCode::TwinLimitReached, "digital twins"),
        Noun::Relationship => (ErrorCode::QuotaExceeded, "relationships"),
    };
    let message = format!(
        "An instance may hold up to {most} {nouns}. Delete some, or have the operator raise the limit."
    );
    Error::new(code, message)
}
