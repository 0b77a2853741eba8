//! Where links of a hub lead (Azure article "Communicate with your IoT hub by using the AMQP Protocol"; `endpoint.js` of
//! npm's azure-iot-common, which knows twins and methods too).
//!
//! ```text
//!   /devices/{id}/messages/events          a device sends telemetry
//!   /devices/{id}/messages/devicebound     a device receives what the cloud sends it
//!   /devices/{id}/twin                     a device asks, and is answered and told
//!   /devices/{id}/methods/devicebound      a device is asked, and answers
//!   /devices/{id}/modules/{module}/…       the same of a module
//!   /messages/devicebound                  a service sends to devices
//!   /messages/serviceBound/feedback        a service hears what became of it
//!   /messages/serviceBound/filenotifications   a service hears of files
//! ```

use std::borrow::Cow;

use percent_encoding::percent_decode_str;
use pollux_model::DeviceAddress;
use pollux_services::hub::cloud_to_device::Notices;

/// The longest address that is looked at, in bytes.
const LONGEST: usize = 1024;

/// An address of a hub, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::amqp) enum Place {
    /// Of a device, or of a module of it.
    Device {
        /// Its id as it is written, perhaps in percent encoding.
        device: String,
        /// Its module's.
        module: Option<String>,
        /// What of it.
        part: Part,
    },
    /// Of all devices, for services.
    Service(ServicePart),
}

/// What of a device a link is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::amqp) enum Part {
    Events,
    DeviceBound,
    Twin,
    Methods,
}

/// What of a hub a service's link is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::amqp) enum ServicePart {
    DeviceBound,
    Notices(Notices),
}

impl Place {
    /// Takes an address apart, with or without scheme and host before it; `None`: it is none of a hub. Words compare without
    /// case.
    pub(in crate::amqp) fn of(address: &str) -> Option<Self> {
        if address.len() > LONGEST {
            return None;
        }
        let path = match address.split_once("://") {
            Some((_, rest)) => rest.split_once('/')?.1,
            None => address,
        };
        let words: Vec<&str> = path.trim_matches('/').split('/').collect();
        let is = |word: &str, wanted: &str| word.eq_ignore_ascii_case(wanted);
        match words.as_slice() {
            [devices, device, modules, module, rest @ ..]
                if is(devices, "devices") && is(modules, "modules") =>
            {
                let (device, module) = ((*device).to_owned(), Some((*module).to_owned()));
                Some(Self::Device { device, module, part: Part::of(rest)? })
            }
            [devices, device, rest @ ..] if is(devices, "devices") => {
                Some(Self::Device { device: (*device).to_owned(), module: None, part: Part::of(rest)? })
            }
            [messages, rest @ ..] if is(messages, "messages") => ServicePart::of(rest).map(Self::Service),
            _ => None,
        }
    }
}

impl Part {
    fn of(words: &[&str]) -> Option<Self> {
        Some(match words {
            [messages, events]
                if messages.eq_ignore_ascii_case("messages") && events.eq_ignore_ascii_case("events") =>
            {
                Self::Events
            }
            [kind, bound] if bound.eq_ignore_ascii_case("devicebound") => {
                if kind.eq_ignore_ascii_case("messages") {
                    Self::DeviceBound
                } else if kind.eq_ignore_ascii_case("methods") {
                    Self::Methods
                } else {
                    return None;
                }
            }
            [twin] if twin.eq_ignore_ascii_case("twin") => Self::Twin,
            _ => return None,
        })
    }
}

impl ServicePart {
    fn of(words: &[&str]) -> Option<Self> {
        Some(match words {
            [bound] if bound.eq_ignore_ascii_case("devicebound") => Self::DeviceBound,
            [bound, what] if bound.eq_ignore_ascii_case("servicebound") => {
                if what.eq_ignore_ascii_case("feedback") {
                    Self::Notices(Notices::Feedback)
                } else if what.eq_ignore_ascii_case("filenotifications") {
                    Self::Notices(Notices::Files)
                } else {
                    return None;
                }
            }
            _ => return None,
        })
    }
}

/// The devices or modules that ids in an address or a token may mean: some clients write them in percent encoding, others as
/// they are, and an id may have a percent sign of its own.
pub(in crate::amqp) fn addresses(device: &str, module: Option<&str>) -> Vec<DeviceAddress> {
    let decoded = |text: &str| percent_decode_str(text).decode_utf8().ok().map(Cow::into_owned);
    let plain = DeviceAddress::of(device, module).ok();
    let decoded = (decoded(device), module.map(decoded));
    let decoded = match (&decoded.0, &decoded.1) {
        (Some(device), None) => DeviceAddress::of(device, None).ok(),
        (Some(device), Some(Some(module))) => DeviceAddress::of(device, Some(module)).ok(),
        _ => None,
    };
    let other = decoded.filter(|decoded| Some(decoded) != plain.as_ref());
    plain.into_iter().chain(other).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device(module: Option<&str>, part: Part) -> Place {
        Place::Device { device: "dev-1".to_owned(), module: module.map(str::to_owned), part }
    }

    #[test]
    fn addresses_are_taken_apart_as_clients_write_them() {
        for (address, place) in [
            ("/devices/dev-1/messages/events", device(None, Part::Events)),
            ("amqps://hub1.example/devices/dev-1/messages/events/", device(None, Part::Events)),
            ("devices/dev-1/messages/deviceBound", device(None, Part::DeviceBound)),
            ("/devices/dev-1/twin", device(None, Part::Twin)),
            ("/devices/dev-1/methods/devicebound", device(None, Part::Methods)),
            ("/devices/dev-1/modules/m/twin", device(Some("m"), Part::Twin)),
            ("/messages/devicebound", Place::Service(ServicePart::DeviceBound)),
            (
                "amqps://h/messages/serviceBound/feedback",
                Place::Service(ServicePart::Notices(Notices::Feedback)),
            ),
            (
                "/messages/servicebound/fileNotifications",
                Place::Service(ServicePart::Notices(Notices::Files)),
            ),
        ] {
            assert_eq!(Place::of(address), Some(place), "{address}");
        }
    }

    #[test]
    fn what_is_no_address_of_a_hub_is_somebody_elses() {
        let long = format!("/devices/{}/twin", "x".repeat(LONGEST));
        for address in [
            "",
            "hub1",
            "messages/events",
            "messages/events/ConsumerGroups/$Default/Partitions/0",
            "devices/dev-1",
            "devices/dev-1/messages",
            "devices/dev-1/messages/events/more",
            "devices/dev-1/feedback/devicebound",
            "0ne0001/registrations/dev-1",
            "$cbs",
            &long,
        ] {
            assert_eq!(Place::of(address), None, "{address}");
        }
    }

    #[test]
    fn an_id_may_be_encoded_and_may_have_a_percent_sign() {
        let ids = |text: &str| addresses(text, None).iter().map(ToString::to_string).collect::<Vec<_>>();
        let module =
            |text: &str| addresses("d", Some(text)).iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(
            (module("m"), module("a%23b")),
            (vec!["d/m".to_owned()], vec!["d/a%23b".to_owned(), "d/a#b".to_owned()])
        );
        assert_eq!(ids("dev-1"), ["dev-1"]);
        assert_eq!(ids("a%23b"), ["a%23b", "a#b"]);
        assert_eq!(ids("a%2fb"), ["a%2fb"], "a slash is none of an id");
        assert!(ids("").is_empty());
    }
}
