//! The target of `fuzz/` on stable: over its seeds, each changed in a few places, the same in every run.

mod seeds;
mod targets;

/// Changed copies of each seed.
const COPIES: usize = 3000;

#[test]
fn queries_changed_a_little_break_nothing() {
    let mut dice = Dice(0x5eed);
    let seeds = seeds::all();
    let words: Vec<Vec<&str>> = seeds
        .iter()
        .map(|(_, seed)| {
            std::str::from_utf8(seed).unwrap().split_inclusive([' ', '(', '[', '.', ']', '-']).collect()
        })
        .collect();
    for ((_, seed), own) in seeds.iter().zip(&words) {
        targets::query(seed);
        for _ in 0..COPIES {
            let mut copy = own.clone();
            for _ in 0..=dice.below(3) {
                let other = &words[dice.below(words.len())];
                let word = other[dice.below(other.len())];
                let at = dice.below(copy.len() + 1);
                match dice.below(3) {
                    0 => copy.insert(at, word),
                    1 if at < copy.len() => drop(copy.remove(at)),
                    _ if at < copy.len() => copy[at] = word,
                    _ => copy.truncate(at),
                }
            }
            let mut text = copy.concat().into_bytes();
            if dice.below(4) == 0 && !text.is_empty() {
                let at = dice.below(text.len());
                text[at] = b"'\"[]()*.|:-<>=\\0 \n"[dice.below(18)];
            }
            targets::query(&text);
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
        usize::try_from(self.next() % bound.max(1) as u64).unwrap_or_default()
    }
}
