//! [`Serial`]: numbers that wrap (RFC 1982; part 2, section 2.8.10).

use std::fmt;

/// A number of 32 bits that goes on with 0 after its highest value: delivery-ids, transfer-ids, delivery counts.
/// Not ordered as a whole; of two that are less than 2^31 apart, one comes [`before`](Self::is_before) the other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Serial(pub u32);

impl Serial {
    /// The number `steps` later.
    #[must_use]
    pub fn plus(self, steps: u32) -> Self {
        Self(self.0.wrapping_add(steps))
    }

    /// How many steps lead here from `earlier`.
    #[must_use]
    pub fn since(self, earlier: Self) -> u32 {
        self.0.wrapping_sub(earlier.0)
    }

    /// Whether this one comes first. False for equal ones.
    #[must_use]
    pub fn is_before(self, other: Self) -> bool {
        self != other && other.since(self) < 1 << 31
    }

    /// Returns the number and goes on to the next.
    pub(crate) fn take(&mut self) -> Self {
        let taken = *self;
        *self = self.plus(1);
        taken
    }
}

impl fmt::Display for Serial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_survives_the_wrap() {
        for (a, b) in [(0, 1), (u32::MAX, 0), (u32::MAX - 5, 3), (1 << 31, u32::MAX), (7, (1 << 31) + 6)] {
            assert!(Serial(a).is_before(Serial(b)), "{a} {b}");
            assert!(!Serial(b).is_before(Serial(a)), "{b} {a}");
        }
        assert!(!Serial(4).is_before(Serial(4)));
        let mut last = Serial(u32::MAX);
        assert_eq!((last.take(), last, last.since(Serial(u32::MAX))), (Serial(u32::MAX), Serial(0), 1));
    }
}
