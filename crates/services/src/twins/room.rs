//! How many twins and relationships an instance may have ("Azure Digital Twins service limits").
//!
//! Counting is dear where there are many, so it is not done for each: whoever finds room takes a small share of it along
//! for a while, and the next are let through until that is used up. An instance that is nearly full is counted each time.
//! Nodes do not tell each other of their shares, and what is under way at the moment of a count is not in it: the limit
//! may be passed by what other nodes were still let through, a sixteenth of the room that was left, and by requests that
//! are answered at the same moment.

use std::collections::HashMap;
use std::time::Duration;

use parking_lot::Mutex;
use pollux_model::{Error, ErrorCode, ResourceName, Result, Timestamp};

use super::{Twins, refusal};

/// The part of the room that is taken along by one count.
const SHARE: u64 = 16;
/// How long a share holds.
const HOLDS: Duration = Duration::from_secs(60);
/// Instances whose room is remembered. Those forgotten are counted again.
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
    /// How many more are let through, and until when.
    known: Mutex<HashMap<(ResourceName, Noun), (u64, Timestamp)>>,
    /// Held while somebody counts, so that others do not count too.
    counting: tokio::sync::Mutex<()>,
}

impl Rooms {
    fn take(&self, instance: &ResourceName, noun: Noun, count: u64, now: Timestamp) -> bool {
        let mut known = self.known.lock();
        let Some((left, until)) = known.get_mut(&(instance.clone(), noun)) else { return false };
        match left.checked_sub(count).filter(|_| now < *until) {
            Some(rest) => *left = rest,
            None => return false,
        }
        true
    }

    fn remember(&self, instance: &ResourceName, noun: Noun, share: (u64, Timestamp)) {
        let mut known = self.known.lock();
        if known.len() >= REMEMBERED {
            known.clear();
        }
        known.insert((instance.clone(), noun), share);
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
        let now = self.context.clock.now();
        if most == 0 || count == 0 || self.rooms.take(instance, noun, count, now) {
            return Ok(());
        }
        let _one = self.rooms.counting.lock().await;
        if self.rooms.take(instance, noun, count, now) {
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
        self.rooms.remember(instance, noun, (share, now.plus(HOLDS)));
        Ok(())
    }
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
