//! The Digital Twin Consortium's parser cases, DTDL v2 (read from `POLLUX_CASES` or `../shared/cases`): how many
//! valid ones are accepted and how many invalid ones are refused. The floors must not fall.

use std::path::Path;

use pollux_dtdl::{Dtmi, Limits, ModelSet, parse};
use serde_json::Value;

use crate::common;

#[derive(Default, Debug)]
struct Tally {
    valid: usize,
    accepted: usize,
    invalid: usize,
    refused: usize,
}

/// Of these, the first line of each wrong answer is printed.
const SHOWN: usize = 60;

#[test]
fn v2_specification_cases() {
    let Some(cases) = common::cases("dtdl/specification") else { return };
    let tally = score(&cases);
    println!(
        "DTDL v2 specification: valid {}/{}, invalid {}/{}",
        tally.accepted, tally.valid, tally.refused, tally.invalid
    );
    assert!(tally.valid > 0 && tally.accepted == tally.valid, "{tally:?}");
    assert!(tally.invalid > 0 && tally.refused == tally.invalid, "{tally:?}");
}

#[test]
fn v2_documentation_examples() {
    let Some(cases) = common::cases("dtdl/doc-examples") else { return };
    let tally = score(&cases);
    println!(
        "DTDL v2 examples: valid {}/{}, invalid {}/{}",
        tally.accepted, tally.valid, tally.refused, tally.invalid
    );
    assert!(tally.valid > 0 && tally.accepted == tally.valid, "{tally:?}");
    assert!(tally.invalid > 0 && tally.refused == tally.invalid, "{tally:?}");
}

fn score(folder: &Path) -> Tally {
    let mut tally = Tally::default();
    let mut shown = 0;
    for path in common::json_files(folder) {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if !name.ends_with("V2.json") {
            continue;
        }
        let content = common::read(&path);
        let cases = content.as_array().cloned().unwrap_or_else(|| vec![content]);
        for case in cases.iter().filter(|case| !is_other_version(case)) {
            let valid = case["valid"].as_bool().unwrap();
            let outcome = run(case);
            let right = outcome.is_ok() == valid;
            if valid {
                tally.valid += 1;
                tally.accepted += usize::from(right);
            } else {
                tally.invalid += 1;
                tally.refused += usize::from(right);
            }
            if !right && shown < SHOWN {
                shown += 1;
                let input: String = case["input"].to_string().chars().take(400).collect();
                println!(
                    "{name}: should be {}: {} {input}",
                    if valid { "valid" } else { "invalid" },
                    outcome.err().unwrap_or_default()
                );
            }
        }
    }
    tally
}

/// The examples of extensions are written in later versions of the language.
fn is_other_version(case: &Value) -> bool {
    let text = case["input"].to_string();
    ["3", "4"].iter().any(|version| {
        // As the language of an Interface; the specification's cases have these only inside, as faults.
        text.contains(&format!("\"@context\":[\"dtmi:dtdl:context;{version}\",\"dtmi:dtdl:ext"))
            || text.contains(&format!("[{{\"@context\":\"dtmi:dtdl:context;{version}\""))
            || text.contains(&format!("[{{\"@context\":[\"dtmi:dtdl:context;{version}\"]"))
    })
}

fn run(case: &Value) -> Result<(), String> {
    let allowed =
        case["options"].as_array().unwrap().iter().any(|option| option == "AllowUndefinedExtensions");
    let limits = Limits { undefined_extensions: allowed, ..Limits::azure() };
    let join = |diagnostics: Vec<pollux_dtdl::Diagnostic>| {
        diagnostics.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
    };
    let models = parse(case["input"].as_array().unwrap(), &limits).map_err(join)?;
    ModelSet::new().with_limits(models, &limits).map(drop).map_err(join)
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
