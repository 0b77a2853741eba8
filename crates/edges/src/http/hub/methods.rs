//! `POST /twins/{id}/methods` and `POST /twins/{id}/modules/{id}/methods`: a direct method.

use axum::response::Response;
use pollux_model::resource::ResourceKind;
use pollux_model::{DeviceAddress, Result};
use pollux_services::hub::MethodInput;
use pollux_services::{HubAction, Right};
use serde::Deserialize;
use serde_json::{Value, json};

use super::call::Call;
use super::{Ids, json as document};

/// `CloudToDeviceMethod` of the REST API.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct MethodBody {
    method_name: String,
    payload: Option<Value>,
    response_timeout_in_seconds: Option<u64>,
    connect_timeout_in_seconds: Option<u64>,
}

impl MethodBody {
    pub(super) fn input(self) -> MethodInput {
        MethodInput {
            name: self.method_name,
            payload: self.payload,
            response_timeout: self.response_timeout_in_seconds,
            connect_timeout: self.connect_timeout_in_seconds,
        }
    }
}

/// 200 with the device's own status and payload.
pub(super) async fn invoke(mut call: Call, (device, module): Ids) -> Result<Response> {
    // Before anything is said of the body.
    call.caller.require(ResourceKind::Hub, &call.hub.name, Right::Hub(HubAction::MethodsInvoke))?;
    let body: MethodBody = call.json().await?;
    let id = DeviceAddress::of(&device, module.as_deref())?;
    let answer = call.services.hub.invoke_method(&call.caller, &call.hub, &id, body.input()).await?;
    Ok(document(&json!({ "status": answer.status, "payload": answer.payload })))
}
