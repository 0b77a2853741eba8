//! A lint is silenced with `#[expect(lint, reason = "…")]`, which goes away with its cause; never with a bare `allow`.

use super::{Finding, Tree};

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let marks = [concat!("#[", "allow("), concat!("#![", "allow(")];
    let mut findings = Vec::new();
    for file in tree.rust() {
        let hits =
            file.lines().filter(|(_, line)| marks.iter().any(|mark| line.trim_start().starts_with(mark)));
        findings.extend(hits.map(|(line, _)| {
            Finding::new(
                &file.path,
                line,
                "use `#[expect(lint, reason = \"…\")]` instead, or follow the lint",
            )
        }));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::{Tree, check};

    #[test]
    fn finds_both_forms_and_leaves_expect_alone() {
        let text = format!("//! x\n{0}[allow(a)]\n{0}![allow(b)]\n#[expect(c, reason = \"r\")]\n", '#');
        let findings = check(&Tree::of(&[("a.rs", &text)]));
        assert_eq!(findings.iter().map(|finding| finding.line).collect::<Vec<_>>(), [2, 3]);
    }
}
