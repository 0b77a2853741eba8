//! What DTDL v3 and v4 have that v2 has not, and where versions meet.

use pollux_dtdl::{Diagnostic, Dtmi, Limits, ModelSet, Schema, UndefinedExtensions, parse};
use serde_json::{Value, json};

fn interface(version: u8, rest: &Value) -> Value {
    let mut json =
        json!({"@context": format!("dtmi:dtdl:context;{version}"), "@id": "dtmi:a;1", "@type": "Interface"});
    for (key, value) in rest.as_object().unwrap() {
        json[key] = value.clone();
    }
    json
}

fn errors(documents: &[Value]) -> Vec<Diagnostic> {
    let limits = Limits::language();
    match parse(documents, &limits) {
        Err(errors) => errors,
        Ok(models) => ModelSet::new().with_limits(models, &limits).err().unwrap_or_default(),
    }
}

fn is_valid(version: u8, rest: &Value) -> bool {
    errors(&[interface(version, rest)]).is_empty()
}

fn property(schema: &Value) -> Value {
    json!({"contents": {"@type": "Property", "name": "p", "schema": schema}})
}

#[test]
fn properties_are_arrays_and_places_from_version_3_on() {
    for schema in [json!({"@type": "Array", "elementSchema": "double"}), json!("point")] {
        assert!(!is_valid(2, &property(&schema)));
        assert!(is_valid(3, &property(&schema)) && is_valid(4, &property(&schema)));
    }
}

#[test]
fn scalars_of_version_4_are_not_in_version_3() {
    for term in [
        "byte",
        "bytes",
        "decimal",
        "short",
        "unsignedByte",
        "unsignedInteger",
        "unsignedLong",
        "unsignedShort",
        "uuid",
    ] {
        assert!(is_valid(4, &property(&json!(term))), "{term}");
        assert!(is_valid(4, &property(&json!(format!("dtmi:dtdl:instance:Schema:{term};4")))), "{term}");
        assert!(!is_valid(3, &property(&json!(term))), "{term}");
    }
    assert!(is_valid(4, &property(&json!("scaledDecimal"))));
    assert!(is_valid(4, &property(&json!("dtmi:standard:schema:scaledDecimal;4"))));
    assert!(!is_valid(3, &property(&json!("scaledDecimal"))));
    assert!(
        is_valid(4, &property(&json!("dtmi:dtdl:instance:Schema:double;2"))),
        "earlier DTMIs mean the same"
    );
}

#[test]
fn payloads_are_requests_and_responses_from_version_3_on() {
    let command = |kind: &str, more: Value| {
        let mut request = json!({"@type": kind, "name": "r", "schema": "string"});
        request.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({"contents": {"@type": "Command", "name": "c", "request": request}})
    };
    assert!(
        is_valid(2, &command("CommandPayload", json!({})))
            && !is_valid(2, &command("CommandRequest", json!({})))
    );
    assert!(
        is_valid(3, &command("CommandRequest", json!({})))
            && !is_valid(3, &command("CommandPayload", json!({})))
    );
    assert!(!is_valid(3, &command("CommandResponse", json!({}))));
    assert!(is_valid(4, &command("CommandRequest", json!({"nullable": true}))));
    assert!(!is_valid(3, &command("CommandRequest", json!({"nullable": true}))));
    assert!(!is_valid(4, &command("CommandRequest", json!({"nullable": "true"}))));
}

