//! `/configurations`, `/configurations/{id}`, `/configurations/testQueries`, `/devices/{id}/applyConfigurationContent`.

use axum::response::Response;
use pollux_model::{Error, Result};
use pollux_services::hub::ConfigurationCondition;
use serde_json::Value;

use super::call::Call;
use super::configuration_json::{self, ConfigurationBody, ContentBody, QueriesBody};
use super::{json, nothing, tagged};
use crate::http::rest::{IfMatch, count};

/// `GET /configurations?top=`: all where no number is given; there are few.
pub(super) async fn list(call: Call) -> Result<Response> {
    let most = call.services.context.limits.configurations;
    let top = match call.parameters.get("top") {
        None => most,
        Some(text) => count(text).ok_or_else(|| Error::invalid("top must be a number above 0"))?.min(most),
    };
    let all = call.services.hub.configurations(&call.caller, &call.hub, top).await?;
    let shown = all.iter().map(|(one, measured)| configuration_json::configuration(one, Some(measured)));
    Ok(json(&Value::Array(shown.collect())))
}

/// `GET /configurations/{id}`.
pub(super) async fn get(call: Call, id: &str) -> Result<Response> {
    let (found, measured) = call.services.hub.configuration(&call.caller, &call.hub, id).await?;
    Ok(tagged(&configuration_json::configuration(&found, Some(&measured)), &found.etag))
}

/// `PUT /configurations/{id}`: creates it; with `If-Match` changes it.
pub(super) async fn put(mut call: Call, id: String) -> Result<Response> {
    let condition = match IfMatch::of(&call.headers)? {
        IfMatch::Absent => ConfigurationCondition::Absent,
        condition => condition.etag().map_or(ConfigurationCondition::Present, ConfigurationCondition::Etag),
    };
    let input = call.json::<ConfigurationBody>().await?.input(id)?;
    let put = call.services.hub.put_configuration(&call.caller, &call.hub, input, condition).await?;
    Ok(tagged(&configuration_json::configuration(&put, None), &put.etag))
}

/// `DELETE /configurations/{id}`.
pub(super) async fn delete(call: Call, id: &str) -> Result<Response> {
    let condition = IfMatch::of(&call.headers)?.etag();
    call.services.hub.delete_configuration(&call.caller, &call.hub, id, condition).await?;
    Ok(nothing())
}

/// `POST /configurations/testQueries`.
pub(super) async fn test_queries(mut call: Call) -> Result<Response> {
    let body: QueriesBody = call.json().await?;
    let metrics = body.custom_metric_queries.unwrap_or_default();
    let condition = body.target_condition.as_deref();
    let tested = call.services.hub.test_configuration(&call.caller, &call.hub, condition, &metrics)?;
    Ok(json(&configuration_json::tested(&tested)))
}

/// `POST /devices/{id}/applyConfigurationContent`.
pub(super) async fn apply(mut call: Call, id: &str) -> Result<Response> {
    let content = call.json::<ContentBody>().await?.content();
    call.services.hub.apply_configuration_content(&call.caller, &call.hub, id, content).await?;
    Ok(nothing())
}
