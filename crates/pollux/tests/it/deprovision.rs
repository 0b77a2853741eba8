//! Devices that are shut out: what is planned is what happens, and what cannot be done leaves nobody in.

use pollux_client::provisioning_device::Registration;
use pollux_client::{Credential, Endpoint, register, tls};
use pollux_model::Key;
use serde_json::{Value, json};

use crate::command::{Ran, pollux};
use crate::server::Server;

/// Runs `pollux dps` with these words, and options more.
fn dps(server: &Server, words: &str, more: &[&str]) -> Ran {
    let words: Vec<_> = ["dps"].into_iter().chain(words.split(' ')).chain(more.iter().copied()).collect();
    pollux(server.path(), &words)
}

/// A device registers with its group's key.
fn provision(server: &Server, group: &Value, id: &str) {
    let text = group["attestation"]["symmetricKey"]["primaryKey"].as_str().unwrap();
    let credential = Credential::Key(Key::from_base64(text).unwrap().derive(id).bytes());
    let ready = &server.ready;
    let endpoint = Endpoint {
        host: "localhost".to_owned(),
        port: u16::try_from(ready["ports"]["mqtt"][0].as_u64().unwrap()).unwrap(),
        address: None,
        tls: tls::client_config(&std::fs::read_to_string(ready["ca"].as_str().unwrap()).unwrap()).unwrap(),
    };
    let registration = Registration::new(ready["dps"][0]["idScope"].as_str().unwrap(), id, credential);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    assert_eq!(runtime.block_on(register(&endpoint, &registration)).unwrap().device_id, id);
}

fn group(server: &Server, more: &[&str]) -> Value {
    dps(server, "enrollment-group create --enrollment-id line", more).json()
}

fn device(server: &Server, id: &str) -> Value {
    server.json(&["hub", "device", "show", "-d", id])
}

#[test]
fn where_no_enrollment_can_be_made_the_hub_keeps_the_device_out() {
    let server = Server::start_with(&[
        ("POLLUX_LIMITS__PROVISIONING_QUOTAS", "true"),
        ("POLLUX_LIMITS__INDIVIDUAL_ENROLLMENTS", "1"),
    ]);
    dps(&server, "enrollment create --enrollment-id own", &[]).json();
    provision(&server, &group(&server, &[]), "dev");
    let planned = dps(&server, "deprovision --registration-id dev --dry-run --json", &[]).json();
    assert!(planned["plan"]["warnings"][0].as_str().unwrap().contains("none can be made"), "{planned}");
    let ran = dps(&server, "deprovision --registration-id dev --permanent --yes", &[]);
    let said = ran.failed(1);
    assert!(said.contains("its hub keeps it out") && said.contains("which is the limit"), "{said}");
    assert_eq!(device(&server, "dev")["status"], "disabled");
    // It may register, and stays out.
    dps(&server, "registration show --registration-id dev", &[]).json();
}

#[test]
fn a_device_whose_hub_is_gone_is_put_out_all_the_same() {
    let server = Server::start();
    server.json(&["hub", "create", "--name", "hub2"]);
    dps(&server, "link-hub --name dps1 --hub hub2", &[]).json();
    let made = group(&server, &["--iot-hubs", "hub2"]);
    for id in ["alone", "dev"] {
        provision(&server, &made, id);
    }
    assert_eq!(dps(&server, "unlink-hub --name dps1 --hub hub2", &[]).code, Some(0));
    assert_eq!(pollux(server.path(), &["hub", "delete", "--name", "hub2"]).code, Some(0));
    let ran = dps(&server, "deprovision --registration-id alone --permanent --yes", &[]).json();
    assert_eq!(
        (&ran["done"]["device"], &ran["done"]["record"]),
        (&json!("gone"), &json!("deleted")),
        "{ran}"
    );
    let ran = dps(&server, "deprovision --group line --permanent --yes", &[]).json();
    let done = ["enrollmentGroup", "failed", "records"].map(|name| &ran["done"][name]);
    assert_eq!(done, [&json!("deleted"), &json!(0), &json!("deleted")], "{ran}");
    assert!(ran["plan"]["steps"].to_string().contains("is gone"), "{ran}");
}

