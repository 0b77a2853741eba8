//! The user name of a CONNECT: which service is meant, which device, and what it says about itself.
//!
//! - `{idScope}/registrations/{registrationId}/api-version=…&ClientVersion=…` (Azure article "Communicate with DPS using
//!   the MQTT protocol"),
//! - `{host}/{deviceId}[/{moduleId}]/?api-version=…&DeviceClientType=…&model-id=…` (Azure article "Communicate with an
//!   IoT hub using the MQTT protocol"); old devices leave out the question mark or the whole query.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

/// Who a CONNECT says it is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum UserName<'a> {
    /// A device that registers.
    Registration {
        /// The provisioning service's.
        id_scope: &'a str,
        /// As the device writes it.
        registration_id: &'a str,
        /// A date, perhaps with `-preview` behind it.
        version: Cow<'a, str>,
    },
    /// A device of a hub, or a module of a device.
    Device {
        /// Host name of the hub, perhaps with a port.
        host: &'a str,
        /// The device id.
        device_id: &'a str,
        /// Of a module, its id.
        module_id: Option<&'a str>,
        /// The DTDL model it announces.
        model_id: Option<String>,
    },
}

impl<'a> UserName<'a> {
    /// Takes a user name apart; none when it has no known form or an `api-version` that is no date.
    pub(super) fn parse(text: &'a str) -> Option<Self> {
        let (path, query) = split(text);
        let version = value(query, "api-version");
        if version.as_deref().is_some_and(|version| !is_version(version)) {
            return None;
        }
        let mut parts = path.trim_end_matches('/').split('/');
        let (first, second, third) = (parts.next()?, parts.next()?, parts.next());
        if first.is_empty() || second.is_empty() || parts.next().is_some() {
            return None;
        }
        match third {
            // The version is not optional here: the path would be that of a module.
            Some(registration_id) if second == "registrations" && version.is_some() => {
                Some(Self::Registration { id_scope: first, registration_id, version: version? })
            }
            module_id => {
                let model_id = value(query, "model-id").filter(|id| !id.is_empty()).map(Cow::into_owned);
                Some(Self::Device { host: first, device_id: second, module_id, model_id })
            }
        }
    }
}

/// What a query without its question mark begins with: documents of 2016, and npm's azure-iot-device-mqtt up to 1.2
/// (`mqtt_base.js`), which names the client first.
const UNMARKED: [&str; 2] = ["/api-version=", "/DeviceClientType="];

/// Path and query. Values of the query may hold slashes, so the query is looked for first.
fn split(text: &str) -> (&str, &str) {
    if let Some(split) = text.split_once("/?") {
        return split;
    }
    // Not before the second slash: a host and a device come first, whatever they are called.
    let after = text.match_indices('/').nth(1).map_or(text.len(), |(at, _)| at);
    match UNMARKED.iter().filter_map(|key| text[after..].find(key)).min() {
        Some(at) => (&text[..after + at], &text[after + at + 1..]),
        None => (text, ""),
    }
}

fn value<'a>(query: &'a str, name: &str) -> Option<Cow<'a, str>> {
    let value = query.split('&').find_map(|pair| pair.split_once('=').filter(|(key, _)| *key == name))?.1;
    percent_decode_str(value).decode_utf8().ok()
}

/// `YYYY-MM-DD` or `YYYY-MM-DD-preview`. Only a registering device's says more; see `registering`.
fn is_version(text: &str) -> bool {
    let date = text.strip_suffix("-preview").unwrap_or(text).as_bytes();
    let digit = |at: usize| date[at].is_ascii_digit();
    date.len() == 10 && date[4] == b'-' && date[7] == b'-' && [0, 1, 2, 3, 5, 6, 8, 9].into_iter().all(digit)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device(
        host: &'static str,
        device_id: &'static str,
        model_id: Option<&str>,
    ) -> Option<UserName<'static>> {
        Some(UserName::Device { host, device_id, module_id: None, model_id: model_id.map(str::to_owned) })
    }

    #[test]
    fn the_names_real_clients_send_are_understood() {
        let name = "0ne00000001/registrations/dev1/api-version=2019-03-31&ClientVersion=azure-iot-device-provisioning-py%2F2.14.0%283.11.7%3BLinux%29";
        let expected = UserName::Registration {
            id_scope: "0ne00000001",
            registration_id: "dev1",
            version: "2019-03-31".into(),
        };
        assert_eq!(UserName::parse(name), Some(expected));
        let name = "localhost/dev1/?api-version=2021-04-12&model-id=dtmi:com:example:Thermostat;1&DeviceClientType=azure-iot-device%2F1.18.4%20(node)my%2F1.0";
        assert_eq!(UserName::parse(name), device("localhost", "dev1", Some("dtmi:com:example:Thermostat;1")));
        let name = "hub1.azure-devices.test/dev1/?api-version=2020-09-30-preview&model-id=dtmi%3Aa%3B1";
        assert_eq!(UserName::parse(name), device("hub1.azure-devices.test", "dev1", Some("dtmi:a;1")));
        assert_eq!(UserName::parse("h/d/api-version=2016-11-14/DeviceClientType=c/1"), None);
        assert_eq!(
            UserName::parse("h/d/api-version=2016-11-14&DeviceClientType=c/1"),
            device("h", "d", None)
        );
        for name in [
            "h/d/DeviceClientType=azure-iot-device%2F1.1.17&api-version=2017-06-30",
            "h/d/DeviceClientType=c",
        ] {
            assert_eq!(UserName::parse(name), device("h", "d", None), "{name}");
        }
        assert_eq!(UserName::parse("h/api-version=d"), device("h", "api-version=d", None));
        assert_eq!(UserName::parse("h:8883/d/?api-version=2018-06-30"), device("h:8883", "d", None));
        assert_eq!(UserName::parse("h/d"), device("h", "d", None));
        assert_eq!(UserName::parse("h/d/"), device("h", "d", None));
        let module =
            |model_id| UserName::Device { host: "h", device_id: "d", module_id: Some("m"), model_id };
        for name in ["h/d/m/?api-version=2021-04-12", "h/d/m/api-version=2016-11-14", "h/d/m"] {
            assert_eq!(UserName::parse(name), Some(module(None)), "{name}");
        }
        let name = "h/d/m/?api-version=2021-04-12&model-id=dtmi:a;1";
        assert_eq!(UserName::parse(name), Some(module(Some("dtmi:a;1".to_owned()))));
    }

    #[test]
    fn other_names_are_refused() {
        for name in [
            "",
            "/",
            "h",
            "h/",
            "/d",
            "a/b/c/d/?api-version=2021-04-12",
            "h/d/?api-version=latest",
            "h/d/?api-version=",
        ] {
            assert_eq!(UserName::parse(name), None, "{name}");
        }
    }
}
