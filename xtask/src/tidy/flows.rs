//! docs/flows/ tells how provision, telemetry and retire run through the code, with a link to a file for each hop
//! (that the linked files exist is checked by `paths`).

use super::{Finding, Tree};

const FLOWS: &[&str] = &["docs/flows/provision.md", "docs/flows/telemetry.md", "docs/flows/retire.md"];
/// A flow runs through at least this many files.
const FEWEST_HOPS: usize = 3;

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    FLOWS.iter().filter_map(|path| flow(tree, path)).collect()
}

fn flow(tree: &Tree, path: &str) -> Option<Finding> {
    let Some(file) = tree.file(path) else {
        return Some(Finding::new(path, 0, "missing: write how this flow runs through the code, hop by hop"));
    };
    let hops = file.text.matches(".rs").count();
    (hops < FEWEST_HOPS)
        .then(|| Finding::new(path, 0, format!("names {hops} source files: link the file of each hop")))
}

#[cfg(test)]
mod tests {
    use super::{FLOWS, Tree, check};

    #[test]
    fn each_flow_is_told_with_its_files() {
        assert_eq!(check(&Tree::default()).len(), FLOWS.len());
        let told = "`a.rs` then `b.rs` then `c.rs`";
        let tree = Tree::of(&[(FLOWS[0], told), (FLOWS[1], told), (FLOWS[2], "words only")]);
        assert_eq!(check(&tree).len(), 1);
    }
}
