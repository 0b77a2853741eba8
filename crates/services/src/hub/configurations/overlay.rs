//! What configurations make of a twin.

use std::collections::{BTreeMap, BTreeSet};

use pollux_model::configuration::{ConfigurationStatus, Configured};
use pollux_model::device::DeviceTwin;
use serde_json::{Map, Value};

use super::super::twin_merge::changes;
use super::super::twin_rules;
use super::compile::Matching;

/// How a twin changes.
#[derive(Debug, PartialEq)]
pub(super) struct Overlay {
    /// What configurations made of it.
    pub(super) configured: Configured,
    /// The patch of its desired properties; empty where they are as they are to be.
    pub(super) patch: Map<String, Value>,
}

/// What those that match (the first wins) make of a twin; `None`: it is as it is to be. `most`: bytes of desired
/// properties. What does not fit is left out, the configurations of least priority first.
pub(super) fn overlay(twin: &DeviceTwin, matching: &[Matching<'_>], most: usize) -> Option<Overlay> {
    if matching.is_empty() && twin.configured.is_empty() {
        return None;
    }
    let mut used = matching.len();
    loop {
        let (chosen, left_out) = matching.split_at(used);
        let (mut by, leaves) = chosen_settings(chosen);
        by.extend(left_out.iter().map(|one| (one.id.to_owned(), ConfigurationStatus::Targeted)));
        let settings: BTreeSet<String> = leaves.keys().map(|path| (*path).to_owned()).collect();
        let mut after = twin.desired.properties.clone();
        for path in twin.configured.settings.difference(&settings) {
            remove(&mut after, path);
        }
        for (path, value) in &leaves {
            match value {
                Value::Null => drop(remove(&mut after, path)),
                value => set(&mut after, path, value),
            }
        }
        let fits = twin_rules::check_size("properties.desired", &after, most).is_ok();
        if used == 0 || fits {
            let configured = Configured { by, settings };
            let patch = changes(&twin.desired.properties, &after);
            let changed = !patch.is_empty() || configured != twin.configured;
            return changed.then_some(Overlay { configured, patch });
        }
        used -= 1;
    }
}

/// What each comes to, and the values that win, by path. Of two settings whose paths lie in each other the second does not count
/// (article: "If two or more configurations target the same twin path").
fn chosen_settings<'c>(
    configurations: &[Matching<'c>],
) -> (BTreeMap<String, ConfigurationStatus>, BTreeMap<&'c str, &'c Value>) {
    let (mut by, mut leaves) = (BTreeMap::new(), BTreeMap::new());
    let mut taken: BTreeSet<&str> = BTreeSet::new();
    for one in configurations {
        let free: Vec<_> = one.settings.iter().filter(|setting| !overlaps(&taken, &setting.path)).collect();
        let applied = one.counts && (!free.is_empty() || one.settings.is_empty());
        let status = if applied { ConfigurationStatus::Applied } else { ConfigurationStatus::Targeted };
        by.insert(one.id.to_owned(), status);
        for setting in free {
            taken.insert(&setting.path);
            leaves.extend(setting.leaves.iter().map(|(path, value)| (path.as_str(), value)));
        }
    }
    (by, leaves)
}

/// Whether a path is one of these, or lies in one, or one in it.
pub(super) fn overlaps(taken: &BTreeSet<&str>, path: &str) -> bool {
    if taken.contains("") || (path.is_empty() && !taken.is_empty()) {
        return true;
    }
    let mut outer = path;
    loop {
        if taken.contains(outer) {
            return true;
        }
        match outer.rfind('.') {
            Some(at) => outer = &outer[..at],
            None => break,
        }
    }
    let inner = format!("{path}.");
    taken.range(inner.as_str()..).next().is_some_and(|next| next.starts_with(&inner))
}

fn set(tree: &mut Map<String, Value>, path: &str, value: &Value) {
    let Some((first, rest)) = path.split_once('.') else {
        let kept = tree.get(path).is_some_and(Value::is_object) && value.is_object();
        // An empty object says that there is one.
        if !kept {
            tree.insert(path.to_owned(), value.clone());
        }
        return;
    };
    let below = tree.entry(first).or_insert_with(|| Value::Object(Map::new()));
    if !below.is_object() {
        *below = Value::Object(Map::new());
    }
    if let Value::Object(below) = below {
        set(below, rest, value);
    }
}

/// Removes what is there, and what is empty without it; whether there was something.
fn remove(tree: &mut Map<String, Value>, path: &str) -> bool {
    let Some((first, rest)) = path.split_once('.') else { return tree.shift_remove(path).is_some() };
    let Some(Value::Object(below)) = tree.get_mut(first) else { return false };
    let removed = remove(below, rest);
    if removed && below.is_empty() {
        tree.shift_remove(first);
    }
    removed
}

#[cfg(test)]
mod tests {
    use pollux_model::device::TwinCollection;
    use pollux_model::{Etag, Timestamp};
    use serde_json::json;

    use super::super::super::twin_merge::merge;
    use super::super::compile::{Setting, settings};
    use super::*;

    const MOST: usize = 1000;

    fn twin(desired: Value) -> DeviceTwin {
        let Value::Object(properties) = desired else { panic!("an object") };
        DeviceTwin {
            etag: Etag::new("e"),
            service_etag: Etag::new("s"),
            version: 1,
            model_id: String::new(),
            tags: Map::new(),
            desired: TwinCollection { properties, ..TwinCollection::default() },
            reported: TwinCollection::default(),
            configured: Configured::default(),
        }
    }

    struct One {
        id: &'static str,
        settings: Vec<Setting>,
    }

    fn configuration(id: &'static str, content: Value) -> One {
        let Value::Object(content) = content else { panic!("an object") };
        One { id, settings: settings(&content).unwrap() }
    }

    /// Brings the twin in line; what it desires then.
    fn follow(twin: &mut DeviceTwin, all: &[&One], most: usize) -> Value {
        let matching: Vec<_> =
            all.iter().map(|it| Matching { id: it.id, settings: &it.settings, counts: true }).collect();
        let matching = matching.as_slice();
        if let Some(Overlay { configured, patch }) = overlay(twin, matching, most) {
            twin.configured = configured;
            let side = &mut twin.desired;
            merge(&mut side.properties, &mut side.metadata, &patch, Timestamp::NEVER, Some(2));
        }
        assert_eq!(overlay(twin, matching, most), None, "it is in line now");
        Value::Object(twin.desired.properties.clone())
    }

    fn statuses(twin: &DeviceTwin) -> Vec<(&str, &str)> {
        twin.configured.by.iter().map(|(id, status)| (id.as_str(), status.as_str())).collect()
    }

    #[test]
    fn what_one_sets_comes_and_goes() {
        let mut twin = twin(json!({"own": 1, "chiller": {"mode": "eco"}, "old": {"a": 1}}));
        let one = configuration(
            "one",
            json!({"properties.desired.chiller": {"temperature": 66, "deep": {"x": [1]}}, "properties.desired.old": null}),
        );
        let desired = follow(&mut twin, &[&one], MOST);
        assert_eq!(
            desired,
            json!({"own": 1, "chiller": {"mode": "eco", "temperature": 66, "deep": {"x": [1]}}})
        );
        assert_eq!(statuses(&twin), [("one", "Applied")]);
        assert_eq!(follow(&mut twin, &[], MOST), json!({"own": 1, "chiller": {"mode": "eco"}}));
        assert!(twin.configured.is_empty());
    }

    #[test]
    fn the_first_wins_each_path_and_the_next_follows_when_it_goes() {
        let high = configuration("high", json!({"properties.desired.a.b": 1, "properties.desired.c": 2}));
        let low = configuration(
            "low",
            json!({"properties.desired.a": {"b": 9, "x": 9}, "properties.desired.d": 9}),
        );
        let lost = configuration("lost", json!({"properties.desired.d.e": 0}));
        let empty = configuration("empty", json!({}));
        let mut twin = twin(json!({}));
        let all = [&high, &low, &lost, &empty];
        assert_eq!(follow(&mut twin, &all, MOST), json!({"a": {"b": 1}, "c": 2, "d": 9}));
        let expected = [("empty", "Applied"), ("high", "Applied"), ("lost", "Targeted"), ("low", "Applied")];
        assert_eq!(statuses(&twin), expected);
        assert_eq!(follow(&mut twin, &[&low, &lost], MOST), json!({"a": {"b": 9, "x": 9}, "d": 9}));
        assert_eq!(follow(&mut twin, &[&lost], MOST), json!({"d": {"e": 0}}));
        assert_eq!(follow(&mut twin, &[], MOST), json!({}));
    }

    #[test]
    fn what_it_holds_nobody_else_changes() {
        let one = configuration("one", json!({"properties.desired": {"a": 1, "b": {}}}));
        let mut twin = twin(json!({"a": 2, "b": 3, "c": 4}));
        assert_eq!(follow(&mut twin, &[&one], MOST), json!({"a": 1, "b": {}, "c": 4}));
        twin.desired.properties.insert("a".into(), json!({"other": 1}));
        twin.desired.properties.insert("b".into(), json!({"inside": 1}));
        assert_eq!(follow(&mut twin, &[&one], MOST), json!({"a": 1, "b": {"inside": 1}, "c": 4}));
    }

    #[test]
    fn what_does_not_fit_is_left_out() {
        let high = configuration("high", json!({"properties.desired.a": "x".repeat(40)}));
        let low = configuration("low", json!({"properties.desired.b": "x".repeat(40)}));
        let mut twin = twin(json!({"own": "x".repeat(40)}));
        follow(&mut twin, &[&high, &low], 100);
        assert_eq!(statuses(&twin), [("high", "Applied"), ("low", "Targeted")]);
        follow(&mut twin, &[&high, &low], 10);
        assert_eq!(statuses(&twin), [("high", "Targeted"), ("low", "Targeted")]);
        assert_eq!(twin.desired.properties.len(), 1);
    }

    #[test]
    fn paths_overlap_by_whole_names() {
        let taken = BTreeSet::from(["a.b", "ab"]);
        for path in ["a", "a.b", "a.b.c", "ab", "ab.c", ""] {
            assert!(overlaps(&taken, path), "{path}");
        }
        for path in ["b", "a.bc", "a.c", "abc"] {
            assert!(!overlaps(&taken, path), "{path}");
        }
        assert!(overlaps(&BTreeSet::from([""]), "x"));
        assert!(!overlaps(&BTreeSet::new(), ""));
    }
}
