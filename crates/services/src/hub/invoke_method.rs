//! Direct methods: a service asks, a connected device answers (Azure article "Understand and invoke direct methods from IoT
//! Hub"). Nothing is kept: who is not there is not asked.

use std::time::Duration;

use pollux_model::resource::{Resource, ResourceKind};
use pollux_model::{DeviceAddress, Error, ErrorCode, Result, ids};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::time::Instant;

use super::Hub;
use crate::caller::{Caller, HubAction, Right};

/// How long the device may take to answer, unless it is said: the article's default, and its bounds, in seconds.
const RESPONSE: u64 = 30;
const RESPONSES: std::ops::RangeInclusive<u64> = 5..=300;
/// How long a device that is not there may take to come, in seconds.
const CONNECTS: std::ops::RangeInclusive<u64> = 0..=300;
/// Characters of a method's name.
const NAME: usize = 100;
/// Between two looks for a device that is waited for.
const LOOK: Duration = Duration::from_millis(200);

/// What a service asks.
#[derive(Debug, Clone)]
pub struct MethodInput {
    /// The method's name.
    pub name: String,
    /// What goes with it; `None`: `null`.
    pub payload: Option<Value>,
    /// In seconds; `None`: 30.
    pub response_timeout: Option<u64>,
    /// In seconds; `None`: the device must be there.
    pub connect_timeout: Option<u64>,
}

/// What a device is asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MethodCall {
    /// The method's name.
    pub name: String,
    /// JSON.
    pub payload: Value,
}

/// What it answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MethodAnswer {
    /// The device's own status.
    pub status: i32,
    /// JSON.
    pub payload: Value,
}

/// Why there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum MethodFailure {
    /// The device is not connected, or listens to no methods.
    NotOnline,
    /// It did not answer in time.
    Late,
    /// It has as many to answer as it may.
    Busy,
    /// Its connection ended before it answered: it may have been asked.
    Gone,
    /// It answered with more than it may.
    TooLarge,
}

impl Hub {
    /// Asks a device or a module and waits for its answer.
    ///
    /// # Errors
    /// [`ErrorCode::DeviceNotFound`], [`ErrorCode::ModuleNotFound`], [`ErrorCode::DeviceNotOnline`], [`ErrorCode::DeviceTimeout`],
    /// [`ErrorCode::Throttled`], [`ErrorCode::TooLarge`].
    pub async fn invoke_method(
        &self,
        caller: &Caller,
        hub: &Resource,
        id: &DeviceAddress,
        input: MethodInput,
    ) -> Result<MethodAnswer> {
        caller.require(ResourceKind::Hub, &hub.name, Right::Hub(HubAction::MethodsInvoke))?;
        let (call, response, connect) = self.checked_call(input)?;
        let payload = call.payload.to_string().len();
        self.throttle_method(hub, payload)?;
        self.bill(hub, [payload]).await?;
        self.addressed(hub, id).await?;
        let patience = Instant::now() + connect;
        loop {
            let failure = match self.connections.invoke(&hub.name, id, call.clone(), response).await {
                Ok(answer) => {
                    self.connections.active(&hub.name, id);
                    return Ok(answer);
                }
                Err(MethodFailure::NotOnline) if Instant::now() < patience => {
                    tokio::time::sleep(LOOK).await;
                    continue;
                }
                Err(failure) => failure,
            };
            let (noun, shown) = (id.noun(), ids::shown(&id.to_string()));
            return Err(match failure {
                MethodFailure::NotOnline | MethodFailure::Gone => Error::new(
                    ErrorCode::DeviceNotOnline,
                    format!("the {noun} '{shown}' is not connected, or has not subscribed to methods"),
                ),
                MethodFailure::Late => Error::new(
                    ErrorCode::DeviceTimeout,
                    format!("the {noun} '{shown}' did not answer within {} s", response.as_secs()),
                ),
                MethodFailure::TooLarge => {
                    let most = self.context.limits.method_payload;
                    let message = format!("the {noun} '{shown}' answered with more than {most} bytes");
                    Error::new(ErrorCode::TooLarge, message)
                }
                MethodFailure::Busy => Error::new(
                    ErrorCode::Throttled,
                    format!("the {noun} '{shown}' has as many methods to answer as it may have"),
                ),
            });
        }
    }

    pub(super) fn checked_call(&self, input: MethodInput) -> Result<(MethodCall, Duration, Duration)> {
        let MethodInput { name, payload, response_timeout, connect_timeout } = input;
        if name.is_empty() || name.len() > NAME || name.chars().any(char::is_control) {
            return Err(Error::invalid(format!(
                "methodName must have 1 to {NAME} bytes, none of them control characters"
            )));
        }
        let within = |said: Option<u64>, default, bounds: std::ops::RangeInclusive<u64>, what: &str| {
            let seconds = said.unwrap_or(default);
            if bounds.contains(&seconds) {
                return Ok(Duration::from_secs(seconds));
            }
            Err(Error::invalid(format!(
                "{what} must be {} to {}, not {seconds}",
                bounds.start(),
                bounds.end()
            )))
        };
        let response = within(response_timeout, RESPONSE, RESPONSES, "responseTimeoutInSeconds")?;
        let connect = within(connect_timeout, 0, CONNECTS, "connectTimeoutInSeconds")?;
        let payload = payload.unwrap_or(Value::Null);
        let (size, most) = (payload.to_string().len(), self.context.limits.method_payload);
        if size > most {
            let message = format!("the payload is {size} bytes; at most {most} are allowed");
            return Err(Error::new(ErrorCode::TooLarge, message));
        }
        Ok((MethodCall { name, payload }, response, connect))
    }
}
