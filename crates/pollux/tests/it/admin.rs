//! Moving a deployment by the command line.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::command::{binary, pollux};

/// `pollux serve` in a folder, once it is ready.
fn serve(folder: &Path) -> (Child, Value) {
    let mut command = binary(folder);
    command
        .env("POLLUX_LISTEN__HTTPS", "0")
        .env("POLLUX_LISTEN__MQTT", "0")
        .env("POLLUX_LISTEN__AMQP", "0")
        .env("POLLUX_LISTEN__AMQP_PLAIN", "0");
    let mut child = command.args(["serve", "--json"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    (child, serde_json::from_str(&line).unwrap())
}

fn stop(mut child: Child) {
    Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn a_deployment_is_moved_and_serves_again() {
    let (from, to, out) =
        (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let export = out.path().join("export").display().to_string();
    let (server, before) = serve(from.path());
    pollux(from.path(), &["hub", "device", "create", "-d", "dev1"]).json();
    assert!(pollux(from.path(), &["admin", "export", "--to", &export]).failed(3).contains("must not run"));
    stop(server);
    let exported = pollux(from.path(), &["admin", "export", "--to", &export, "--events", "--json"]);
    assert!(
        exported.err.contains("holds every key") && exported.err.contains("devices: 1 rows"),
        "{exported:?}"
    );
    let again = pollux(from.path(), &["admin", "export", "--to", &export]);
    assert!(again.failed(1).contains("--overwrite"));

    let imported = pollux(to.path(), &["admin", "import", "--from", &export, "--events", "--json"]);
    assert_eq!(imported.json()["tables"], exported.json()["tables"]);
    assert!(pollux(to.path(), &["admin", "import", "--from", &export]).failed(1).contains("not empty"));
    let (server, after) = serve(to.path());
    assert_eq!(after["dps"][0]["idScope"], before["dps"][0]["idScope"]);
    assert_eq!(pollux(to.path(), &["hub", "device", "list"]).json()[0]["deviceId"], "dev1");
    stop(server);
}

#[test]
fn what_is_not_there_is_not_moved() {
    let (empty, out) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let path = out.path().join("export").display().to_string();
    assert!(pollux(empty.path(), &["admin", "export", "--to", &path]).failed(3).contains("no deployment"));
    assert!(pollux(empty.path(), &["admin", "import", "--from", &path]).failed(3).contains("no export"));
    pollux(empty.path(), &["admin", "export", "--to", &path, "--config", "missing.toml"]).failed(2);
}
