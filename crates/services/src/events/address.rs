//! What a link of an event hub leads to: the address of its target or source, taken apart.
//!
//! ```text
//!   hub                                       send, round robin or by key
//!   hub/Partitions/3                          send to one partition
//!   hub/Publishers/thermostat-7               send in a publisher's name
//!   hub/ConsumerGroups/$Default/Partitions/3  receive
//! ```
//!
//! Clients write it bare or behind `amqps://host/` (Azure article "AMQP 1.0 in Azure Service Bus and Event Hubs protocol
//! guide"). Words and names compare without case.

use pollux_model::ids::shown;
use pollux_model::{Error, ErrorCode, Result};

/// The longest address that is looked at, in bytes.
const LONGEST: usize = 1024;

/// An address, taken apart; names in lower case.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Address {
    /// The event hub.
    pub event_hub: String,
    /// What of it.
    pub place: Place,
}

/// What of an event hub.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Place {
    /// All of it: whoever sends here leaves the partition to the key, or to chance.
    Whole,
    /// One partition.
    Partition(u32),
    /// A publisher of its own name.
    Publisher(String),
    /// A partition as a consumer group sees it.
    Consumer {
        /// The consumer group.
        group: String,
        /// The partition.
        partition: u32,
    },
}

impl Address {
    /// Takes an address apart. [`ErrorCode::EventHubNotFound`] for what cannot be one.
    pub fn parse(text: &str) -> Result<Self> {
        let unknown = || {
            let message = format!(
                "'{}' is no address of an event hub: use <hub>, <hub>/Partitions/<n>, <hub>/Publishers/<name> or \
                 <hub>/ConsumerGroups/<group>/Partitions/<n>",
                shown(text)
            );
            Error::new(ErrorCode::EventHubNotFound, message)
        };
        if text.len() > LONGEST {
            return Err(unknown());
        }
        let path = path(text).to_ascii_lowercase();
        let parts: Vec<&str> = path.split('/').collect();
        let number = |text: &str| text.parse::<u32>().map_err(|_| unknown());
        let place = match &parts[1..] {
            [] => Place::Whole,
            ["partitions", n] => Place::Partition(number(n)?),
            ["publishers", name] if !name.is_empty() => Place::Publisher((*name).to_owned()),
            ["consumergroups", group, "partitions", n] => {
                Place::Consumer { group: (*group).to_owned(), partition: number(n)? }
            }
            _ => return Err(unknown()),
        };
        if parts[0].is_empty() {
            return Err(unknown());
        }
        Ok(Self { event_hub: parts[0].to_owned(), place })
    }
}

/// The path of an address or audience, without scheme, host and surrounding slashes.
pub(super) fn path(text: &str) -> &str {
    let path = match text.split_once("://") {
        Some((_, rest)) => rest.split_once('/').map_or("", |(_, path)| path),
        None => text,
    };
    path.trim_matches('/')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_addresses_apart_as_clients_write_them() {
        let consumer = |group: &str, partition| Place::Consumer { group: group.to_owned(), partition };
        for (text, place) in [
            ("Hub1", Place::Whole),
            ("amqps://localhost:5671/hub1", Place::Whole),
            ("/hub1/", Place::Whole),
            ("hub1/Partitions/12", Place::Partition(12)),
            ("hub1/publishers/Device-7", Place::Publisher("device-7".to_owned())),
            ("amqps://x/hub1/ConsumerGroups/$Default/Partitions/0", consumer("$default", 0)),
        ] {
            let address = Address::parse(text).unwrap();
            assert_eq!((address.event_hub.as_str(), address.place), ("hub1", place), "{text}");
        }
    }

    #[test]
    fn refuses_what_is_no_address() {
        let long = "x".repeat(2000);
        for text in [
            "",
            "/",
            "amqps://host",
            "hub/Partitions/x",
            "hub/Partitions/-1",
            "hub/x",
            "hub/ConsumerGroups/g",
            &long,
        ] {
            let error = Address::parse(text).unwrap_err();
            assert_eq!(error.code, ErrorCode::EventHubNotFound, "{text}");
            assert!(error.message.len() < 400, "{}", error.message);
        }
    }
}
