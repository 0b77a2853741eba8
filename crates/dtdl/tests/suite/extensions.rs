//! Extensions: where their cotypes can stand, what they ask for, and what of it the typed model keeps.

use pollux_dtdl::{Content, Diagnostic, Limits, ModelSet, parse};
use serde_json::{Value, json};

fn check(contexts: &[&str], rest: &Value) -> Result<ModelSet, Vec<Diagnostic>> {
    let mut json = json!({"@context": contexts, "@id": "dtmi:a;1", "@type": "Interface"});
    for (key, value) in rest.as_object().unwrap() {
        json[key] = value.clone();
    }
    let limits = Limits::language();
    ModelSet::new().with_limits(parse(&[json], &limits)?, &limits)
}

fn refused(contexts: &[&str], rest: &Value) -> String {
    let errors = check(contexts, rest).expect_err("should be refused");
    errors.iter().map(|error| format!("{} {}", error.path, error.message)).collect::<Vec<_>>().join("\n")
}

const V3: &str = "dtmi:dtdl:context;3";
const V4: &str = "dtmi:dtdl:context;4";

fn contents(items: &[Value]) -> Value {
    json!({"contents": items})
}

#[test]
fn semantic_types_come_with_quantitative_types_from_version_3_on() {
    let quantitative = "dtmi:dtdl:extension:quantitativeTypes;1";
    let of = |cotype: &str, schema: &str, unit: &str| {
        contents(&[json!({"@type": ["Telemetry", cotype], "name": "t", "schema": schema, "unit": unit})])
    };
    assert!(check(&[V3, quantitative], &of("Temperature", "double", "kelvin")).is_ok());
    assert!(check(&[V3, quantitative], &of("ApparentPower", "float", "voltAmpere")).is_ok());
    let dtmis = of(
        "dtmi:dtdl:extension:quantitativeTypes:v1:class:Temperature",
        "long",
        "dtmi:dtdl:extension:quantitativeTypes:v1:unit:kelvin",
    );
    assert!(check(&[V3, quantitative], &dtmis).is_ok());
    assert!(
        refused(&[V3], &of("Temperature", "double", "kelvin")).contains("no type that an element can have")
    );
    assert!(
        refused(&[V3, quantitative], &of("Temperature", "double", "watt"))
            .contains("degreeCelsius, degreeFahrenheit, kelvin")
    );
    assert!(
        refused(&[V3, quantitative], &of("Temperature", "string", "kelvin"))
            .contains("$[0].contents[0].schema")
    );
    let no_unit =
        contents(&[json!({"@type": ["Telemetry", "Temperature"], "name": "t", "schema": "double"})]);
    assert!(refused(&[V3, quantitative], &no_unit).contains("needs 'unit'"));
    assert!(
        refused(&[V4, quantitative], &of("Temperature", "double", "kelvin"))
            .contains("DTDL version 3, not 4")
    );
    let second = "dtmi:dtdl:extension:quantitativeTypes;2";
    assert!(check(&[V4, second], &of("Temperature", "unsignedShort", "kelvin")).is_ok());
    let field = |cotype: &str| {
        contents(&[json!({"@type": "Telemetry", "name": "t", "schema": {"@type": "Object",
        "fields": [{"@type": ["Field", cotype], "name": "f", "schema": "double", "unit": "kelvin"}]}})])
    };
    assert!(check(&[V4, second], &field("Temperature")).is_ok());
    assert!(refused(&[V4, second], &field("Length")).contains("takes"));
    let command = contents(&[json!({"@type": ["Command", "Temperature"], "name": "c"})]);
    assert!(check(&[V4, second], &command).is_err());
}

#[test]
fn iot_central_asks_for_its_schemas() {
    let of = |cotype: &str, schema: Value| {
        contents(&[json!({"@type": ["Telemetry", cotype], "name": "t", "schema": schema})])
    };
    let contexts = ["dtmi:dtdl:context;2", "dtmi:iotcentral:context;2"];
    let state =
        json!({"@type": "Enum", "valueSchema": "integer", "enumValues": [{"name": "a", "enumValue": 1}]});
    assert!(
        check(&contexts, &of("State", state)).is_ok()
            && check(&contexts, &of("State", json!("string"))).is_err()
    );
    assert!(
        check(&contexts, &of("Event", json!("string"))).is_ok()
            && check(&contexts, &of("Event", json!("date"))).is_err()
    );
    assert!(check(&contexts, &of("Location", json!("geopoint"))).is_ok());
    assert!(check(&contexts, &of("Location", json!("double"))).is_err());
    assert!(
        check(&contexts, &of("VelocityVector", json!("vector"))).is_ok(),
        "a vector's unit can be left out"
    );
}

