//! `name.rs` beside `name/`, never `mod.rs`.

use super::{Finding, Tree};

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    tree.rust()
        .filter(|file| file.path.ends_with("/mod.rs"))
        .map(|file| {
            let better = format!("{}.rs", file.path.trim_end_matches("/mod.rs"));
            Finding::new(&file.path, 1, format!("name it {better}: no `mod.rs` here"))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{Tree, check};

    #[test]
    fn says_the_better_name() {
        let findings =
            check(&Tree::of(&[("crates/a/src/b/mod.rs", "//! B.\n"), ("crates/a/src/b/modern.rs", "")]));
        assert_eq!(findings.len(), 1);
        assert!(findings[0].message.contains("crates/a/src/b.rs"));
    }
}
