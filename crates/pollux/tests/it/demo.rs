//! The demo, small.

use crate::command::pollux;

#[test]
fn three_devices_live_the_whole_story() {
    let folder = tempfile::tempdir().unwrap();
    let ran = pollux(folder.path(), &["demo", "--devices", "3", "--json"]);
    let told = ran.json();
    assert_eq!(told["ok"], true, "{told:#}");
    assert!(told["checks"].as_array().unwrap().iter().all(|check| check["ok"] == true));
    let hops: Vec<_> =
        told["timeline"].as_array().unwrap().iter().map(|hop| hop["hop"].as_str().unwrap()).collect();
    for hop in ["DPS: tls", "DPS: register", "hub: connect", "twin: first telemetry visible", "twin: gone"] {
        assert!(hops.contains(&hop), "{hop} is not in {hops:?}");
    }
    assert_eq!(told["twin"]["before"]["Temperature"], 0.0);
    assert!(told["twin"]["after"]["Temperature"].as_f64().unwrap() > 0.0);
    assert_eq!(told["summary"]["devices"], 3);
}
