//! The hub's end of a live connection: its commands and methods in MQTT's words.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use parking_lot::Mutex;
use percent_encoding::{AsciiSet, CONTROLS, NON_ALPHANUMERIC, utf8_percent_encode};
use pollux_services::hub::cloud_to_device::Settle;
use pollux_services::hub::{DeviceCommand, DeviceLink, MethodAnswer, MethodCall, MethodFailure, OpenMethods};
use serde_json::Value;
use tokio::sync::oneshot;

use super::Own;
use super::deliveries::Deliveries;
use super::desired::Desired;
use crate::mqtt::mailbox::Mailbox;
use crate::mqtt::session::{Close, Command, Outbound};

/// What does not stand in a topic as it is, in a method's name: what would end the name, what no topic may have, and what
/// decoding clients would read otherwise. Not more: npm's azure-iot-device-mqtt and the SDK for C do not decode, and a command of
/// a component is called `thermostat1*getMaxMinReport` (articles "IoT Plug and Play conventions" and "Tutorial: Create and
/// connect a client application to your IoT Central application", whose trace shows the topic).
const NAME: &AsciiSet = &CONTROLS.add(b'/').add(b'?').add(b'#').add(b'+').add(b'%');

/// What stands as it is in the bag of properties of a message from the cloud, and nothing else.
pub(super) const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// Hands commands to the connection's mailbox.
#[derive(Debug)]
pub(super) struct HubLink {
    mailbox: Arc<Mailbox>,
    /// Messages from the cloud.
    pub(super) deliveries: Arc<Deliveries>,
    /// Whether the device listens to methods.
    listens: AtomicBool,
    open: OpenMethods,
    desired: Mutex<Desired>,
}

impl HubLink {
    pub(super) fn new(mailbox: Arc<Mailbox>, own: Arc<Own>) -> Self {
        let deliveries = Deliveries::new(Arc::clone(&mailbox), own);
        let (listens, open, desired) = (AtomicBool::default(), OpenMethods::default(), Mutex::default());
        Self { mailbox, deliveries, listens, open, desired }
    }

    /// The device reads its twin.
    pub(super) fn reads(&self) {
        self.desired.lock().reads();
    }

    /// It was shown this version of its desired properties.
    pub(super) fn shown(&self, version: u64) {
        self.desired.lock().shown(version);
    }

    /// Whether the device is subscribed to messages from the cloud, and to changes of desired properties, from now on. It gets
    /// what it missed.
    pub(super) fn subscribed(&self, messages: bool, changes: bool) {
        self.deliveries.listen(messages);
        let mut desired = self.desired.lock();
        desired.subscribe(changes).for_each(|message| self.mailbox.put(Command::Send(message)));
    }

    fn tell_desired(&self, version: u64, message: Outbound) {
        let mut desired = self.desired.lock();
        if let Some(message) = desired.tell(version, message) {
            self.mailbox.put(Command::Send(message));
        }
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
                self.tell_desired(version, change(patch, version));
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
        let name = utf8_percent_encode(&call.name, NAME);
        let topic = format!("$iothub/methods/POST/{name}/?$rid={id:x}");
        self.mailbox.put(Command::Send(Outbound { topic, payload: Bytes::from(call.payload.to_string()) }));
        Ok(waits)
    }
}

/// The patch with its version inside, as the SDKs read it.
fn change(mut patch: Value, version: u64) -> Outbound {
    if let Value::Object(patch) = &mut patch {
        patch.insert("$version".into(), version.into());
    }
    Outbound {
        topic: format!("$iothub/twin/PATCH/properties/desired/?$version={version}"),
        payload: Bytes::from(patch.to_string()),
    }
}
