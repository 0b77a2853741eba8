//! No dead source file: each `.rs` is a root of its package or is reached from one by `mod name;`.

use super::{File, Finding, Tree};
use std::collections::BTreeSet;

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let known: BTreeSet<&str> = tree.rust().map(|file| file.path.as_str()).collect();
    let mut reached: BTreeSet<String> = BTreeSet::new();
    let mut open: Vec<&File> = tree.rust().filter(|file| is_root(tree, file)).collect();
    reached.extend(open.iter().map(|file| file.path.clone()));
    while let Some(file) = open.pop() {
        for path in modules(tree, file) {
            let next = tree.file(&path).filter(|next| known.contains(next.path.as_str()));
            open.extend(next.filter(|_| reached.insert(path)));
        }
    }
    tree.rust()
        .filter(|file| !reached.contains(&file.path))
        .map(|file| {
            Finding::new(
                &file.path,
                1,
                "no module names this file: add `mod …;` where it belongs, or delete it",
            )
        })
        .collect()
}

/// What cargo compiles by itself: lib.rs, main.rs, src/bin/*, tests/*, benches/*, examples/*, build.rs, and paths the manifest names.
fn is_root(tree: &Tree, file: &File) -> bool {
    let package = file.package();
    let Some(rest) = file.path.strip_prefix(package).map(|rest| rest.trim_start_matches('/')) else {
        return false;
    };
    if rest == "build.rs" || matches!(rest, "src/lib.rs" | "src/main.rs") {
        return true;
    }
    let parts: Vec<&str> = rest.split('/').collect();
    let auto = matches!(
        parts.as_slice(),
        ["tests" | "benches" | "examples", _]
            | ["src", "bin", _]
            | ["tests" | "benches" | "examples", _, "main.rs"]
            | ["src", "bin", _, "main.rs"]
    );
    let manifest = if package.is_empty() {
        manifest_above(tree, &file.path)
    } else {
        tree.file(&format!("{package}/Cargo.toml"))
    };
    auto || manifest.is_some_and(|manifest| names_path(manifest, &file.path))
}

/// The manifest of a package that keeps its sources in a folder of another name (fuzz_targets/…).
fn manifest_above<'tree>(tree: &'tree Tree, path: &str) -> Option<&'tree File> {
    let mut end = path.len();
    while let Some(slash) = path[..end].rfind('/') {
        end = slash;
        if let Some(manifest) = tree.file(&format!("{}/Cargo.toml", &path[..end])) {
            return Some(manifest);
        }
    }
    None
}

fn names_path(manifest: &File, path: &str) -> bool {
    let folder = manifest.path.trim_end_matches("Cargo.toml");
    path.strip_prefix(folder).is_some_and(|rest| manifest.text.contains(&format!("path = \"{rest}\"")))
}

/// The files that the `mod name;` lines of a file may stand for.
fn modules(tree: &Tree, file: &File) -> Vec<String> {
    let (folder, name) = file.path.rsplit_once('/').unwrap_or(("", &file.path));
    let stem = name.trim_end_matches(".rs");
    let is_root = is_root(tree, file) || stem == "mod";
    let below = if is_root { folder.to_owned() } else { format!("{folder}/{stem}") };
    let mut found = Vec::new();
    let mut path_attribute: Option<String> = None;
    for (_, line) in file.lines() {
        let code = line.trim();
        if let Some(path) = code.strip_prefix("#[path = \"").and_then(|rest| rest.split('"').next()) {
            path_attribute = Some(normal(&format!("{folder}/{path}")));
        } else if let Some(module) = module_name(code) {
            match path_attribute.take() {
                Some(path) => found.push(path),
                None => found.extend([format!("{below}/{module}.rs"), format!("{below}/{module}/mod.rs")]),
            }
        }
    }
    found
}

/// `name` of a line `mod name;`, with or without a visibility before it.
fn module_name(code: &str) -> Option<&str> {
    let code = code.split("//").next()?.trim().strip_suffix(';')?;
    let (before, name) = code.rsplit_once("mod ")?;
    let visible =
        before.is_empty() || before.trim_end().starts_with("pub") || before.trim_end().ends_with(']');
    let plain = name.trim_start_matches("r#").chars().all(|c| c.is_alphanumeric() || c == '_');
    (visible && plain).then_some(name)
}

/// Resolves `.` and `..` in a path of the tree.
pub(super) fn normal(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::{Tree, check, module_name};

    #[test]
    fn follows_modules_from_the_roots() {
        let tree = Tree::of(&[
            ("crates/a/Cargo.toml", ""),
            ("crates/a/src/lib.rs", "pub mod b;\n#[cfg(test)]\nmod tests;\n"),
            ("crates/a/src/b.rs", "pub(crate) mod c; // why\n"),
            ("crates/a/src/b/c.rs", ""),
            ("crates/a/src/tests.rs", "#[path = \"../shared/d.rs\"]\nmod d;\n"),
            ("crates/a/shared/d.rs", ""),
            ("crates/a/src/forgotten.rs", ""),
            ("crates/a/src/c.rs", ""),
            ("crates/a/tests/it/main.rs", "mod e;"),
            ("crates/a/tests/it/e.rs", ""),
            ("fuzz/Cargo.toml", "[[bin]]\npath = \"fuzz_targets/f.rs\"\n"),
            ("fuzz/fuzz_targets/f.rs", ""),
        ]);
        let dead: Vec<String> = check(&tree).into_iter().map(|finding| finding.path).collect();
        assert_eq!(dead, ["crates/a/src/forgotten.rs", "crates/a/src/c.rs"]);
    }

    #[test]
    fn reads_module_lines() {
        assert_eq!(module_name("pub(crate) mod a;"), Some("a"));
        assert_eq!(module_name("mod tests {"), None);
        assert_eq!(module_name("// mod gone;"), None);
    }
}
