//! The hub's end of a live connection: its commands in MQTT's words.

use std::sync::Arc;

use bytes::Bytes;
use pollux_services::hub::{DeviceCommand, DeviceLink};
use serde_json::Value;

use crate::mqtt::mailbox::Mailbox;
use crate::mqtt::session::{Close, Command, Outbound};

/// Hands commands to the connection's mailbox.
#[derive(Debug)]
pub(super) struct HubLink(Arc<Mailbox>);

impl HubLink {
    pub(super) const fn new(mailbox: Arc<Mailbox>) -> Self {
        Self(mailbox)
    }
}

impl DeviceLink for HubLink {
    fn deliver(&self, command: DeviceCommand) {
        self.0.put(match command {
            DeviceCommand::Desired { patch, version } => Command::Send(desired(patch, version)),
            DeviceCommand::Close { reason } => Command::Close(Close::because(reason)),
        });
    }
}

/// The patch with its version inside, as the SDKs read it.
fn desired(mut patch: Value, version: u64) -> Outbound {
    if let Value::Object(patch) = &mut patch {
        patch.insert("$version".into(), version.into());
    }
    Outbound {
        topic: format!("$iothub/twin/PATCH/properties/desired/?$version={version}"),
        payload: Bytes::from(patch.to_string()),
    }
}
