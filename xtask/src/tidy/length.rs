//! No Rust file over 600 lines (new ones aim at 400): a longer file holds more than one thing.

use super::{Finding, Tree};

const LIMIT: usize = 600;

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    tree.rust()
        .map(|file| (file, file.text.lines().count()))
        .filter(|(_, lines)| *lines > LIMIT)
        .map(|(file, lines)| {
            let message =
                format!("{lines} lines, at most {LIMIT}: split it by noun or verb into files of its own");
            Finding::new(&file.path, LIMIT, message)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{LIMIT, Tree, check};

    #[test]
    fn counts_lines() {
        let fits = "x\n".repeat(LIMIT);
        let long = "x\n".repeat(LIMIT + 1);
        let findings = check(&Tree::of(&[("a.rs", &fits), ("b.rs", &long), ("c.md", &long)]));
        assert_eq!(findings.iter().map(|finding| finding.path.as_str()).collect::<Vec<_>>(), ["b.rs"]);
    }
}
