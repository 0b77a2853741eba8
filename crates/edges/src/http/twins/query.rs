//! `/query`.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use http::{HeaderValue, StatusCode};
use pollux_model::Error;
use pollux_services::Services;
use pollux_services::twins::{Paging, QueryTwins};
use serde::Deserialize;
use serde_json::Value;

use super::answer::{self, Answer};
use super::body;
use super::call::{Call, Version};

/// What is asked; a token that came with a page goes before the text.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Specification {
    query: Option<String>,
    continuation_token: Option<String>,
}

/// `POST`: a page of rows, and what it cost in the header `query-charge`.
pub(super) async fn run(State(services): State<Arc<Services>>, call: Call, body: Body) -> Answer {
    let limit = call.paging()?.limit;
    let Specification { query, continuation_token } =
        serde_json::from_value(body::json(body, services.context.limits.request_body).await?)
            .map_err(|error| Error::invalid(format!("Payload is invalid: {error}.")))?;
    let query = QueryTwins { query, paging: Paging { continuation: continuation_token, limit } };
    let page = services.twins.query(&call.caller, &call.instance, query).await?;
    // Grown step by step it would be copied several times.
    let room: usize = page.rows.iter().map(|row| row.text_len() + 1).sum();
    let mut text = String::with_capacity(room + 128);
    text.push_str("{\"value\":[");
    for (at, row) in page.rows.into_iter().enumerate() {
        if at > 0 {
            text.push(',');
        }
        match call.version {
            Version::WithTimes => row.write(&mut text),
            Version::First => text.push_str(&call.version.text(row)),
        }
    }
    let token = page.continuation.map_or(Value::Null, Value::String);
    text.push_str(&format!("],\"continuationToken\":{token}}}"));
    let mut response = answer::text(StatusCode::OK, text);
    if let Ok(charge) = HeaderValue::from_str(&format!("{:.2}", page.charge)) {
        response.headers_mut().insert("query-charge", charge);
    }
    Ok(response)
}
