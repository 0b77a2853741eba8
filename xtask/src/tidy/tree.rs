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

    /// True for test code: a `tests` folder, a `tests.rs` or `…_tests.rs` module, the test kit, or benches.
    pub(crate) fn is_test(&self) -> bool {
        let name = self.path.rsplit('/').next().unwrap_or(&self.path);
        let folder = ["/tests/", "/benches/", "/suite/"].iter().any(|part| self.path.contains(part));
        folder
            || name == "tests.rs"
            || name == "suite.rs"
            || name.ends_with("_tests.rs")
            || self.path.starts_with("crates/testkit/")
    }

    /// The lines that are code of the product: not test code, not comments. A `#[cfg(test)]` module at the end of a file ends it.
    pub(crate) fn product_lines(&self) -> impl Iterator<Item = (usize, &str)> {
        let test = self.is_test();
        self.lines()
            .take_while(move |(_, line)| !test && !line.trim_start().starts_with("#[cfg(test)]"))
            .filter(|(_, line)| !line.trim_start().starts_with("//"))
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
        Ok(tree)
    }

    pub(crate) fn rust(&self) -> impl Iterator<Item = &File> {
        self.files.iter().filter(|file| file.path.ends_with(".rs"))
    }

    pub(crate) fn file(&self, path: &str) -> Option<&File> {
        self.files.iter().find(|file| file.path == path)
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
                self.files.push(File { path, text });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
impl Tree {
    /// A tree made of (path, text), for the tests of the checks.
    pub(crate) fn of(files: &[(&str, &str)]) -> Self {
        let mut tree = Self::default();
        for (path, text) in files {
            tree.files.push(File { path: (*path).to_owned(), text: (*text).to_owned() });
            let mut end = path.len();
            tree.paths.insert((*path).to_owned());
            while let Some(slash) = path[..end].rfind('/') {
                end = slash;
                tree.paths.insert(path[..end].to_owned());
            }
        }
        tree
    }
}