#[test]
fn cotypes_stand_where_their_extension_says() {
    let historization = "dtmi:dtdl:extension:historization;2";
    let set = check(
        &[V4, historization],
        &contents(&[json!({"@type": ["Property", "Historized"], "name": "p", "schema": "double"})]),
    )
    .unwrap();
    let property = &set.get(&"dtmi:a;1".parse().unwrap()).unwrap().properties["p"];
    assert_eq!(property.meta.cotypes, ["Historized"]);
    let command = contents(&[json!({"@type": ["Command", "Historized"], "name": "c"})]);
    assert!(refused(&[V4, historization], &command).contains("a cotype of Property, Telemetry"));
    let full = contents(&[
        json!({"@type": ["Property", "dtmi:dtdl:extension:historization:v2:Historized"], "name": "p", "schema": "double"}),
    ]);
    assert!(check(&[V3, historization], &full).is_ok());
    assert!(refused(&[V4, "dtmi:dtdl:extension:historization;1"], &full).contains("no type"));
    let bare = contents(&[json!({"@type": "Historized", "name": "p", "schema": "double"})]);
    assert!(refused(&[V4, historization], &bare).contains("exactly one of"));
}

#[test]
fn annotations_name_their_siblings() {
    let contexts = [V3, "dtmi:dtdl:extension:annotation;1"];
    let with = |annotates: Value| {
        contents(&[
            json!({"@type": "Telemetry", "name": "temp", "schema": "double"}),
            json!({"@type": "Command", "name": "reset"}),
            json!({"@type": ["Telemetry", "ValueAnnotation"], "name": "accuracy", "schema": "double", "annotates": annotates}),
        ])
    };
    let set = check(&contexts, &with(json!("temp"))).unwrap();
    let Content::Telemetry(accuracy) = &set.model(&"dtmi:a;1".parse().unwrap()).unwrap().contents["accuracy"]
    else {
        panic!()
    };
    assert_eq!(accuracy.meta.extension_properties["annotates"], "temp");
    for wrong in ["none", "reset", "accuracy"] {
        assert!(
            refused(&contexts, &with(json!(wrong))).starts_with("$.contents[2] 'accuracy' annotates"),
            "{wrong}"
        );
    }
    assert!(check(&contexts, &with(json!(7))).is_err());
    let missing =
        contents(&[json!({"@type": ["Telemetry", "ValueAnnotation"], "name": "a", "schema": "double"})]);
    assert!(refused(&contexts, &missing).contains("needs 'annotates'"));
}

#[test]
fn overrides_fit_what_they_override() {
    let contexts = [
        V4,
        "dtmi:dtdl:extension:quantitativeTypes;2",
        "dtmi:dtdl:extension:annotation;2",
        "dtmi:dtdl:extension:overriding;2",
    ];
    let with = |schema: &str, overrides: &str, more: &[Value]| {
        let mut items = vec![
            json!({"@type": ["Telemetry", "Temperature"], "name": "temp", "schema": "double", "unit": "kelvin"}),
            json!({"@type": ["Property", "ValueAnnotation", "Override"], "name": "o", "schema": schema,
                "annotates": "temp", "overrides": overrides}),
        ];
        items.extend_from_slice(more);
        contents(&items)
    };
    let set = check(&contexts, &with("TemperatureUnit", "unit", &[])).unwrap();
    let interface = set.get(&"dtmi:a;1".parse().unwrap()).unwrap();
    assert!(interface.check_property("o", &json!("degreeCelsius")).is_ok());
    assert!(interface.check_property("o", &json!("watt")).is_err());
    assert!(
        check(
            &contexts,
            &with("TemperatureUnit", "dtmi:dtdl:extension:quantitativeTypes:v2:property:unit", &[])
        )
        .is_ok()
    );
    assert!(refused(&contexts, &with("LengthUnit", "unit", &[])).contains("must be TemperatureUnit"));
    assert!(refused(&contexts, &with("string", "colour", &[])).contains("no extension gives it"));
    let again = json!({"@type": ["Property", "ValueAnnotation", "Override"], "name": "o2", "schema": "TemperatureUnit",
        "annotates": "temp", "overrides": "unit"});
    assert!(refused(&contexts, &with("TemperatureUnit", "unit", &[again])).contains("overridden twice"));
    let alone = contents(&[
        json!({"@type": ["Property", "Override"], "name": "o", "schema": "string", "overrides": "unit"}),
    ]);
    assert!(refused(&contexts, &alone).contains("needs the cotype ValueAnnotation"));
}

