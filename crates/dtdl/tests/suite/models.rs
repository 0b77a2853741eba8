//! Models one by one: what is refused and how it is said, what the typed model holds, how sets behave.

use pollux_dtdl::{Content, Diagnostic, Dtmi, Limits, Model, ModelSet, Primitive, Schema, parse};
use serde_json::{Value, json};

fn id(text: &str) -> Dtmi {
    Dtmi::parse(text).unwrap()
}

fn interface(name: &str, rest: &Value) -> Value {
    let mut json = json!({"@context": "dtmi:dtdl:context;2", "@id": name, "@type": "Interface"});
    for (key, value) in rest.as_object().unwrap() {
        json[key] = value.clone();
    }
    json
}

fn models(documents: &[Value]) -> Vec<Model> {
    parse(documents, &Limits::azure()).unwrap_or_else(|errors| panic!("{errors:#?}"))
}

fn errors(document: Value) -> Vec<Diagnostic> {
    parse(&[document], &Limits::azure()).expect_err("should be refused")
}

fn link_errors(documents: &[Value]) -> Vec<Diagnostic> {
    ModelSet::new().with(models(documents)).expect_err("should be refused")
}

#[test]
fn the_typed_model_holds_what_was_written() {
    let document = interface(
        "dtmi:com:example:Room;3",
        &json!({
            "displayName": {"en": "Room", "de": "Raum"}, "description": "A room", "comment": "c",
            "extends": "dtmi:com:example:Space;1",
            "contents": [
                {"@type": ["Property", "Temperature"], "name": "temperature", "schema": "double",
                 "unit": "degreeCelsius", "writable": true},
                {"@type": "Telemetry", "name": "path", "schema": "lineString"},
                {"@type": "Command", "name": "reset", "commandType": "asynchronous",
                 "request": {"name": "delay", "schema": "duration"}},
                {"@type": "Relationship", "name": "contains", "target": "dtmi:com:example:Desk;1",
                 "minMultiplicity": 0, "maxMultiplicity": 20,
                 "properties": [{"@type": "Property", "name": "since", "schema": "date"}]},
                {"@type": "Component", "name": "lamp", "schema": "dtmi:com:example:Lamp;1"}
            ]
        }),
    );
    let model = models(std::slice::from_ref(&document)).remove(0);
    assert_eq!(model.source, document);
    assert_eq!(model.display_name["de"], "Raum");
    assert_eq!(model.description["en"], "A room");
    assert_eq!(model.dependencies(), [id("dtmi:com:example:Space;1"), id("dtmi:com:example:Lamp;1")]);
    let Content::Property(property) = &model.contents["temperature"] else { panic!() };
    assert!(property.writable);
    assert_eq!(*property.schema, Schema::Primitive(Primitive::Double));
    assert_eq!(property.unit.unwrap().name, "degreeCelsius");
    let Content::Relationship(relationship) = &model.contents["contains"] else { panic!() };
    assert_eq!(relationship.max_multiplicity, Some(20));
    assert_eq!(relationship.target, Some(id("dtmi:com:example:Desk;1")));
    assert!(relationship.properties.contains_key("since"));
}

#[test]
fn every_error_is_reported_with_its_place() {
    let found = errors(interface(
        "dtmi:com:example:Room;1",
        &json!({"contents": [
            {"@type": "Property", "name": "1st", "schema": "double"},
            {"@type": "Property", "name": "list", "schema": {"@type": "Array", "elementSchema": "string"}},
            {"@type": "Property", "name": "odd", "schema": "decimal"},
            {"@type": "Property", "name": "odd", "schema": "string", "colour": "red"},
            {"@type": "Relationship", "name": "many", "maxMultiplicity": 501},
            {"@type": ["Property", "Temperature"], "name": "t", "schema": "string", "unit": "lumen"},
            {"@type": "Property", "name": "u", "schema": "double", "unit": "lumen"},
            {"@type": "Thing", "name": "x"}
        ]}),
    ));
    let paths: Vec<_> = found.iter().map(|d| d.path.as_str()).collect();
    for path in [
        "$[0].contents[0].name",
        "$[0].contents[1].schema",
        "$[0].contents[2].schema",
        "$[0].contents[3].colour",
        "$[0].contents[4].maxMultiplicity",
        "$[0].contents[5].schema",
        "$[0].contents[5].unit",
        "$[0].contents[6].unit",
        "$[0].contents[7].@type",
    ] {
        assert!(paths.contains(&path), "{path} not in {found:#?}");
    }
    assert!(found.iter().all(|d| d.model.as_ref().unwrap().as_str() == "dtmi:com:example:Room;1"));
}

