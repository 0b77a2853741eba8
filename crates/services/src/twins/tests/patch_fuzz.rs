//! What must hold for any text that is given as the patch of a twin: over patches that clients send, each changed in a few
//! places, the same in every run.

use pollux_dtdl::{Dtmi, ModelSet};
use pollux_model::Random as _;
use pollux_model::digital_twin::StoredModel;
use serde_json::Map;

use super::*;
use crate::twins::difference;
use crate::twins::models::{Models, limits};
use crate::twins::twin_patch::{self, Stamp};

/// Changed copies of each seed.
const COPIES: usize = 4000;

/// What a byte is changed into.
const LETTERS: &[u8] = b"'\"[]{}/~$:,0-e.\\ \n";

const SEEDS: [&str; 14] = [
    r#"[{"op":"replace","path":"/Temperature","value":21.5},{"op":"add","path":"/Name","value":"one"}]"#,
    r#"[{"op":"remove","path":"/Name"},{"op":"remove","path":"/Temperature"}]"#,
    r#"[{"op":"add","path":"/Labels/a~1b","value":"x"},{"op":"remove","path":"/Labels/l"}]"#,
    r#"[{"op":"add","path":"/Labels","value":{"k":"v","m~0n":"w"}},{"op":"replace","path":"/Labels/k","value":""}]"#,
    r#"[{"op":"add","path":"/Size","value":{"Width":1,"Depth":2.5}},{"op":"replace","path":"/Size/Width","value":-3e5}]"#,
    r#"[{"op":"replace","path":"/sensor","value":{"$metadata":{},"Unit":"C"}}]"#,
    r#"[{"op":"add","path":"/sensor/Value","value":0.5},{"op":"remove","path":"/sensor/Unit"}]"#,
    r#"[{"op":"remove","path":"/sensor"},{"op":"add","path":"/sensor","value":{"$metadata":{"Value":{"sourceTime":"2024-05-01T10:20:30Z"}},"Value":1}}]"#,
    r#"[{"op":"replace","path":"/$metadata/$model","value":"dtmi:example:HotelRoom;1"},{"op":"add","path":"/Stars","value":5}]"#,
    r#"[{"op":"replace","path":"/$metadata/$model","value":"dtmi:example:Floor;1"},{"op":"remove","path":"/sensor"},{"op":"remove","path":"/Temperature"},{"op":"remove","path":"/Name"},{"op":"remove","path":"/Labels"},{"op":"add","path":"/Level","value":1}]"#,
    r#"[{"op":"add","path":"/$metadata/Temperature/sourceTime","value":"2024-05-01T10:20:30Z"},{"op":"add","path":"/sensor/$metadata/Unit/sourceTime","value":"2024-05-01T10:20:30+02:00"}]"#,
    r#"[{"op":"remove","path":"/$metadata/Temperature/sourceTime"},{"op":"replace","path":"/$dtId","value":"x"},{"op":"add","path":"/$etag","value":null}]"#,
    r#"[{"op":"move","from":"/Name","path":"/Temperature"},{"op":"test","path":"/Name","value":"one"},{"op":"copy","path":"","value":[]}]"#,
    r#"[{"op":"add","path":"/sensor/$metadata","value":{}},{"op":"add","path":"/$metadata","value":{}},{"op":"add","path":"/Labels/","value":"x"},{"op":"add","path":"/~2","value":true}]"#,
];

struct Bench {
    models: Models,
    twin: DigitalTwin,
    limits: Limits,
}