#[test]
fn required_fields_are_required_of_values() {
    let json = contents(&[
        json!({"@type": "Property", "name": "p", "schema": {"@type": "Object", "fields": [
        {"@type": ["Field", "Required"], "name": "x", "schema": "double"}, {"name": "y", "schema": "double"}]}}),
    ]);
    let set = check(&[V3, "dtmi:dtdl:extension:requirement;1"], &json).unwrap();
    let interface = set.get(&"dtmi:a;1".parse().unwrap()).unwrap();
    assert!(interface.check_property("p", &json!({"x": 1})).is_ok());
    let violation = interface.check_property("p", &json!({"y": 1})).unwrap_err();
    assert_eq!(violation.path, "/p/x");
    assert!(violation.message.contains("required"));
}

#[test]
fn mqtt_topics_indices_and_results() {
    let contexts = [V4, "dtmi:dtdl:extension:mqtt;4"];
    let mqtt = |topic: &str| json!({"@type": ["Interface", "Mqtt"], "payloadFormat": "Json/ecma/404", "commandTopic": topic});
    for topic in ["a", "vehicles/{modelId}/{ex:senderId}/telemetry", "a$/b~"] {
        assert!(check(&contexts, &mqtt(topic)).is_ok(), "{topic}");
    }
    for topic in ["", "$a/b", "a//b", "a/#", "a/+/b", "a b", "a/{}", "a/{b1}", "a/{b", "{:b}"] {
        assert!(check(&contexts, &mqtt(topic)).is_err(), "{topic}");
    }
    assert!(refused(&contexts, &json!({"@type": ["Interface", "Mqtt"]})).contains("needs 'payloadFormat'"));
    let cacheable = |types: Value, ttl: &str| contents(&[json!({"@type": types, "name": "c", "ttl": ttl})]);
    assert!(check(&contexts, &cacheable(json!(["Command", "Idempotent", "Cacheable"]), "PT15S")).is_ok());
    assert!(check(&contexts, &cacheable(json!(["Command", "Idempotent", "Cacheable"]), "15")).is_err());
    assert!(refused(&contexts, &cacheable(json!(["Command", "Cacheable"]), "PT15S")).contains("Idempotent"));
    let indexed = |a: i32, b: i32| {
        contents(&[
            json!({"@type": ["Telemetry", "Indexed"], "name": "a", "schema": "double", "index": a}),
            json!({"@type": ["Telemetry", "Indexed"], "name": "b", "schema": "double", "index": b}),
        ])
    };
    assert!(check(&contexts, &indexed(1, 2)).is_ok());
    assert!(refused(&contexts, &indexed(1, 1)).contains("used twice"));
    assert!(refused(&contexts, &indexed(0, 1)).contains("1 or more"));
    let result = |object: Value, fields: Value| {
        contents(&[json!({"@type": "Command", "name": "c", "response":
        {"name": "r", "schema": {"@type": object, "fields": fields}}})])
    };
    let normal = json!({"@type": ["Field", "NormalResult"], "name": "n", "schema": "integer"});
    let error =
        json!({"@type": ["Field", "ErrorResult"], "name": "e", "schema": {"@type": ["Object", "Error"]}});
    assert!(check(&contexts, &result(json!(["Object", "Result"]), json!([normal, error]))).is_ok());
    let plain = json!({"name": "f", "schema": "integer"});
    assert!(
        refused(&contexts, &result(json!(["Object", "Result"]), json!([plain])))
            .contains("needs a cotype of")
    );
    assert!(refused(&contexts, &result(json!("Object"), json!([normal]))).contains("around it"));
    let second = json!({"@type": ["Field", "NormalResult"], "name": "m", "schema": "integer"});
    assert!(
        refused(&contexts, &result(json!(["Object", "Result"]), json!([normal, second])))
            .contains("only one")
    );
    let loose = json!({"@type": ["Field", "ErrorResult"], "name": "e", "schema": {"@type": "Object"}});
    assert!(
        refused(&contexts, &result(json!(["Object", "Result"]), json!([loose]))).contains("cotype Error")
    );
    let transparent = |schema: Value| {
        contents(&[json!({"@type": "Command", "name": "c", "request":
        {"@type": ["CommandRequest", "Transparent"], "name": "r", "schema": schema}})])
    };
    assert!(check(&contexts, &transparent(json!({"@type": "Object"}))).is_ok());
    assert!(refused(&contexts, &transparent(json!("string"))).contains("an Object"));
}