#[test]
fn schemas_are_recursive_from_version_4_on_and_so_are_values() {
    let tree = json!({
        "schemas": {"@id": "dtmi:a:tree;1", "@type": "Object", "fields": [
            {"name": "label", "schema": "string"},
            {"name": "children", "schema": {"@type": "Array", "elementSchema": "dtmi:a:tree;1"}}]},
        "contents": {"@type": "Property", "name": "tree", "schema": "dtmi:a:tree;1"}
    });
    assert!(!is_valid(3, &tree));
    let models = parse(&[interface(4, &tree)], &Limits::language()).unwrap();
    let set = ModelSet::new().with_limits(models, &Limits::language()).unwrap();
    let found = set.get(&Dtmi::parse("dtmi:a;1").unwrap()).unwrap();
    let good =
        json!({"label": "a", "children": [{"label": "b", "children": []}, {"children": [{"label": "c"}]}]});
    assert_eq!(found.check_property("tree", &good), Ok(()));
    let bad = json!({"children": [{"children": [{"label": 7}]}]});
    assert_eq!(found.check_property("tree", &bad).unwrap_err().path, "/tree/children/0/children/0/label");
}

#[test]
fn a_recursive_schema_outlives_nothing_but_its_model() {
    let json = json!({"contents": {"@type": "Property", "name": "p", "schema":
        {"@id": "dtmi:a:list;1", "@type": "Array", "elementSchema": "dtmi:a:list;1"}}});
    let model = parse(&[interface(4, &json)], &Limits::language()).unwrap().remove(0);
    let pollux_dtdl::Content::Property(property) = &model.contents["p"] else { panic!() };
    let Schema::Array(array) = &*property.schema else { panic!() };
    let Schema::Recursive(inner) = &*array.element else { panic!() };
    assert_eq!(inner.target().as_deref(), Some(&*property.schema));
    assert_eq!(property.schema.check(&json!([[], [[]]])), Ok(()));
    let inner = inner.clone();
    drop(model);
    assert!(inner.target().is_none(), "nothing is kept by pointing upwards");
    assert!(Schema::Recursive(inner).check(&json!([])).is_err());
}

#[test]
fn depths_are_those_of_the_version() {
    let nested = |levels: usize| {
        (0..levels).fold(json!("string"), |inner, _| json!({"@type": "Array", "elementSchema": inner}))
    };
    assert!(is_valid(3, &property(&nested(5))) && !is_valid(3, &property(&nested(6))));
    assert!(is_valid(4, &property(&nested(8))) && !is_valid(4, &property(&nested(9))));
    let chain = |version: u8, length: usize| -> Vec<Value> {
        let one = |n: usize| {
            let mut json = interface(version, &json!({"@id": format!("dtmi:m{n};1")}));
            if n > 0 {
                json["extends"] = json!(format!("dtmi:m{};1", n - 1));
            }
            json
        };
        (0..=length).map(one).collect()
    };
    assert!(errors(&chain(3, 10)).is_empty() && !errors(&chain(3, 11)).is_empty());
    assert!(errors(&chain(4, 12)).is_empty() && !errors(&chain(4, 13)).is_empty());
}

#[test]
fn sets_have_no_limit_of_their_own_from_version_3_on() {
    let enumeration = |count: usize| {
        let values: Vec<_> = (0..count).map(|n| json!({"name": format!("v{n}"), "enumValue": n})).collect();
        property(&json!({"@type": "Enum", "valueSchema": "integer", "enumValues": values}))
    };
    assert!(!is_valid(2, &enumeration(101)) && is_valid(3, &enumeration(101)));
    assert!(!is_valid(2, &enumeration(0)) && is_valid(3, &enumeration(0)));
    assert!(
        is_valid(3, &property(&json!({"@type": "Object"})))
            && !is_valid(2, &property(&json!({"@type": "Object"})))
    );
    let three = json!({"extends": [{"@id": "dtmi:x;1", "@type": "Interface"}, {"@id": "dtmi:y;1", "@type": "Interface"},
        {"@id": "dtmi:z;1", "@type": "Interface"}]});
    assert!(!is_valid(2, &three) && is_valid(3, &three));
    let link = |max: i64| json!({"contents": {"@type": "Relationship", "name": "r", "maxMultiplicity": max}});
    assert!(!is_valid(2, &link(501)) && is_valid(3, &link(501)) && !is_valid(3, &link(0)));
}