#[test]
fn messages_say_what_would_be_right() {
    let said = |document: Value| errors(document)[0].message.clone();
    assert!(said(json!({"@id": "dtmi:a;1", "@type": "Interface"})).contains("dtmi:dtdl:context;3"));
    assert!(said(json!(7)).contains("a model is an object"));
    let unit = interface(
        "dtmi:a;1",
        &json!({"contents": {"@type": ["Property", "Temperature"], "name": "t", "schema": "double", "unit": "lumen"}}),
    );
    assert!(said(unit).contains("degreeCelsius"));
    let version = json!({"@context": "dtmi:dtdl:context;9", "@id": "dtmi:a;1", "@type": "Interface"});
    assert!(said(version).contains("version 9"));
}

#[test]
fn schemas_of_the_interface_are_shared_by_reference() {
    let model = models(&[interface(
        "dtmi:a;1",
        &json!({
            "schemas": [{"@id": "dtmi:a:point;1", "@type": "Object", "fields": [{"name": "x", "schema": "double"}]}],
            "contents": [
                {"@type": "Property", "name": "one", "schema": "dtmi:a:point;1"},
                {"@type": "Property", "name": "two", "schema": "dtmi:a:point;1"}
            ]
        }),
    )])
    .remove(0);
    let schema = |name: &str| match &model.contents[name] {
        Content::Property(property) => property.schema.clone(),
        other => panic!("{other:?}"),
    };
    assert!(std::sync::Arc::ptr_eq(&schema("one"), &schema("two")));
    assert_eq!(schema("one").id().unwrap().as_str(), "dtmi:a:point;1");
    assert_eq!(model.schemas.len(), 1);
}

#[test]
fn an_interface_inside_another_becomes_a_model_that_stands_alone() {
    let found = models(&[interface(
        "dtmi:a;1",
        &json!({"contents": {"@type": "Component", "name": "part",
                "schema": {"@id": "dtmi:b;1", "@type": "Interface", "@context": "dtmi:iotcentral:context;2",
                           "contents": {"@type": "Property", "name": "p", "schema": "vector"}}}}),
    )]);
    assert_eq!(found.iter().map(|m| m.id.as_str()).collect::<Vec<_>>(), ["dtmi:a;1", "dtmi:b;1"]);
    let again = models(&[found[1].source.clone()]);
    assert_eq!(again[0].contents, found[1].contents);
    ModelSet::new().with(found).unwrap();
}

#[test]
fn a_set_refuses_what_does_not_resolve_and_stays_as_it_was() {
    let base = ModelSet::new().with(models(&[interface("dtmi:a;1", &json!({}))])).unwrap();
    let orphan = models(&[interface("dtmi:b;1", &json!({"extends": ["dtmi:a;1", "dtmi:gone;1"]}))]);
    let found = base.with(orphan).unwrap_err();
    assert_eq!(found.len(), 1);
    assert!(found[0].message.contains("dtmi:gone;1"));
    assert_eq!(base.len(), 1);
    let again = base.with(models(&[interface("dtmi:a;1", &json!({}))])).unwrap_err();
    assert!(again[0].message.contains("exists already"));
    // A Relationship's target need not exist.
    let link = json!({"contents": {"@type": "Relationship", "name": "r", "target": "dtmi:gone;1"}});
    assert!(base.with(models(&[interface("dtmi:c;1", &link)])).is_ok());
}

#[test]
fn cycles_of_extends_are_found_and_named_once() {
    let found = link_errors(&[
        interface("dtmi:a;1", &json!({"extends": "dtmi:b;1"})),
        interface("dtmi:b;1", &json!({"extends": "dtmi:c;1"})),
        interface("dtmi:c;1", &json!({"extends": "dtmi:b;1"})),
        interface("dtmi:self;1", &json!({"extends": "dtmi:self;1"})),
    ]);
    assert_eq!(found.len(), 2, "{found:#?}");
    assert!(found[0].message.contains("dtmi:b;1 -> dtmi:c;1 -> dtmi:b;1"));
    assert!(found[1].message.contains("dtmi:self;1 -> dtmi:self;1"));
}

#[test]
fn names_clash_over_inheritance_but_not_along_two_ways() {
    let property = json!({"contents": {"@type": "Property", "name": "p", "schema": "string"}});
    let top = interface("dtmi:top;1", &property);
    let left = interface("dtmi:left;1", &json!({"extends": "dtmi:top;1"}));
    let right = interface("dtmi:right;1", &json!({"extends": "dtmi:top;1"}));
    let diamond = interface("dtmi:both;1", &json!({"extends": ["dtmi:left;1", "dtmi:right;1"]}));
    let set = ModelSet::new().with(models(&[diamond, left.clone(), right, top.clone()])).unwrap();
    assert_eq!(set.get(&id("dtmi:both;1")).unwrap().properties.len(), 1);
    let mut clash = interface("dtmi:clash;1", &property);
    clash["extends"] = json!("dtmi:left;1");
    let found = link_errors(&[clash, left, top]);
    assert!(found[0].message.contains("'p' comes from"), "{found:#?}");
}

