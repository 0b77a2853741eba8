//! How often something may be done: a bucket of tokens for each that does it, filled as time goes by. The one mechanism of all rates:
//! of digital twins instances, of hubs, of devices that poll their registration.
//!
//! Counted in memory, by each node for itself.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::Duration;

use pollux_model::Timestamp;

/// Buckets that are held; beyond that, counting starts over.
const HELD: usize = 100_000;
/// Of a token: what adding up fractions may be wrong by.
const CRUMB: f64 = 1e-6;

/// So much in such a time, and all of it at once when nothing was done before.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Rate {
    /// What a bucket holds.
    pub(crate) most: f64,
    /// The time in which an empty one is filled.
    pub(crate) period: Duration,
}

impl Rate {
    pub(crate) fn of(most: impl Into<f64>, period: Duration) -> Self {
        Self { most: most.into(), period }
    }

    /// How long so much takes to flow in.
    fn time(self, amount: f64) -> Duration {
        Duration::try_from_secs_f64(amount / self.most * self.period.as_secs_f64()).unwrap_or(Duration::MAX)
    }
}

/// What is in a bucket, and as of when.
#[derive(Debug, Clone, Copy)]
struct Bucket {
    level: f64,
    at: Timestamp,
}

/// A bucket for each key; full for one that is not known.
#[derive(Debug)]
pub(crate) struct Buckets<K>(HashMap<K, Bucket>);

impl<K> Default for Buckets<K> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<K: Eq + Hash> Buckets<K> {
    /// How long until there is so much (or a full bucket, where it is more than one holds); zero: it is there.
    pub(crate) fn wait(&self, key: &K, rate: Rate, amount: f64, now: Timestamp) -> Duration {
        let lacking = amount.min(rate.most) - self.level(key, rate, now);
        if lacking <= CRUMB { Duration::ZERO } else { rate.time(lacking) }
    }

    /// Takes so much; more than there is leaves a debt.
    pub(crate) fn take(&mut self, key: K, rate: Rate, amount: f64, now: Timestamp) {
        let level = self.level(&key, rate, now) - amount;
        if self.0.len() >= HELD && !self.0.contains_key(&key) {
            self.0.clear();
        }
        self.0.insert(key, Bucket { level, at: now });
    }

    /// Takes so much if it is there; else how long until it is.
    pub(crate) fn try_take(
        &mut self,
        key: K,
        rate: Rate,
        amount: f64,
        now: Timestamp,
    ) -> Result<(), Duration> {
        let wait = self.wait(&key, rate, amount, now);
        if !wait.is_zero() {
            return Err(wait);
        }
        self.take(key, rate, amount, now);
        Ok(())
    }

    fn level(&self, key: &K, rate: Rate, now: Timestamp) -> f64 {
        self.0.get(key).map_or(rate.most, |bucket| {
            let passed = now.since(bucket.at).as_secs_f64() / rate.period.as_secs_f64();
            (bucket.level + passed * rate.most).min(rate.most)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn a_bucket_is_emptied_at_once_and_filled_in_time() {
        let (mut buckets, rate) = (Buckets::default(), Rate::of(60, MINUTE));
        let start = Timestamp::from_secs(1000);
        for _ in 0..60 {
            buckets.try_take("a", rate, 1.0, start).unwrap();
        }
        let wait = buckets.try_take("a", rate, 1.0, start).unwrap_err();
        assert!((wait.as_secs_f64() - 1.0).abs() < 0.01, "{wait:?}");
        // Others have theirs.
        buckets.try_take("b", rate, 60.0, start).unwrap();
        let later = start.plus(wait);
        buckets.try_take("a", rate, 1.0, later).unwrap();
        assert!(buckets.try_take("a", rate, 1.0, later).is_err());
        // Never more than it holds, and no time that goes back fills it.
        assert!(buckets.try_take("a", rate, 61.0, start.plus(MINUTE * 10)).is_ok());
        assert!(buckets.try_take("a", rate, 1.0, start).is_err());
    }

    #[test]
    fn debts_are_paid_first() {
        let (mut buckets, rate) = (Buckets::default(), Rate::of(10, MINUTE));
        let start = Timestamp::from_secs(0);
        buckets.take((), rate, 15.0, start);
        assert!((buckets.wait(&(), rate, 1.0, start).as_secs_f64() - 36.0).abs() < 0.01);
        assert!(buckets.try_take((), rate, 1.0, start.plus(MINUTE * 36 / 60)).is_ok());
    }

    #[test]
    fn what_is_held_is_bounded() {
        let (mut buckets, rate) = (Buckets::default(), Rate::of(1, MINUTE));
        for key in 0..HELD + 10 {
            buckets.take(key, rate, 1.0, Timestamp::from_secs(0));
        }
        assert!(buckets.0.len() <= HELD);
    }
}