#[test]
fn the_hierarchy_is_bounded_from_version_3_on() {
    let limits = Limits {
        v3: pollux_dtdl::LanguageLimits {
            extends_count: 3,
            elements: 4,
            ..pollux_dtdl::LanguageLimits::v3()
        },
        ..Limits::language()
    };
    let with = |count: usize, contents: usize| {
        let parent = |n: usize| {
            let contents: Vec<_> = (0..contents)
                .map(|c| json!({"@type": "Telemetry", "name": format!("t{n}x{c}"), "schema": "double"}))
                .collect();
            interface(3, &json!({"@id": format!("dtmi:p{n};1"), "contents": contents}))
        };
        let mut documents: Vec<_> = (0..count).map(parent).collect();
        let parents: Vec<_> = (0..count).map(|n| format!("dtmi:p{n};1")).collect();
        documents.push(interface(3, &json!({"extends": parents})));
        ModelSet::new().with_limits(parse(&documents, &limits).unwrap(), &limits)
    };
    assert!(with(3, 0).is_ok() && with(2, 2).is_ok());
    assert!(with(4, 0).unwrap_err()[0].message.contains("more than 3 Interfaces"));
    assert!(with(3, 2).unwrap_err()[0].message.contains("6 elements"));
    // Parts count too, each model of them once, wherever it stands.
    let telemetries: Vec<_> =
        (0..3).map(|n| json!({"@type": "Telemetry", "name": format!("t{n}"), "schema": "double"})).collect();
    let part = interface(3, &json!({"@id": "dtmi:part;1", "contents": telemetries}));
    let whole = |parts: usize| {
        let parts: Vec<_> = (0..parts)
            .map(|n| json!({"@type": "Component", "name": format!("c{n}"), "schema": "dtmi:part;1"}))
            .collect();
        let documents = [interface(3, &json!({"contents": parts})), part.clone()];
        ModelSet::new().with_limits(parse(&documents, &limits).unwrap(), &limits)
    };
    assert!(whole(1).is_ok());
    assert!(whole(2).unwrap_err()[0].message.contains("5 elements"));
}

#[test]
fn identifiers_need_no_version_from_version_3_on() {
    for id in ["dtmi:a", "dtmi:a;1.2"] {
        assert!(!is_valid(2, &json!({"@id": id})));
        assert!(is_valid(3, &json!({"@id": id})), "{id}");
    }
    for id in ["dtmi:a;1#x", "dtmi:_a;1", "dtmi:dtdl:a;1", "dtmi:a;0", "dtmi:a;1.0"] {
        assert!(!is_valid(3, &json!({"@id": id})), "{id}");
    }
}

#[test]
fn an_interface_uses_those_of_its_own_version_and_earlier_ones() {
    let base = |version: u8| interface(version, &json!({"@id": "dtmi:base;1"}));
    for (own, other, valid) in
        [(2, 2, true), (3, 2, true), (4, 2, true), (4, 3, true), (2, 3, false), (3, 4, false)]
    {
        let extends = interface(own, &json!({"extends": "dtmi:base;1"}));
        assert_eq!(errors(&[extends, base(other)]).is_empty(), valid, "v{own} extends v{other}");
        let part = json!({"contents": {"@type": "Component", "name": "c", "schema": "dtmi:base;1"}});
        assert_eq!(
            errors(&[interface(own, &part), base(other)]).is_empty(),
            valid,
            "v{own} has a part of v{other}"
        );
        let inside = json!({"contents": {"@type": "Component", "name": "c", "schema": base(other)}});
        assert_eq!(errors(&[interface(own, &inside)]).is_empty(), valid, "v{own} around v{other}");
    }
    let field = json!({"@type": "Object", "fields": {"@context": "dtmi:dtdl:context;3", "name": "f", "schema": "double"}});
    assert!(
        is_valid(3, &property(&field)) && !is_valid(4, &property(&field)),
        "a Field is of its Object's version"
    );
}

