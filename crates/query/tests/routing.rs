//! Routing conditions: the documentation's examples, functions, what is undefined, what is refused.

use std::borrow::Cow;

use pollux_query::routing::{self, RoutedMessage};
use serde_json::{Value as Json, json};

struct Message {
    application: Vec<(&'static str, &'static str)>,
    system: Vec<(&'static str, &'static str)>,
    body: Option<Json>,
    twin: Option<Json>,
}

impl RoutedMessage for Message {
    fn app_property(&self, name: &str) -> Option<&str> {
        self.application.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| *value)
    }

    fn system_property(&self, name: &str) -> Option<Cow<'_, str>> {
        self.system.iter().find(|(key, _)| *key == name).map(|(_, value)| Cow::Borrowed(*value))
    }

    fn body(&self) -> Option<&Json> {
        self.body.as_ref()
    }

    fn twin(&self) -> Option<&Json> {
        self.twin.as_ref()
    }
}

/// The message and the twin of the article "IoT Hub message routing query syntax".
fn telemetry() -> Message {
    Message {
        application: vec![
            ("processingPath", "hot"),
            ("severity", "2"),
            ("Status", "Active"),
            ("messageType", "alerts"),
            ("$own", "mine"),
            ("a.b", "dotted"),
        ],
        system: vec![
            ("connectionDeviceId", "dev-1"),
            ("contentType", "application/json"),
            ("contentEncoding", "UTF-8"),
            ("enqueuedTime", "2017-05-08T18:55:31.8514657Z"),
            ("dt-dataschema", "dtmi:example:Room;1"),
            ("messageSource", "Telemetry"),
        ],
        body: Some(json!({"Weather": {
            "Temperature": 50,
            "Time": "2017-03-09T00:00:00.000Z",
            "PrevTemperatures": [20, 30, 40],
            "IsEnabled": true,
            "Location": {"Street": "One Microsoft Way", "City": "Redmond", "State": "WA"},
            "HistoricalData": [{"Month": "Feb", "Temperature": 40}, {"Month": "Jan", "Temperature": 30}]
        }})),
        twin: Some(json!({
            "tags": {"deploymentLocation": {"building": "43", "floor": "1"}},
            "properties": {
                "desired": {"telemetryConfig": {"sendFrequency": "5m"}, "$version": 1},
                "reported": {"telemetryConfig": {"sendFrequency": "5m", "status": "success"}, "batteryLevel": 55}
            }
        })),
    }
}

fn check(message: &Message, table: &[(&str, bool)]) {
    for (condition, expected) in table {
        let query = routing::parse(condition).unwrap_or_else(|error| panic!("{condition}: {error}"));
        assert_eq!(query.matches(message), *expected, "{condition}");
    }
}

#[test]
fn documented_conditions() {
    check(
        &telemetry(),
        &[
            ("true", true),
            ("false", false),
            ("", true),
            ("  ", true),
            ("$contentEncoding = 'UTF-8'", true),
            ("processingPath = 'hot'", true),
            ("$contentEncoding = 'UTF-8' AND processingPath = 'hot'", true),
            ("$body.Weather.HistoricalData[0].Month = 'Feb'", true),
            ("$body.Weather.Temperature = 50 AND $body.Weather.IsEnabled", true),
            ("length($body.Weather.Location.State) = 2", true),
            ("$body.Weather.Temperature = 50 AND processingPath = 'hot'", true),
            ("$body.properties.desired.telemetryConfig.sendFrequency > 10", false),
            ("is_defined($body.properties.desired.telemetryConfig.sendFrequency)", false),
            ("$body[0] = 'Feb'", false),
            ("$twin.properties.desired.telemetryConfig.sendFrequency = '5m'", true),
            (
                "$body.Weather.Temperature = 50 AND $twin.properties.desired.telemetryConfig.sendFrequency = '5m'",
                true,
            ),
            ("$twin.tags.deploymentLocation.floor = 1", true),
            ("messageType = 'alerts' AND as_number(severity) <= 2", true),
            ("$connectionDeviceId = 'dev-1'", true),
            ("$dt-dataschema = 'dtmi:example:Room;1'", true),
        ],
    );
}

#[test]
fn names() {
    check(
        &telemetry(),
        &[
            ("PROCESSINGPATH = 'hot'", true),
            ("processingPath = 'Hot'", false),
            ("$CONNECTIONDEVICEID = 'dev-1' AND $iothub-connection-device-id = 'dev-1'", true),
            ("$enqueuedTime > '2017-05-08' AND $iothub-enqueuedtime < '2018'", true),
            ("$own = 'mine'", true),
            ("a.b = 'dotted' AND [[a.b]] = 'dotted'", true),
            ("$BODY.weather.TEMPERATURE > 49", true),
            ("$twin.Tags.deploymentlocation.building = '43'", true),
        ],
    );
}

