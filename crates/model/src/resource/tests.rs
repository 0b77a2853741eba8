//! Resources as they are stored.

use serde_json::{from_value, json, to_value};

use super::*;

#[test]
fn a_twins_instance_of_before_there_were_event_routes_is_read() {
    let read: Properties = from_value(json!({ "kind": "twins" })).unwrap();
    assert_eq!(read, Properties::Twins(Twins::default()));
}

#[test]
fn consistency_is_written_as_it_is_read() {
    for (text, value) in [("strong", Consistency::Strong), ("eventual:10s", Consistency::Eventual(10))] {
        assert_eq!((text.parse::<Consistency>().unwrap(), value.to_string().as_str()), (value, text));
    }
    for wrong in ["", "eventual", "eventual:10", "eventual:0s", "eventual:4000s", "eventual:-1s", "Strong"] {
        assert!(wrong.parse::<Consistency>().is_err(), "{wrong}");
    }
}

#[test]
fn every_target_is_read_as_it_was_written() {
    let targets = [
        EndpointTarget::EventHub {
            namespace: ResourceName::parse("events1").unwrap(),
            event_hub: "twinevents".to_owned(),
        },
        EndpointTarget::External { connection_string: Setting("Endpoint=sb://x/".to_owned()) },
        EndpointTarget::Storage(StorageContainer {
            container: "archive".to_owned(),
            connection_string: Some(Setting("UseDevelopmentStorage=true".to_owned())),
            encoding: Encoding::Json,
            file_name_format: FileNameFormat::default(),
            batch_frequency_seconds: 60,
            max_chunk_bytes: StorageContainer::MAX_CHUNK,
        }),
        EndpointTarget::Webhook { url: Setting("https://x/y".to_owned()), dead_letters: false },
    ];
    for target in targets {
        let endpoint = RoutingEndpoint { name: "e".to_owned(), target };
        let event_routes =
            vec![EventRoute { id: "r".to_owned(), endpoint: "e".to_owned(), filter: "true".to_owned() }];
        let written =
            Properties::Twins(Twins { endpoints: vec![endpoint], event_routes, ..Twins::default() });
        assert_eq!(from_value::<Properties>(to_value(&written).unwrap()).unwrap(), written);
    }
}
