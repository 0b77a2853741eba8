//! Commands against a server.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::command::{binary, pollux};

/// `pollux serve` on free ports, in a folder of its own.
pub(crate) struct Server {
    child: Child,
    folder: TempDir,
    pub(crate) ready: Value,
}

impl Server {
    pub(crate) fn start() -> Self {
        Self::start_with(&[])
    }

    /// With settings more, as variables.
    pub(crate) fn start_with(settings: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut command = binary(folder.path());
        command
            .env("POLLUX_LISTEN__HTTPS", "0")
            .env("POLLUX_LISTEN__MQTT", "0")
            .env("POLLUX_LISTEN__AMQP", "0")
            .env("POLLUX_LISTEN__AMQP_PLAIN", "0");
        command.envs(settings.iter().copied());
        let mut child = command.args(["serve", "--json"]).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        Self { ready: serde_json::from_str(&line).unwrap(), child, folder }
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn json(&self, arguments: &[&str]) -> Value {
        pollux(self.path(), arguments).json()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

const SPACE: &str = r#"{"@context": "dtmi:dtdl:context;2", "@id": "dtmi:test:Space;1", "@type": "Interface", "contents": [
    {"@type": "Property", "name": "Temperature", "schema": "double", "writable": true},
    {"@type": "Relationship", "name": "contains"}]}"#;

#[test]
fn the_ready_line_is_the_connections_file_and_sigterm_ends_in_order() {
    let mut server = Server::start();
    assert_eq!(server.json(&["connections", "--json"]), server.ready);
    assert!(pollux(server.path(), &["connections"]).out.contains("ID scope"));
    assert!(pollux(server.path(), &["serve"]).failed(3).contains("in use"));
    Command::new("kill").args(["-TERM", &server.child.id().to_string()]).status().unwrap();
    assert_eq!(server.child.wait().unwrap().code(), Some(0));
}

#[test]
fn models_twins_relationships_and_queries() {
    let server = Server::start();
    assert_eq!(server.json(&["twin", "model", "create", "--from", SPACE])[0]["id"], "dtmi:test:Space;1");
    pollux(server.path(), &["twin", "model", "create", "--from", SPACE]).failed(1);
    for (id, properties) in [("hall", "{\"Temperature\": 21.5}"), ("room", "{}")] {
        server.json(&[
            "twin",
            "create",
            "--twin-id",
            id,
            "--dtmi",
            "dtmi:test:Space;1",
            "--properties",
            properties,
        ]);
    }
    let patch = r#"{"op": "replace", "path": "/Temperature", "value": 22}"#;
    assert_eq!(server.json(&["twin", "update", "-i", "hall", "--json-patch", patch])["Temperature"], 22);
    let rows = server.json(&["twin", "query", "-q", "SELECT * FROM DIGITALTWINS T WHERE T.Temperature > 20"]);
    assert_eq!((rows.as_array().unwrap().len(), &rows[0]["$dtId"]), (1, &json!("hall")));
    let one = ["--source", "hall", "--relationship-id", "r1"];
    let more = ["--kind", "contains", "--target", "room"];
    server.json(&[&["twin", "relationship", "create"][..], &one, &more].concat());
    assert_eq!(server.json(&["twin", "relationship", "list-incoming", "-t", "room"])[0]["$sourceId"], "hall");
    pollux(server.path(), &["twin", "delete", "-i", "hall"]).failed(1);
    assert_eq!(
        pollux(server.path(), &[&["twin", "relationship", "delete"][..], &one].concat()).code,
        Some(0)
    );
    assert_eq!(pollux(server.path(), &["twin", "delete", "-i", "hall"]).code, Some(0));
    assert!(pollux(server.path(), &["twin", "show", "-i", "hall"]).failed(3).contains("hall"));
}

#[test]
fn an_instance_declares_its_indexes() {
    let server = Server::start();
    server.json(&["twin", "model", "create", "--from", SPACE]);
    let access = || {
        let query = "EXPLAIN SELECT * FROM DIGITALTWINS T WHERE T.Temperature > 20";
        server.json(&["twin", "query", "-q", query])[0]["plan"][0]["access"].as_str().unwrap().to_owned()
    };
    assert_eq!(access(), "all twins");
    let update = ["twins", "update", "-n", "twins1", "--index"];
    let declared = server.json(&[&update[..], &["Temperature:number", "--index", "climate.zone"]].concat());
    assert_eq!(declared["indexes"], json!(["Temperature:number", "climate.zone"]));
    assert!((0..200).any(|_| access() == "index on Temperature"));
    assert!(pollux(server.path(), &[&update[..], &["a b"]].concat()).failed(1).contains("can have no index"));
    server.json(&[&update[..], &[""]].concat());
    assert_eq!(server.json(&["twins", "show", "-n", "twins1"])["indexes"], json!([]));
    let made = server.json(&["twins", "create", "-n", "twins2", "--index", "Level"]);
    assert_eq!(made["indexes"], json!(["Level"]));
}

#[test]
fn enrollments_devices_and_their_twins() {
    let server = Server::start();
    let group = ["--enrollment-id", "line-1"];
    let made = server.json(&[&["dps", "enrollment-group", "create", "--allocate"][..], &group].concat());
    assert_eq!(
        (&made["allocationPolicy"], made["attestation"]["symmetricKey"]["primaryKey"].is_string()),
        (&json!("custom"), true)
    );
    let changed = server.json(
        &[&["dps", "enrollment-group", "update", "--provisioning-status", "disabled"][..], &group].concat(),
    );
    assert_eq!(
        (&changed["provisioningStatus"], &changed["allocationPolicy"]),
        (&json!("disabled"), &json!("custom"))
    );
    assert_eq!(server.json(&["dps", "enrollment-group", "list"]).as_array().unwrap().len(), 1);
    assert_eq!(server.json(&[&["dps", "registration", "list"][..], &group].concat()), json!([]));
    server.json(&[
        "dps",
        "enrollment",
        "create",
        "--enrollment-id",
        "d1",
        "--iot-hubs",
        "hub1",
        "--device-id",
        "other",
    ]);
    assert_eq!(server.json(&["dps", "enrollment", "list"])[0]["deviceId"], "other");
    server.json(&["hub", "device", "create", "-d", "dev1"]);
    let off = server.json(&["hub", "device", "update", "-d", "dev1", "--status", "disabled"]);
    assert_eq!(off["status"], "disabled");
    server.json(&["hub", "device-twin", "update", "-d", "dev1", "--tags", r#"{"floor": 3}"#]);
    let rows = server.json(&["hub", "query", "-q", "SELECT * FROM devices WHERE tags.floor = 3"]);
    assert_eq!(rows[0]["deviceId"], "dev1");
    assert_eq!(pollux(server.path(), &["hub", "device", "delete", "-d", "dev1"]).code, Some(0));
    pollux(server.path(), &["hub", "device", "delete", "-d", "dev1"]).failed(3);
}

#[test]
fn what_is_asked_of_a_hub_before_and_after() {
    let server = Server::start();
    server.json(&["hub", "device", "create", "-d", "gate", "--edge-enabled"]);
    server.json(&["hub", "device", "create", "-d", "leaf"]);
    for (edge, id) in [("true", "gate"), ("false", "leaf")] {
        let found = server.json(&["hub", "device", "list", "--edge-enabled", edge]);
        assert_eq!((found.as_array().unwrap().len(), &found[0]["deviceId"]), (1, &json!(id)));
    }
    let test = |more: &[&str]| pollux(server.path(), &[&["hub", "configuration", "test"][..], more].concat());
    let good = [
        "--target-condition",
        "tags.floor = 3",
        "--metrics",
        r#"{"queries": {"all": "SELECT deviceId FROM devices"}}"#,
    ];
    assert_eq!(test(&good).json(), json!({ "targetConditionError": "", "customMetricQueryErrors": {} }));
    let wrong = test(&["--target-condition", "tags.floor =", "--metrics", r#"{"all": "SELECT"}"#]);
    assert_eq!(wrong.code, Some(1));
    assert!(wrong.out.contains("\"all\""), "{}", wrong.out);
    assert_eq!(test(&[]).code, Some(2));
    let path = server.path();
    let ack = ["--ack", "full", "--mid", "m-1"];
    assert_eq!(
        pollux(path, &[&["hub", "c2d-message", "send", "-d", "leaf"][..], &ack].concat()).code,
        Some(0)
    );
    pollux(path, &["hub", "c2d-message", "receive", "-d", "leaf", "--complete"]).json();
    let wait = ["hub", "c2d-message", "feedback", "-d", "leaf", "--wait-on-msg", "m-1"];
    let told = pollux(path, &wait).json();
    assert_eq!((&told["originalMessageId"], &told["statusCode"]), (&json!("m-1"), &json!("Success")));
}

#[test]
fn groups_and_what_is_in_them() {
    let server = Server::start();
    for kind in ["events", "twins", "hub", "dps", "functions"] {
        let name = format!("{kind}-two");
        server.json(&[kind, "create", "--name", &name, "--group", "two"]);
        assert_eq!(server.json(&[kind, "list", "--group", "two"])[0]["name"], json!(name));
    }
    server.json(&["dps", "link-hub", "--name", "dps-two", "--hub", "hub-two"]);
    let shown = server.json(&["dps", "show", "--name", "dps-two"]);
    assert!(shown["policies"][0].get("keys").is_none(), "{shown}");
    assert!(
        server.json(&["dps", "show", "--name", "dps-two", "--show-keys"])["policies"][0]["keys"].is_object()
    );
    server.json(&["events", "eventhub", "create", "--name", "alarms", "--partition-count", "8"]);
    server.json(&[
        "hub",
        "endpoint",
        "create",
        "--endpoint-name",
        "alarms",
        "--namespace",
        "events1",
        "--event-hub",
        "alarms",
    ]);
    server.json(&[
        "hub",
        "route",
        "create",
        "--route-name",
        "r",
        "--source",
        "devicemessages",
        "--endpoint-name",
        "alarms",
    ]);
    assert_eq!(server.json(&["hub", "route", "list"]).as_array().unwrap().len(), 4);
    assert_eq!(server.json(&["hub", "route", "show", "--route-name", "r"])["endpoint"], "alarms");
    pollux(server.path(), &["hub", "route", "show", "--route-name", "none"]).failed(3);
    let group = server.json(&["hub", "consumer-group", "show", "--name", "$Default"]);
    assert_eq!(group["name"], "$Default");
    pollux(server.path(), &["hub", "consumer-group", "show", "--name", "none"]).failed(3);
    let set = server.json(&["functions", "settings", "set", "AZURE_TENANT_ID=t"]);
    assert_eq!(set, json!([{"name": "AZURE_TENANT_ID", "value": "t"}]));
    assert_eq!(server.json(&["functions", "settings", "unset", "AZURE_TENANT_ID"]), json!([]));
    assert_eq!(server.json(&["functions", "dead-letter", "list"]), json!([]));
    pollux(server.path(), &["functions", "dead-letter", "show", "7"]).failed(3);
    assert!(pollux(server.path(), &["group", "delete", "two"]).failed(1).contains("--yes"));
    assert_eq!(server.json(&["group", "delete", "two", "--yes"])["deleted"].as_array().unwrap().len(), 5);
    pollux(server.path(), &["group", "show", "two"]).failed(3);
}
