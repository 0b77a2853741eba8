//! Telemetry sent on behalf of a twin or one of its components. It changes nothing; it goes where event routes lead.

use bytes::Bytes;
use pollux_dtdl::Dtmi;
use pollux_model::digital_twin::DigitalTwin;
use pollux_model::resource::Resource;
use pollux_model::{Error, ResourceName, Result};

use super::notification::{Notification, Telemetry};
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
    /// The message, JSON, passed on as it is. The real service does not hold it against the model (recording
    /// `test_publish_telemetry`).
    pub payload: Bytes,
}

impl Twins {
    /// Publishes a message; it is durable wherever a route leads when this returns.
    ///
    /// # Errors
    /// [`pollux_model::ErrorCode::TwinNotFound`], [`pollux_model::ErrorCode::ComponentNotFound`],
    /// [`pollux_model::ErrorCode::InvalidArgument`], [`pollux_model::ErrorCode::Unavailable`].
    pub async fn publish_telemetry(
        &self,
        caller: &Caller,
        instance: &ResourceName,
        telemetry: PublishTelemetry,
    ) -> Result<()> {
        let resource = self.authorize(caller, instance, Right::TwinsWrite)?;
        if telemetry.message_id.is_empty() {
            return Err(Error::invalid("The message id is missing. Give the message an id of its own."));
        }
        let data = serde_json::from_slice(&telemetry.payload)
            .map_err(|error| Error::invalid(format!("Payload is invalid: {error}.")))?;
        let twin = self.read_twin(instance, &telemetry.twin).await?;
        if let Some(name) = telemetry.component.as_deref()
            && !twin.document.get(name).is_some_and(document::is_component)
        {
            return Err(refusal::component_not_found(&telemetry.twin, name));
        }
        if !self.has_event_routes(&resource) {
            return Ok(());
        }
        let told = Telemetry {
            model: self.model_of(&resource, &twin, telemetry.component.as_deref()).await?,
            twin: telemetry.twin,
            component: telemetry.component,
            id: telemetry.message_id,
            time: telemetry.source_time,
            data,
            text: telemetry.payload,
        };
        let (now, random) = (self.context.clock.now(), &*self.context.random);
        let trace = (caller.trace.as_deref(), random);
        let notification = Notification::of_telemetry(told, &resource.host_name, now, trace);
        self.append(&resource, &notification).await
    }

    /// The model of a twin, or of a component of it; the twin's where that one's model is gone.
    async fn model_of(
        &self,
        instance: &Resource,
        twin: &DigitalTwin,
        component: Option<&str>,
    ) -> Result<String> {
        let Some(name) = component else { return Ok(twin.model.clone()) };
        let models = self.models.get(instance).await?;
        let interface = Dtmi::parse(&twin.model).ok();
        let interface = interface.as_ref().and_then(|id| models.set.get(id));
        let schema = interface.and_then(|interface| interface.components.get(name));
        Ok(schema.map_or_else(|| twin.model.clone(), |component| component.schema.to_string()))
    }
}
