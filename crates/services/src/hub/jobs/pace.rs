//! How fast a job acts on devices, and how often it comes back to one that does not hear.
//!
//! Where a tier bounds the hub, "jobs device operations" have a throttle of their own (Azure article "IoT Hub quotas and
//! throttling", "Operation throttles"): a job waits for its turn, and no device fails for want of one. All jobs of a hub share it.

use std::collections::HashMap;
use std::time::Duration;

use pollux_model::{DeviceAddress, Timestamp};
use tokio::time::Instant;

use super::run::{Ended, Run};
use crate::hub::{MethodAnswer, MethodFailure};

/// How soon a job's record is read again: that it was cancelled may have been said by a node that is gone.
pub(super) const RECORD: Duration = Duration::from_secs(10);
/// How soon a device that did not hear is asked again; twice as late each time, and this late at last.
const AGAIN: [Duration; 2] = [Duration::from_millis(500), Duration::from_secs(60)];
/// Devices that did not hear and are remembered, of one job.
const REMEMBERED: usize = 10_000;

impl Run {
    /// How many devices may have their turn now, `most` at most. `None`: none might, and it was waited until one may, or until
    /// the job was changed.
    pub(super) async fn turns(&mut self, most: usize) -> Result<Option<usize>, Ended> {
        let wait = match self.hub.job_turns(&self.resource, most) {
            Ok(turns) => return Ok(Some(turns)),
            Err(wait) => wait,
        };
        let mut news = self.hub.jobs.news.subscribe();
        // What was said before is in the record.
        self.reload().await?;
        self.check()?;
        let left = self.job.deadline().since(self.now());
        tokio::select! {
            () = tokio::time::sleep(wait.min(left).min(RECORD)) => {}
            _ = news.changed() => {}
        }
        self.reload().await?;
        Ok(None)
    }

    /// So many devices had their turn.
    pub(super) fn acted(&self, devices: usize) {
        self.hub.count_job_turns(&self.resource, devices);
    }
}

/// Devices that are connected and did not hear a method: they listen to none, or have as many to answer as they may. That each is
/// asked is written down before, so they are asked seldom while it is the same connection.
#[derive(Debug, Default)]
pub(super) struct Deaf {
    known: HashMap<DeviceAddress, Silence>,
    /// There were more than can be remembered.
    pub(super) many: bool,
}

#[derive(Debug)]
struct Silence {
    /// Since when the connection stood.
    connected: Timestamp,
    again: Instant,
    pause: Duration,
}

impl Deaf {
    /// Whether it is too early to ask a device whose connection stands since then.
    pub(super) fn rests(&self, device: &DeviceAddress, connected: Timestamp, now: Instant) -> bool {
        self.known.get(device).is_some_and(|silence| silence.connected == connected && now < silence.again)
    }

    /// Takes note of what became of a call.
    pub(super) fn note(
        &mut self,
        device: &DeviceAddress,
        connected: Timestamp,
        answer: &Result<MethodAnswer, MethodFailure>,
    ) {
        if let Err(MethodFailure::NotOnline | MethodFailure::Busy) = answer {
            self.add(device, connected, Instant::now());
        } else {
            self.known.remove(device);
        }
    }

    fn add(&mut self, device: &DeviceAddress, connected: Timestamp, now: Instant) {
        if let Some(silence) = self.known.get_mut(device).filter(|silence| silence.connected == connected) {
            silence.again = now + silence.pause;
            silence.pause = (silence.pause * 2).min(AGAIN[1]);
        } else if self.known.len() < REMEMBERED || self.known.contains_key(device) {
            let silence = Silence { connected, again: now + AGAIN[0], pause: AGAIN[0] * 2 };
            self.known.insert(device.clone(), silence);
        } else {
            self.many = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_does_not_hear_is_asked_ever_later_on_one_connection() {
        let device = DeviceAddress::parse("d").unwrap();
        let (first, second) = (Timestamp::from_secs(1), Timestamp::from_secs(2));
        let (mut deaf, begin) = (Deaf::default(), Instant::now());
        assert!(!deaf.rests(&device, first, begin), "it was never asked");
        let (mut now, mut asked) = (begin, 0);
        while now < begin + Duration::from_secs(3600) {
            if !deaf.rests(&device, first, now) {
                asked += 1;
                deaf.add(&device, first, now);
            }
            now += Duration::from_millis(500);
        }
        assert_eq!(asked, 66);
        assert!(deaf.rests(&device, first, now) && !deaf.rests(&device, second, now), "it came anew");
        deaf.add(&device, second, now);
        assert!(!deaf.rests(&device, second, now + AGAIN[0]), "from the beginning");
        deaf.note(&device, second, &Err(MethodFailure::Late));
        assert!(!deaf.rests(&device, second, now));
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let (mut deaf, now) = (Deaf::default(), Instant::now());
        for n in 0..=REMEMBERED {
            assert!(!deaf.many);
            let device = DeviceAddress::parse(&format!("d{n}")).unwrap();
            deaf.add(&device, Timestamp::from_secs(1), now);
        }
        assert!(deaf.many && deaf.known.len() == REMEMBERED);
    }
}
