//! Filters of event routes.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use pollux_query::notifications::{Notification, parse};
use serde_json::{Value, json};

struct Told {
    attributes: Vec<(&'static str, &'static str)>,
    body: Value,
}

impl Notification for Told {
    fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(known, _)| *known == name).map(|(_, value)| *value)
    }

    fn body(&self) -> Option<&Value> {
        Some(&self.body)
    }
}

fn told() -> Told {
    Told {
        attributes: vec![
            ("type", "microsoft.iot.telemetry"),
            ("$eventType", "DigitalTwinTelemetryMessages"),
            ("source", "twins1.example/digitaltwins/room1"),
            ("dataschema", "dtmi:example:com:floor4;2"),
            ("datacontenttype", "application/json"),
            ("specversion", "1.0"),
        ],
        body: json!({
            "temperature": 5.5, "errorCode": 201, "poweredOn": true, "nothing": null, "Name": "one",
            "$metadata": { "$model": "dtmi:example:com:floor;1" }, "patch": [{ "path": "/a" }],
            "quoted": "O'Brien \\ \"Sons\"", "and": 1, "a b": 2, "deep": { "order": { "in": -1 } },
        }),
    }
}

fn takes(filter: &str) -> bool {
    parse(filter).unwrap().matches(&told())
}

#[test]
fn what_the_article_shows_is_taken_for_what_it_says() {
    for filter in [
        "true",
        "type = 'microsoft.iot.telemetry'",
        "STARTS_WITH($body.$metadata.$model, 'dtmi:example:com:floor')",
        "ENDS_WITH($body.$metadata.$model, 'floor;1')",
        "CONTAINS(source, 'room1')",
        "$body.errorCode > 200",
        "$body.temperature <= 5.5",
        "$body.poweredOn = true",
        "$body.Name != null",
        "(type != 'microsoft.iot.telemetry' OR datacontenttype = 'application/json') OR (specversion != '1.0')",
        "$eventType = 'DigitalTwinTelemetryMessages' or $eventType = 'DigitalTwinLifecycleNotification'",
        "type IN ['a', 'microsoft.iot.telemetry'] AND NOT specversion <> '1.0'",
        "$body.nothing = null",
        "NOT ($body.temperature > 5.5)",
        "type = \"microsoft.iot.telemetry\"",
        "$body.quoted = 'O\\'Brien \\\\ \"Sons\"'",
        "$body.[[and]] = 1 AND $body.[[a b]] = 2",
        "$body.deep.[[order]].[[in]] < 0",
        "$body.temperature IN [5.5, 6] AND $body.errorCode NIN [1, 2]",
        "$body.errorCode = 201.0 AND $body.errorCode >= 2.01e2",
        "false OR ((true)) AND NOT (false)",
        "STARTS_WITH(source, 'twins1') AND ENDS_WITH(source, 'room1') AND NOT CONTAINS(source, 'room2')",
        "starts_with($body.Name, '') and\n\tcontains($body.Name, 'n')",
    ] {
        assert!(takes(filter), "{filter}");
    }
}

#[test]
fn case_matters_and_what_is_not_there_is_not_taken() {
    for filter in [
        "false",
        "type = 'Microsoft.IoT.Telemetry'",
        "$body.Temperature = 5.5",
        "$body.absent != null",
        "$body.absent = 1 OR subject = 'x'",
        "NOT $body.absent = 1",
        "CONTAINS(subject, 'x')",
        "$body.patch.path = '/a'",
        "$body.temperature = '5.5'",
    ] {
        assert!(!takes(filter), "{filter}");
    }
}

#[test]
fn what_is_no_filter_is_refused_where_it_stops_being_one() {
    for (filter, line, column, said) in [
        ("", 1, 1, "found the end of the filter"),
        ("type = ", 1, 8, "expected"),
        ("true AND\n  typ = 'x'", 2, 3, "did you mean type?"),
        ("$body.patch[0].path = '/a'", 1, 12, "expected"),
        ("$body = 1", 1, 1, "a property of the body"),
        ("type.x = 1", 1, 1, "only $body has properties"),
        ("type", 1, 5, ""),
        ("'text'", 1, 1, "true or false"),
        ("$body.a + 1 > 2", 1, 9, "expected"),
        ("STARTS(type, 'a')", 1, 1, "there is no function STARTS"),
        ("CONTAINS(type)", 1, 1, "2 arguments"),
        ("type = 'x", 1, 8, "no closing"),
        ("$twin.a = 1", 1, 1, "no attribute $twin"),
    ] {
        match parse(filter) {
            // A property may hold a truth: only a filter that asks for nothing at all is not taken.
            Ok(parsed) => assert!(filter == "type" && !parsed.matches(&told()), "{filter}"),
            Err(error) => {
                assert_eq!((error.line, error.column), (line, column), "{filter}: {error}");
                assert!(error.message.contains(said), "{filter}: {error}");
            }
        }
    }
    let deep = format!("{}true{}", "(".repeat(10_000), ")".repeat(10_000));
    assert!(parse(&deep).is_err());
    assert!(parse(&"true OR ".repeat(10_000)).is_err());
}
