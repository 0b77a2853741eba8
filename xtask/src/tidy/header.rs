//! Each Rust module opens with `//!`: what lives here and what does not. Test modules may leave it out: their names say it.

use super::{Finding, Tree};

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    tree.rust()
        .filter(|file| !file.path.ends_with("/build.rs") && !file.is_test())
        .filter(|file| !file.text.trim_start().starts_with("//!"))
        .map(|file| {
            Finding::new(&file.path, 1, "open the file with `//!`: what lives here, and what does not")
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{Tree, check};

    #[test]
    fn a_module_says_what_it_is() {
        let findings = check(&Tree::of(&[
            ("a.rs", "//! A.\n"),
            ("b.rs", "use x;\n//! late\n"),
            ("crates/a/src/b/tests.rs", "use y;\n"),
        ]));
        assert_eq!(findings.len(), 1);
        assert_eq!(findings[0].path, "b.rs");
    }
}
