//! Models in files and folders, and the order in which they can be uploaded.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::input;

/// Models in one request, at most (Azure Digital Twins' limit).
const BATCH: usize = 250;
/// Folders below the one named, at most.
const DEPTH: usize = 16;

/// The models in a file, in a folder and below, or in the argument itself.
pub(crate) fn read(from: &str) -> Result<Vec<Value>> {
    if from.trim_start().starts_with(['{', '[']) {
        return Ok(flat(input::json("--from", from)?));
    }
    let mut models = Vec::new();
    for path in paths(Path::new(from))? {
        models.extend(document(&path)?);
    }
    Ok(models)
}

/// A file itself; of a folder, every `.json` in it and below, in order.
pub(super) fn paths(from: &Path) -> Result<Vec<PathBuf>> {
    if !from.is_dir() {
        return Ok(vec![from.to_owned()]);
    }
    let mut found = Vec::new();
    walk(from, DEPTH, &mut found)?;
    if found.is_empty() {
        bail!("there is no .json file in '{}'", from.display());
    }
    Ok(found)
}

fn walk(folder: &Path, depth: usize, found: &mut Vec<PathBuf>) -> Result<()> {
    let failed = || format!("cannot read '{}'", folder.display());
    let entries: Result<Vec<_>, _> = fs::read_dir(folder).with_context(failed)?.collect();
    let mut paths: Vec<_> = entries.with_context(failed)?.into_iter().map(|entry| entry.path()).collect();
    paths.sort();
    for path in paths {
        if path.is_dir() {
            match depth {
                0 => bail!("'{}' lies more than {DEPTH} folders deep", path.display()),
                _ => walk(&path, depth - 1, found)?,
            }
        } else if path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("json")) {
            found.push(path);
        }
    }
    Ok(())
}

fn document(path: &Path) -> Result<Vec<Value>> {
    let text = input::file(path)?;
    Ok(flat(input::parse(&text).with_context(|| format!("'{}' is not JSON", path.display()))?))
}

fn flat(document: Value) -> Vec<Value> {
    match document {
        Value::Array(models) => models,
        one => vec![one],
    }
}

/// Batches that can be uploaded one after the other: what a model names comes in the same batch or an earlier one,
/// except where models name each other in a circle.
pub(super) fn batches(models: Vec<Value>) -> Vec<Vec<Value>> {
    if models.len() <= BATCH {
        return vec![models];
    }
    let mut order = Vec::with_capacity(models.len());
    let ids: HashMap<&str, usize> = models
        .iter()
        .enumerate()
        .filter_map(|(index, model)| Some((model["@id"].as_str()?, index)))
        .collect();
    let needs: Vec<Vec<usize>> = models.iter().map(|model| named(model, &ids)).collect();
    let mut seen = HashSet::new();
    for start in 0..models.len() {
        // Depth first without recursion: an entry is put in order when all it needs has been.
        let mut stack = vec![(start, false)];
        while let Some((index, ready)) = stack.pop() {
            if ready {
                order.push(index);
            } else if seen.insert(index) {
                stack.push((index, true));
                stack.extend(
                    needs[index].iter().filter(|need| !seen.contains(need)).map(|need| (*need, false)),
                );
            }
        }
    }
    let mut models: Vec<_> = models.into_iter().map(Some).collect();
    let sorted: Vec<Value> = order.into_iter().filter_map(|index| models[index].take()).collect();
    sorted.chunks(BATCH).map(<[Value]>::to_vec).collect()
}

/// Models of this set that a model names anywhere.
fn named(model: &Value, ids: &HashMap<&str, usize>) -> Vec<usize> {
    let mut found = Vec::new();
    let mut stack = vec![model];
    while let Some(value) = stack.pop() {
        match value {
            Value::String(text) => found.extend(ids.get(text.as_str())),
            Value::Array(items) => stack.extend(items),
            Value::Object(fields) => stack.extend(fields.values()),
            _ => {}
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn files_and_folders_are_read() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("b")).unwrap();
        fs::write(folder.path().join("a.json"), "\u{feff}{\"@id\": \"dtmi:a;1\"}").unwrap();
        fs::write(folder.path().join("b/b.JSON"), r#"[{"@id": "dtmi:b;1"}, {"@id": "dtmi:c;1"}]"#).unwrap();
        fs::write(folder.path().join("readme.md"), "no").unwrap();
        let all = read(folder.path().to_str().unwrap()).unwrap();
        assert_eq!(all, [json!({"@id": "dtmi:a;1"}), json!({"@id": "dtmi:b;1"}), json!({"@id": "dtmi:c;1"})]);
        assert!(read(folder.path().join("none.json").to_str().unwrap()).is_err());
        assert_eq!(read(r#"{"@id": "dtmi:x;1"}"#).unwrap(), [json!({"@id": "dtmi:x;1"})]);
    }

    #[test]
    fn many_models_go_in_the_order_they_need_each_other() {
        // Each needs the next: the last must come first.
        let model =
            |n: usize| json!({"@id": format!("dtmi:m{n};1"), "extends": format!("dtmi:m{};1", n + 1)});
        let batches = batches((0..600).map(model).collect());
        assert_eq!(batches.iter().map(Vec::len).collect::<Vec<_>>(), [250, 250, 100]);
        assert_eq!(batches[0][0]["@id"], "dtmi:m599;1");
        assert_eq!(batches[2][99]["@id"], "dtmi:m0;1");
    }
}
