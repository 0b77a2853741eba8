//! The targets of `fuzz/` on stable: over their seeds, each changed in a few places, the same in every run.

mod seeds;
mod targets;

/// Changed copies of each seed.
const COPIES: usize = 6000;

#[test]
fn what_clients_say_changed_a_little_breaks_nothing() {
    let mut dice = Dice(0x5eed);
    let seeds = seeds::all(targets::start());
    for (name, seed) in &seeds {
        let target = match *name {
            "frame" => targets::frame,
            "performative" => targets::performative,
            "sasl" => targets::sasl,
            "message" => targets::message,
            _ => targets::endpoint,
        };
        target(seed);
        // A whole conversation takes longer than a frame.
        let copies = if *name == "endpoint" { COPIES / 5 } else { COPIES };
        for _ in 0..copies {
            let mut copy = seed.clone();
            for _ in 0..=dice.below(4) {
                change(&mut copy, &seeds[dice.below(seeds.len())].1, &mut dice);
            }
            target(&copy);
        }
    }
}

/// One change: a byte, a bit, a piece out, a piece of another seed in, the end away, a length that lies.
fn change(bytes: &mut Vec<u8>, other: &[u8], dice: &mut Dice) {
    let at = dice.below(bytes.len() + 1);
    let end = (at + dice.below(12)).min(bytes.len());
    match dice.below(6) {
        0 => bytes[at..].iter_mut().take(1).for_each(|byte| *byte = dice.next() as u8),
        1 => bytes[at..].iter_mut().take(1).for_each(|byte| *byte ^= 1 << dice.below(8)),
        2 => drop(bytes.drain(at..end)),
        3 => {
            let from = dice.below(other.len() + 1);
            let to = (from + dice.below(40)).min(other.len());
            drop(bytes.splice(at..at, other[from..to].iter().copied()));
        }
        4 => bytes.truncate(at),
        _ => {
            let odd = [0x00, 0x01, 0x40, 0x7f, 0x80, 0xc0, 0xd0, 0xfe, 0xff];
            bytes[at..].iter_mut().take(1).for_each(|byte| *byte = odd[dice.below(odd.len())]);
        }
    }
}

/// SplitMix64.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound.max(1) as u64) as usize
    }
}
