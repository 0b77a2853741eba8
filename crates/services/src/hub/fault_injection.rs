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
/// Devices that wait for a fault, and those whose messages are refused, at the same time; more are not served so.
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
/// Devices that asked for faults.
#[derive(Debug, Default)]
pub(super) struct Faults {
    /// Those that wait for one: one each.
    pending: DashMap<Key, ()>,
    /// Whose messages are refused, how, and until when.
    refusing: DashMap<Key, (ErrorCode, Timestamp)>,
}

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

impl Faults {
    /// Whether the device may wait for one.
    fn takes(&self, key: &Key) -> bool {
        self.pending.len() < MOST && self.pending.insert(key.clone(), ()).is_none()
    }

    fn refuse(&self, context: &Context, key: Key, (code, duration): (ErrorCode, Duration)) {
        let now = context.clock.now();
        self.refusing.retain(|_, (_, until)| now < *until);
        if self.refusing.len() < MOST {
            self.refusing.insert(key, (code, now.plus(duration)));
        }
    }
}

impl Hub {
    /// Why the device's messages are refused at this moment, if it asked for that.
    pub(super) fn refusing(&self, hub: &Resource, id: &DeviceAddress) -> Option<Error> {
        let refusing = &self.faults.refusing;
        if refusing.is_empty() {
            return None;
        }
        let key = (hub.name.clone(), id.clone());
        let (code, until) = *refusing.get(&key)?;
        if self.context.clock.now() < until {
            return Some(Error::new(code, "the device asked for this fault"));
        }
        refusing.remove(&key);
        None
    }

    /// Does what the device asked for, once the time has come. While one is to come it asks for others in vain.
    pub(super) fn inject(&self, hub: &Resource, id: &DeviceAddress, fault: Fault) {
        tracing::debug!(hub = %hub.name, device = %id, ?fault, "a device asks for a fault");
        let (context, connections) = (Arc::clone(&self.context), Arc::clone(&self.connections));
        let (faults, key) = (Arc::clone(&self.faults), (hub.name.clone(), id.clone()));
        match fault.kind {
            // What it sends next is refused already.
            Kind::Refuse(code) if fault.delay.is_zero() => {
                faults.refuse(&context, key, (code, fault.duration))
            }
            kind if faults.takes(&key) => drop(tokio::spawn(async move {
                tokio::time::sleep(fault.delay).await;
                faults.pending.remove(&key);
                match kind {
                    Kind::Refuse(code) => faults.refuse(&context, key, (code, fault.duration)),
                    Kind::Close => {
                        let close = DeviceCommand::Close { reason: "the device asked for this fault".into() };
                        connections.deliver(&key.0, &key.1, close).await;
                    }
                }
            })),
            _ => {}
        }
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
    fn a_device_waits_for_one_fault_and_not_all_devices_do() {
        let key = |n: usize| {
            let id = DeviceAddress::of(&format!("d{n}"), None).unwrap();
            (ResourceName::parse("hub1").unwrap(), id)
        };
        let faults = Faults::default();
        assert!(faults.takes(&key(0)) && !faults.takes(&key(0)));
        assert_eq!((1..2 * MOST).filter(|n| faults.takes(&key(*n))).count(), MOST - 1);
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