#[test]
fn initial_values_and_bounds_fit_their_schema() {
    let initial = |schema: Value, value: Value| {
        contents(&[json!({"@type": ["Property", "Initialized"], "name": "p", "schema": schema,
        "initialValue": value})])
    };
    for version in ["dtmi:dtdl:context;2", V3] {
        let contexts = [version, "dtmi:dtdl:extension:initialization;1"];
        assert!(check(&contexts, &initial(json!("double"), json!(62.6))).is_ok());
        assert!(
            refused(&contexts, &initial(json!("double"), json!("x")))
                .contains("$[0].contents[0].initialValue")
        );
    }
    let array = json!({"@type": "Array", "elementSchema": "string"});
    let contexts = [V3, "dtmi:dtdl:extension:initialization;1"];
    assert!(check(&contexts, &initial(array.clone(), json!(["apple"]))).is_ok());
    assert!(refused(&contexts, &initial(array, json!([1]))).contains("at /0"));
    let limited = |schema: &str, minimum: Value| {
        contents(&[json!({"@type": ["Telemetry", "Limited"], "name": "t", "schema": schema,
        "minimum": minimum})])
    };
    let contexts = [V4, "dtmi:iotoperations:context;4"];
    assert!(check(&contexts, &limited("double", json!(1.5))).is_ok());
    assert!(check(&contexts, &limited("integer", json!(1.5))).is_err());
    assert!(check(&contexts, &limited("integer", json!("1"))).is_err());
    assert!(refused(&contexts, &limited("string", json!(1))).contains("a number"));
}

#[test]
fn streaming_is_not_written() {
    let with = |writable: bool| {
        contents(&[
            json!({"@type": ["Property", "Streaming"], "name": "p", "schema": "double", "writable": writable}),
        ])
    };
    let contexts = [V3, "dtmi:dtdl:extension:streaming;1"];
    assert!(check(&contexts, &with(false)).is_ok());
    assert!(refused(&contexts, &with(true)).contains("cannot be writable"));
}

#[test]
fn schemas_of_extensions_can_be_used_in_later_versions() {
    for version in ["dtmi:dtdl:context;2", V3, V4] {
        let place = contents(&[json!({"@type": "Telemetry", "name": "t", "schema": "geopoint"})]);
        assert!(check(&[version, "dtmi:iotcentral:context;2"], &place).is_ok(), "{version}");
    }
    let unit = contents(&[json!({"@type": "Telemetry", "name": "t", "schema": "TemperatureUnit"})]);
    assert!(check(&[V4, "dtmi:dtdl:extension:quantitativeTypes;1"], &unit).is_ok());
    assert!(check(&[V3, "dtmi:dtdl:extension:quantitativeTypes;2"], &unit).is_err());
}

#[test]
fn the_third_quantitative_types_have_types_and_units_of_their_own() {
    let with = |cotype: &str, unit: &str| {
        contents(&[json!({"@type": ["Property", cotype], "name": "p", "schema": "double", "unit": unit})])
    };
    let third = [V4, "dtmi:dtdl:extension:quantitativeTypes;3"];
    let second = [V4, "dtmi:dtdl:extension:quantitativeTypes;2"];
    for (cotype, unit) in [
        ("DynamicViscosity", "centipoise"),
        ("GasLeakageRate", "pascalCubicMetrePerSecond"),
        ("KinematicViscosity", "stokes"),
        ("ReciprocalLength", "reciprocalMetre"),
        ("ReciprocalTime", "reciprocalSecond"),
        ("Efficiency", "percent"),
        ("Acceleration", "kilometrePerSecondSquared"),
        ("Current", "picoampere"),
        ("VolumeFlowRate", "cubicCentimetrePerMinute"),
    ] {
        assert!(check(&third, &with(cotype, unit)).is_ok(), "{cotype} {unit}");
        assert!(check(&second, &with(cotype, unit)).is_err(), "{cotype} {unit}");
    }
    assert!(
        check(
            &third,
            &with(
                "dtmi:dtdl:extension:quantitativeTypes:v3:class:DynamicViscosity",
                "dtmi:dtdl:extension:quantitativeTypes:v3:unit:poise"
            )
        )
        .is_ok()
    );
    assert!(
        refused(&third, &with("DynamicViscosity", "stokes")).contains("takes centipoise, millipascalSecond")
    );
    assert!(refused(&second, &with("Current", "nanoampere")).contains("no unit"));
    let units = |contexts: &[&str]| {
        let schema = contents(&[json!({"@type": "Property", "name": "p", "schema": "CurrentUnit"})]);
        let set = check(contexts, &schema).unwrap();
        set.get(&"dtmi:a;1".parse().unwrap()).unwrap().check_property("p", &json!("picoampere")).is_ok()
    };
    assert!(units(&third) && !units(&second));
}
