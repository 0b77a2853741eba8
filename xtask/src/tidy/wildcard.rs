//! The edges' status tables name every error code: no wildcard arm, so that a new code does not compile until each protocol has its
//! answer. A status table is a file `status.rs` of the edges, or a `match` below a line with the comment `exhaustive`.

use super::{File, Finding, Tree};

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    tree.rust().filter(|file| file.path.starts_with("crates/")).flat_map(wildcards).collect()
}

fn wildcards(file: &File) -> Vec<Finding> {
    let table = file.path.starts_with("crates/edges/") && file.path.ends_with("/status.rs");
    let mut marked: Option<usize> = None; // indentation of the marked match, while inside it
    let mut findings = Vec::new();
    for (line, text) in file.lines() {
        let indent = text.len() - text.trim_start().len();
        let code = text.trim();
        if code == "// exhaustive" || code.starts_with("// exhaustive:") {
            marked = Some(indent);
        } else if marked == Some(indent) && code.starts_with('}') {
            marked = None;
        }
        if (table || marked.is_some()) && is_wildcard(code) {
            findings.push(Finding::new(
                &file.path,
                line,
                "a wildcard arm in a status table: name each code, so that a new one gets its answer",
            ));
        }
    }
    findings
}

fn is_wildcard(code: &str) -> bool {
    code.starts_with("_ =>") || code.starts_with("_ if ") || code.contains("| _ =>")
}

#[cfg(test)]
mod tests {
    use super::{Tree, check};

    #[test]
    fn a_status_table_is_exhaustive() {
        let text = "//! x\nmatch code {\n    A => 1,\n    _ => 2,\n}\n";
        let tree =
            Tree::of(&[("crates/edges/src/http/status.rs", text), ("crates/edges/src/http/body.rs", text)]);
        let findings = check(&tree);
        assert_eq!(findings.len(), 1);
        assert_eq!((findings[0].path.as_str(), findings[0].line), ("crates/edges/src/http/status.rs", 4));
    }

    #[test]
    fn a_marked_match_is_exhaustive_wherever_it_stands() {
        let text = "fn a() {\n    // exhaustive: each code\n    match x {\n        _ => 1,\n    }\n    match y {\n        _ => 2,\n    }\n}\n";
        let findings = check(&Tree::of(&[("crates/services/src/a.rs", text)]));
        assert_eq!(findings.iter().map(|finding| finding.line).collect::<Vec<_>>(), [4]);
    }
}
