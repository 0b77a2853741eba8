//! One case of a scenario: a line of JSON that a script prints, `{"name", "ok", "detail"}`; `{"name", "skip": "reason"}` for what
//! cannot run; `{"note"}` for a figure that is shown and not counted.

use super::scenario::KnownCase;
use serde::Deserialize;

/// How a case ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Passed,
    Failed,
    Skipped,
    /// Shown, not counted.
    Note,
}

/// One case and how it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Case {
    pub(super) name: String,
    pub(super) verdict: Verdict,
    pub(super) detail: String,
}

#[derive(Debug, Deserialize)]
struct Line {
    #[serde(default)]
    name: String,
    ok: Option<bool>,
    skip: Option<String>,
    note: Option<String>,
    #[serde(default)]
    detail: String,
}

impl Case {
    pub(super) fn failed(name: &str, detail: impl Into<String>) -> Self {
        Self { name: name.to_owned(), verdict: Verdict::Failed, detail: detail.into() }
    }

    /// Reads one line of a script. A line that is no case is a note: clients print what they like.
    pub(super) fn parse(text: &str) -> Self {
        let Ok(line) = serde_json::from_str::<Line>(text) else {
            return Self { name: String::new(), verdict: Verdict::Note, detail: text.to_owned() };
        };
        let (verdict, detail) = match (line.skip, line.note, line.ok) {
            (Some(reason), ..) => (Verdict::Skipped, reason),
            (None, Some(note), _) => (Verdict::Note, note),
            (None, None, Some(true)) => (Verdict::Passed, line.detail),
            (None, None, _) => (Verdict::Failed, line.detail),
        };
        Self { name: line.name, verdict, detail }
    }

    /// The line a script would have printed.
    pub(super) fn to_line(&self) -> String {
        serde_json::json!({ "name": self.name, "ok": self.verdict == Verdict::Passed, "detail": self.detail })
            .to_string()
    }
}

impl std::fmt::Display for Case {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.verdict {
            Verdict::Passed => write!(f, "ok    {}", self.name),
            Verdict::Failed => write!(f, "FAIL  {}: {}", self.name, self.detail),
            Verdict::Skipped => write!(f, "skip  {}: {}", self.name, self.detail),
            Verdict::Note => write!(f, "note  {}", self.detail),
        }
    }
}

/// Applies the known failures: a known case that fails is skipped with its reason, one that passes fails, one that never ran fails.
pub(super) fn judge(cases: &[Case], known: &[KnownCase]) -> Vec<Case> {
    let mut judged: Vec<Case> = cases.iter().map(|case| judge_one(case, known)).collect();
    let ran = |name: &str| cases.iter().any(|case| case.name == name);
    let stale = known.iter().filter(|entry| !ran(&entry.name));
    judged.extend(stale.map(|entry| {
        Case::failed(&entry.name, "listed in conformance/known.toml, but no such case ran: drop the entry")
    }));
    judged
}

fn judge_one(case: &Case, known: &[KnownCase]) -> Case {
    let Some(entry) = known.iter().find(|entry| entry.name == case.name) else { return case.clone() };
    match case.verdict {
        Verdict::Failed => Case { verdict: Verdict::Skipped, detail: entry.reason.clone(), ..case.clone() },
        Verdict::Passed => Case::failed(
            &case.name,
            format!("passes, but is listed in conformance/known.toml ({}): drop the entry", entry.reason),
        ),
        Verdict::Skipped | Verdict::Note => case.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::{Case, Verdict, judge};
    use crate::conformance::scenario::KnownCase;

    #[test]
    fn reads_each_kind_of_line() {
        let verdict = |text| Case::parse(text).verdict;
        assert_eq!(verdict(r#"{"name":"a","ok":true}"#), Verdict::Passed);
        assert_eq!(verdict(r#"{"name":"a","ok":false,"detail":"why"}"#), Verdict::Failed);
        assert_eq!(verdict(r#"{"name":"a"}"#), Verdict::Failed, "a case without a verdict did not pass");
        assert_eq!(verdict(r#"{"name":"a","skip":"no tool"}"#), Verdict::Skipped);
        assert_eq!(verdict(r#"{"note":"12 of 14"}"#), Verdict::Note);
        assert_eq!(verdict("a warning of some library"), Verdict::Note);
    }

    #[test]
    fn a_line_written_here_reads_back() {
        let case = Case::failed("a", "b \"c\"");
        assert_eq!(Case::parse(&case.to_line()), case);
    }

    #[test]
    fn a_known_failure_is_skipped_and_must_still_fail() {
        let entry = |name: &str| KnownCase { scenario: "s".into(), name: name.into(), reason: "why".into() };
        let known = [entry("fails"), entry("passes"), entry("gone")];
        let cases = [
            Case::parse(r#"{"name":"fails","ok":false}"#),
            Case::parse(r#"{"name":"passes","ok":true}"#),
            Case::parse(r#"{"name":"other","ok":true}"#),
        ];
        let verdicts: Vec<Verdict> = judge(&cases, &known).into_iter().map(|case| case.verdict).collect();
        assert_eq!(verdicts, [Verdict::Skipped, Verdict::Failed, Verdict::Passed, Verdict::Failed]);
    }
}
