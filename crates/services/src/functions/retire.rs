//! The retire function: when a device is deleted in its hub, its twin goes with all its relationships.
//!
//! A delete event may come late. If by then a device of that id is there again, or is just being provisioned, its twin
//! is in use and stays. What closes the gap between looking and deleting is the twin's etag: allocation moves it.

use pollux_model::resource::{Resource, RouteSource};
use pollux_model::{Error, ErrorCode, Result};
use serde_json::Value;

use super::Functions;
use super::event::Event;
use super::ingest::Effect;
use super::twins_client::TwinsClient;
use crate::lifecycle::{Standing, standing};
use crate::steps::Step;

impl Functions {
    pub(super) async fn retire(&self, app: &Resource, event: &Event) -> Result<Effect> {
        // Application properties are a device's to choose; this annotation is its hub's. Were telemetry routed here, a
        // device could have any twin removed.
        let source = event.annotation("iothub-message-source");
        if source.is_some_and(|source| source != RouteSource::DeviceLifecycleEvents.annotation()) {
            return Ok(Effect::Nothing);
        }
        let Some(operation) = event.property("opType") else {
            return Err(Error::invalid("the event has no application property opType"));
        };
        if operation != "deleteDeviceIdentity" || event.property("moduleId").is_some() {
            return Ok(Effect::Nothing);
        }
        let Some(device) = event.property("deviceId") else {
            return Err(Error::invalid("the delete event has no application property deviceId"));
        };
        let twin_id = twin_of(event).unwrap_or_else(|| device.to_owned());
        let twins = self.twins_of_events(app)?;
        loop {
            let Some(twin) = twins.twin(&twin_id).await? else { return Ok(Effect::Nothing) };
            match standing(&self.context, event.property("hubName"), device, &twin_id).await? {
                Standing::Present => return Ok(Effect::Nothing),
                Standing::Assigning => {
                    let message = format!(
                        "the device '{device}' is being provisioned again; whether its twin goes is seen after that"
                    );
                    return Err(Error::new(ErrorCode::Unavailable, message));
                }
                Standing::Absent => {}
            }
            remove_relationships(&*twins, &twin_id).await?;
            Step::Unrelated.reached();
            match twins.delete_twin(&twin_id, &twin.etag).await {
                Ok(()) => {
                    Step::Retired.reached();
                    return Ok(Effect::Applied);
                }
                Err(error) if error.code == ErrorCode::TwinNotFound => return Ok(Effect::Applied),
                // The twin or its relationships changed meanwhile: look again from the start.
                Err(error)
                    if matches!(
                        error.code,
                        ErrorCode::PreconditionFailed | ErrorCode::RelationshipsNotDeleted
                    ) => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// The twin that the device's tags name, else the one named like the device.
fn twin_of(event: &Event) -> Option<String> {
    event.json().ok()?.pointer("/tags/dtId").and_then(Value::as_str).map(str::to_owned)
}

async fn remove_relationships(twins: &dyn TwinsClient, twin: &str) -> Result<()> {
    for relationship in twins.outgoing(twin).await? {
        twins.delete_relationship(&relationship).await?;
    }
    for relationship in twins.incoming(twin).await? {
        twins.delete_relationship(&relationship).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use pollux_amqp::{Body, Message, Symbol};
    use pollux_eventlog::Record;
    use pollux_model::resource::ResourceKind;
    use pollux_model::{ResourceName, Timestamp};
    use serde_json::json;

    use super::*;
    use crate::Caller;
    use crate::fixture::World;
    use crate::hub::DeviceInput;
    use crate::twins::PutTwin;

    /// A delete event of the device `d1` as it comes from this source, with a body.
    fn deleted(source: RouteSource, body: &Value) -> Event {
        let mut message = Message { body: Body::data(body.to_string()), ..Message::default() };
        let name = Symbol::new("iothub-message-source").unwrap();
        message.message_annotations.push(name, source.annotation());
        for (name, value) in [("opType", "deleteDeviceIdentity"), ("deviceId", "d1"), ("hubName", "hub1")] {
            message.application_properties.push(name, value);
        }
        let payload = message.encode();
        let enqueued_time = Timestamp::from_secs(0);
        let record = Record { sequence_number: 0, offset: 0, enqueued_time, partition_key: None, payload };
        Event::decode(&record).unwrap()
    }

    async fn with_twin(world: &World, id: &str) {
        let (admin, instance) = (Caller::admin(), ResourceName::parse("twins1").unwrap());
        let model = json!({"@id": "dtmi:x:Room;1", "@type": "Interface", "@context": "dtmi:dtdl:context;2"});
        let twins = &world.services.twins;
        twins.create_models(&admin, &instance, vec![model]).await.unwrap();
        let document = json!({"$metadata": {"$model": "dtmi:x:Room;1"}});
        let put = PutTwin { id: id.to_owned(), document, if_none_match: true };
        twins.put_twin(&admin, &instance, put).await.unwrap();
    }

    #[tokio::test]
    async fn only_the_hub_says_that_a_device_was_deleted() {
        let world = World::new().await;
        with_twin(&world, "d1").await;
        let (functions, app) =
            (&world.services.functions, world.resource(ResourceKind::Functions, "functions1"));
        let said = deleted(RouteSource::DeviceMessages, &json!({}));
        assert_eq!(functions.retire(&app, &said).await.unwrap(), Effect::Nothing);
        let said = deleted(RouteSource::DeviceLifecycleEvents, &json!({}));
        assert_eq!(functions.retire(&app, &said).await.unwrap(), Effect::Applied);
    }

    #[tokio::test]
    async fn the_twin_of_another_device_stays_whatever_the_tags_say() {
        let world = World::new().await;
        with_twin(&world, "d2").await;
        let hub = world.resource(ResourceKind::Hub, "hub1");
        let input = DeviceInput::new("d2");
        world.services.hub.create_device(&Caller::admin(), &hub, input).await.unwrap();
        let (functions, app) =
            (&world.services.functions, world.resource(ResourceKind::Functions, "functions1"));
        let said = deleted(RouteSource::DeviceLifecycleEvents, &json!({"tags": {"dtId": "d2"}}));
        assert_eq!(functions.retire(&app, &said).await.unwrap(), Effect::Nothing);
    }
}
