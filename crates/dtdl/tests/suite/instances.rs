//! Values, twins and relationships against their models.

use pollux_dtdl::{Dtmi, Limits, Link, ModelSet, parse};
use serde_json::{Value, json};

fn set() -> ModelSet {
    let room = json!({
        "@context": "dtmi:dtdl:context;2", "@id": "dtmi:Room;1", "@type": "Interface", "extends": "dtmi:Space;1",
        "contents": [
            {"@type": "Property", "name": "level", "schema": "integer"},
            {"@type": "Property", "name": "big", "schema": "long"},
            {"@type": "Property", "name": "ratio", "schema": "double"},
            {"@type": "Property", "name": "small", "schema": "float"},
            {"@type": "Property", "name": "open", "schema": "boolean"},
            {"@type": "Property", "name": "day", "schema": "date"},
            {"@type": "Property", "name": "at", "schema": "dateTime"},
            {"@type": "Property", "name": "clock", "schema": "time"},
            {"@type": "Property", "name": "span", "schema": "duration"},
            {"@type": "Property", "name": "mode", "schema": {"@type": "Enum", "valueSchema": "string", "enumValues": [
                {"name": "on", "enumValue": "ON"}, {"name": "off", "enumValue": "OFF"}]}},
            {"@type": "Property", "name": "tags", "schema": {"@type": "Map",
                "mapKey": {"name": "k", "schema": "string"}, "mapValue": {"name": "v", "schema": "boolean"}}},
            {"@type": "Property", "name": "place", "schema": {"@type": "Object", "fields": [
                {"name": "x", "schema": "double"}, {"name": "floor", "schema": "integer"}]}},
            {"@type": "Telemetry", "name": "border", "schema": "polygon"},
            {"@type": "Component", "name": "lamp", "schema": "dtmi:Lamp;1"},
            {"@type": "Relationship", "name": "next", "properties": [
                {"@type": "Property", "name": "door", "schema": "string"}]}
        ]
    });
    let space = json!({"@context": "dtmi:dtdl:context;2", "@id": "dtmi:Space;1", "@type": "Interface",
        "contents": {"@type": "Property", "name": "name", "schema": "string"}});
    let lamp = json!({"@context": "dtmi:dtdl:context;2", "@id": "dtmi:Lamp;1", "@type": "Interface",
        "contents": {"@type": "Property", "name": "power", "schema": "string"}});
    ModelSet::new().with(parse(&[room, space, lamp], &Limits::azure()).unwrap()).unwrap()
}

fn room() -> Dtmi {
    Dtmi::parse("dtmi:Room;1").unwrap()
}

#[test]
fn values_fit_their_schemas() {
    let set = set();
    let room = set.get(&room()).unwrap();
    let good = [
        ("name", json!("R1")),
        ("level", json!(-2_147_483_648_i64)),
        ("big", json!(i64::MAX)),
        ("ratio", json!(3)),
        ("ratio", json!(1e300)),
        ("small", json!(1.5)),
        ("open", json!(false)),
        ("day", json!("2024-02-29")),
        ("at", json!("2024-05-17T08:30:00.123+02:00")),
        ("at", json!("2024-05-17T08:30:00")),
        ("clock", json!("23:59:60Z")),
        ("span", json!("P1Y2M3DT4H5M6.5S")),
        ("span", json!("P3W")),
        ("mode", json!("ON")),
        ("tags", json!({})),
        ("tags", json!({"a b": true})),
        ("place", json!({"x": 1})),
    ];
    for (name, value) in good {
        assert_eq!(room.check_property(name, &value), Ok(()), "{name} {value}");
    }
    let bad = [
        ("name", json!(1)),
        ("name", Value::Null),
        ("level", json!(2_147_483_648_i64)),
        ("level", json!(1.5)),
        ("level", json!("1")),
        ("big", json!(u64::MAX)),
        ("ratio", json!("1")),
        ("small", json!(1e39)),
        ("open", json!("true")),
        ("day", json!("2023-02-29")),
        ("day", json!("2024-13-01")),
        ("day", json!("2024-5-17")),
        ("at", json!("2024-05-17")),
        ("at", json!("2024-05-17T25:00:00Z")),
        ("at", json!("ééééééééé")),
        ("clock", json!("8:30:00")),
        ("clock", json!("08:30:00.")),
        ("span", json!("P")),
        ("span", json!("PT")),
        ("span", json!("P.ₐ")),
        ("span", json!("P1.Y")),
        ("span", json!("P1H")),
        ("span", json!("P1.5Y2M")),
        ("span", json!("P1M1Y")),
        ("span", json!("PT1,5M2S")),
        ("mode", json!("on")),
        ("tags", json!({"a": 1})),
        ("tags", json!([])),
        ("place", json!({"z": 1})),
        ("place", json!({"floor": 1.5})),
        ("border", json!({})),
        ("lamp", json!({})),
        ("next", json!("x")),
        ("nothing", json!(1)),
    ];
    for (name, value) in bad {
        assert!(room.check_property(name, &value).is_err(), "{name} {value}");
    }
}

