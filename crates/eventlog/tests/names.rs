//! What is a stream's name and what is not: a name becomes a folder, so nothing may climb out of it.

use pollux_eventlog::{InvalidStreamName, StreamName};

#[test]
fn names_are_checked() {
    let long = "x".repeat(256);
    for good in ["ns/hub", "a/b", "N-1.x_y/deviceevents", &format!("{long}/{long}")] {
        let name = StreamName::new(good).expect("a valid name");
        assert_eq!(format!("{}/{}", name.namespace(), name.event_hub()), good);
        assert_eq!((name.as_str(), good.parse()), (good, Ok(name.clone())));
    }
    let too_long = format!("{long}x/hub");
    for bad in [
        "", "/", "ns", "ns/", "/hub", "ns/hub/x", "../hub", "ns/..", "ns/.x", "ns/h b", "ns/hüb", "ns/a\0",
        &too_long,
    ] {
        assert_eq!(StreamName::new(bad), Err(InvalidStreamName(bad.to_owned())));
    }
}
