//! Input made to hurt: deep, large, cyclic and arbitrary documents are refused, without panic and in bounded work.

use pollux_dtdl::{Dtmi, Limits, ModelSet, UndefinedExtensions, parse, parse_text};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

fn interface(rest: &Value) -> Value {
    let mut json = json!({"@context": "dtmi:dtdl:context;2", "@id": "dtmi:a;1", "@type": "Interface"});
    for (key, value) in rest.as_object().unwrap() {
        json[key] = value.clone();
    }
    json
}

fn refused(document: Value) -> Vec<pollux_dtdl::Diagnostic> {
    parse(&[document], &Limits::azure()).expect_err("should be refused")
}

#[test]
fn deep_documents_are_refused_unread() {
    let mut schema = json!("string");
    // Deep enough for the bound; much deeper, serde_json itself overflows when it drops the value.
    for _ in 0..200 {
        schema = json!({"@type": "Array", "elementSchema": schema});
    }
    let found =
        refused(interface(&json!({"contents": {"@type": "Telemetry", "name": "t", "schema": schema}})));
    assert_eq!(found.len(), 1);
    assert!(found[0].message.contains("nested deeper"));
}

#[test]
fn large_documents_are_refused_unread() {
    let found = refused(interface(&json!({"comment": "x".repeat(2 * 1024 * 1024)})));
    assert!(found[0].message.contains("larger than"));
    let found = refused(json!([interface(&json!({"comment": "x".repeat(2 * 1024 * 1024)}))]));
    assert!(found[0].message.contains("larger than"));
}