#[test]
fn extends_is_bounded_in_depth() {
    let chain = |length: usize| {
        let one = |n: usize| match n {
            0 => interface("dtmi:m0;1", &json!({})),
            _ => interface(&format!("dtmi:m{n};1"), &json!({"extends": format!("dtmi:m{};1", n - 1)})),
        };
        (0..=length).map(one).collect::<Vec<_>>()
    };
    assert!(ModelSet::new().with(models(&chain(10))).is_ok());
    assert_eq!(link_errors(&chain(11)).len(), 1);
    // Long chains neither overflow the stack nor take long.
    assert!(!link_errors(&chain(3000)).is_empty());
}

#[test]
fn components_are_not_nested_even_by_inheritance() {
    let leaf = interface("dtmi:leaf;1", &json!({}));
    let part = json!({"contents": {"@type": "Component", "name": "c", "schema": "dtmi:leaf;1"}});
    let base = interface("dtmi:base;1", &part);
    let derived = interface("dtmi:derived;1", &json!({"extends": "dtmi:base;1"}));
    let holder = json!({"contents": {"@type": "Component", "name": "d", "schema": "dtmi:derived;1"}});
    let found = link_errors(&[interface("dtmi:holder;1", &holder), derived, base, leaf]);
    assert!(found[0].message.contains("cannot be nested"));
}

#[test]
fn is_of_follows_extends_and_versions() {
    let set = ModelSet::new()
        .with(models(&[
            interface("dtmi:widget;3", &json!({})),
            interface("dtmi:widget;4", &json!({})),
            interface("dtmi:widget;5", &json!({})),
            interface("dtmi:gadget;1", &json!({"extends": "dtmi:widget;5"})),
            interface("dtmi:other;1", &json!({"extends": "dtmi:widget;3"})),
        ]))
        .unwrap();
    let of = |model: &str, ancestor: &str| set.is_of(&id(model), &id(ancestor), false);
    assert!(of("dtmi:widget;4", "dtmi:widget;4") && of("dtmi:widget;5", "dtmi:widget;4"));
    assert!(of("dtmi:gadget;1", "dtmi:widget;4") && !of("dtmi:widget;3", "dtmi:widget;4"));
    assert!(!of("dtmi:other;1", "dtmi:widget;4") && !of("dtmi:widget;5", "dtmi:gadget;1"));
    assert!(!set.is_of(&id("dtmi:widget;5"), &id("dtmi:widget;4"), true));
    assert!(set.extends(&id("dtmi:gadget;1"), &id("dtmi:widget;5")));
    assert!(!set.extends(&id("dtmi:gadget;1"), &id("dtmi:widget;4")));
    assert_eq!(
        set.descendants(&id("dtmi:widget;4")),
        [id("dtmi:gadget;1"), id("dtmi:widget;4"), id("dtmi:widget;5")]
    );
}

#[test]
fn models_that_are_referred_to_stay() {
    let set = ModelSet::new()
        .with(models(&[
            interface("dtmi:a;1", &json!({})),
            interface("dtmi:b;1", &json!({"extends": "dtmi:a;1"})),
            interface(
                "dtmi:c;1",
                &json!({"contents": {"@type": "Component", "name": "c", "schema": "dtmi:a;1"}}),
            ),
        ]))
        .unwrap();
    assert_eq!(set.referenced_by(&id("dtmi:a;1")), [id("dtmi:b;1"), id("dtmi:c;1")]);
    assert_eq!(set.without(&[id("dtmi:a;1")]).unwrap_err().len(), 2);
    let rest = set.without(&[id("dtmi:b;1"), id("dtmi:none;1")]).unwrap();
    assert_eq!((rest.len(), set.len()), (2, 3));
    assert!(rest.descendants(&id("dtmi:a;1")).iter().all(|left| *left != id("dtmi:b;1")));
    assert!(rest.without(&[id("dtmi:a;1"), id("dtmi:c;1")]).unwrap().is_empty());
}

#[test]
fn an_identifier_reads_and_writes_as_text() {
    let id: Dtmi = serde_json::from_value(json!("dtmi:a:b;1")).unwrap();
    assert_eq!(serde_json::to_value(&id).unwrap(), json!("dtmi:a:b;1"));
    assert!(serde_json::from_value::<Dtmi>(json!("dtmi:a:b;0")).is_err());
    assert_ne!(id, "dtmi:a:B;1".parse().unwrap());
}
