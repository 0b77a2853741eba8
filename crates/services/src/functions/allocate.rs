//! The allocation function: finds or creates the device's twin, names its hub and its initial twin.
//!
//! Behaviour of the sample's `DpsAdtAllocationFunc` (WIRE.md section 5): the twin is named like the registration id; a
//! twin of the same model is kept, one of another model is replaced; the hub is the first of `linkedHubs`; the tags
//! are `dtmi` and `dtId`.

use pollux_dtdl::{Interface, Primitive, Schema};
use pollux_model::resource::Resource;
use pollux_model::{Error, ErrorCode, Result};
use serde_json::{Map, Value, json};

use super::Functions;
use super::twins_client::TwinsClient;
use crate::steps::Step;

/// Attempts against changes by others between reading and writing the twin.
const ATTEMPTS: usize = 8;

impl Functions {
    pub(super) async fn allocate(&self, app: &Resource, request: &Value) -> (u16, String) {
        let context = request.get("deviceRuntimeContext");
        let Some(registration_id) =
            context.and_then(|context| context.get("registrationId")).and_then(Value::as_str)
        else {
            return (400, "Registration ID not provided for the device.".to_owned());
        };
        let hubs = request.get("linkedHubs").and_then(Value::as_array);
        let Some(hub) = hubs.and_then(|hubs| hubs.first()).and_then(Value::as_str) else {
            return (400, "No hub group defined for the enrollment.".to_owned());
        };
        let Some(model) =
            context.and_then(|context| context.pointer("/payload/modelId")).and_then(Value::as_str)
        else {
            return (400, "The device's payload has no modelId: register with a payload such as {\"modelId\": \"dtmi:…;1\"}.".to_owned());
        };
        match self.find_or_create(app, registration_id, model).await {
            Ok(()) => {
                Step::TwinMade.reached();
                let twin =
                    json!({"tags": {"dtmi": model, "dtId": registration_id}, "properties": {"desired": {}}});
                (200, json!({"iotHubHostName": hub, "initialTwin": twin}).to_string())
            }
            Err(error) => {
                tracing::info!(app = %app.name, registration_id, ?error, "allocation failed");
                (status(error.code), error.message)
            }
        }
    }

    async fn find_or_create(&self, app: &Resource, id: &str, model: &str) -> Result<()> {
        let twins = self.twins_client(app)?;
        for _ in 0..ATTEMPTS {
            let outcome = match twins.twin(id).await? {
                // Touching it moves its etag, so that a retirement that began before notices and stops.
                Some(twin) if twin.model().eq_ignore_ascii_case(model) => {
                    let touch =
                        json!([{"op": "replace", "path": "/$metadata/$model", "value": twin.model()}]);
                    twins.patch_twin(id, touch, &twin.etag).await
                }
                found => {
                    let document = first_state(&*twins, model).await?;
                    twins.put_twin(id, document, found.is_some()).await
                }
            };
            match outcome {
                Err(error)
                    if matches!(error.code, ErrorCode::PreconditionFailed | ErrorCode::TwinNotFound) => {}
                outcome => return outcome,
            }
        }
        Err(Error::new(
            ErrorCode::Unavailable,
            format!("the twin '{id}' is changed by others all the time; try again"),
        ))
    }
}

/// What a new twin of a model starts with: its components, empty, because the service wants them; and `Temperature` at
/// zero where the model has it, as the sample does, because clients that only `replace` need a value to be there.
async fn first_state(twins: &dyn TwinsClient, model: &str) -> Result<Value> {
    let mut document = Map::new();
    document.insert("$metadata".into(), json!({"$model": model}));
    let models = twins.models_with(model).await?;
    let parsed = pollux_dtdl::Dtmi::parse(model).ok();
    let interface = models.as_ref().zip(parsed.as_ref()).and_then(|(models, id)| models.get(id));
    let Some(interface) = interface else {
        let shown = pollux_model::ids::shown(model);
        return Err(Error::new(
            ErrorCode::ModelNotFound,
            format!("there is no model '{shown}': upload it to the twins service first"),
        ));
    };
    for name in interface.components.keys() {
        document.insert(name.clone(), json!({"$metadata": {}}));
    }
    if has_number(interface, "Temperature") {
        document.insert("Temperature".into(), json!(0.0));
    }
    Ok(Value::Object(document))
}

fn has_number(interface: &Interface, name: &str) -> bool {
    let schema = interface.properties.get(name).map(|property| &property.schema);
    schema.is_some_and(|schema| matches!(**schema, Schema::Primitive(Primitive::Double | Primitive::Float)))
}

/// Azure's runtime answers 500 when a function throws; what a caller can mend is 400.
const fn status(code: ErrorCode) -> u16 {
    match code {
        ErrorCode::Unavailable | ErrorCode::Internal => 500,
        _ => 400,
    }
}
