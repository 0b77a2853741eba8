//! Nothing half-done: no stub, no note to do it later. What is left to do is an issue, not a comment.

use super::{Finding, Tree};

/// Spelled apart so that this file does not find itself.
const MARKS: &[&str] = &[
    concat!("TO", "DO"),
    concat!("FIX", "ME"),
    concat!("XX", "X:"),
    concat!("todo", "!("),
    concat!("unimplemented", "!("),
    concat!("not yet ", "implemented"),
];

const KINDS: &[&str] = &[".rs", ".py", ".js", ".ts", ".tsx", ".sh", ".toml"];

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in tree.files.iter().filter(|file| KINDS.iter().any(|kind| file.path.ends_with(kind))) {
        for (line, text) in file.lines() {
            if let Some(mark) = MARKS.iter().find(|mark| text.contains(*mark)) {
                findings.push(Finding::new(
                    &file.path,
                    line,
                    format!("`{mark}`: finish it, or open an issue and drop the note"),
                ));
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::{MARKS, Tree, check};

    #[test]
    fn finds_each_mark() {
        for mark in MARKS {
            let text = format!("//! x\n{mark})\n");
            assert_eq!(check(&Tree::of(&[("a.rs", &text)])).len(), 1, "{mark}");
        }
        assert!(check(&Tree::of(&[("a.rs", "//! a list of things to do\n")])).is_empty());
    }
}
