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
fn modules() {
    let mut module = device();
    module["moduleId"] = json!("m");
    for condition in
        ["moduleId = 'm'", "devices.modules.moduleId = 'm'", "devices.moduleId = 'm' AND deviceId = 'dev-1'"]
    {
        let query = devices::parse(&format!("SELECT * FROM devices.modules WHERE {condition}")).unwrap();
        assert_eq!(query.collection(), devices::Collection::Modules);
        assert!(query.matches(&module), "{condition}");
        assert!(!query.matches(&device()), "{condition}");
    }
    let query = devices::parse("SELECT devices.modules.moduleId FROM Devices.Modules").unwrap();
    assert_eq!(query.project(&module), json!({"moduleId": "m"}));
}

#[test]
fn jobs_and_names_with_or_without_capitals() {
    let job = json!({
        "jobId": "j", "deviceId": "d", "status": "failed", "error": {"code": "DeviceNotOnline"},
        "createdDateTimeUtc": "2016-09-29T18:18:56.7787107Z",
    });
    for condition in [
        "devices.jobs.jobId = 'j' AND devices.jobs.status = 'failed'",
        "jobId = 'j' AND DeviceId IN ['c', 'd']",
        "JOBID = 'j' AND is_defined(error.code)",
        // The article's example.
        "devices.jobs.deviceId = 'd' AND devices.jobs.createdTimeUtc > '2016-09-01'",
    ] {
        let query = devices::parse(&format!("SELECT * FROM devices.jobs WHERE {condition}")).unwrap();
        assert_eq!(query.collection(), devices::Collection::Jobs);
        assert!(query.matches(&job), "{condition}");
    }
    let ids = devices::parse("SELECT * FROM devices WHERE DeviceId = 'd'").unwrap().hints().ids;
    assert_eq!(ids, Some(vec!["d".to_owned()]));
    // What is in the documents is compared as it is written.
    let query = devices::parse("SELECT * FROM devices.jobs WHERE error.Code = 'DeviceNotOnline'").unwrap();
    assert!(!query.matches(&job));
}

fn answer(text: &str, documents: &[Json]) -> Vec<Json> {
    let query = devices::parse(text).expect(text);
    let mut aggregator = query.aggregator();
    documents.iter().filter(|document| query.matches(document)).for_each(|document| aggregator.add(document));
    aggregator.finish()
}

#[test]
fn groups() {
    let documents = ["Success", "Error", "Success", "Pending", "Success", "Pending"]
        .into_iter()
        .zip([1.0, 2.0, 3.0, 4.0, 5.0, 6.5])
        .map(|(status, n)| json!({"status": status, "n": n, "big": 9_007_199_254_740_993_i64, "s": format!("s{n}")}))
        .chain([json!({"n": "text", "x": {"y": null}})])
        .collect::<Vec<_>>();
    assert_eq!(
        answer("SELECT status AS s, COUNT() AS numberOfDevices FROM devices GROUP BY status", &documents),
        [
            json!({"numberOfDevices": 1}),
            json!({"s": "Error", "numberOfDevices": 1}),
            json!({"s": "Pending", "numberOfDevices": 2}),
            json!({"s": "Success", "numberOfDevices": 3}),
        ]
    );
    assert_eq!(
        answer(
            "SELECT AVG(n) AS a, sum(devices.n) AS s, MIN(n), MAX(n), SUM(big) AS b FROM devices",
            &documents
        ),
        [json!({"a": 21.5 / 6.0, "s": 21.5, "MIN": 1.0, "MAX": "text", "b": 54_043_195_528_445_958_i64})]
    );
    assert_eq!(
        answer("SELECT MIN(s), MAX(s) FROM devices WHERE status = 'Pending' GROUP BY status", &documents),
        [json!({"MIN": "s4", "MAX": "s6.5"})]
    );
    assert_eq!(answer("SELECT AVG(n), SUM(n), COUNT() FROM devices", &[]), [json!({"COUNT": 0})]);
    assert_eq!(answer("SELECT COUNT() FROM devices GROUP BY status", &[]), Vec::<Json>::new());
    // Without an aggregate it is what there is of each.
    assert_eq!(answer("SELECT x FROM devices GROUP BY x, n", &documents[..2]), [json!({}), json!({})]);
}

#[test]
fn groups_take_room() {
    let query = devices::parse("SELECT n, COUNT() FROM devices GROUP BY n").unwrap();
    let mut aggregator = query.aggregator();
    for n in 0..100 {
        aggregator.add(&json!({"n": n % 10}));
    }
    let few = aggregator.bytes();
    assert!((10 * 128..100 * 128).contains(&few), "{few}");
    aggregator.add(&json!({"n": "x".repeat(10_000)}));
    assert!(aggregator.bytes() > few + 10_000);
}

#[test]
fn the_greatest_texts_take_room() {
    let query = devices::parse("SELECT MAX(a), MIN(a) FROM devices").unwrap();
    let mut aggregator = query.aggregator();
    aggregator.add(&json!({"a": "x"}));
    let few = aggregator.bytes();
    aggregator.add(&json!({"a": "y".repeat(10_000)}));
    assert!((few + 9_999..few + 20_000).contains(&aggregator.bytes()), "{few} {}", aggregator.bytes());
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
        ("SELECT * FROM devices.groups", 22, "expected modules or jobs, found 'groups'"),
        ("SELECT deviceId, COUNT() FROM devices", 7, "deviceId must be in GROUP BY"),
        ("SELECT status, tags.x FROM devices GROUP BY status", 15, "x must be in GROUP BY"),
        ("SELECT * FROM devices GROUP BY status", 0, "SELECT * cannot be grouped"),
        ("SELECT COUNT() FROM devices GROUP status", 34, "expected BY"),
        ("SELECT COUNT() FROM devices GROUP BY status,", 44, "a property"),
        ("SELECT SUM() FROM devices", 11, "a property"),
        ("SELECT COUNT(x) FROM devices", 13, "expected ')'"),
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