#[test]
fn azure_takes_version_3_and_no_later_one() {
    let parsed = |version: u8| parse(&[interface(version, &json!({}))], &Limits::azure());
    assert!(parsed(2).is_ok() && parsed(3).is_ok());
    let refused = parsed(4).unwrap_err();
    assert!(refused[0].message.contains("'dtmi:dtdl:context;2' or 'dtmi:dtdl:context;3'"), "{}", refused[0]);
    assert!(parse(&[interface(3, &json!({}))], &Limits { max_version: 2, ..Limits::azure() }).is_err());
}

#[test]
fn undefined_cotypes_need_an_unknown_context_from_version_3_on() {
    let always = Limits { undefined_extensions: UndefinedExtensions::Always, ..Limits::language() };
    let model = |context: &str, cotype: &str, key: &str| {
        json!({"@context": ["dtmi:dtdl:context;3", context], "@id": "dtmi:a;1", "@type": "Interface", "contents":
            [{"@type": ["Property", cotype], "name": "p", "schema": "string", key: 1}]})
    };
    let unknown = "dtmi:com:example:flavors;1";
    assert!(parse(&[model(unknown, "Flavor", "taste")], &always).is_ok());
    assert!(parse(&[model(unknown, "Flavor", "http://x/taste")], &always).is_err());
    assert!(parse(&[model(unknown, "http://x/Flavor", "taste")], &always).is_err());
    assert!(parse(&[model("dtmi:dtdl:extension:historization;1", "Flavor", "taste")], &always).is_err());
    assert!(parse(&[model("dtmi:dtdl:extension:historization;1", "Historized", "taste")], &always).is_err());
    assert!(parse(&[model(unknown, "Flavor", "taste")], &Limits::language()).is_err());
}

#[test]
fn keywords_without_meaning_are_refused_from_version_3_on() {
    assert!(is_valid(2, &json!({"@foo": 1})) && !is_valid(3, &json!({"@foo": 1})));
    assert!(!is_valid(2, &json!({"@graph": []})) && !is_valid(3, &json!({"@graph": []})));
}

#[test]
fn limit_extensions_follow_a_limitless_context() {
    let limits = Limits { limit_extensions: vec!["dtmi:dtdl:limits:onvif".into()], ..Limits::language() };
    let deep = (0..24).fold(json!("string"), |inner, _| json!({"@type": "Array", "elementSchema": inner}));
    let with = |context: Value, limits: &Limits| {
        parse(&[json!({"@context": context, "@id": "dtmi:a;1", "@type": "Interface", "description": "x".repeat(4096),
            "contents": {"@type": "Telemetry", "name": "t", "schema": deep}})], limits).is_ok()
    };
    let onvif = json!(["dtmi:dtdl:context;4#limitless", "dtmi:dtdl:limits:onvif;1"]);
    assert!(with(onvif.clone(), &limits));
    assert!(!with(onvif, &Limits::language()), "not accepted unless asked for");
    assert!(!with(json!(["dtmi:dtdl:context;4", "dtmi:dtdl:limits:onvif;1"]), &limits));
    assert!(!with(json!(["dtmi:dtdl:context;4#limitless"]), &limits));
    assert!(!with(json!(["dtmi:dtdl:context;4#limitless", "dtmi:dtdl:context;4#limits"]), &limits));
}

#[test]
fn an_interface_inside_another_has_a_size_of_its_own() {
    let text = "x".repeat(600 * 1024);
    let limits = Limits {
        v3: pollux_dtdl::LanguageLimits { comment_chars: usize::MAX, ..pollux_dtdl::LanguageLimits::v3() },
        ..Limits::language()
    };
    let part = json!({"@id": "dtmi:b;1", "@type": "Interface", "comment": text});
    let json = interface(
        3,
        &json!({"comment": text, "contents": {"@type": "Component", "name": "c", "schema": part}}),
    );
    assert!(parse(&[json], &limits).is_ok());
    let double = interface(
        3,
        &json!({"comment": text, "contents": {"@type": "Command", "name": "c", "comment": text}}),
    );
    assert!(parse(&[double], &limits).unwrap_err()[0].message.contains("larger than"));
}