#[test]
fn violations_name_the_place_in_the_words_of_adt() {
    let set = set();
    let room = set.get(&room()).unwrap();
    let violation = room.check_property("place", &json!({"floor": "x"})).unwrap_err();
    assert_eq!(violation.path, "/place/floor");
    assert!(violation.message.starts_with("Expected value of type Object for place on Twin."), "{violation}");
    let violation = room.check_property("tags", &json!({"a/b~c": 1})).unwrap_err();
    assert_eq!(violation.path, "/tags/a~1b~0c");
    let violation = room.check_property("LowestTemperature", &json!(1)).unwrap_err();
    assert_eq!(violation.message, "LowestTemperature does not appear on the DTDL for Twin.");
}

#[test]
fn geometries_are_checked() {
    let set = set();
    let border = &set.get(&room()).unwrap().telemetries["border"].schema;
    let ring = json!([[[0, 0], [0, 1], [1, 1.5], [0, 0]]]);
    assert!(border.check(&json!({"type": "Polygon", "coordinates": ring})).is_ok());
    for bad in [
        json!({"type": "Point", "coordinates": [1, 2]}),
        json!({"type": "Polygon", "coordinates": [[1, 2]]}),
        json!({"type": "Polygon"}),
        json!("Polygon"),
    ] {
        assert!(border.check(&bad).is_err(), "{bad}");
    }
}

#[test]
fn a_whole_twin_is_checked() {
    let set = set();
    let check = |body: Value| set.check_twin(&room(), body.as_object().unwrap());
    let good = json!({"$dtId": "r", "$etag": "x", "$metadata": {"$model": "dtmi:Room;1"}, "name": "R", "level": 1,
        "lamp": {"$metadata": {}, "power": "on"}});
    assert_eq!(check(good), []);
    let found =
        check(json!({"name": 1, "unknown": 2, "border": {}, "lamp": {"$metadata": {}, "power": 7, "x": 1}}));
    let paths: Vec<_> = found.iter().map(|violation| violation.path.as_str()).collect();
    assert_eq!(paths, ["/name", "/unknown", "/border", "/lamp/power", "/lamp/x"]);
    assert!(found[3].message.starts_with("Expected value of type string for power on lamp."));
    assert_eq!(check(json!({}))[0].path, "/lamp");
    assert_eq!(check(json!({"lamp": 1})).len(), 1);
    assert_eq!(check(json!({"lamp": {"power": "on"}})).len(), 1);
    let none = Dtmi::parse("dtmi:samples:Building;2").unwrap();
    let found = set.check_twin(&none, &serde_json::Map::new());
    assert_eq!(found[0].message, "dtmi:samples:Building;2 or one of its dependencies does not exist.");
    assert_eq!(set.check_component_body(&room(), "lamp", &json!({"$metadata": {}})), []);
    assert_eq!(set.check_component_body(&room(), "name", &json!({})).len(), 1);
}

#[test]
fn properties_of_relationships_are_checked() {
    let set = set();
    let room = set.get(&room()).unwrap();
    assert!(room.check_relationship_property("next", "door", &json!("open")).is_ok());
    assert!(room.check_relationship_property("next", "door", &json!(1)).is_err());
    assert!(room.check_relationship_property("next", "window", &json!(1)).is_err());
    assert!(room.check_relationship_property("none", "door", &json!("open")).is_err());
    let body = json!({"$targetId": "x", "$relationshipName": "next", "door": 1, "window": 2});
    assert_eq!(room.relationships["next"].check_body(body.as_object().unwrap()).len(), 2);
}

