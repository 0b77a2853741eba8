//! Messages of the day, of each hub that is held to a tier. With several nodes each counts its own and asks the others now and then.

use std::collections::HashMap;
use std::time::Duration;

use parking_lot::Mutex;
use pollux_model::{ResourceName, Timestamp};

const DAY: i64 = 86_400;
/// How long what others said holds: so much may be counted beyond the quota by each of several nodes.
const FRESH: Duration = Duration::from_secs(1);

/// Of each hub.
#[derive(Debug, Default)]
pub(in crate::hub) struct Today(Mutex<HashMap<ResourceName, Count>>);

#[derive(Debug, Clone, Copy)]
struct Count {
    day: i64,
    here: u64,
    elsewhere: u64,
    /// When the others were asked.
    asked: Timestamp,
}

impl Today {
    /// What this node has counted.
    pub(in crate::hub) fn here(&self, hub: &ResourceName, now: Timestamp) -> u64 {
        self.with(hub, now, |count| count.here)
    }

    /// Counts so many more, unless that makes more than there may be: then how many there are.
    pub(in crate::hub) fn count(
        &self,
        hub: &ResourceName,
        now: Timestamp,
        more: u64,
        most: u64,
    ) -> Result<(), u64> {
        self.with(hub, now, |count| {
            let known = count.here.saturating_add(count.elsewhere);
            if known.saturating_add(more) > most {
                return Err(known);
            }
            count.here += more;
            Ok(())
        })
    }

    /// Whether the others are to be asked: of many that come at once one asks, the rest goes on with what is known.
    pub(super) fn asks(&self, hub: &ResourceName, now: Timestamp) -> bool {
        self.with(hub, now, |count| {
            let due = now.since(count.asked) >= FRESH;
            if due {
                count.asked = now;
            }
            due
        })
    }

    /// What the others said.
    pub(super) fn heard(&self, hub: &ResourceName, now: Timestamp, elsewhere: u64) {
        self.with(hub, now, |count| count.elsewhere = elsewhere);
    }

    fn with<T>(&self, hub: &ResourceName, now: Timestamp, work: impl FnOnce(&mut Count) -> T) -> T {
        let today =
            Count { day: now.as_secs().div_euclid(DAY), here: 0, elsewhere: 0, asked: Timestamp::NEVER };
        let mut counts = self.0.lock();
        let count = counts.entry(hub.clone()).or_insert(today);
        if count.day != today.day {
            *count = today;
        }
        work(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_have_counts_and_each_day_begins_anew() {
        let (today, hub) = (Today::default(), ResourceName::parse("hub1").unwrap());
        let start = Timestamp::from_secs(DAY * 20_000);
        assert!(today.asks(&hub, start) && !today.asks(&hub, start));
        today.heard(&hub, start, 90);
        assert_eq!(today.count(&hub, start, 10, 100), Ok(()));
        assert_eq!(today.count(&hub, start, 1, 100), Err(100));
        assert_eq!(today.here(&hub, start), 10);
        let later = start.plus(FRESH);
        assert!(today.asks(&hub, later));
        today.heard(&hub, later, 80);
        assert_eq!(today.count(&hub, later, 10, 100), Ok(()));
        let tomorrow = Timestamp::from_secs(DAY * 20_001);
        assert_eq!((today.here(&hub, tomorrow), today.count(&hub, tomorrow, 100, 100)), (0, Ok(())));
    }
}
