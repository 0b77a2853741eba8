//! The digital twin of a device or module that follows the conventions of Plug and Play: its device twin, seen as components and
//! properties. Azure articles "Understand IoT Plug and Play digital twins", "Manage IoT Plug and Play digital twins" and "IoT
//! Plug and Play conventions".
//!
//! ```text
//!   reported {"comp": {"__t": "c", "p": {"value": 1, "ac": 200, "av": 2}}}  ┐   {"comp": {"p": 1, "$metadata": {"p": {"ackCode": 200,
//!   desired  {"comp": {"__t": "c", "p": 5}}                                 ┘ ▶    "ackVersion": 2, "desiredValue": 5, ..}}}, ..}
//! ```
//!
//! | file | concern |
//! |---|---|
//! | `view` | the digital twin of a device twin; pure |
//! | `update` | a JSON patch of it as a change of desired properties; pure |
//! | `change` | the JSON patch that leads from one to another, for those who are told; pure |
//!
//! No model is needed, nor looked at: what is written tells components from properties.

mod change;
mod update;
mod view;

use pollux_model::device::Device;
use pollux_model::resource::{Resource, ResourceKind, RouteSource};
use pollux_model::{DeviceAddress, ErrorCode, Etag, Result};
use pollux_store::Write;
use serde_json::Value;

use super::hub_event::digital_twin_changed;
use super::{Hub, MethodAnswer, MethodInput, Operation, TwinInput};
use crate::caller::{Caller, HubAction, Right};

/// Reads `device` or `device~module`, as clients name digital twins; no id has a `~`.
///
/// # Errors
/// [`ErrorCode::InvalidArgument`].
pub fn digital_twin_id(text: &str) -> Result<DeviceAddress> {
    match text.split_once('~') {
        Some((device, module)) => DeviceAddress::of(device, Some(module)),
        None => DeviceAddress::of(text, None),
    }
}

impl Hub {
    /// A device's or module's digital twin, and its etag.
    ///
    /// # Errors
    /// [`ErrorCode::DeviceNotFound`], [`ErrorCode::ModuleNotFound`].
    pub async fn digital_twin(
        &self,
        caller: &Caller,
        hub: &Resource,
        id: &DeviceAddress,
    ) -> Result<(Value, Etag)> {
        caller.require(ResourceKind::Hub, &hub.name, Right::Hub(HubAction::TwinsRead))?;
        self.throttle(hub, Operation::TwinRead, 1)?;
        let device = self.addressed(hub, id).await?;
        Ok((view::digital_twin(&device), device.twin.service_etag))
    }

    /// Changes what is desired of a digital twin by a JSON patch; its etag after that.
    ///
    /// # Errors
    /// [`ErrorCode::JsonPatchInvalid`], [`ErrorCode::PreconditionFailed`], those of changing a device twin.
    pub async fn update_digital_twin(
        &self,
        caller: &Caller,
        hub: &Resource,
        id: &DeviceAddress,
        patch: &Value,
        if_match: Option<Etag>,
    ) -> Result<Etag> {
        caller.require(ResourceKind::Hub, &hub.name, Right::Hub(HubAction::TwinsWrite))?;
        let operations = update::operations(patch)?;
        loop {
            let before = self.addressed(hub, id).await?;
            let desired = update::desired(&before.twin, &operations)?;
            let etag = if_match.clone().unwrap_or(before.twin.service_etag);
            let input = TwinInput { desired: Some(desired), ..TwinInput::default() };
            match self.patch_twin(caller, hub, id, input, Some(etag)).await {
                // It changed meanwhile: look again.
                Err(error) if error.code == ErrorCode::PreconditionFailed && if_match.is_none() => {}
                changed => return changed.map(|device| device.twin.service_etag),
            }
        }
    }

    /// Invokes a command, of a component where one is named: a direct method by the convention's name.
    ///
    /// # Errors
    /// Those of [`Hub::invoke_method`].
    pub async fn invoke_command(
        &self,
        caller: &Caller,
        hub: &Resource,
        id: &DeviceAddress,
        component: Option<&str>,
        input: MethodInput,
    ) -> Result<MethodAnswer> {
        let name = match component {
            Some(component) => format!("{component}*{}", input.name),
            None => input.name,
        };
        self.invoke_method(caller, hub, id, MethodInput { name, ..input }).await
    }

    /// What a device or module was before a change, where somebody is to be told how its digital twin changes: a route asks for
    /// it.
    pub(super) fn digital_twin_watched(&self, hub: &Resource, device: &Device) -> Option<Device> {
        self.has_routes(hub, RouteSource::DigitalTwinChangeEvents).then(|| device.clone())
    }

    /// The outbox entries that tell how a digital twin changed; none of what has no model.
    pub(super) fn digital_twin_told(
        &self,
        hub: &Resource,
        before: Option<&Device>,
        after: &Device,
    ) -> Vec<Write> {
        let Some(before) = before.filter(|_| !after.twin.model_id.is_empty()) else { return Vec::new() };
        let patch = change::json_patch(&view::digital_twin(before), &view::digital_twin(after));
        if patch.as_array().is_none_or(Vec::is_empty) {
            return Vec::new();
        }
        let event = digital_twin_changed(hub, &after.address(), &patch, self.context.clock.now());
        self.outbox(hub, event, Some(after))
    }
}
