//! What peers name in links: addresses, and the selector that says where a receiver begins.

#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../crates/services/src/events/address.rs"]
mod address;
#[path = "../../crates/edges/src/amqp/position.rs"]
mod position;

// The service's words that the two files use; the crates around them are large and have C in them.
extern crate self as pollux_services;
mod events {
    use pollux_model::Timestamp;

    #[derive(Debug, PartialEq)]
    pub enum ReadFrom {
        Earliest,
        Latest,
        Sequence { number: i64, inclusive: bool },
        Offset { offset: i64, inclusive: bool },
        Enqueued { after: Timestamp },
    }
}

fuzz_target!(|text: &str| {
    match address::Address::parse(text) {
        Ok(address) => assert!(!address.event_hub.is_empty() && !address.event_hub.contains('/')),
        Err(error) => assert!(error.message.len() < 600, "{}", error.message),
    }
    assert!(address::path(text).len() <= text.len());
    if let Err(error) = position::parse(Some(text)) {
        assert!(error.message.len() < 600, "{}", error.message);
    }
});
