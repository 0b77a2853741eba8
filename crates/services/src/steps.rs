//! Named steps of what must survive a crash, and the one at which this process is to die.
//!
//! Tests ask for it with `[faults] crash_at = "registration/recorded"`: the process aborts when it first gets there, as it
//! would by `kill -9`, with nothing flushed and nobody told. Without that a step is one comparison.

use std::sync::atomic::{AtomicUsize, Ordering};

/// A moment between two effects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// The device has proved who it is; nothing is written.
    Admitted,
    /// The record says "assigning"; the device has no answer.
    Recorded,
    /// An operation has begun to assign.
    Begun,
    /// The allocation webhook is about to be called.
    Allocating,
    /// Our allocation function has made or taken the twin; the webhook has not answered.
    TwinMade,
    /// The webhook's answer is there.
    Allocated,
    /// Device, event and record are decided; nothing of it is committed.
    Planned,
    /// They are committed; nobody was told.
    Assigned,
    /// An event is in the log, and still in the outbox.
    Appended,
    /// The twin of a deleted device has lost its relationships.
    Unrelated,
    /// It is gone; the event that said so is not yet dealt with.
    Retired,
}

/// No step.
const NOWHERE: usize = usize::MAX;

static CRASH_AT: AtomicUsize = AtomicUsize::new(NOWHERE);

impl Step {
    /// All of them, in the order in which a device's life passes them.
    pub const ALL: [Self; 11] = [
        Self::Admitted,
        Self::Recorded,
        Self::Begun,
        Self::Allocating,
        Self::TwinMade,
        Self::Allocated,
        Self::Planned,
        Self::Assigned,
        Self::Appended,
        Self::Unrelated,
        Self::Retired,
    ];

    /// `registration/recorded`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Admitted => "registration/admitted",
            Self::Recorded => "registration/recorded",
            Self::Begun => "registration/begun",
            Self::Allocating => "registration/allocating",
            Self::TwinMade => "registration/twin-made",
            Self::Allocated => "registration/allocated",
            Self::Planned => "registration/planned",
            Self::Assigned => "registration/assigned",
            Self::Appended => "event/appended",
            Self::Unrelated => "retirement/unrelated",
            Self::Retired => "retirement/retired",
        }
    }

    /// The step of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|step| step.as_str() == name)
    }

    /// From now on this process dies when it gets here.
    pub fn crash(self) {
        CRASH_AT.store(self as usize, Ordering::Relaxed);
    }

    /// This process has got here.
    pub(crate) fn reached(self) {
        if CRASH_AT.load(Ordering::Relaxed) == self as usize {
            std::process::abort();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_step_has_a_name_of_its_own() {
        for step in Step::ALL {
            assert_eq!(Step::named(step.as_str()), Some(step));
            step.reached();
        }
        assert_eq!(Step::named("registration/elsewhere"), None);
    }
}
