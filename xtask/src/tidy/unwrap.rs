//! No `.unwrap()` outside tests; `.expect` only with the invariant as its text.

use super::{Finding, Tree};

/// An invariant in fewer letters than this says nothing.
const SHORTEST_INVARIANT: usize = 8;

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in tree.rust() {
        for (line, text) in file.product_lines() {
            if text.contains(concat!(".unwrap", "()")) {
                let message = "handle the error, or `.expect(\"the invariant that holds here\")`";
                findings.push(Finding::new(&file.path, line, message));
            }
            if expect_text(text).is_some_and(|invariant| invariant.len() < SHORTEST_INVARIANT) {
                findings.push(Finding::new(
                    &file.path,
                    line,
                    "`expect` needs the invariant as its text: why this cannot fail",
                ));
            }
        }
    }
    findings
}

/// The literal text of an `.expect("…")` on this line.
fn expect_text(line: &str) -> Option<&str> {
    let (_, rest) = line.split_once(concat!(".expect", "(\""))?;
    rest.split_once('"').map(|(text, _)| text)
}

#[cfg(test)]
mod tests {
    use super::{Tree, check};

    #[test]
    fn tests_may_and_the_product_may_not() {
        let unwrap = concat!("a.unwrap", "();\n");
        let text =
            format!("//! x\n{unwrap}/// {unwrap}b.unwrap_or(1);\n#[cfg(test)]\nmod tests {{\n{unwrap}}}\n");
        let tree = Tree::of(&[
            ("crates/a/src/a.rs", &text),
            ("crates/a/tests/it/b.rs", &text),
            ("crates/a/src/a/tests.rs", &text),
        ]);
        let findings = check(&tree);
        assert_eq!(findings.len(), 1);
        assert_eq!((findings[0].path.as_str(), findings[0].line), ("crates/a/src/a.rs", 2));
    }

    #[test]
    fn an_invariant_is_a_sentence() {
        let text = concat!("a.expect", "(\"ok\");\nb.expect", "(\"the root was checked above\");\n");
        assert_eq!(check(&Tree::of(&[("a.rs", text)])).len(), 1);
    }
}
