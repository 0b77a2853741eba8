//! Every path that a document names exists. A document is README.md, ARCHITECTURE.md, CONTRIBUTING.md, conformance/README.md and
//! everything below docs/. A path is a relative link, or a text in backticks that begins with a folder of the root or names a file there.
//! `{a,b}` stands for each of them; a text with `<`, `*` or `…` is a pattern and not checked. CHANGELOG.md tells of the past: not checked.

use super::dead::normal;
use super::{File, Finding, Tree};

const MUST_EXIST: &[&str] = &[
    "README.md",
    "ARCHITECTURE.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "LICENSE",
    ".ci/run",
    "deny.toml",
    "clippy.toml",
];

/// Endings that make a single word in backticks a file of the root.
const KINDS: &[&str] = &[".md", ".toml", ".lock"];

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let missing = MUST_EXIST.iter().filter(|path| !tree.paths.contains(**path));
    let missing = missing.map(|path| Finding::new(path, 0, "missing: every checkout has it"));
    missing
        .chain(tree.files.iter().filter(|file| is_document(&file.path)).flat_map(|file| document(tree, file)))
        .collect()
}

fn is_document(path: &str) -> bool {
    let known = ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "conformance/README.md"];
    known.contains(&path) || (path.starts_with("docs/") && path.ends_with(".md"))
}

fn document(tree: &Tree, file: &File) -> Vec<Finding> {
    let folder = file.path.rsplit_once('/').map_or("", |(folder, _)| folder);
    let mut findings = Vec::new();
    let mut fenced = false;
    for (line, text) in file.lines() {
        if text.trim_start().starts_with("```") {
            fenced = !fenced;
        }
        if fenced {
            continue;
        }
        let links =
            links(text).filter(|link| !exists(tree, &normal(&format!("{folder}/{link}")))).map(str::to_owned);
        let words = quoted(text).flat_map(expand).filter(|word| looks_like_path(tree, word));
        let words =
            words.filter(|word| !exists(tree, word) && !exists(tree, &normal(&format!("{folder}/{word}"))));
        findings.extend(links.chain(words).map(|path| {
            Finding::new(
                &file.path,
                line,
                format!("`{path}` does not exist: mend the path, or drop the sentence"),
            )
        }));
    }
    findings
}

/// Relative link targets on a line, without their anchors.
fn links(line: &str) -> impl Iterator<Item = &str> {
    line.split("](").skip(1).filter_map(|rest| rest.split([')', ' ']).next()).filter_map(|link| {
        let outside = link.contains("://") || link.starts_with('#') || link.starts_with("mailto:");
        let path = link.split('#').next().unwrap_or("");
        (!outside && !path.is_empty()).then_some(path)
    })
}

/// Texts in single backticks on a line.
fn quoted(line: &str) -> impl Iterator<Item = &str> {
    line.split('`').skip(1).step_by(2)
}

/// `a/{b,c}.rs` → `a/b.rs`, `a/c.rs`; any other text as it is.
fn expand(word: &str) -> Vec<String> {
    match word
        .split_once('{')
        .and_then(|(head, rest)| rest.split_once('}').map(|(list, tail)| (head, list, tail)))
    {
        Some((head, list, tail)) => {
            list.split(',').flat_map(|item| expand(&format!("{head}{}{tail}", item.trim()))).collect()
        }
        None => vec![word.to_owned()],
    }
}

fn looks_like_path(tree: &Tree, word: &str) -> bool {
    if word.contains(|c: char| c.is_whitespace() || "<>*…$=()[]\"'|&?:,".contains(c)) {
        return false;
    }
    match word.split_once('/') {
        Some((first, _)) => {
            ["crates", "docs", "xtask", "conformance", "bench", "fuzz", ".ci"].contains(&first)
                || tree.paths.contains(first)
        }
        None => KINDS.iter().any(|kind| word.len() > kind.len() && word.ends_with(kind)),
    }
}

/// True when the tree has the path; build output may be named before it is there.
fn exists(tree: &Tree, path: &str) -> bool {
    let path = path.trim_end_matches('/');
    path.is_empty() || path.starts_with("target") || tree.paths.contains(path)
}

#[cfg(test)]
mod tests {
    use super::{MUST_EXIST, Tree, check};

    fn findings(text: &str) -> Vec<String> {
        let mut files: Vec<(&str, &str)> = MUST_EXIST.iter().map(|path| (*path, "")).collect();
        files.extend([("docs/a.md", text), ("docs/b.md", ""), ("crates/x/src/lib.rs", "")]);
        check(&Tree::of(&files)).into_iter().map(|finding| finding.message).collect()
    }

    #[test]
    fn links_and_quoted_paths_must_exist() {
        assert_eq!(
            findings("[b](b.md#part) [out](https://a.b/c) `crates/x/src/lib.rs` `../docs/b.md`"),
            Vec::<String>::new()
        );
        assert!(findings("[c](c.md)")[0].contains("`c.md`"));
        assert!(findings("see `crates/y/src/lib.rs`")[0].contains("crates/y"));
        assert!(findings("`crates/x/src/{lib,gone}.rs`")[0].contains("gone.rs"));
        assert!(findings("`GONE.md`")[0].contains("GONE.md"));
    }

    #[test]
    fn patterns_commands_and_code_blocks_are_not_paths() {
        assert_eq!(
            findings("`crates/*/src` `cargo xtask test` `docs/<name>.md`\n```\n`crates/gone`\n```\n"),
            Vec::<String>::new()
        );
    }

    #[test]
    fn the_papers_of_a_project_are_there() {
        assert_eq!(check(&Tree::default()).len(), MUST_EXIST.len());
    }
}