#[test]
fn what_is_not_there_is_undefined() {
    check(
        &telemetry(),
        &[
            ("missing = 'x'", false),
            ("missing != 'x'", false),
            ("NOT missing = 'x'", false),
            ("NOT is_defined(missing)", true),
            ("is_null(missing)", false),
            ("missing = 'x' OR severity >= 2", true),
            ("severity", false),
            ("undefined", false),
            ("null", false),
        ],
    );
}

#[test]
fn functions_and_arithmetic() {
    check(
        &telemetry(),
        &[
            ("starts_with($body.Weather.Location.Street, 'One') AND ends_with(processingPath, 'ot')", true),
            ("contains($body.Weather.Location.City, 'mon')", true),
            ("concat(processingPath, '-', Status) = 'hot-Active'", true),
            ("lower(Status) = 'active' AND upper(Status) = 'ACTIVE'", true),
            ("substring(Status, 1) = 'ctive' AND substring(Status, 1, 2) = 'ct'", true),
            ("index_of(Status, 'tiv') = 2 AND index_of(Status, 'x') = -1", true),
            (
                "abs(-3) = 3 AND sign(-2.5) = -1 AND square(3) = 9 AND sqrt(9) = 3 AND power(2, 10) = 1024",
                true,
            ),
            ("ceiling(1.2) = 2 AND floor(-1.2) = -2 AND exp(0) = 1", true),
            ("power(10, 500) > 1", false),
            ("sqrt(-1) = sqrt(-1)", false),
            ("as_number('12.5') = 12.5 AND NOT is_defined(as_number('warm'))", true),
            ("is_array($body.Weather.PrevTemperatures) AND is_object($body.Weather.Location)", true),
            ("is_bool($body.Weather.IsEnabled) AND is_number($body.Weather.Temperature)", true),
            ("is_string(severity) AND is_primitive(severity)", true),
            ("$body.Weather.Temperature * 2 + 1 = 101 AND 7 % 4 = 3 AND 7 / 2 = 3.5 AND 6 / 2 = 3", true),
            ("10 - 2 - 3 = 5 AND 2 + 3 * 4 = 14 AND (2 + 3) * 4 = 20 AND - (1 + 1) = -2", true),
            ("1 / 0 = 1 OR 1 % 0 = 1", false),
            ("severity IN ['1', '2'] AND processingPath NIN ['cold']", true),
        ],
    );
}

#[test]
fn lifecycle_events() {
    let event = Message {
        application: vec![("opType", "deleteDeviceIdentity"), ("deviceId", "dev-1"), ("hubName", "hub")],
        system: vec![("messageSource", "deviceLifecycleEvents")],
        body: None,
        twin: None,
    };
    check(
        &event,
        &[
            ("opType='deleteDeviceIdentity'", true),
            ("opType = 'createDeviceIdentity'", false),
            ("opType='deleteDeviceIdentity' AND $body.x = 1", false),
            ("NOT (opType = 'createDeviceIdentity' OR opType <> 'deleteDeviceIdentity')", true),
        ],
    );
}

#[test]
fn callers_learn_what_is_needed() {
    let needs =
        |text: &str| routing::parse(text).map(|query| (query.needs_body(), query.needs_twin())).unwrap();
    assert_eq!(needs("opType='x'"), (false, false));
    assert_eq!(needs("$Body.a = 1"), (true, false));
    assert_eq!(needs("true OR $twin.tags.x = 1"), (false, true));
}

#[test]
fn concatenation_is_bounded() {
    let mut condition = "processingPath".to_owned();
    for _ in 0..90 {
        condition = format!("concat({condition}, {condition})");
        if condition.len() > 4_000 {
            break;
        }
    }
    let large =
        Message { application: vec![("processingPath", &*"x".repeat(256 * 1024).leak())], ..telemetry() };
    let query = routing::parse(&format!("is_defined({condition})")).unwrap();
    assert!(!query.matches(&large));
}

#[test]
fn refusals() {
    let table = [
        ("opType =", 8, "expected a property, a constant, a function or '('"),
        ("opType = 'x' AND", 16, "found the end of the condition"),
        ("SELECT * FROM x", 0, "found 'SELECT'"),
        ("opType 'x'", 7, "expected an operator or the end of the condition"),
        ("start_with(a, 'b')", 0, "did you mean STARTS_WITH?"),
        ("concat('a')", 0, "CONCAT takes 2 or more arguments, not 1"),
        ("substring('a')", 0, "SUBSTRING takes 2 to 3 arguments, not 1"),
        ("severity[0] = 1", 0, "a message property is a string"),
        ("a = 'b' @", 8, "unexpected character '@'"),
    ];
    for (condition, offset, message) in table {
        let error = routing::parse(condition).expect_err(condition);
        assert!(error.message.contains(message), "{condition}\n  {error}");
        assert_eq!(error.offset, offset, "{condition}\n  {error}");
    }
}
