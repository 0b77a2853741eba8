//! Faults that a device asks for, to see how its client copes: a message with these application properties does to the device's
//! own connection what they say. The end-to-end suites of Azure's SDKs use that (`d2c_disconnect.js`, `throttle_disconnect.js` and
//! others of azure-iot-sdk-node). No device can do so to another.
//!
//! | `AzIoTHub_FaultOperationType` | what happens |
//! |---|---|
//! | `KillTcp`, `KillAmqpConnection`, `KillAmqpSession`, `KillAmqp…Link…`, `ShutDownAmqp`, `ShutDownMqtt` | the connection ends |
//! | `InvokeThrottling`, `InvokeMaxMessageQuota`, `InvokeAuthError` | messages are refused for a while |
//!
//! `AzIoTHub_FaultOperationDelayInSecs` after the message was taken; `AzIoTHub_FaultOperationDurationInSecs` long.

use std::sync::Arc;
use std::time::Duration;

use dashmap::DashMap;
use pollux_model::resource::Resource;
use pollux_model::{DeviceAddress, Error, ErrorCode, ResourceName, Timestamp};

use super::telemetry::Telemetry;
use super::{DeviceCommand, Hub};
use crate::context::Context;

const TYPE: &str = "AzIoTHub_FaultOperationType";
const DELAY: &str = "AzIoTHub_FaultOperationDelayInSecs";
const DURATION: &str = "AzIoTHub_FaultOperationDurationInSecs";
/// The longest that is waited, and the longest that messages are refused.
const LONGEST: u64 = 300;
/// Devices whose messages are refused at the same time; more are not served so.
const MOST: usize = 1000;

/// What a device asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fault {
    kind: Kind,
    delay: Duration,
    duration: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Close,
    Refuse(ErrorCode),
}

type Key = (ResourceName, DeviceAddress);
/// Whose messages are refused, how, and until when.
pub(super) type Refusing = Arc<DashMap<Key, (ErrorCode, Timestamp)>>;

impl Fault {
    /// What a message asks for, if it does.
    pub(super) fn of(message: &Telemetry) -> Option<Self> {
        let property = |wanted: &str| {
            let found = message.properties.iter().find(|(name, _)| name == wanted);
            found.map(|(_, value)| value.as_str())
        };
        let kind = match property(TYPE)? {
            "KillTcp" | "ShutDownAmqp" | "ShutDownMqtt" => Kind::Close,
            kill if kill.starts_with("KillAmqp") => Kind::Close,
            "InvokeThrottling" => Kind::Refuse(ErrorCode::Throttled),
            "InvokeMaxMessageQuota" => Kind::Refuse(ErrorCode::QuotaExceeded),
            "InvokeAuthError" => Kind::Refuse(ErrorCode::Unauthorized),
            _ => return None,
        };
        let seconds = |name: &str| {
            let seconds = property(name).and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
            Duration::from_secs(seconds.min(LONGEST))
        };
        Some(Self { kind, delay: seconds(DELAY), duration: seconds(DURATION) })
    }
}

impl Hub {
    /// Why the device's messages are refused at this moment, if it asked for that.
    pub(super) fn refusing(&self, hub: &Resource, id: &DeviceAddress) -> Option<Error> {
        if self.refusing.is_empty() {
            return None;
        }
        let key = (hub.name.clone(), id.clone());
        let (code, until) = *self.refusing.get(&key)?;
        if self.context.clock.now() < until {
            return Some(Error::new(code, "the device asked for this fault"));
        }
        self.refusing.remove(&key);
        None
    }

    /// Does what the device asked for, once the time has come.
    pub(super) fn inject(&self, hub: &Resource, id: &DeviceAddress, fault: Fault) {
        tracing::debug!(hub = %hub.name, device = %id, ?fault, "a device asks for a fault");
        let (context, connections) = (Arc::clone(&self.context), Arc::clone(&self.connections));
        let (refusing, key) = (Arc::clone(&self.refusing), (hub.name.clone(), id.clone()));
        match fault.kind {
            // What it sends next is refused already.
            Kind::Refuse(code) if fault.delay.is_zero() => {
                refuse(&context, &refusing, key, (code, fault.duration))
            }
            kind => drop(tokio::spawn(async move {
                tokio::time::sleep(fault.delay).await;
                match kind {
                    Kind::Refuse(code) => refuse(&context, &refusing, key, (code, fault.duration)),
                    Kind::Close => {
                        let close = DeviceCommand::Close { reason: "the device asked for this fault".into() };
                        connections.deliver(&key.0, &key.1, close).await;
                    }
                }
            })),
        }
    }
}

fn refuse(context: &Context, refusing: &Refusing, key: Key, (code, duration): (ErrorCode, Duration)) {
    let now = context.clock.now();
    refusing.retain(|_, (_, until)| now < *until);
    if refusing.len() < MOST {
        refusing.insert(key, (code, now.plus(duration)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asking(properties: &[(&str, &str)]) -> Option<Fault> {
        let properties = properties.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Fault::of(&Telemetry { properties: properties.collect(), ..Telemetry::default() })
    }

    #[test]
    fn what_a_device_asks_for_is_in_its_properties() {
        assert_eq!(asking(&[("level", "high")]), None);
        assert_eq!(asking(&[(TYPE, "Unheard")]), None);
        let close = Fault { kind: Kind::Close, delay: Duration::from_secs(2), duration: Duration::ZERO };
        for kind in ["KillTcp", "KillAmqpD2CLink", "ShutDownMqtt"] {
            assert_eq!(asking(&[(TYPE, kind), (DELAY, "2")]), Some(close), "{kind}");
        }
        let refuse = asking(&[(TYPE, "InvokeThrottling"), (DURATION, "100000")]).unwrap();
        assert_eq!(refuse.kind, Kind::Refuse(ErrorCode::Throttled));
        assert_eq!((refuse.delay, refuse.duration), (Duration::ZERO, Duration::from_secs(LONGEST)));
    }
}