impl Bench {
    fn new() -> Self {
        let documents = models();
        let parsed = pollux_dtdl::parse(&documents, &limits()).unwrap();
        let set = ModelSet::new().with_limits(parsed, &limits()).unwrap();
        let stored = |document: &Value| {
            let id = document["@id"].as_str().unwrap().to_owned();
            let uploaded = Timestamp::from_secs(1);
            let document = document.clone();
            (id.clone(), Arc::new(StoredModel { id, document, uploaded, decommissioned: false }))
        };
        let stored = documents.iter().map(stored).collect();
        let time = "2023-01-01T00:00:00Z";
        let document = json!({
            "Temperature": 1.5, "Name": "old", "Labels": { "l": "m" }, "sensor": {
                "Unit": "F", "$metadata": { "$lastUpdateTime": time, "Unit": { "lastUpdateTime": time } },
            },
            "$metadata": { "$model": ROOM, "$lastUpdateTime": time, "Temperature": { "lastUpdateTime": time },
                "Name": { "lastUpdateTime": time, "sourceTime": time }, "Labels": { "lastUpdateTime": time } },
        });
        let twin = DigitalTwin {
            id: "r".into(),
            model: ROOM.into(),
            etag: Etag::new("before"),
            document,
            updated: Timestamp::from_secs(2),
        };
        Self {
            models: Models { set, stored },
            twin,
            limits: Limits { digital_twin: 2000, ..Limits::default() },
        }
    }

    /// Refused for a reason that a client is told, or a twin that holds by its model, whose metadata tells of what it has,
    /// and which the notification of the change leads to.
    fn patch(&self, text: &[u8]) -> bool {
        let Ok(patch) = serde_json::from_slice::<Value>(text) else { return false };
        let stamp = Stamp { etag: Etag::new("after"), now: Timestamp::from_secs(3), limits: &self.limits };
        let patched = json_patch::parse(&patch)
            .and_then(|operations| twin_patch::apply(self.twin.clone(), &operations, &self.models, stamp));
        let shown = String::from_utf8_lossy(text);
        match patched {
            Err(error) => {
                let known = matches!(
                    error.code,
                    ErrorCode::JsonPatchInvalid | ErrorCode::ValidationFailed | ErrorCode::TooLarge
                );
                assert!(known && !error.message.is_empty(), "{shown}: {error:?}");
                false
            }
            Ok(after) => {
                self.check(&after, &shown);
                true
            }
        }
    }

    fn check(&self, after: &DigitalTwin, shown: &str) {
        assert_eq!((&*after.id, after.etag.as_str()), ("r", "after"), "{shown}");
        let contents = after.document.as_object().unwrap();
        let model = Dtmi::parse(&after.model).unwrap();
        assert_eq!(self.models.set.check_twin(&model, contents), [], "{shown}");
        assert_eq!(contents["$metadata"]["$model"], *after.model, "{shown}");
        let components = &self.models.set.get(&model).unwrap().components;
        told(contents, |name| components.contains_key(name), shown);
        for name in components.keys() {
            told(contents[name].as_object().unwrap(), |_| false, shown);
        }
        let again: Value = serde_json::from_str(&after.document.to_string()).unwrap();
        assert_eq!(again, after.document, "{shown}");
        // Whoever applies what is told of a replacement comes to the same contents.
        let mut replayed = bare(&self.twin.document);
        for operation in difference::of_twins(&self.twin, after) {
            if !operation.path.iter().any(|segment| segment == "$metadata") {
                operation.apply(&mut replayed, &operation.path).unwrap();
            }
        }
        assert_eq!(
            Value::Object(bare(&Value::Object(replayed))),
            Value::Object(bare(&after.document)),
            "{shown}"
        );
    }
}

/// Each property has its metadata, and there is none of anything else.
fn told(members: &Map<String, Value>, is_component: impl Fn(&str) -> bool, shown: &str) {
    let metadata = members["$metadata"].as_object().unwrap();
    for name in members.keys().filter(|name| *name != "$metadata" && !is_component(name)) {
        assert!(!name.starts_with('$'), "{shown}: {name}");
        let time = metadata.get(name).and_then(|of| of["lastUpdateTime"].as_str());
        assert!(time.is_some_and(|time| Timestamp::parse(time).is_some()), "{shown}: {name} in {metadata:?}");
    }
    for (name, of) in metadata.iter().filter(|(name, _)| !name.starts_with('$')) {
        assert!(members.contains_key(name), "{shown}: metadata of {name}");
        let source = of.get("sourceTime");
        assert!(source.is_none_or(crate::twins::document::is_time), "{shown}: {source:?}");
    }
}

