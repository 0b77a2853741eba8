//! A device reads its twin and reports properties.

use std::sync::Arc;

use bytes::Bytes;
use pollux_model::{Error, Result};
use pollux_services::hub::Show;
use serde_json::{Map, Value};

use super::Own;
use super::link::HubLink;
use crate::mqtt::session::{Handling, Outbound};
use crate::mqtt::status;

/// What a device asks of its twin.
#[derive(Debug)]
pub(super) enum Request {
    /// The whole of it; the link is told what was shown.
    Get(Arc<HubLink>, Show),
    /// To merge this patch into the reported properties.
    Report(Bytes),
}

/// The request as it runs; the answer goes to `$iothub/twin/res/`.
pub(super) fn handle(own: Arc<Own>, rid: String, request: Request) -> Handling {
    Handling::Request(Box::pin(async move {
        let outcome = match request {
            Request::Get(link, show) => own.get(&link, show).await,
            Request::Report(body) => own.report(&body).await,
        };
        Ok(vec![own.answer(&rid, outcome)])
    }))
}

/// Status, version of the reported properties, body.
type Answer = (u16, Option<u64>, Bytes);

impl Own {
    async fn get(&self, link: &HubLink, show: Show) -> Result<Answer> {
        let twin = self.services.hub.own_twin(&self.caller, &self.hub, &self.id, show).await?;
        link.shown(twin["desired"]["$version"].as_u64().unwrap_or_default());
        Ok((200, None, Bytes::from(twin.to_string())))
    }

    async fn report(&self, body: &[u8]) -> Result<Answer> {
        let patch: Map<String, Value> = serde_json::from_slice(body)
            .map_err(|error| Error::invalid(format!("the body must be a JSON object: {error}")))?;
        let version = self.services.hub.report(&self.caller, &self.hub, &self.id, patch).await?;
        Ok((204, Some(version), Bytes::new()))
    }

    fn answer(&self, rid: &str, outcome: Result<Answer>) -> Outbound {
        let (status, version, payload) = outcome.unwrap_or_else(|error| {
            let body = status::twin_envelope(&self.services.context, &error);
            (status::twin(error.code), None, Bytes::from(body.to_string()))
        });
        let mut topic = format!("$iothub/twin/res/{status}/?$rid={rid}");
        if let Some(version) = version {
            topic.push_str(&format!("&$version={version}"));
        }
        Outbound { topic, payload }
    }
}
