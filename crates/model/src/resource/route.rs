//! Message routes of a hub.

use serde::{Deserialize, Serialize};

/// A message route.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// Its name among the hub's routes.
    pub name: String,
    /// Which messages it looks at.
    pub source: RouteSource,
    /// The routing query; `true` takes all.
    pub condition: String,
    /// The endpoint's name.
    pub endpoint: String,
    /// Whether it is in force.
    pub enabled: bool,
}

/// What a route looks at (Azure article "Use IoT Hub message routing", names as in the ARM resource).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum RouteSource {
    /// Device-to-cloud messages.
    DeviceMessages,
    /// Device created, device deleted.
    DeviceLifecycleEvents,
    /// Device twin updated or replaced.
    TwinChangeEvents,
    /// Device connected, device disconnected.
    DeviceConnectionStateEvents,
    /// A job did something to a device, or failed to.
    DeviceJobLifecycleEvents,
    /// The digital twin of a device with a model changed.
    DigitalTwinChangeEvents,
}

impl RouteSource {
    /// The ARM name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::DeviceMessages => "DeviceMessages",
            Self::DeviceLifecycleEvents => "DeviceLifecycleEvents",
            Self::TwinChangeEvents => "TwinChangeEvents",
            Self::DeviceConnectionStateEvents => "DeviceConnectionStateEvents",
            Self::DeviceJobLifecycleEvents => "DeviceJobLifecycleEvents",
            Self::DigitalTwinChangeEvents => "DigitalTwinChangeEvents",
        }
    }

    /// The value of the `iothub-message-source` annotation.
    #[must_use]
    pub const fn annotation(self) -> &'static str {
        match self {
            Self::DeviceMessages => "Telemetry",
            Self::DeviceLifecycleEvents => "deviceLifecycleEvents",
            Self::TwinChangeEvents => "twinChangeEvents",
            Self::DeviceConnectionStateEvents => "deviceConnectionStateEvents",
            Self::DeviceJobLifecycleEvents => "deviceJobLifecycleEvents",
            Self::DigitalTwinChangeEvents => "digitalTwinChangeEvents",
        }
    }
}
