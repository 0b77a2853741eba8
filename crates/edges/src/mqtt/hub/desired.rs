//! Changes of desired properties: which are sent to a device, and which are kept for one that has read its twin and not subscribed
//! to them yet.
//!
//! The article "Understand and use device twins in IoT Hub" has devices subscribe first; npm's azure-iot-device reads first, and
//! would never hear of what changes in between.

use crate::mqtt::session::Outbound;

/// So many changes are kept; a device that misses more has to read again.
const KEPT: usize = 16;

/// What a connection was shown of its desired properties, and what it is yet to be told.
#[derive(Debug, Default)]
pub(super) struct Desired {
    subscribed: bool,
    /// The version that it was shown, if it has read and not subscribed yet; 0 while it reads.
    read: Option<u64>,
    kept: Vec<(u64, Outbound)>,
}

impl Desired {
    /// The device reads its twin.
    pub(super) fn reads(&mut self) {
        self.read = (!self.subscribed).then_some(0);
        self.kept.clear();
    }

    /// It was shown this version: what led to it is no news.
    pub(super) fn shown(&mut self, version: u64) {
        if let Some(read) = &mut self.read {
            *read = version;
        }
        self.kept.retain(|(kept, _)| *kept > version);
    }

    /// Whether it is subscribed from now on; what it missed, oldest first.
    pub(super) fn subscribe(&mut self, subscribed: bool) -> impl Iterator<Item = Outbound> + use<> {
        let missed = if self.subscribed == subscribed {
            Vec::new()
        } else {
            std::mem::replace(self, Self { subscribed, ..Self::default() }).kept
        };
        missed.into_iter().map(|(_, message)| message)
    }

    /// A change: the message to be sent now, if it is not kept. What a device is not subscribed to is dropped where it is sent.
    pub(super) fn tell(&mut self, version: u64, message: Outbound) -> Option<Outbound> {
        match self.read {
            Some(read) if !self.subscribed => {
                if version <= read {
                    return None; // it was shown that
                }
                if self.kept.len() < KEPT {
                    self.kept.push((version, message));
                } else {
                    *self = Self::default();
                }
                None
            }
            _ => Some(message),
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::{Desired, KEPT};
    use crate::mqtt::session::Outbound;

    fn change(version: u64) -> Outbound {
        Outbound { topic: version.to_string(), payload: Bytes::new() }
    }

    /// Tells of these changes; those that are sent at once.
    fn tell(desired: &mut Desired, versions: std::ops::RangeInclusive<u64>) -> Vec<String> {
        versions.filter_map(|version| desired.tell(version, change(version))).map(|sent| sent.topic).collect()
    }

    fn subscribe(desired: &mut Desired, subscribed: bool) -> Vec<String> {
        desired.subscribe(subscribed).map(|sent| sent.topic).collect()
    }

    #[test]
    fn what_changes_between_reading_and_subscribing_is_told_then() {
        let mut desired = Desired::default();
        desired.reads();
        assert!(tell(&mut desired, 2..=3).is_empty(), "while it reads");
        desired.shown(2);
        assert!(tell(&mut desired, 4..=4).is_empty());
        assert_eq!(subscribe(&mut desired, true), ["3", "4"], "2 is what it was shown");
        assert_eq!(tell(&mut desired, 5..=5), ["5"]);
        assert!(subscribe(&mut desired, true).is_empty(), "once");
    }

    #[test]
    fn what_it_was_shown_is_not_told_again() {
        let mut desired = Desired::default();
        desired.reads();
        desired.shown(7);
        assert!(tell(&mut desired, 6..=7).is_empty(), "changes that come after the answer that has them");
        assert!(subscribe(&mut desired, true).is_empty());
    }

    #[test]
    fn who_reads_again_is_told_what_came_after_that() {
        let mut desired = Desired::default();
        desired.reads();
        desired.shown(1);
        assert!(tell(&mut desired, 2..=2).is_empty());
        desired.reads();
        desired.shown(2);
        assert!(tell(&mut desired, 3..=3).is_empty());
        assert_eq!(subscribe(&mut desired, true), ["3"]);
        desired.reads();
        assert_eq!(tell(&mut desired, 4..=4), ["4"], "who is subscribed is told at once, whatever it reads");
    }

    #[test]
    fn no_more_than_so_many_are_kept() {
        let mut desired = Desired::default();
        desired.reads();
        desired.shown(1);
        let most = KEPT as u64 + 1;
        assert!(tell(&mut desired, 2..=most).is_empty());
        assert!(tell(&mut desired, 1..=1).is_empty());
        assert_eq!(desired.kept.len(), KEPT, "what it was shown takes nobody's place");
        assert!(tell(&mut desired, most + 1..=most + 1).is_empty());
        assert!(desired.kept.is_empty() && desired.read.is_none(), "a gap would be worse than none of them");
        assert_eq!(tell(&mut desired, most + 2..=most + 2).len(), 1, "the session drops it");
        assert!(subscribe(&mut desired, true).is_empty());
    }

    #[test]
    fn who_leaves_and_subscribes_again_is_told_nothing_old() {
        let mut desired = Desired::default();
        assert!(subscribe(&mut desired, true).is_empty());
        assert!(subscribe(&mut desired, false).is_empty());
        assert_eq!(tell(&mut desired, 2..=2), ["2"], "the session drops it");
        assert!(subscribe(&mut desired, true).is_empty());
    }
}
