//! A device-to-cloud message: the topic's property bag becomes system and application properties.

use bytes::Bytes;
use percent_encoding::percent_decode_str;
use pollux_mqtt::Will;
use pollux_services::hub::hub_event::System;
use pollux_services::hub::telemetry::Telemetry;

use super::Own;
use crate::mqtt::session::Close;
use crate::mqtt::topic;

impl Own {
    /// What follows `devices/{id}/` or, of a module, `devices/{id}/modules/{id}/`, if the ids are its own by `is`.
    pub(super) fn own_topic<'a>(&self, topic: &'a str, is: impl Fn(&str, &str) -> bool) -> Option<&'a str> {
        let (device, rest) = topic.strip_prefix("devices/")?.split_once('/')?;
        let rest = match &self.id.module {
            Some(own) => {
                let (module, rest) = rest.strip_prefix("modules/")?.split_once('/')?;
                Some(rest).filter(|_| is(module, own))?
            }
            None => rest,
        };
        Some(rest).filter(|_| is(device, &self.id.device))
    }

    /// The property bag, if the topic is its own `…/messages/events[/{bag}]`.
    pub(super) fn events_bag<'a>(&self, topic: &'a str) -> Option<&'a str> {
        let encoded =
            |id: &str, own: &str| id == own || percent_decode_str(id).decode_utf8().is_ok_and(|id| id == own);
        match self.own_topic(topic, encoded)?.strip_prefix("messages/events")? {
            "" => Some(""),
            // npm's ModuleClient ends the topic of an output with a slash; in a bag slashes are encoded.
            bag => bag.strip_prefix('/').map(|bag| bag.strip_suffix('/').unwrap_or(bag)),
        }
    }

    /// The message of a publish to the device's events topic.
    pub(super) fn telemetry(&self, bag: &str, body: Bytes, retain: bool) -> Result<Telemetry, Close> {
        let mut message = Telemetry { body, ..Telemetry::default() };
        message.system.model_id.clone_from(&self.model_id);
        for (name, value) in topic::property_bag(bag)? {
            match name.strip_prefix("$.") {
                Some(short) => set(&mut message.system, short, value),
                None => message.properties.push((name, value)),
            }
        }
        if retain {
            message.properties.push(("mqtt-retain".to_owned(), "true".to_owned()));
        }
        Ok(message)
    }

    /// The message that is left behind; none when its topic is not that of the device's telemetry.
    pub(super) fn will(&self, will: &Will) -> Option<Telemetry> {
        let bag = self.events_bag(&will.topic)?;
        let mut message = self.telemetry(bag, will.payload.clone(), will.retain).ok()?;
        message.properties.push(("iothub-MessageType".to_owned(), "Will".to_owned()));
        Some(message)
    }
}

/// System properties a device may set, by the short names of the SDKs. Those that mean nothing for telemetry (`exp`) and
/// those the hub does not know are dropped.
fn set(system: &mut System, short: &str, value: String) {
    let slot = match short {
        "mid" => &mut system.message_id,
        "cid" => &mut system.correlation_id,
        "uid" => &mut system.user_id,
        "to" => &mut system.to,
        "ct" => &mut system.content_type,
        "ce" => &mut system.content_encoding,
        "ctime" => &mut system.creation_time,
        "sub" => &mut system.component,
        "on" => &mut system.output,
        _ => return,
    };
    *slot = Some(value);
}
