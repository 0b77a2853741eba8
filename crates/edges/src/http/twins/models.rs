//! `/models[/{id}]`.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use http::StatusCode;
use pollux_model::{Error, ErrorCode, Timestamp};
use pollux_services::Services;
use pollux_services::twins::{ListModels, ModelDescription};
use serde_json::{Value, json};

use super::answer::{self, Answer, Failure};
use super::body;
use super::call::{Call, Ids};

/// `GET` of the list; `dependenciesFor` (may be repeated), `includeModelDefinition`.
pub(super) async fn list(State(services): State<Arc<Services>>, call: Call) -> Answer {
    let whole = call.flag("includeModelDefinition")?;
    let dependencies_for: Vec<String> = call.parameters("dependenciesFor").map(str::to_owned).collect();
    let list = ListModels { dependencies_for, paging: call.paging()? };
    let listing = services.twins.models(&call.caller, &call.instance, list).await?;
    Ok(answer::page(listing, &call.link, |model| show(model, whole)))
}

/// `POST`: uploads models, all or none.
pub(super) async fn create(State(services): State<Arc<Services>>, call: Call, body: Body) -> Answer {
    let documents = match body::json(body, services.context.limits.models_body).await? {
        Value::Array(documents) => documents,
        // The service refuses no models in the same words as what is no array of models.
        _ => Vec::new(),
    };
    let models = services.twins.create_models(&call.caller, &call.instance, documents).await?;
    let models: Vec<Value> = models.into_iter().map(|model| show(model, false)).collect();
    Ok(answer::json(StatusCode::CREATED, &Value::Array(models)))
}

/// `GET`: one model; `includeModelDefinition`.
pub(super) async fn get(State(services): State<Arc<Services>>, call: Call, Ids(id): Ids<String>) -> Answer {
    let whole = call.flag("includeModelDefinition")?;
    let model = services.twins.model(&call.caller, &call.instance, &id).await?;
    Ok(answer::json(StatusCode::OK, &show(model, whole)))
}

/// `PATCH`: decommissions it.
pub(super) async fn update(
    State(services): State<Arc<Services>>,
    call: Call,
    Ids(id): Ids<String>,
    body: Body,
) -> Answer {
    let patch = body::patch(&services, body).await?;
    services.twins.patch_model(&call.caller, &call.instance, &id, &patch).await?;
    Ok(answer::nothing())
}

/// `DELETE`: removes it.
pub(super) async fn delete(
    State(services): State<Arc<Services>>,
    call: Call,
    Ids(id): Ids<String>,
) -> Answer {
    services.twins.delete_model(&call.caller, &call.instance, &id).await?;
    Ok(answer::nothing())
}

/// A model of which nobody said which.
pub(super) async fn unnamed(_: Call) -> Failure {
    Failure::from(Error::new(ErrorCode::MissingArgument, "The model id was not provided."))
}

fn show(model: ModelDescription, whole: bool) -> Value {
    let mut shown = json!({
        "id": model.id,
        "description": model.description,
        "displayName": model.display_name,
        "decommissioned": model.decommissioned,
        "uploadTime": upload_time(model.uploaded),
    });
    if whole {
        let mut document = model.document;
        // The real service shows the context as an array, however it was uploaded.
        if let Some(context) = document.get_mut("@context").filter(|context| !context.is_array()) {
            *context = Value::Array(vec![context.take()]);
        }
        shown["model"] = document;
    }
    shown
}

/// The one time that the real service writes with an offset.
fn upload_time(time: Timestamp) -> String {
    let text = time.to_string();
    text.strip_suffix('Z').map_or_else(|| text.clone(), |local| format!("{local}+00:00"))
}
