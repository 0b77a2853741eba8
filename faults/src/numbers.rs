//! Numbered facts: what was sent under which number, and in which order the log has them. Pure.

use std::collections::{BTreeSet, HashMap, HashSet};

/// What one sender gave out, in growing numbers from 1. The next number is not sent before the one before is acknowledged or
/// given up.
#[derive(Debug, Default)]
pub(crate) struct Numbers {
    /// The newest number.
    pub(crate) sent: u64,
    /// The newest acknowledged number.
    pub(crate) acked: u64,
    /// Given up: they may be in the log or not.
    open: HashSet<u64>,
    /// How often numbers were sent that were sent more than once.
    again: HashMap<u64, u32>,
}

impl Numbers {
    /// A new number, to be sent.
    pub(crate) fn take(&mut self) -> u64 {
        self.sent += 1;
        self.sent
    }

    /// The number is sent once more.
    pub(crate) fn repeat(&mut self, number: u64) {
        *self.again.entry(number).or_insert(1) += 1;
    }

    pub(crate) fn acknowledge(&mut self, number: u64) {
        self.open.remove(&number);
        self.acked = self.acked.max(number);
    }

    pub(crate) fn give_up(&mut self, number: u64) {
        self.open.insert(number);
    }

    /// Whether nobody waits for its answer any more. A node may carry it out still, also after what was asked for later.
    pub(crate) fn is_given_up(&self, number: u64) -> bool {
        self.open.contains(&number)
    }

    fn times(&self, number: u64) -> u32 {
        self.again.get(&number).copied().unwrap_or(1)
    }

    fn is_acked(&self, number: u64) -> bool {
        number <= self.acked && !self.open.contains(&number)
    }
}

/// The same numbers as the log has them.
#[derive(Debug, Default)]
pub(crate) struct Trace {
    highest: u64,
    /// Smaller than the highest, and not there.
    skipped: BTreeSet<u64>,
    /// Came for the first time after a higher one.
    late: BTreeSet<u64>,
    /// How often those are there that are there more than once.
    again: HashMap<u64, u32>,
    /// Were found wrong before.
    told: HashSet<u64>,
}

/// What does not fit.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Wrong {
    /// Acknowledged and not there.
    pub(crate) lost: Vec<u64>,
    /// There more often than it was sent.
    pub(crate) doubled: Vec<u64>,
    /// There for the first time after a later one.
    pub(crate) disordered: Vec<u64>,
}

impl Trace {
    /// The next one that the log has.
    pub(crate) fn read(&mut self, number: u64) {
        if number > self.highest {
            self.skipped.extend(self.highest + 1..number);
            self.highest = number;
        } else if self.skipped.remove(&number) {
            self.late.insert(number);
        } else {
            *self.again.entry(number).or_insert(1) += 1;
        }
    }

    /// Copies: how many records repeat an earlier one.
    pub(crate) fn copies(&self) -> u64 {
        self.again.values().map(|times| u64::from(times - 1)).sum()
    }

    /// What does not fit and was not told before. What is to be compared must stand still.
    pub(crate) fn judge(&self, numbers: &Numbers) -> Wrong {
        let behind = self.highest + 1..=numbers.acked;
        let missing = self.skipped.iter().copied().chain(behind).filter(|one| numbers.is_acked(*one));
        let doubled = self.again.iter().filter(|(number, times)| **times > numbers.times(**number));
        let disordered = self.late.iter().copied().filter(|one| numbers.is_acked(*one));
        let mut wrong = Wrong {
            lost: missing.collect(),
            doubled: doubled.map(|(number, _)| *number).collect(),
            disordered: disordered.collect(),
        };
        for list in [&mut wrong.lost, &mut wrong.doubled, &mut wrong.disordered] {
            list.retain(|number| !self.told.contains(number));
        }
        wrong
    }

    /// It is known now; the next judgement leaves it out.
    pub(crate) fn tell(&mut self, wrong: &Wrong) {
        self.told.extend(wrong.lost.iter().chain(&wrong.doubled).chain(&wrong.disordered));
    }
}

#[cfg(test)]
mod tests {
    use super::{Numbers, Trace, Wrong};

    fn judged(log: &[u64], numbers: &Numbers) -> Wrong {
        let mut trace = Trace::default();
        log.iter().for_each(|number| trace.read(*number));
        let wrong = trace.judge(numbers);
        trace.tell(&wrong);
        assert_eq!(trace.judge(numbers), Wrong::default(), "it is told once");
        wrong
    }

    fn sent(count: u64) -> Numbers {
        let mut numbers = Numbers::default();
        for _ in 0..count {
            let number = numbers.take();
            numbers.acknowledge(number);
        }
        numbers
    }

    #[test]
    fn what_is_there_once_and_in_order_fits() {
        assert_eq!(judged(&[1, 2, 3], &sent(3)), Wrong::default());
    }

    #[test]
    fn what_was_acknowledged_and_is_not_there_is_lost() {
        assert_eq!(judged(&[1, 3], &sent(4)).lost, [2, 4]);
    }

    #[test]
    fn a_copy_needs_a_second_sending() {
        let mut numbers = sent(3);
        assert_eq!(judged(&[1, 2, 2, 3], &numbers).doubled, [2]);
        numbers.repeat(2);
        assert_eq!(judged(&[1, 2, 3, 2], &numbers), Wrong::default(), "the first sending may come late");
        assert_eq!(judged(&[1, 2, 2, 2, 3], &numbers).doubled, [2]);
    }

    #[test]
    fn a_number_given_up_may_be_there_or_not() {
        let mut numbers = sent(1);
        let given_up = numbers.take();
        numbers.give_up(given_up);
        let next = numbers.take();
        numbers.acknowledge(next);
        for log in [&[1, 3][..], &[1, 2, 3], &[1, 3, 2]] {
            assert_eq!(judged(log, &numbers), Wrong::default(), "{log:?}");
        }
    }

    #[test]
    fn a_first_time_after_a_later_one_is_out_of_order() {
        assert_eq!(judged(&[1, 3, 2], &sent(3)).disordered, [2]);
    }
}
