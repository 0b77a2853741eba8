//! The fuzz targets on stable, over the seeds changed a little; the same in every run.

use crate::{seeds, targets};

/// Changes of each seed.
const ROUNDS: u32 = 3000;

/// Marsaglia's xorshift: the same numbers in every run.
struct Numbers(u32);

impl Numbers {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 17;
        self.0 ^= self.0 << 5;
        self.0 as usize % bound.max(1)
    }
}

fn run(all: &[&str], target: fn(&[u8])) {
    let mut numbers = Numbers(0x9e37_79b9);
    for seed in all {
        target(seed.as_bytes());
        for _ in 0..ROUNDS {
            let mut bytes = seed.as_bytes().to_vec();
            for _ in 0..=numbers.below(3) {
                change(&mut bytes, all, &mut numbers);
            }
            target(&bytes);
        }
    }
}

fn change(bytes: &mut Vec<u8>, all: &[&str], numbers: &mut Numbers) {
    const TOKENS: [&str; 12] = [
        "null",
        "[]",
        "{}",
        "\"\"",
        "1e999",
        "-0",
        "\"@id\":",
        "\"@type\":",
        "dtmi:",
        ";1",
        "\\ud800",
        "true",
    ];
    let at = numbers.below(bytes.len());
    let end = (at + numbers.below(12)).min(bytes.len());
    match numbers.below(5) {
        0 => bytes[at..end].fill(b' '),
        1 => drop(bytes.drain(at..end)),
        2 => drop(bytes.splice(at..end, TOKENS[numbers.below(TOKENS.len())].bytes())),
        3 => {
            let other = all[numbers.below(all.len())].as_bytes();
            let from = numbers.below(other.len());
            let piece = &other[from..(from + numbers.below(60)).min(other.len())];
            drop(bytes.splice(at..end, piece.iter().copied()));
        }
        _ => {
            let piece = bytes[at..end].to_vec();
            let to = numbers.below(bytes.len());
            drop(bytes.splice(to..to, piece));
        }
    }
}

#[test]
fn models() {
    run(&seeds::MODELS, targets::models);
}

#[test]
fn sets() {
    run(&seeds::SETS, targets::sets);
}

#[test]
fn identifiers() {
    run(&seeds::IDENTIFIERS, targets::identifier);
}

#[test]
fn seeds_are_what_they_should_be() {
    let limits = pollux_dtdl::Limits {
        undefined_extensions: pollux_dtdl::UndefinedExtensions::Always,
        limit_extensions: vec!["dtmi:dtdl:limits:onvif".into()],
        ..pollux_dtdl::Limits::language()
    };
    for seed in seeds::MODELS {
        if let Err(errors) = pollux_dtdl::parse_text(seed, &limits) {
            panic!("{seed}: {errors:#?}");
        }
    }
}