#[test]
fn texts_that_are_deep_or_large_are_refused_with_their_place() {
    let limits = Limits::language();
    for (open, close) in [("[", "]"), (r#"{"@context":"#, "}")] {
        let deep = format!("{}1{}", open.repeat(100_000), close.repeat(100_000));
        let errors = parse_text(&deep, &limits).unwrap_err();
        assert_eq!((errors.len(), errors[0].line), (1, Some(1)));
        assert!(!pollux_dtdl::validate_texts(&[&deep], &limits).is_empty());
    }
    let item = r#"{"@type":"Telemetry","name":"t","schema":"double"},"#;
    let large = format!(
        r#"{{"@context":"dtmi:dtdl:context;3","@id":"dtmi:a;1","@type":"Interface","contents":[{}1]}}"#,
        item.repeat(10 * 1024 * 1024 / item.len())
    );
    let errors = parse_text(&large, &limits).unwrap_err();
    assert!(errors[0].message.contains("larger than"), "{errors:?}");
}

#[test]
fn many_errors_in_a_large_text_are_all_placed() {
    // A megabyte in one line, and as many errors as are kept.
    let item = r#"{"@type":"Telemetry","name":"t","schema":"nothing"}"#;
    let items = vec![item; 1024 * 1000 / item.len()].join(",");
    let text = format!(
        r#"{{"@context":"dtmi:dtdl:context;3","@id":"dtmi:a;1","@type":"Interface","contents":[{items}]}}"#
    );
    let limits = Limits { model_bytes: usize::MAX, ..Limits::language() };
    let errors = parse_text(&text, &limits).unwrap_err();
    assert_eq!(errors.len(), limits.diagnostics + 1);
    assert!(errors.iter().all(|error| error.column.is_some()));
    let second = errors[1].column.unwrap() as usize;
    assert!(text[second - 1..].starts_with(r#""schema":"nothing""#));
}

#[test]
fn long_circles_of_extends_are_found() {
    let count = 20_000;
    let one = |n: usize| {
        json!({"@context": "dtmi:dtdl:context;3", "@id": format!("dtmi:m{n};1"), "@type": "Interface",
            "extends": format!("dtmi:m{};1", (n + 1) % count)})
    };
    let documents: Vec<_> = (0..count).map(one).collect();
    let limits = Limits::language();
    let found = ModelSet::new().with_limits(parse(&documents, &limits).unwrap(), &limits).unwrap_err();
    assert_eq!(found.len(), 1);
    assert!(found[0].message.contains("extends itself"));
}

#[test]
fn wide_hierarchies_are_refused_in_bounded_work() {
    // Each extends all before it, and brings a hundred contents.
    let one = |n: usize| {
        let parents: Vec<_> = (0..n).map(|p| format!("dtmi:m{p};1")).collect();
        let contents: Vec<_> = (0..100)
            .map(|c| json!({"@type": "Telemetry", "name": format!("t{n}x{c}"), "schema": "double"}))
            .collect();
        json!({"@context": "dtmi:dtdl:context;3", "@id": format!("dtmi:m{n};1"), "@type": "Interface", "extends": parents,
            "contents": contents})
    };
    let documents: Vec<_> = (0..250).map(one).collect();
    let limits = Limits::language();
    let found = ModelSet::new().with_limits(parse(&documents, &limits).unwrap(), &limits).unwrap_err();
    assert!(found[0].message.contains("levels of extends"), "{}", found[0]);
}

#[test]
fn the_number_of_diagnostics_is_bounded() {
    let keys: Map<String, Value> = (0..5000).map(|n| (format!("k{n}"), json!(1))).collect();
    assert_eq!(refused(interface(&Value::Object(keys))).len(), Limits::azure().diagnostics + 1);
}

#[test]
fn schemas_that_contain_each_other_are_found() {
    let object = |id: &str, other: &str| json!({"@id": id, "@type": "Object", "fields": [{"name": "f", "schema": other}]});
    let found = refused(interface(
        &json!({"schemas": [object("dtmi:x;1", "dtmi:y;1"), object("dtmi:y;1", "dtmi:x;1")]}),
    ));
    assert!(found[0].message.contains("contains itself"), "{found:#?}");
}

#[test]
fn schemas_that_multiply_by_reference_are_built_once() {
    // Each level has 30 fields of the level below: 30^4 leaves if copied.
    let level = |n: usize| {
        let below = if n == 0 { "string".to_owned() } else { format!("dtmi:s{};1", n - 1) };
        let fields: Vec<_> = (0..30).map(|f| json!({"name": format!("f{f}"), "schema": below})).collect();
        json!({"@id": format!("dtmi:s{n};1"), "@type": "Object", "fields": fields})
    };
    let schemas: Vec<_> = (0..5).map(level).collect();
    let contents: Vec<_> = (0..300)
        .map(|n| json!({"@type": "Property", "name": format!("p{n}"), "schema": "dtmi:s4;1"}))
        .collect();
    let document = interface(&json!({"schemas": schemas, "contents": contents}));
    assert_eq!(parse(&[document], &Limits::azure()).unwrap().len(), 1);
}

#[test]
fn a_web_of_extends_is_resolved_in_bounded_work() {
    // Two parents each, eleven levels: 2^10 ways to the top.
    let id = |level: usize, side: usize| format!("dtmi:l{level}:s{side};1");
    let one = |level: usize, side: usize| {
        let parents = if level == 0 { json!([]) } else { json!([id(level - 1, 0), id(level - 1, 1)]) };
        json!({"@context": "dtmi:dtdl:context;2", "@id": id(level, side), "@type": "Interface", "extends": parents,
            "contents": {"@type": "Property", "name": format!("p{level}x{side}"), "schema": "string"}})
    };
    let documents: Vec<_> = (0..=10).flat_map(|level| [one(level, 0), one(level, 1)]).collect();
    let set = ModelSet::new().with(parse(&documents, &Limits::azure()).unwrap()).unwrap();
    let bottom = set.get(&id(10, 0).parse::<Dtmi>().unwrap()).unwrap();
    assert_eq!(bottom.properties.len(), 21);
}

const KEYS: [&str; 31] = [
    "annotates",
    "overrides",
    "index",
    "ttl",
    "nullable",
    "payloadFormat",
    "response",
    "@context",
    "@id",
    "@type",
    "@graph",
    "@value",
    "@language",
    "name",
    "schema",
    "contents",
    "extends",
    "schemas",
    "fields",
    "enumValues",
    "enumValue",
    "valueSchema",
    "elementSchema",
    "mapKey",
    "mapValue",
    "request",
    "unit",
    "target",
    "properties",
    "displayName",
    "x",
];
const TEXTS: [&str; 38] = [
    "dtmi:dtdl:context;3",
    "dtmi:dtdl:context;4",
    "dtmi:dtdl:context;4#limitless",
    "dtmi:dtdl:limits:onvif;1",
    "dtmi:dtdl:extension:mqtt;4",
    "dtmi:dtdl:extension:annotation;2",
    "dtmi:dtdl:extension:quantitativeTypes;2",
    "Mqtt",
    "Indexed",
    "ValueAnnotation",
    "Override",
    "Result",
    "ErrorResult",
    "scaledDecimal",
    "TemperatureUnit",
    "PT1S",
    "dtmi:dtdl:context;2",
    "dtmi:a;1",
    "dtmi:b;1",
    "dtmi:c;0",
    "Interface",
    "Property",
    "Telemetry",
    "Command",
    "Component",
    "Relationship",
    "Array",
    "Object",
    "Enum",
    "Map",
    "Temperature",
    "degreeCelsius",
    "integer",
    "string",
    "name",
    "ü",
    "",
    "en",
];

/// JSON whose keys and strings are often those of the language, so that it comes far into the parser.
fn dtdl_like() -> impl Strategy<Value = Value> {
    let text = prop::sample::select(TEXTS.to_vec()).prop_map(Value::from);
    let leaf = prop_oneof![
        6 => text, 1 => Just(Value::Null), 1 => any::<bool>().prop_map(Value::from),
        1 => any::<i64>().prop_map(Value::from), 1 => any::<f64>().prop_map(Value::from),
        1 => "\\PC{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 96, 6, |inner| {
        let members = prop::collection::vec((prop::sample::select(KEYS.to_vec()), inner.clone()), 0..8);
        prop_oneof![
            1 => prop::collection::vec(inner, 0..4).prop_map(Value::from),
            4 => members.prop_map(|members| {
                Value::Object(members.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
            }),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn arbitrary_documents_never_panic(
        version in 2..=4_u8, contents in dtdl_like(), schemas in dtdl_like(), extends in dtdl_like(), bare in dtdl_like()
    ) {
        let mut document = interface(&json!({"contents": contents, "schemas": schemas, "extends": extends}));
        if version > 2 {
            document["@context"] = json!([format!("dtmi:dtdl:context;{version}"), "dtmi:dtdl:extension:mqtt;4",
                "dtmi:dtdl:extension:annotation;2", "dtmi:dtdl:extension:quantitativeTypes;2"]);
        }
        for limits in [Limits::azure(), Limits { undefined_extensions: UndefinedExtensions::Always, ..Limits::language() }] {
            if let Ok(models) = parse(&[document.clone(), bare.clone()], &limits) {
                let _ = ModelSet::new().with(models);
            }
            if let Ok(models) = parse(std::slice::from_ref(&document), &limits) {
                let again = parse(&models.iter().map(|m| m.source.clone()).take(1).collect::<Vec<_>>(), &limits).unwrap();
                prop_assert_eq!(&again[0], &models[0]);
            }
        }
    }

    #[test]
    fn arbitrary_text_is_an_identifier_or_an_error(text in "(dtmi:)?[a-zA-Z0-9_:;.#é]{0,24}") {
        if let Ok(id) = Dtmi::parse(&text) {
            prop_assert_eq!(id.as_str(), &text);
            prop_assert!(text.starts_with(&*id.versionless().split('#').next().unwrap().to_owned()));
            prop_assert!(id.labels().count() > 0);
        }
    }

    #[test]
    fn arbitrary_values_never_panic(value in dtdl_like(), text in "\\PC{0,40}") {
        let model = interface(&json!({"contents": [
            {"@type": "Property", "name": "name", "schema": {"@type": "Object", "fields": [
                {"name": "x", "schema": "dateTime"}, {"name": "name", "schema": "duration"}]}},
            {"@type": "Property", "name": "x", "schema": "date"}, {"@type": "Property", "name": "t", "schema": "time"},
            {"@type": "Property", "name": "d", "schema": "duration"}, {"@type": "Telemetry", "name": "g", "schema": "polygon"}
        ]}));
        let set = ModelSet::new().with(parse(&[model], &Limits::azure()).unwrap()).unwrap();
        let id = Dtmi::parse("dtmi:a;1").unwrap();
        let interface = set.get(&id).unwrap();
        for name in ["name", "x", "t", "d"] {
            let _ = interface.check_property(name, &value);
            let _ = interface.check_property(name, &json!(text));
        }
        let _ = interface.telemetries["g"].schema.check(&value);
        if let Value::Object(body) = &value {
            let _ = set.check_twin(&id, body);
        }
    }
}
