//! Sets and files checked offline: the verdict, and where each error is.

use pollux_dtdl::{Limits, parse_text, validate, validate_line, validate_texts};
use serde_json::{Value, json};

fn interface(id: &str, rest: &Value) -> Value {
    let mut json = json!({"@context": "dtmi:dtdl:context;3", "@id": id, "@type": "Interface"});
    for (key, value) in rest.as_object().unwrap() {
        json[key] = value.clone();
    }
    json
}

#[test]
fn a_set_has_a_verdict_with_its_id() {
    let good = json!({"id": 7, "input": [interface("dtmi:a;1", &json!({}))]});
    assert_eq!(validate(&good, &Limits::language()).to_json(), json!({"id": 7, "valid": true, "errors": []}));
    let bad = json!({"id": "x", "input": [interface("dtmi:a;1", &json!({})), interface("dtmi:b;1", &json!({"colour": 1}))]});
    let verdict = validate(&bad, &Limits::language()).to_json();
    assert_eq!((&verdict["id"], &verdict["valid"]), (&json!("x"), &json!(false)));
    assert_eq!(verdict["errors"][0]["path"], "$.input[1].colour");
    assert_eq!(verdict["errors"][0]["model"], "dtmi:b;1");
}

#[test]
fn a_set_that_is_none_has_an_error_that_says_so() {
    for (set, said) in [
        (json!({}), "'input' is missing"),
        (json!([]), "'input' is missing"),
        (json!({"input": 1}), "'input' is an array"),
        (json!({"input": [], "options": ["Maybe"]}), "option 'Maybe' is not known"),
        (json!({"input": [], "options": [1]}), "'options' is an array of strings"),
        (json!({"input": [], "maxDtdlVersion": "3"}), "'maxDtdlVersion' is a version"),
        (json!({"input": [], "maxDtdlVersion": 1}), "2, 3 or 4"),
        (json!({"input": [], "maxDtdlVersion": 9}), "2, 3 or 4"),
    ] {
        let verdict = validate(&set, &Limits::language());
        assert!(verdict.errors[0].message.contains(said), "{:?}", verdict.errors);
    }
    assert!(!validate_line("{", &Limits::language()).is_valid());
    assert!(!validate_line(&"[".repeat(100_000), &Limits::language()).is_valid());
}

#[test]
fn options_and_the_highest_version_are_those_of_the_set() {
    let model = |version: u8| {
        json!({"@context": [format!("dtmi:dtdl:context;{version}"), "dtmi:com:x;1"], "@id": "dtmi:a;1",
        "@type": "Interface"})
    };
    let with = |version: u8, option: &[&str]| {
        validate(&json!({"input": [model(version)], "options": option}), &Limits::language()).is_valid()
    };
    assert!(with(2, &[]) && !with(3, &[]), "the language allows unknown contexts in v2 only");
    assert!(with(3, &["AllowUndefinedExtensions"]) && !with(2, &["DisallowUndefinedExtensions"]));
    let set = |max: u8| json!({"input": [interface("dtmi:a;1", &json!({}))], "maxDtdlVersion": max});
    assert!(
        validate(&set(3), &Limits::language()).is_valid()
            && validate(&set(4), &Limits::language()).is_valid()
    );
    assert!(!validate(&set(2), &Limits::language()).is_valid());
}

#[test]
fn models_that_are_referred_to_are_taken_from_resolution() {
    let input = json!([interface("dtmi:a;1", &json!({"extends": "dtmi:b;1"}))]);
    let b = interface("dtmi:b;1", &json!({"extends": "dtmi:c;1"}));
    let c = interface("dtmi:c;1", &json!({}));
    let broken = interface("dtmi:never;1", &json!({"colour": 1}));
    let with =
        |resolution: Value| validate(&json!({"input": input, "resolution": resolution}), &Limits::language());
    assert!(with(json!([c, broken, [b]])).is_valid(), "what nothing refers to is not looked at");
    let missing = with(json!([b]));
    assert_eq!(missing.errors[0].path, "$.resolution[0].extends");
    assert!(missing.errors[0].message.ends_with("model 'dtmi:c;1' does not exist; give it too"));
    let wrong = with(json!([b, [interface("dtmi:c;1", &json!({"colour": 1}))]]));
    assert_eq!(wrong.errors[0].path, "$.resolution[1][0].colour");
}

