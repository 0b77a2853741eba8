//! The Digital Twin Consortium's parser cases (read from `POLLUX_CASES` or `../shared/cases`): for each version of the
//! language, all valid ones are accepted and all invalid ones refused.

use std::collections::BTreeMap;

use pollux_dtdl::{Dtmi, Limits, validate};

use crate::common;

#[derive(Default, Debug)]
struct Tally {
    valid: usize,
    accepted: usize,
    invalid: usize,
    refused: usize,
}

/// Of each version, this many wrong answers are printed.
const SHOWN: usize = 40;

#[test]
fn specification_cases() {
    score("dtdl/specification");
}

#[test]
fn documentation_examples() {
    score("dtdl/doc-examples");
}

fn score(folder: &str) {
    let Some(folder) = common::cases(folder) else { return };
    let mut tallies: BTreeMap<char, Tally> = BTreeMap::new();
    let mut shown: BTreeMap<char, usize> = BTreeMap::new();
    for path in common::json_files(&folder) {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        // The suffix is V2, V3 or V4; of the examples of extensions, it is the extension's version.
        let version = name.trim_end_matches(".json").chars().last().unwrap();
        let content = common::read(&path);
        let cases = content.as_array().cloned().unwrap_or_else(|| vec![content]);
        for case in cases {
            let valid = case["valid"].as_bool().unwrap();
            let verdict = validate(&case, &Limits::language());
            let right = verdict.is_valid() == valid;
            let tally = tallies.entry(version).or_default();
            if valid {
                tally.valid += 1;
                tally.accepted += usize::from(right);
            } else {
                tally.invalid += 1;
                tally.refused += usize::from(right);
            }
            let shown = shown.entry(version).or_default();
            if !right && *shown < SHOWN {
                *shown += 1;
                let input: String = case["input"].to_string().chars().take(300).collect();
                let said: Vec<_> = verdict.errors.iter().map(|error| error.message.as_str()).collect();
                println!(
                    "{name}: should be {}: {} {input}",
                    if valid { "valid" } else { "invalid" },
                    said.join("; ")
                );
            }
        }
    }
    for (version, tally) in &tallies {
        println!(
            "V{version}: valid {}/{}, invalid {}/{}",
            tally.accepted, tally.valid, tally.refused, tally.invalid
        );
    }
    assert!(!tallies.is_empty());
    for (version, tally) in &tallies {
        assert!(tally.accepted == tally.valid && tally.refused == tally.invalid, "V{version}: {tally:?}");
    }
}

#[test]
fn dtmis() {
    let Some(folder) = common::cases("dtdl/dtmis") else { return };
    let files = common::json_files(&folder);
    assert!(!files.is_empty());
    for path in files {
        let case = common::read(&path);
        let text = case["idText"].as_str().unwrap();
        let id = Dtmi::parse(text);
        assert_eq!(id.is_ok(), case["valid"].as_bool().unwrap(), "{text}");
        let Ok(id) = id else { continue };
        let expect = &case["expect"];
        assert_eq!(u64::from(id.major_version()), expect["MajorVersion"].as_u64().unwrap(), "{text}");
        assert_eq!(u64::from(id.minor_version()), expect["MinorVersion"].as_u64().unwrap(), "{text}");
        assert_eq!(id.versionless(), expect["Versionless"].as_str().unwrap());
        assert_eq!(id.fragment(), expect["Fragment"].as_str().unwrap());
        assert_eq!(id.is_reserved(), expect["IsReserved"].as_bool().unwrap(), "{text}");
        let labels: Vec<_> =
            expect["Labels"].as_array().unwrap().iter().map(|l| l.as_str().unwrap()).collect();
        assert_eq!(id.labels().collect::<Vec<_>>(), labels);
    }
}
