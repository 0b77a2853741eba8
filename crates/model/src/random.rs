//! Randomness as a value, so that a failure can be played again from its seed.

use std::cell::RefCell;
use std::fmt;

use uuid::Uuid;

/// Where random bytes come from. MUST be fit for keys outside tests.
pub trait Random: Send + Sync + fmt::Debug {
    /// Fills the buffer.
    fn fill(&self, buffer: &mut [u8]);

    /// A version 4 UUID.
    fn uuid(&self) -> Uuid {
        let mut bytes = [0; 16];
        self.fill(&mut bytes);
        uuid::Builder::from_random_bytes(bytes).into_uuid()
    }

    /// A number below `bound` (which must not be zero), without bias that matters for jitter and picking.
    fn below(&self, bound: u64) -> u64 {
        let mut bytes = [0; 8];
        self.fill(&mut bytes);
        u64::from_le_bytes(bytes) % bound
    }
}

/// The operating system's generator.
#[derive(Debug, Default, Clone, Copy)]
pub struct SystemRandom;

/// Bytes fetched ahead, so that ids and etags, of which a registration has several, do not each ask for their few.
const AHEAD: usize = 512;
/// Requests of so many bytes or fewer are served from them; keys are longer.
const FEW: usize = 16;

struct Ahead {
    bytes: [u8; AHEAD],
    used: usize,
}

thread_local! {
    static OWN: RefCell<Ahead> = const { RefCell::new(Ahead { bytes: [0; AHEAD], used: AHEAD }) };
}

impl Ahead {
    /// Each byte is given away once.
    fn give(&mut self, buffer: &mut [u8]) {
        if AHEAD - self.used < buffer.len() {
            fetch(&mut self.bytes);
            self.used = 0;
        }
        let given = &mut self.bytes[self.used..self.used + buffer.len()];
        buffer.copy_from_slice(given);
        given.fill(0);
        self.used += buffer.len();
    }
}

fn fetch(buffer: &mut [u8]) {
    aws_lc_rs::rand::fill(buffer).expect("the operating system gives random bytes");
}

impl Random for SystemRandom {
    fn fill(&self, buffer: &mut [u8]) {
        if buffer.len() <= FEW {
            OWN.with_borrow_mut(|ahead| ahead.give(buffer));
        } else {
            fetch(buffer);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::{AHEAD, Random as _, SystemRandom};

    #[test]
    fn bytes_fetched_ahead_are_given_away_once() {
        let ids: HashSet<_> = (0..10 * AHEAD).map(|_| SystemRandom.uuid()).collect();
        assert_eq!(ids.len(), 10 * AHEAD);
        // Sizes that do not divide what is ahead, and one that goes past it.
        for size in [0, 1, 7, 13, 16, 17, 64, AHEAD + 1] {
            let (mut one, mut two) = (vec![0; size], vec![0; size]);
            SystemRandom.fill(&mut one);
            SystemRandom.fill(&mut two);
            assert!(size < 7 || one != two, "{size} bytes");
        }
    }
}
