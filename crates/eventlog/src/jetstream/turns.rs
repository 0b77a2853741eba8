//! Taking turns. Of several nodes that append to a partition at once, one frame is taken and the others are refused, and
//! their nodes must first learn what came between. Meanwhile the one that was first would be first again, and again: the
//! others would wait for seconds, and most of what is published would be refused.
//!
//! Most of that is spared by handing appends over (`handover`). What is left to take turns: nodes that meet for the first
//! time, and those that cannot reach each other or were told to append by themselves.
//!
//! So a node that has met others of late waits after each of its frames for about the time they need to learn and to
//! publish. What comes in meanwhile makes its next frame larger. Alone, a node never waits.

use std::time::Duration;

use tokio::time::Instant;

/// Others were met so long ago: there are none now.
const ALONE: Duration = Duration::from_secs(2);
/// Round trips another node needs: to ask for the state, to read the newest frame, to publish its own.
const TRIPS: u32 = 3;
/// The longest wait, whatever round trips take.
const LONGEST: Duration = Duration::from_millis(20);

/// What a writer knows of others at its partition.
#[derive(Debug, Default)]
pub(crate) struct Turns {
    met: Option<Instant>,
    /// One publish, on average.
    trip: Duration,
    /// The newest frame of this node, and when it was stored.
    own: Option<(u64, Instant)>,
}

impl Turns {
    /// Until when the others have their turn, if the newest frame is `last`; `None`: it is this node's.
    pub(crate) fn wait(&mut self, last: u64, now: Instant) -> Option<Instant> {
        let (own, stored) = self.own?;
        if last > own {
            // Somebody else was here in between.
            self.met = Some(now);
            return None;
        }
        let until = stored + (self.trip * TRIPS).min(LONGEST);
        let others = self.met.is_some_and(|met| now < met + ALONE);
        (others && now < until).then_some(until)
    }

    /// A frame of this node was stored, as `js`, after a publish of so long.
    pub(crate) fn stored(&mut self, js: u64, trip: Duration, now: Instant) {
        self.trip = if self.own.is_none() { trip } else { (self.trip * 7 + trip) / 8 };
        self.own = Some((js, now));
    }

    /// Another node's frame had the place.
    pub(crate) fn overtaken(&mut self, now: Instant) {
        self.met = Some(now);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::Instant;

    use super::{ALONE, LONGEST, TRIPS, Turns};

    const TRIP: Duration = Duration::from_millis(2);

    #[test]
    fn a_node_alone_never_waits() {
        let (mut turns, now) = (Turns::default(), Instant::now());
        assert_eq!(turns.wait(0, now), None);
        turns.stored(1, TRIP, now);
        assert_eq!(turns.wait(1, now), None);
    }

    #[test]
    fn after_its_own_frame_a_node_lets_those_it_has_met_go_first() {
        let (mut turns, now) = (Turns::default(), Instant::now());
        turns.overtaken(now);
        assert_eq!(turns.wait(5, now), None, "it has had no turn yet");
        turns.stored(6, TRIP, now);
        assert_eq!(turns.wait(6, now), Some(now + TRIP * TRIPS));
        assert_eq!(turns.wait(7, now), None, "another one was there");
        assert_eq!(turns.wait(6, now + TRIP * TRIPS), None, "nobody came in that time");
        assert_eq!(turns.wait(6, now + ALONE), None);
    }

    #[test]
    fn a_slow_server_does_not_make_it_wait_for_long() {
        let (mut turns, now) = (Turns::default(), Instant::now());
        turns.overtaken(now);
        turns.stored(1, Duration::from_secs(4), now);
        assert_eq!(turns.wait(1, now), Some(now + LONGEST));
    }
}
