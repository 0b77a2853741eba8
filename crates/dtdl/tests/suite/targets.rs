//! What must hold for any bytes given as models. Each function is a target of `fuzz/`, which includes this file; on stable,
//! `fuzzed.rs` runs them over the seeds, changed a little.

use pollux_dtdl::{
    Dtmi, Limits, ModelSet, UndefinedExtensions, parse, parse_text, validate_line, validate_texts,
};
use serde_json::Value;

/// A text of models: refused with the place of every error, or read, and then its own source reads the same again.
pub(crate) fn models(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    for undefined in [UndefinedExtensions::Never, UndefinedExtensions::Always] {
        let limits = Limits {
            undefined_extensions: undefined,
            limit_extensions: vec!["dtmi:dtdl:limits:onvif".to_owned()],
            ..Limits::language()
        };
        match parse_text(text, &limits) {
            Err(errors) => {
                assert!(!errors.is_empty());
                assert!(errors.iter().all(|error| error.path.starts_with('$')), "{errors:?}");
            }
            Ok(models) => {
                for model in &models {
                    let again = parse(std::slice::from_ref(&model.source), &limits)
                        .expect("what was read is read again");
                    assert_eq!(again[0].contents, model.contents);
                }
                if let Ok(set) = ModelSet::new().with_limits(models, &limits) {
                    twins(&set);
                }
            }
        }
        // Files and sets are read by the same rules.
        let errors = validate_texts(&[text], &limits);
        assert!(errors.iter().all(|(index, error)| *index == 0 && error.path.starts_with('$')), "{errors:?}");
    }
}

/// A line of `pollux twin model validate --ndjson`: it has an answer, which is JSON.
pub(crate) fn sets(input: &[u8]) {
    let Ok(line) = std::str::from_utf8(input) else { return };
    let verdict = validate_line(line, &Limits::language());
    let answer = verdict.to_json();
    assert_eq!(answer["valid"], Value::from(verdict.errors.is_empty()));
}

/// An identifier: what is one is the same text again.
pub(crate) fn identifier(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    if let Ok(id) = Dtmi::parse(text) {
        assert_eq!(id.as_str(), text);
        assert!(id.labels().count() > 0);
    }
}

/// Values of all kinds against every property: no panic, and no end.
fn twins(set: &ModelSet) {
    let values = [
        Value::Null,
        Value::from("2024-02-29T08:30:00Z"),
        Value::from(-1),
        serde_json::json!([[[]], {"a": [1]}]),
        serde_json::json!({"x": {"x": {"x": 1}}, "type": "Point", "coordinates": [1, 2]}),
    ];
    for model in set.models() {
        let Some(interface) = set.get(&model.id) else { continue };
        for (name, value) in
            interface.properties.keys().flat_map(|name| values.iter().map(move |value| (name, value)))
        {
            let _ = interface.check_property(name, value);
        }
        let _ = set.check_twin(&model.id, &serde_json::Map::new());
    }
}