/// Contents without metadata, that of components too.
fn bare(document: &Value) -> Map<String, Value> {
    let mut members = document.as_object().unwrap().clone();
    members.shift_remove("$metadata");
    for inner in members.values_mut().filter_map(Value::as_object_mut) {
        inner.shift_remove("$metadata");
    }
    members
}

/// What patches are made of.
struct Parts {
    paths: Vec<String>,
    values: Vec<Value>,
    words: Vec<Vec<&'static str>>,
}

impl Parts {
    fn new() -> Self {
        let operations: Vec<Value> =
            SEEDS.iter().flat_map(|seed| serde_json::from_str::<Vec<Value>>(seed).unwrap()).collect();
        let paths = operations.iter().filter_map(|one| one["path"].as_str().map(str::to_owned)).collect();
        let mut values: Vec<Value> = operations.iter().filter_map(|one| one.get("value").cloned()).collect();
        values.extend([
            json!(null),
            json!({}),
            json!([1]),
            json!(""),
            json!({ "$metadata": { "$model": 1 } }),
        ]);
        let separators = ['{', '}', '[', ']', ',', ':', '/', '$'];
        let words = SEEDS.iter().map(|seed| seed.split_inclusive(separators).collect()).collect();
        Self { paths, values, words }
    }

    /// Some operations, of paths and values that belong together or do not.
    fn patch(&self, below: impl Fn(usize) -> usize) -> Vec<u8> {
        let operation = |_| {
            let path = &self.paths[below(self.paths.len())];
            let path = match below(8) {
                0 => format!("{path}{}", self.paths[below(self.paths.len())]),
                1 => path.rsplit_once('/').map_or("", |(before, _)| before).to_owned(),
                _ => path.clone(),
            };
            let verb = ["add", "add", "replace", "remove"][below(4)];
            json!({ "op": verb, "path": path, "value": self.values[below(self.values.len())] })
        };
        Value::Array((0..=below(4)).map(operation).collect()).to_string().into_bytes()
    }

    /// The text of a seed, changed in a few places.
    fn text(&self, seed: usize, below: impl Fn(usize) -> usize) -> Vec<u8> {
        let mut copy = self.words[seed].clone();
        for _ in 0..=below(2) {
            let other = &self.words[below(self.words.len())];
            let (from, at) = (below(other.len()), below(copy.len() + 1));
            match below(4) {
                0 => copy.insert(at, other[from]),
                // A piece of another, as long as it may be.
                1 => drop(copy.splice(at..at, other[from..].iter().take(below(12)).copied())),
                2 if at < copy.len() => drop(copy.remove(at)),
                _ if at < copy.len() => copy[at] = other[from],
                _ => copy.truncate(at),
            }
        }
        let mut text = copy.concat().into_bytes();
        if below(4) == 0 && !text.is_empty() {
            let at = below(text.len());
            text[at] = LETTERS[below(LETTERS.len())];
        }
        text
    }
}

#[test]
fn patches_changed_a_little_break_nothing() {
    let (bench, parts, random) = (Bench::new(), Parts::new(), SeededRandom::new(0x7a7c4));
    let below = |bound: usize| usize::try_from(random.below(bound.max(1) as u64)).unwrap();
    let (mut applied, mut tried) = (0, 0);
    for (at, seed) in SEEDS.iter().enumerate() {
        bench.patch(seed.as_bytes());
        patch_targets::twins_patch(format!("{seed}\n{}", bench.twin.document).as_bytes());
        for _ in 0..COPIES {
            let text = if below(4) == 0 { parts.text(at, below) } else { parts.patch(below) };
            applied += usize::from(bench.patch(&text));
            let document = [&text[..], b"\n", bench.twin.document.to_string().as_bytes()].concat();
            patch_targets::twins_patch(&document);
            tried += 1;
        }
    }
    assert!(applied > tried / 50, "the changes are too many to find much: {applied} of {tried} applied");
}
