//! Counting what passed, failed and was skipped, and the one line that CI's reader looks for.

/// So much of what a failure said is repeated at the end.
const SHOWN: usize = 600;

/// Outcomes of a run, in cases.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) passed: usize,
    pub(crate) failed: usize,
    /// Which failed, for the end of a long run: (what, what it said). Not each failure has to have a line.
    pub(crate) wrong: Vec<(String, String)>,
    /// What did not run: (what, why).
    pub(crate) skipped: Vec<(String, String)>,
}

impl Tally {
    pub(crate) fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.wrong.extend(other.wrong);
        self.skipped.extend(other.skipped);
    }

    /// Counts one check by whether it held.
    pub(crate) fn check(&mut self, held: bool) {
        if held {
            self.passed += 1;
        } else {
            self.failed += 1;
        }
    }

    /// Counts a failure and keeps what it said, its first [`SHOWN`] characters.
    pub(crate) fn fail(&mut self, what: impl Into<String>, said: &str) {
        self.failed += 1;
        self.wrong.push((what.into(), said.chars().take(SHOWN).collect()));
    }

    pub(crate) fn skip(&mut self, what: impl Into<String>, why: impl Into<String>) {
        self.skipped.push((what.into(), why.into()));
    }

    /// Prints what was skipped, what failed and the summary line; returns whether the run counts as good.
    /// With `CI=true` a skip is a failure: CI must be able to run everything.
    pub(crate) fn conclude(&self) -> bool {
        if !self.skipped.is_empty() {
            println!("\nskipped:");
            for (what, why) in &self.skipped {
                println!("  {what}: {why}");
            }
        }
        if !self.wrong.is_empty() {
            println!("\nfailed:");
            for (what, said) in &self.wrong {
                println!("  {what}: {said}");
            }
        }
        println!("\n{self}");
        let strict = crate::workspace::in_ci() && !self.skipped.is_empty();
        if strict {
            println!("CI=true: a skip counts as a failure.");
        }
        self.failed == 0 && !strict
    }
}

impl std::fmt::Display for Tally {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} passed, {} failed, {} skipped", self.passed, self.failed, self.skipped.len())
    }
}

/// The number directly before `word` in a list like `3 passed, 1 failed`; 0 when the word is absent.
pub(crate) fn count(text: &str, word: &str) -> usize {
    text.split([',', ';', '.'])
        .filter_map(|part| part.trim().split_once(' '))
        .filter(|(_, name)| *name == word || name.starts_with(&format!("{word} ")))
        .filter_map(|(number, _)| number.parse::<usize>().ok())
        .sum()
}
