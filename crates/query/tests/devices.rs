//! Device queries: the documentation's examples and what is refused.

use pollux_query::devices;
use serde_json::{Value as Json, json};

fn device() -> Json {
    json!({
        "deviceId": "dev-1",
        "etag": "AAAAAAAAAAc=",
        "status": "enabled",
        "connectionState": "Connected",
        "capabilities": {"iotEdge": false},
        "tags": {"location": {"region": "US", "plant": "Redmond43"}, "my-tag": 1},
        "properties": {
            "desired": {"telemetryConfig": {"sendFrequencyInSecs": 300}, "$version": 4},
            "reported": {
                "connectivity": "wifi",
                "telemetryConfig": {"sendFrequencyInSecs": 300, "status": "Success"},
                "readings": [1, {"Month": "Feb"}],
                "$version": 7
            }
        }
    })
}

#[test]
fn documented_conditions() {
    let table = [
        ("tags.location.region = 'US'", true),
        (
            "tags.location.region = 'US' AND properties.reported.telemetryConfig.sendFrequencyInSecs >= 60",
            true,
        ),
        ("properties.reported.connectivity IN ['wired', 'wifi']", true),
        ("properties.reported.connectivity NIN ['wired', 'wifi']", false),
        ("is_defined(properties.reported.connectivity)", true),
        ("is_defined(property.reported.connectivity)", false),
        (
            "properties.desired.telemetryConfig.sendFrequencyInSecs = properties.reported.telemetryConfig.sendFrequencyInSecs",
            true,
        ),
        ("properties.desired.telemetryConfig = properties.reported.telemetryConfig", false),
        ("deviceId = 'dev-1' AND status = 'enabled' AND connectionState <> 'Disconnected'", true),
        ("devices.deviceId = 'dev-1'", true),
        ("capabilities.iotEdge = true", false),
        ("capabilities.iotEdge != true", true),
        ("STARTSWITH(deviceId, 'dev') AND ends_with(deviceId, '1')", true),
        ("tags.[[my-tag]] = 1", true),
        ("properties.reported.readings[0] + 1 = 2 AND properties.reported.readings[1].Month = 'Feb'", true),
        ("properties.reported.$version - properties.desired.$version * 0x1 = 3", true),
        ("tags.location.region = undefined", false),
        ("5", false),
        ("NOT tags.nothing = 1", false),
    ];
    for (condition, expected) in table {
        let query = devices::parse(&format!("SELECT * FROM devices WHERE {condition}")).unwrap();
        assert_eq!(query.matches(&device()), expected, "{condition}");
    }
}

#[test]
fn rows() {
    let project = |query: &str| devices::parse(query).unwrap().project(&device());
    assert_eq!(project("select * from DEVICES"), device());
    assert_eq!(
        project("SELECT deviceId, tags.location.plant AS plant, properties.reported.missing FROM devices"),
        json!({"deviceId": "dev-1", "plant": "Redmond43"})
    );
    assert_eq!(devices::parse("SELECT TOP 2 * FROM devices").unwrap().top(), Some(2));
    let count = devices::parse("SELECT COUNT() AS numberOfDevices FROM devices").unwrap();
    assert!(count.is_aggregate());
    assert_eq!(count.aggregator().finish(), [json!({"numberOfDevices": 0})]);
    let mut aggregator = count.aggregator();
    aggregator.add(&device());
    aggregator.add(&device());
    assert_eq!(aggregator.finish(), [json!({"numberOfDevices": 2})]);
}

#[test]
fn hints() {
    let hints =
        devices::parse("SELECT * FROM devices WHERE deviceId IN ['b', 'a'] AND tags.x = 1").unwrap().hints();
    assert_eq!(hints.ids, Some(vec!["a".to_owned(), "b".to_owned()]));
    assert_eq!(hints.predicates[0].path, ["tags", "x"]);
}

#[test]
fn refusals() {
    let table = [
        ("foo", 0, "expected SELECT, found 'foo'"),
        ("SELECT * FROM device", 14, "did you mean devices?"),
        ("SELECT * FROM devices.modules", 21, "expected WHERE or the end of the query"),
        ("SELECT deviceId, COUNT() FROM devices", 17, "an aggregate cannot stand beside a property"),
        ("SELECT MEDIAN(x) FROM devices", 7, "there is no aggregate MEDIAN"),
        ("SELECT * FROM devices WHERE is_define(x)", 28, "did you mean IS_DEFINED?"),
        ("SELECT * FROM devices WHERE a[x] = 1", 30, "expected an array index"),
        ("SELECT * FROM devices WHERE abs('x') = 1", 32, "ABS expects a number here"),
    ];
    for (query, offset, message) in table {
        let error = devices::parse(query).expect_err(query);
        assert!(error.message.contains(message), "{query}\n  {error}");
        assert_eq!(error.offset, offset, "{query}\n  {error}");
    }
}
