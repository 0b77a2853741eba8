//! A cloud-to-device message as a device gets it: properties in the topic, percent-encoded (Azure article "Communicate with
//! an IoT hub using the MQTT protocol", "Receiving cloud-to-device messages"; what the SDKs read is in `mqtt_topic_iothub.py`
//! of PyPI's azure-iot-device and `mqtt.js` of npm's azure-iot-device-mqtt).
//!
//! ```text
//!   devices/{id}/messages/devicebound/%24.mid=…&%24.cid=…&%24.uid=…&%24.to=…&%24.ct=…&%24.ce=…&%24.exp=…&iothub-ack=…&{own}=…
//! ```

use percent_encoding::utf8_percent_encode;
use pollux_model::message::QueuedMessage;
use pollux_services::hub::cloud_to_device::Ack;

use super::Own;
use super::link::PLAIN;
use crate::mqtt::session::Subscriptions;

impl Own {
    /// Whether it is the filter of this device's messages from the cloud.
    pub(super) fn is_devicebound(&self, filter: &str) -> bool {
        let rest = filter.strip_prefix("devices/").and_then(|rest| rest.strip_prefix(&*self.id.device));
        self.id.module.is_none() && rest == Some("/messages/devicebound/#")
    }

    /// Whether the device listens to them.
    pub(super) fn listens(&self, subscriptions: &Subscriptions) -> bool {
        subscriptions.iter().any(|(filter, _)| self.is_devicebound(filter))
    }
}

/// The topic that it is published to.
pub(super) fn topic(id: &str, message: &QueuedMessage) -> String {
    let to = format!("/devices/{id}/messages/devicebound");
    let expiry = message.system.expiry.map(|at| at.to_string());
    let ack = (message.ack != Ack::None).then(|| message.ack.as_str());
    let system = &message.system;
    let set = [
        ("$.mid", system.message_id.as_deref()),
        ("$.cid", system.correlation_id.as_deref()),
        ("$.uid", system.user_id.as_deref()),
        ("$.to", Some(to.as_str())),
        ("$.ct", system.content_type.as_deref()),
        ("$.ce", system.content_encoding.as_deref()),
        ("$.exp", expiry.as_deref()),
        ("iothub-ack", ack),
    ];
    let set = set.into_iter().filter_map(|(name, value)| Some((name, value?)));
    let own = message.properties.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let mut topic = format!("devices/{id}/messages/devicebound/");
    for (at, (name, value)) in set.chain(own).enumerate() {
        if at > 0 {
            topic.push('&');
        }
        topic.extend(utf8_percent_encode(name, PLAIN));
        topic.push('=');
        topic.extend(utf8_percent_encode(value, PLAIN));
    }
    topic
}

#[cfg(test)]
mod tests {
    use pollux_model::message::{MessageProperties, MessageQueue};
    use pollux_model::{DeviceId, Etag, Timestamp};

    use super::*;

    #[test]
    fn properties_are_in_the_topic() {
        let message = QueuedMessage {
            queue: MessageQueue::Device(DeviceId::parse("d1").unwrap()),
            sequence: 1,
            etag: Etag::new("t"),
            enqueued: Timestamp::from_secs(1),
            expires: Timestamp::from_secs(5),
            lock: None,
            delivery_count: 0,
            ack: Ack::Full,
            generation_id: "1".to_owned(),
            system: MessageProperties {
                message_id: Some("m 1".to_owned()),
                content_type: Some("application/json".to_owned()),
                expiry: Some(Timestamp::from_secs(5)),
                ..MessageProperties::default()
            },
            properties: vec![("a&b".to_owned(), "c=d/é".to_owned()), ("e".to_owned(), String::new())],
            payload: b"x".to_vec(),
        };
        assert_eq!(
            topic("d1", &message),
            "devices/d1/messages/devicebound/%24.mid=m%201&%24.to=%2Fdevices%2Fd1%2Fmessages%2Fdevicebound\
             &%24.ct=application%2Fjson&%24.exp=1970-01-01T00%3A00%3A05Z&iothub-ack=full&a%26b=c%3Dd%2F%C3%A9&e="
        );
    }
}
