//! Event hubs elsewhere, over AMQP.

use std::time::Duration;

use bytes::Bytes;
use pollux_amqp::performative::condition;
use pollux_client::event_hubs::EventHubsError;
use pollux_client::{ConnectionString, Endpoint, EventHubs};
use pollux_eventlog::Record;
use pollux_model::resource::Setting;
use pollux_model::{Error, Result};
use tokio::sync::Mutex;

use super::forwarder::Refusal;
use crate::context::Context;

/// How long an answer may take.
const ANSWER: Duration = Duration::from_secs(60);
/// Where AMQP over TLS is.
const AMQPS: u16 = 5671;

/// The connection to an event hub elsewhere, made when there is something to send.
#[derive(Default)]
pub(super) struct Sender {
    /// With the connection string it was made with.
    connection: Mutex<Option<(Setting, EventHubs)>>,
}

impl Sender {
    /// Sends events of one device or twin as one.
    pub(super) async fn send(
        &self,
        context: &Context,
        target: &Setting,
        key: &str,
        records: &[Record],
    ) -> Result<(), Refusal> {
        let (policy, event_hub) =
            external_event_hub(target).map_err(|error| Refusal::endpoint(error.message))?;
        let client = self.connected(context, target, &policy).await?;
        let messages: Vec<Bytes> = records.iter().map(|record| record.payload.clone()).collect();
        let sending = client.send_together(&event_hub, key, messages);
        let error = match tokio::time::timeout(ANSWER, sending).await {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(error)) => error,
            Err(_) => {
                *self.connection.lock().await = None;
                return Err(Refusal::endpoint(format!("there is no answer for {ANSWER:?}")));
            }
        };
        Err(match &error {
            EventHubsError::Said(said) if is_of_the_event(&said.condition) => {
                Refusal::Event(error.to_string())
            }
            EventHubsError::Said(_) => Refusal::endpoint(error.to_string()),
            _ => {
                // The next attempt makes another connection.
                let mut connection = self.connection.lock().await;
                if connection.as_ref().is_some_and(|(_, known)| known.is_closed()) {
                    *connection = None;
                }
                Refusal::endpoint(error.to_string())
            }
        })
    }

    async fn connected(
        &self,
        context: &Context,
        target: &Setting,
        policy: &ConnectionString,
    ) -> Result<EventHubs, Refusal> {
        let mut connection = self.connection.lock().await;
        if let Some((made_with, client)) = &*connection
            && made_with == target
            && !client.is_closed()
        {
            return Ok(client.clone());
        }
        let tls = context.trust.config().map_err(|error| Refusal::endpoint(error.to_string()))?;
        let endpoint = Endpoint {
            host: policy.host().to_owned(),
            port: policy.port().unwrap_or(AMQPS),
            address: None,
            tls,
        };
        let client = EventHubs::connect(&endpoint, policy)
            .await
            .map_err(|error| Refusal::endpoint(error.to_string()))?;
        *connection = Some((target.clone(), client.clone()));
        Ok(client)
    }
}

/// What a service says of an event itself; all else is about the endpoint, and may pass.
fn is_of_the_event(said: &pollux_amqp::Symbol) -> bool {
    [
        condition::LINK_MESSAGE_SIZE_EXCEEDED,
        condition::ARGUMENT_ERROR,
        condition::DECODE_ERROR,
        condition::INVALID_FIELD,
    ]
    .contains(said)
}

/// The policy and name of an event hub elsewhere.
pub(crate) fn external_event_hub(text: &Setting) -> Result<(ConnectionString, String)> {
    let form = "Endpoint=sb://<host>/;SharedAccessKeyName=…;SharedAccessKey=…;EntityPath=<event hub>";
    let wrong = |what: &str| {
        Error::invalid(format!("the connection string of the endpoint {what}; it must be {form}"))
    };
    let parsed: ConnectionString =
        text.0.parse().map_err(|error| wrong(&format!("does not hold ({error})")))?;
    let has = |field: &Option<String>| field.as_deref().is_some_and(|text| !text.is_empty());
    if !parsed.is_endpoint {
        return Err(wrong("has no Endpoint"));
    }
    if !has(&parsed.key_name) || !has(&parsed.key) {
        return Err(wrong("names no policy with its key"));
    }
    match parsed.entity_path.clone().filter(|path| !path.is_empty()) {
        Some(event_hub) => Ok((parsed, event_hub)),
        None => Err(wrong("names no event hub")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_string_must_lead_to_an_event_hub() {
        let whole = "Endpoint=sb://ns.example/;SharedAccessKeyName=p;SharedAccessKey=a2V5;EntityPath=alarms";
        let (policy, event_hub) = external_event_hub(&Setting(whole.to_owned())).unwrap();
        assert_eq!((policy.host(), event_hub.as_str()), ("ns.example", "alarms"));
        for left_out in [
            "Endpoint=sb://ns.example/;",
            "SharedAccessKeyName=p;",
            "SharedAccessKey=a2V5;",
            ";EntityPath=alarms",
        ] {
            let error = external_event_hub(&Setting(whole.replace(left_out, ""))).unwrap_err();
            assert!(!error.message.contains("a2V5"), "the key shows: {}", error.message);
        }
    }
}
