//! Where the shared cases and models are, and how to read them.

use std::path::{Path, PathBuf};

use serde_json::Value;

/// A folder of `../shared/cases`, or of the folder that `POLLUX_CASES` names; nothing, with a message, where missing.
#[expect(clippy::disallowed_methods, reason = "a test finds data outside the repository")]
pub(crate) fn cases(name: &str) -> Option<PathBuf> {
    let root = std::env::var("POLLUX_CASES").map_or_else(|_| shared().join("cases"), PathBuf::from);
    existing(root.join(name))
}

/// A folder of `../shared/models`.
pub(crate) fn models(name: &str) -> Option<PathBuf> {
    existing(shared().join("models").join(name))
}

fn shared() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared")
}

fn existing(path: PathBuf) -> Option<PathBuf> {
    if path.is_dir() {
        return Some(path);
    }
    println!("skipped: {} is missing", path.display());
    None
}

/// Every JSON file below a folder, sorted.
pub(crate) fn json_files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "json") {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// A JSON file, with or without a byte-order mark.
pub(crate) fn read(path: &Path) -> Value {
    let text = std::fs::read_to_string(path).unwrap();
    serde_json::from_str(text.trim_start_matches('\u{feff}')).unwrap()
}
