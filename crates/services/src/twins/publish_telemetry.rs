//! Telemetry sent on behalf of a twin or one of its components. It changes nothing; it goes where event routes lead.
//! An instance without event routes has nowhere to send it, so that a message that was checked is done with.

use pollux_model::{Error, ResourceName, Result};
use serde_json::Value;

use super::{Twins, document, refusal};
use crate::{Caller, Right};

/// A message.
#[derive(Debug, Clone, PartialEq)]
pub struct PublishTelemetry {
    /// Which twin it is from.
    pub twin: String,
    /// Which component of it.
    pub component: Option<String>,
    /// Names the message; for consumers to tell repeated ones.
    pub message_id: String,
    /// When what it tells of happened, as the sender wrote it: not looked into, for PyPI's client sends what Python makes
    /// of a time (recording `test_publish_telemetry`: `2020-11-25 10:03:54.074027`), and the real service takes that.
    pub source_time: Option<String>,
    /// The message. The real service does not hold it against the model (recording `test_publish_telemetry`).
    pub payload: Value,
}

impl Twins {
    /// Publishes a message.
    ///
    /// # Errors
    /// [`pollux_model::ErrorCode::TwinNotFound`], [`pollux_model::ErrorCode::ComponentNotFound`],
    /// [`pollux_model::ErrorCode::InvalidArgument`].
    pub async fn publish_telemetry(
        &self,
        caller: &Caller,
        instance: &ResourceName,
        telemetry: PublishTelemetry,
    ) -> Result<()> {
        self.authorize(caller, instance, Right::TwinsWrite)?;
        if telemetry.message_id.is_empty() {
            return Err(Error::invalid("The message id is missing. Give the message an id of its own."));
        }
        let twin = self.read_twin(instance, &telemetry.twin).await?;
        match telemetry.component.as_deref() {
            Some(name) if !twin.document.get(name).is_some_and(document::is_component) => {
                Err(refusal::component_not_found(&telemetry.twin, name))
            }
            _ => Ok(()),
        }
    }
}
