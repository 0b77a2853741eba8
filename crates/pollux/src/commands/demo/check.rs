//! What was checked and whether it held.

use anyhow::Result;

/// One check.
#[derive(Debug)]
pub(super) struct Check {
    pub(super) name: String,
    pub(super) ok: bool,
    pub(super) detail: String,
}

/// All checks, in the order they were made.
#[derive(Debug, Default)]
pub(super) struct Checks(pub(super) Vec<Check>);

impl Checks {
    /// Notes a check.
    pub(super) fn add(&mut self, name: &str, ok: bool, detail: impl Into<String>) {
        self.0.push(Check { name: name.to_owned(), ok, detail: detail.into() });
    }

    /// Notes how many of all did as they should.
    pub(super) fn count(&mut self, name: &str, found: usize, wanted: usize) {
        self.add(name, found == wanted, format!("{found} of {wanted}"));
    }

    /// Notes how many did as they should, and one reason of those that did not.
    pub(super) fn count_or(&mut self, name: &str, found: usize, wanted: usize, reason: Option<String>) {
        let reason = reason.map(|reason| format!("; one of the others: {reason}")).unwrap_or_default();
        self.add(name, found == wanted, format!("{found} of {wanted}{reason}"));
    }

    /// Notes whether a step could be made.
    pub(super) fn note(&mut self, name: &str, done: Result<()>) {
        match done {
            Ok(()) => self.add(name, true, ""),
            Err(error) => self.add(name, false, format!("{error:#}")),
        }
    }

    /// Whether every check held.
    pub(super) fn all_held(&self) -> bool {
        self.0.iter().all(|check| check.ok)
    }

    /// What did not hold, in one line.
    pub(super) fn failures(&self) -> String {
        let failed: Vec<_> =
            self.0.iter().filter(|check| !check.ok).map(|check| check.name.as_str()).collect();
        format!("{} of {} checks did not hold: {}", failed.len(), self.0.len(), failed.join("; "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_failure_is_a_failure() {
        let mut checks = Checks::default();
        checks.count("a", 2, 2);
        checks.note("b", Ok(()));
        assert!(checks.all_held());
        checks.count_or("c", 1, 2, Some("refused".into()));
        checks.note("d", Err(anyhow::anyhow!("inner").context("outer")));
        assert!(!checks.all_held());
        assert_eq!(checks.failures(), "2 of 4 checks did not hold: c; d");
        assert_eq!(checks.0[2].detail, "1 of 2; one of the others: refused");
        assert_eq!(checks.0[3].detail, "outer: inner");
    }
}
