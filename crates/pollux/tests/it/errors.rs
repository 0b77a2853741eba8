//! What is said when something is missing or damaged, without any server.

use std::fs;

use serde_json::{Value, json};

use crate::command::pollux;

fn connections(ca: &str) -> Value {
    // A port of this machine that nothing listens on: 9 is "discard".
    json!({
        "version": 1, "dataDir": "/nowhere", "ca": ca,
        "admin": { "url": "https://127.0.0.1:9", "key": "a2V5" },
        "ports": { "https": [9], "mqtt": [9] },
        "identity": { "authority": "https://127.0.0.1:9", "tenantId": "t", "clientId": "c", "clientSecret": "s" },
        "dps": [], "events": [], "functions": [],
        "hub": [{ "name": "hub1", "group": "g", "hostName": "localhost",
            "connectionString": "HostName=localhost;SharedAccessKeyName=iothubowner;SharedAccessKey=a2V5" }],
        "twins": [{ "name": "twins1", "group": "g", "hostName": "localhost", "url": "https://localhost:9" }],
    })
}

/// A certificate that signs nothing here; what matters is that it reads.
const CA: &str = include_str!("ca.pem");

#[test]
fn without_a_server_the_folder_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let ran = pollux(folder.path(), &["twin", "show", "--twin-id", "a"]);
    let said = ran.failed(3);
    assert!(said.contains("pollux serve") && said.contains(folder.path().to_str().unwrap()), "{said}");
}

#[test]
fn a_damaged_file_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("connections.json");
    for (text, words) in [
        ("{", "is not JSON"),
        ("{}", "has no version"),
        (r#"{"version": 2}"#, "is of version 2"),
        (r#"{"version": 1}"#, "is damaged"),
    ] {
        fs::write(&file, text).unwrap();
        let ran = pollux(folder.path(), &["hub", "list"]);
        assert!(ran.failed(1).contains(words), "{ran:?}");
    }
    fs::write(&file, connections("/nowhere/ca.pem").to_string()).unwrap();
    assert!(pollux(folder.path(), &["hub", "list"]).failed(1).contains("/nowhere/ca.pem"));
}

#[test]
fn a_server_that_is_down_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let ca = folder.path().join("ca.pem");
    fs::write(&ca, CA).unwrap();
    let text = connections(ca.to_str().unwrap()).to_string();
    fs::write(folder.path().join("connections.json"), text).unwrap();
    for arguments in [&["hub", "device", "list"][..], &["twin", "show", "--twin-id", "a"], &["group", "list"]]
    {
        let ran = pollux(folder.path(), arguments);
        assert!(ran.failed(1).contains("is the server running?"), "{ran:?}");
    }
    let ran = pollux(folder.path(), &["hub", "device", "list", "--hub-name", "hub9"]);
    assert!(ran.failed(3).contains("no hub 'hub9'; there are: hub1"), "{ran:?}");
    let ran = pollux(folder.path(), &["dps", "enrollment", "list"]);
    assert!(ran.failed(3).contains("no dps; there is none at all"), "{ran:?}");
}

#[test]
fn wrong_arguments_are_told_before_anyone_is_asked() {
    let folder = tempfile::tempdir().unwrap();
    pollux(folder.path(), &["twin", "show"]).failed(2);
    pollux(folder.path(), &["demo", "--devices", "0"]).failed(2);
    let ran = pollux(folder.path(), &["serve", "--config", "none.toml"]);
    assert!(ran.failed(2).contains("none.toml"), "{ran:?}");
    fs::write(folder.path().join("bad.toml"), "[listen]\nmqtt = \"yes\"\n").unwrap();
    let ran = pollux(folder.path(), &["serve", "--config", "bad.toml"]);
    assert!(ran.failed(2).contains("bad.toml:2: listen.mqtt"), "{ran:?}");
}

#[test]
fn a_device_key_needs_no_server() {
    let folder = tempfile::tempdir().unwrap();
    let arguments = ["dps", "compute-device-key", "--key", "a2V5", "--registration-id", "sn-007"];
    let ran = pollux(folder.path(), &arguments);
    assert_eq!((ran.code, ran.out.trim_end().len()), (Some(0), 44), "{ran:?}");
    let quoted = pollux(folder.path(), &[&arguments[..], &["--json"]].concat()).json();
    assert_eq!(quoted, ran.out.trim_end());
    let bad = pollux(folder.path(), &["dps", "compute-device-key", "--key", "!", "--registration-id", "d"]);
    assert!(bad.failed(1).contains("base64"), "{bad:?}");
}