#[test]
fn the_plan_names_what_is_there_and_no_other_device_is_touched() {
    let server = Server::start();
    server.json(&["hub", "device", "create", "-d", "innocent"]);
    dps(&server, "enrollment create --enrollment-id own --device-id innocent", &[]).json();
    let ca = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/ca.pem");
    let ran = dps(&server, "deprovision --registration-id own --yes --certificate", &[ca]);
    assert!(ran.failed(1).contains("is the certificate of"), "{ran:?}");
    let ran = dps(&server, "deprovision --registration-id own --permanent --yes", &[]).json();
    assert!(ran["plan"]["steps"].to_string().contains("no registration of it made a device"), "{ran}");
    let done = ["enrollment", "device", "record"].map(|name| ran["done"][name].as_str().unwrap());
    assert_eq!(done, ["deleted", "unchanged", "missing"]);
    assert_eq!(device(&server, "innocent")["status"], "enabled");

    let made = group(&server, &[]);
    for id in ["a", "b", "c"] {
        provision(&server, &made, id);
    }
    assert_eq!(pollux(server.path(), &["hub", "device", "delete", "-d", "a"]).code, Some(0));
    server.json(&["hub", "device", "update", "-d", "b", "--status", "disabled"]);
    let steps = |more: &[&str]| {
        let ran = dps(&server, "deprovision --group line --dry-run --json", more).json();
        ran["plan"]["steps"].to_string()
    };
    assert!(steps(&[]).contains("disable 1 device in"), "{}", steps(&[]));
    assert!(steps(&["--permanent"]).contains("delete 2 devices in"), "{}", steps(&["--permanent"]));
    dps(&server, "deprovision --group line --yes", &[]).json();
    // Each device's own record tells of it, a moment later.
    let told = (0..200).find_map(|_| {
        let rows = dps(&server, "audit --registration-id c --json", &[]).json();
        rows.as_array().unwrap().iter().find(|row| row["action"] == "deprovisioned").cloned()
    });
    assert_eq!(told.unwrap()["detail"], "temporarily: with the enrollment group 'line': disabled in its hub");
    let begun = dps(&server, "audit --group-id line --json", &[]).json();
    assert!(begun.to_string().contains("temporarily: begun: "), "{begun}");
}

/// Its record was deleted while its hub was not linked, so that it could not leave there when it registered again.
#[test]
fn what_was_left_in_another_hub_is_put_out_too() {
    let server = Server::start();
    server.json(&["hub", "create", "--name", "hub2"]);
    dps(&server, "link-hub --name dps1 --hub hub2", &[]).json();
    let made = group(&server, &["--iot-hubs", "hub2"]);
    provision(&server, &made, "dev");
    assert_eq!(dps(&server, "unlink-hub --name dps1 --hub hub2", &[]).code, Some(0));
    assert_eq!(dps(&server, "registration delete --registration-id dev", &[]).code, Some(0));
    dps(&server, "enrollment-group update --enrollment-id line --iot-hubs hub1", &[]).json();
    provision(&server, &made, "dev");
    let in_hubs = || {
        ["hub1", "hub2"]
            .map(|hub| server.json(&["hub", "device", "list", "-n", hub]).as_array().unwrap().len())
    };
    assert_eq!(in_hubs(), [1, 1]);
    let ran = dps(&server, "deprovision --registration-id dev --permanent --yes", &[]).json();
    assert_eq!(ran["plan"]["steps"].to_string().matches("delete the device 'dev' in").count(), 2, "{ran}");
    assert_eq!((in_hubs(), &ran["done"]["device"]), ([0, 0], &json!("deleted")), "{ran}");
}