#[test]
fn errors_of_a_text_have_line_and_column() {
    let text = "\u{feff}{\n  \"@context\": \"dtmi:dtdl:context;3\",\n  \"@id\": \"dtmi:ä;1\",\n  \"@type\": \"Interface\",\n  \"contents\": [\n    {\"@type\": \"Property\", \"name\": \"ok\", \"schema\": \"double\"},\n    {\"@type\": \"Property\", \"na\\u006de\": \"p\", \"schema\": \"nothing\", \"colour\": \"[{]}\"},\n    {\"@type\": \"Telemetry\", \"name\": \"t\"}\n  ]\n}\n";
    let at = |errors: &[pollux_dtdl::Diagnostic], path: &str| {
        let error =
            errors.iter().find(|error| error.path == path).unwrap_or_else(|| panic!("{path} in {errors:#?}"));
        (error.line.unwrap(), error.column.unwrap())
    };
    let errors = parse_text(text, &Limits::language()).unwrap_err();
    assert_eq!(at(&errors, "$.@id"), (3, 3));
    assert_eq!(at(&errors, "$.contents[1].schema"), (7, 45));
    assert_eq!(at(&errors, "$.contents[1].colour"), (7, 66));
    // What is missing is where it should be.
    assert_eq!(at(&errors, "$.contents[2]"), (8, 5));
    let broken = parse_text("{\n \"a\": }", &Limits::language()).unwrap_err();
    assert_eq!((broken[0].line, broken[0].column), (Some(2), Some(7)));
    let short = parse_text("{\n \"a\": 1,\n", &Limits::language()).unwrap_err();
    assert_eq!((short[0].line, short[0].column), (Some(3), Some(1)));
    let twice = "{\"@id\": \"dtmi:a;1\", \"contents\": [{},\n {\"name\": \"b\", \"name\": \"c\"}]}";
    let twice = parse_text(twice, &Limits::language()).unwrap_err();
    assert!(twice[0].message.contains("'name' is given twice"), "{twice:?}");
    assert_eq!((twice[0].line, twice[0].column), (Some(2), Some(21)));
}

#[test]
fn texts_are_one_set_and_keep_their_errors_apart() {
    let good = interface("dtmi:a;1", &json!({"extends": "dtmi:b;1"})).to_string();
    let array = json!([interface("dtmi:b;1", &json!({})), interface("dtmi:c;1", &json!({}))]).to_string();
    assert_eq!(validate_texts(&[&good, &array], &Limits::language()), []);
    let bad =
        json!([interface("dtmi:b;1", &json!({})), interface("dtmi:c;1", &json!({"extends": "dtmi:d;1"}))])
            .to_string();
    let errors = validate_texts(&[&good, &bad], &Limits::language());
    assert_eq!((errors.len(), errors[0].0, errors[0].1.path.as_str()), (1, 1, "$[1].extends"));
    assert_eq!(errors[0].1.line, Some(1));
    let errors = validate_texts(&["{", &array], &Limits::language());
    assert_eq!((errors.len(), errors[0].0), (1, 0));
    assert!(errors[0].1.message.contains("no JSON"));
}

#[test]
fn what_is_missing_is_said_together_with_what_is_wrong() {
    let bad = interface(
        "dtmi:a;1",
        &json!({"colour": 1, "extends": ["dtmi:b;1", "dtmi:gone;1"], "contents": [
        {"@type": "Component", "name": "c", "schema": "dtmi:lost;1"}]}),
    );
    let other = interface("dtmi:b;1", &json!({"contents": 7}));
    let verdict = validate(&json!({"input": [bad, other]}), &Limits::language());
    let mut paths: Vec<_> = verdict.errors.iter().map(|error| error.path.as_str()).collect();
    paths.sort_unstable();
    assert_eq!(
        paths,
        ["$.input[0].colour", "$.input[0].contents[0].schema", "$.input[0].extends", "$.input[1].contents"]
    );
    let gone = verdict.errors.iter().find(|error| error.path == "$.input[0].extends").unwrap();
    assert!(gone.message.contains("dtmi:gone;1") && gone.model.as_ref().unwrap().as_str() == "dtmi:a;1");
}

#[test]
fn a_line_that_cannot_be_read_is_answered_under_its_id() {
    let deep = format!(
        r#"{{"input":[{}{}],"options":[],"id":"d\u00e9ep"}}"#,
        "[".repeat(100_000),
        "]".repeat(100_000)
    );
    for (line, id) in [
        (deep.as_str(), json!("déep")),
        (r#"{"id": 7 , "input": [}"#, json!(7)),
        (r#"{"a": {"id": 1}, "id": {}, "input": ["#, json!(null)),
        (r#"{"id" "#, json!(null)),
        (r#"{"id": "x"#, json!(null)),
        (r#"["id", 1"#, json!(null)),
        ("{,,,", json!(null)),
    ] {
        let verdict = validate_line(line, &Limits::language());
        assert_eq!((verdict.id.clone(), verdict.is_valid()), (id, false), "{verdict:?}");
    }
}
