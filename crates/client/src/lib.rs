//! Clients of Pollux and of Azure alike: MQTT devices for provisioning and hub, Event Hubs over AMQP, REST with SAS or bearer tokens.
//!
//! Used by the command line, the demo, bench and tests; by the server only for what a hub routes to event hubs elsewhere. Nothing here knows more of a service than
//! host name, address and key, so that the same code speaks to Azure.

pub mod connection_string;
pub mod credential;
pub mod device;
pub mod event_hubs;
pub mod hub_device;
pub mod properties;
pub mod provisioning_device;
pub mod rest;
pub mod tls;
mod topic;

pub use connection_string::ConnectionString;
pub use credential::Credential;
pub use device::{ConnectOptions, Endpoint, MqttDevice};
pub use event_hubs::EventHubs;
pub use hub_device::{HubDevice, HubEvent};
pub use properties::Properties;
pub use provisioning_device::{Assignment, register};
pub use rest::Rest;