#[test]
fn values_of_version_4_fit_their_schemas() {
    let names = [
        "byte",
        "bytes",
        "decimal",
        "short",
        "unsignedByte",
        "unsignedInteger",
        "unsignedLong",
        "unsignedShort",
        "uuid",
        "scaledDecimal",
    ];
    let contents: Vec<_> =
        names.iter().map(|name| json!({"@type": "Property", "name": name, "schema": name})).collect();
    let model = json!({"@context": "dtmi:dtdl:context;4", "@id": "dtmi:Room;1", "@type": "Interface", "contents": contents});
    let limits = Limits::language();
    let set = ModelSet::new().with_limits(parse(&[model], &limits).unwrap(), &limits).unwrap();
    let room = set.get(&room()).unwrap();
    for (name, value) in [
        ("byte", json!(-128)),
        ("byte", json!(127)),
        ("bytes", json!("")),
        ("bytes", json!("cG9sbHV4")),
        ("bytes", json!("YQ==")),
        ("decimal", json!("-12.50")),
        ("decimal", json!("+0")),
        ("decimal", json!("123456789012345678901234567890")),
        ("short", json!(-32768)),
        ("unsignedByte", json!(255)),
        ("unsignedInteger", json!(u32::MAX)),
        ("unsignedLong", json!(u64::MAX)),
        ("unsignedShort", json!(65535)),
        ("uuid", json!("f81d4fae-7dec-11d0-a765-00A0C91E6BF6")),
        ("scaledDecimal", json!({"scale": 7, "value": "1234.56"})),
    ] {
        assert_eq!(room.check_property(name, &value), Ok(()), "{name} {value}");
    }
    for (name, value) in [
        ("byte", json!(128)),
        ("byte", json!(-129)),
        ("byte", json!(1.0)),
        ("bytes", json!("YQ=")),
        ("bytes", json!("YQ===")),
        ("bytes", json!("Y=Q=")),
        ("bytes", json!("Y_==")),
        ("bytes", json!([1])),
        ("decimal", json!(1.5)),
        ("decimal", json!("1.")),
        ("decimal", json!(".5")),
        ("decimal", json!("--1")),
        ("decimal", json!("1e3")),
        ("decimal", json!("")),
        ("short", json!(32768)),
        ("unsignedByte", json!(-1)),
        ("unsignedByte", json!(256)),
        ("unsignedInteger", json!(4_294_967_296_u64)),
        ("unsignedLong", json!(-1)),
        ("unsignedShort", json!(65536)),
        ("uuid", json!("f81d4fae7dec11d0a76500a0c91e6bf6")),
        ("uuid", json!("f81d4fae-7dec-11d0-a765-00a0c91e6bfg")),
        ("scaledDecimal", json!({"scale": 40000})),
        ("scaledDecimal", json!({"value": 1})),
    ] {
        assert!(room.check_property(name, &value).is_err(), "{name} {value}");
    }
}

#[test]
fn a_relationship_fits_its_name_target_and_multiplicity() {
    let model = |id: &str, rest: Value| {
        let mut json = json!({"@context": "dtmi:dtdl:context;3", "@id": id, "@type": "Interface"});
        json.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
        json
    };
    let documents = [
        model(
            "dtmi:Room;1",
            json!({"contents": [
            {"@type": "Relationship", "name": "has", "target": "dtmi:Lamp;1", "maxMultiplicity": 2,
             "properties": [{"@type": "Property", "name": "since", "schema": "date"}]},
            {"@type": "Relationship", "name": "any"}]}),
        ),
        model("dtmi:Lamp;1", json!({})),
        model("dtmi:DeskLamp;1", json!({"extends": "dtmi:Lamp;1"})),
    ];
    let set = ModelSet::new().with(parse(&documents, &Limits::azure()).unwrap()).unwrap();
    let id = |text: &str| Dtmi::parse(text).unwrap();
    let check = |name: &str, target: &str, properties: Value, others: Option<usize>| {
        let (target, properties) = (id(target), properties.as_object().unwrap().clone());
        let link = Link { name, properties: &properties, target: Some(&target), others };
        set.check_relationship(&room(), &link).into_iter().map(|v| v.message).collect::<Vec<_>>()
    };
    assert!(check("has", "dtmi:Lamp;1", json!({"since": "2024-05-17", "$etag": "x"}), Some(1)).is_empty());
    assert!(check("has", "dtmi:DeskLamp;1", json!({}), None).is_empty());
    assert!(check("any", "dtmi:Room;1", json!({}), Some(1_000_000)).is_empty());
    assert!(check("has", "dtmi:Room;1", json!({}), None)[0].contains("must be of the model dtmi:Lamp;1"));
    assert!(check("has", "dtmi:Lamp;1", json!({}), Some(2))[0].contains("2 relationships has at most"));
    assert!(
        check("has", "dtmi:Lamp;1", json!({"since": 1}), None)[0].contains("Expected value of type date")
    );
    assert!(
        check("none", "dtmi:Lamp;1", json!({}), None)[0]
            .contains("is not a relationship on the DTDL for dtmi:Room;1")
    );
}

