//! The hub's end of a live connection: its commands and methods in MQTT's words.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use pollux_services::hub::cloud_to_device::Settle;
use pollux_services::hub::{DeviceCommand, DeviceLink, MethodAnswer, MethodCall, MethodFailure, OpenMethods};
use serde_json::Value;
use tokio::sync::oneshot;

use super::Own;
use super::deliveries::Deliveries;
use crate::mqtt::mailbox::Mailbox;
use crate::mqtt::session::{Close, Command, Outbound};

/// What stands in a topic as it is: a method's name has no slash, and no wildcard, in it.
pub(super) const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// A method's name in a topic. `component*command` (article "IoT Plug and Play conventions", "Commands") comes as it is: npm's
/// azure-iot-device takes names as they stand there.
const METHOD: &AsciiSet = &PLAIN.remove(b'*').remove(b':').remove(b';').remove(b'@').remove(b'$');

/// Hands commands to the connection's mailbox.
#[derive(Debug)]
pub(super) struct HubLink {
    mailbox: Arc<Mailbox>,
    /// Messages from the cloud.
    pub(super) deliveries: Arc<Deliveries>,
    /// Whether the device listens to methods.
    listens: AtomicBool,
    open: OpenMethods,
}

impl HubLink {
    pub(super) fn new(mailbox: Arc<Mailbox>, own: Arc<Own>) -> Self {
        let deliveries = Deliveries::new(Arc::clone(&mailbox), own);
        Self { mailbox, deliveries, listens: AtomicBool::default(), open: OpenMethods::default() }
    }

    /// Whether the device listens to methods from now on.
    pub(super) fn listens(&self, listens: bool) {
        self.listens.store(listens, Ordering::Release);
    }

    /// The connection is over. Messages from the cloud that it still holds are the next connection's to take back.
    pub(super) fn end(&self) {
        self.open.end();
        drop(self.deliveries.end(Settle::Abandon));
    }

    /// The device answers a method.
    pub(super) fn answered(&self, id: u64, answer: MethodAnswer) {
        self.open.answer(id, answer);
    }
}

impl DeviceLink for HubLink {
    fn deliver(&self, command: DeviceCommand) {
        match command {
            DeviceCommand::Desired { patch, version } => {
                self.mailbox.put(Command::Send(desired(patch, version)));
            }
            DeviceCommand::MessageWaiting => self.deliveries.look(),
            DeviceCommand::Close { reason } => self.mailbox.put(Command::Close(Close::because(reason))),
        }
    }

    fn invoke(&self, call: MethodCall) -> Result<oneshot::Receiver<MethodAnswer>, MethodFailure> {
        if !self.listens.load(Ordering::Acquire) {
            return Err(MethodFailure::NotOnline);
        }
        let (id, waits) = self.open.ask()?;
        let name = utf8_percent_encode(&call.name, METHOD);
        let topic = format!("$iothub/methods/POST/{name}/?$rid={id:x}");
        self.mailbox.put(Command::Send(Outbound { topic, payload: Bytes::from(call.payload.to_string()) }));
        Ok(waits)
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
