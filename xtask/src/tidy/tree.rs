//! The checkout as text: every file that belongs to the project, read once. Build output, dependencies and dot folders (but
//! `.ci` and `.cargo`) do not belong to it.

use anyhow::{Context, Result};
use std::collections::BTreeSet;
use std::path::Path;

/// Folders that are never part of the project.
const OUTSIDE: &[&str] = &["target", "node_modules", "__pycache__", "pollux-data", "dist"];

/// One text file.
#[derive(Debug, Clone)]
pub(crate) struct File {
    /// Path from the root of the checkout, with `/`.
    pub(crate) path: String,
    pub(crate) text: String,
    /// Reached only through a `#[cfg(test)] mod …;`.
    pub(crate) test_module: bool,
}

impl File {
    /// Lines with their numbers, from 1.
    pub(crate) fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text.lines().enumerate().map(|(index, line)| (index + 1, line))
    }

    /// The package folder a Rust file belongs to: what stands before `/src/`, `/tests/` and the like.
    pub(crate) fn package(&self) -> &str {
        ["/src/", "/tests/", "/benches/", "/examples/"]
            .iter()
            .filter_map(|part| self.path.find(part))
            .min()
            .map_or("", |end| &self.path[..end])
    }

    /// True for test code: a module behind `#[cfg(test)]`, a `tests` folder, a `tests.rs` or `…_tests.rs` module, the test kit, benches.
    pub(crate) fn is_test(&self) -> bool {
        let name = self.path.rsplit('/').next().unwrap_or(&self.path);
        let folder = ["/tests/", "/benches/", "/suite/"].iter().any(|part| self.path.contains(part));
        self.test_module
            || folder
            || name == "tests.rs"
            || name == "suite.rs"
            || name.ends_with("_tests.rs")
            || self.path.starts_with("crates/testkit/")
    }

    /// The lines that are code of the product: not test code, not comments. A test module written out at the end of a file ends it.
    pub(crate) fn product_lines(&self) -> impl Iterator<Item = (usize, &str)> {
        let end = if self.is_test() { 0 } else { self.tests_begin() };
        self.lines().take(end).filter(|(_, line)| !line.trim_start().starts_with("//"))
    }

    /// How many lines stand before `#[cfg(test)] mod … {`; all of them when there is none.
    fn tests_begin(&self) -> usize {
        let pairs = self.text.lines().zip(self.text.lines().skip(1));
        let opens = |next: &str| next.contains("mod ") && next.trim_end().ends_with('{');
        pairs
            .into_iter()
            .position(|(line, next)| line.trim() == "#[cfg(test)]" && opens(next))
            .unwrap_or(usize::MAX)
    }
}

/// Every file of the project.
#[derive(Debug, Default)]
pub(crate) struct Tree {
    pub(crate) files: Vec<File>,
    /// Every path that exists: files of any kind, and folders, without a trailing slash.
    pub(crate) paths: BTreeSet<String>,
}

impl Tree {
    pub(crate) fn read(root: &Path) -> Result<Self> {
        let mut tree = Self::default();
        tree.walk(root, "")?;
        tree.files.sort_by(|a, b| a.path.cmp(&b.path));
        tree.mark_test_modules();
        Ok(tree)
    }

    pub(crate) fn rust(&self) -> impl Iterator<Item = &File> {
        self.files.iter().filter(|file| file.path.ends_with(".rs"))
    }

    pub(crate) fn file(&self, path: &str) -> Option<&File> {
        self.files.iter().find(|file| file.path == path)
    }

    /// Marks the files of `#[cfg(test)] mod name;`, and those below them.
    fn mark_test_modules(&mut self) {
        let modules: Vec<String> = self.rust().flat_map(test_modules).collect();
        for file in &mut self.files {
            file.test_module = modules.iter().any(|module| {
                file.path
                    .strip_prefix(module.as_str())
                    .is_some_and(|rest| rest == ".rs" || rest.starts_with('/'))
            });
        }
    }

    fn walk(&mut self, folder: &Path, prefix: &str) -> Result<()> {
        let entries =
            std::fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))?;
        for entry in entries {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let hidden = name.starts_with('.') && name != ".ci" && name != ".cargo";
            if OUTSIDE.contains(&name.as_str()) || (hidden && entry.file_type()?.is_dir()) {
                continue;
            }
            let path = if prefix.is_empty() { name } else { format!("{prefix}/{name}") };
            self.paths.insert(path.clone());
            if entry.file_type()?.is_dir() {
                self.walk(&entry.path(), &path)?;
            } else if let Ok(text) = std::fs::read_to_string(entry.path()) {
                self.files.push(File { path, text, test_module: false });
            }
        }
        Ok(())
    }
}

/// Paths, without their ending, of the modules that a file declares right below a `#[cfg(test)]`.
fn test_modules(file: &File) -> Vec<String> {
    let (folder, name) = file.path.rsplit_once('/').unwrap_or(("", &file.path));
    let below = match name.trim_end_matches(".rs") {
        "lib" | "main" => folder.to_owned(),
        stem => format!("{folder}/{stem}"),
    };
    let declares = |line: &str| Some(line.trim().strip_suffix(';')?.rsplit_once("mod ")?.1.to_owned());
    let pairs = file.text.lines().zip(file.text.lines().skip(1));
    pairs
        .filter(|(line, _)| line.trim() == "#[cfg(test)]")
        .filter_map(|(_, next)| declares(next))
        .map(|module| format!("{below}/{module}"))
        .collect()
}

#[cfg(test)]
impl Tree {
    /// A tree made of (path, text), for the tests of the checks.
    pub(crate) fn of(files: &[(&str, &str)]) -> Self {
        let mut tree = Self::default();
        for (path, text) in files {
            tree.files.push(File { path: (*path).to_owned(), text: (*text).to_owned(), test_module: false });
            let mut end = path.len();
            tree.paths.insert((*path).to_owned());
            while let Some(slash) = path[..end].rfind('/') {
                end = slash;
                tree.paths.insert(path[..end].to_owned());
            }
        }
        tree.mark_test_modules();
        tree
    }
}

#[cfg(test)]
mod tests {
    use super::Tree;

    #[test]
    fn the_product_ends_where_its_tests_are_written_out() {
        let text =
            "#[cfg(test)]\nmod fixture;\nproduct();\n// a word\n#[cfg(test)]\nmod tests {\n    test();\n}\n";
        let tree = Tree::of(&[("crates/a/src/lib.rs", text)]);
        let lines: Vec<usize> = tree.files[0].product_lines().map(|(line, _)| line).collect();
        assert_eq!(lines, [1, 2, 3]);
    }

    #[test]
    fn a_module_behind_cfg_test_is_test_code_with_all_below_it() {
        let tree = Tree::of(&[
            ("crates/a/src/lib.rs", "#[cfg(test)]\nmod fixture;\nmod product;\n"),
            ("crates/a/src/fixture.rs", ""),
            ("crates/a/src/fixture/deep.rs", ""),
            ("crates/a/src/product.rs", "#[cfg(test)]\npub(crate) mod fake;\n"),
            ("crates/a/src/product/fake.rs", ""),
            ("crates/a/src/fixtures.rs", ""),
        ]);
        let test: Vec<&str> =
            tree.rust().filter(|file| file.is_test()).map(|file| file.path.as_str()).collect();
        assert_eq!(
            test,
            ["crates/a/src/fixture.rs", "crates/a/src/fixture/deep.rs", "crates/a/src/product/fake.rs"]
        );
    }
}