#[test]
fn commands_telemetry_and_writing_are_checked_for_who_asks() {
    let json = json!({"@context": "dtmi:dtdl:context;4", "@id": "dtmi:Room;1", "@type": "Interface", "contents": [
        {"@type": "Property", "name": "set", "schema": "double", "writable": true},
        {"@type": "Property", "name": "is", "schema": "double"},
        {"@type": "Telemetry", "name": "temperature", "schema": "double"},
        {"@type": "Command", "name": "reboot", "request": {"name": "delay", "schema": "duration"},
         "response": {"name": "at", "schema": "dateTime", "nullable": true}},
        {"@type": "Command", "name": "ping"}]});
    let limits = Limits::language();
    let set = ModelSet::new().with_limits(parse(&[json], &limits).unwrap(), &limits).unwrap();
    let room = set.get(&room()).unwrap();
    assert!(
        room.check_writable("set").is_ok()
            && room.check_writable("is").is_err()
            && room.check_writable("x").is_err()
    );
    assert!(room.check_telemetry("temperature", &json!(20.5)).is_ok());
    assert!(
        room.check_telemetry("temperature", &json!("20")).is_err()
            && room.check_telemetry("set", &json!(1)).is_err()
    );
    let (reboot, ping) = (&room.commands["reboot"], &room.commands["ping"]);
    assert!(reboot.check_request(Some(&json!("PT5S"))).is_ok());
    assert!(reboot.check_request(None).is_err() && reboot.check_request(Some(&Value::Null)).is_err());
    assert!(reboot.check_response(None).is_ok() && reboot.check_response(Some(&Value::Null)).is_ok());
    assert!(reboot.check_response(Some(&json!("soon"))).is_err());
    assert!(ping.check_request(None).is_ok() && ping.check_request(Some(&json!(1))).is_err());
}

#[test]
fn properties_of_version_3_are_arrays_and_places() {
    let array = json!({"@type": "Array", "elementSchema": {"@type": "Object", "fields": [{"name": "x", "schema": "integer"}]}});
    let places = ["point", "lineString", "multiPoint", "polygon", "multiLineString", "multiPolygon"];
    let mut contents = vec![json!({"@type": "Property", "name": "list", "schema": array})];
    contents.extend(places.map(|place| json!({"@type": "Property", "name": place, "schema": place})));
    let json = json!({"@context": "dtmi:dtdl:context;3", "@id": "dtmi:Room;1", "@type": "Interface", "contents": contents});
    let set = ModelSet::new().with(parse(&[json], &Limits::azure()).unwrap()).unwrap();
    let room = set.get(&room()).unwrap();
    assert!(room.check_property("list", &json!([])).is_ok());
    assert!(room.check_property("list", &json!([{"x": 1}, {}])).is_ok());
    assert_eq!(room.check_property("list", &json!([{}, {"x": "1"}])).unwrap_err().path, "/list/1/x");
    assert!(room.check_property("list", &json!({})).is_err());
    let place = |name: &str, kind: &str, coordinates: Value| {
        room.check_property(name, &json!({"type": kind, "coordinates": coordinates})).is_ok()
    };
    let ring = json!([[0, 0], [0, 1], [1, 1], [0, 0]]);
    let open = json!([[0, 0], [0, 1], [1, 1], [1, 0]]);
    assert!(place("point", "Point", json!([47.6, -122.1, 30])) && !place("point", "Point", json!([47.6])));
    assert!(
        place("lineString", "LineString", open.clone())
            && !place("lineString", "LineString", json!([[0, 0]]))
    );
    assert!(
        place("multiPoint", "MultiPoint", json!([])) && !place("multiPoint", "MultiPoint", json!([0, 0]))
    );
    assert!(place("polygon", "Polygon", json!([ring])) && !place("polygon", "Polygon", json!([open])));
    assert!(!place("polygon", "Polygon", json!([[[0, 0], [0, 1], [0, 0]]])), "a ring has four positions");
    assert!(place("multiLineString", "MultiLineString", json!([open])));
    assert!(
        place("multiPolygon", "MultiPolygon", json!([[ring]]))
            && !place("multiPolygon", "MultiPolygon", json!([[open]]))
    );
}
