//! `/graph`: a whole graph as a file, in the form of Azure Digital Twins' import jobs. Azure has no such path: `pollux twin
//! import` and `pollux twin export` use it.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use futures_util::stream;
use http::StatusCode;
use http::header::{CONTENT_TYPE, HeaderValue};
use pollux_model::Error;
use pollux_services::Services;
use pollux_services::twins::{Fragment, ItemFault};
use serde_json::{Value, json};

use super::answer::{self, Answer};
use super::call::Call;
use super::status;

const NDJSON: HeaderValue = HeaderValue::from_static("application/x-ndjson");

/// `POST`: whole lines of a file, the first of which names their section. The query parameter `before` says how many lines
/// came before the second, for messages. What is answered is durable.
pub(super) async fn import(State(services): State<Arc<Services>>, call: Call, body: Body) -> Answer {
    let before = match call.parameter("before") {
        None => 1,
        Some(text) => text.parse().map_err(|_| Error::invalid("before must be a number of lines."))?,
    };
    let bytes = crate::http::body::read(body, services.context.limits.graph_body).await?;
    let fragment = Fragment { bytes, before };
    let imported = services.twins.import_graph(&call.caller, &call.instance, fragment).await?;
    let answer = json!({
        "models": imported.models,
        "twins": imported.twins,
        "relationships": imported.relationships,
        "unchanged": imported.unchanged,
        "failed": imported.faults.iter().map(failed).collect::<Vec<_>>(),
    });
    Ok(answer::json(StatusCode::OK, &answer))
}

fn failed(fault: &ItemFault) -> Value {
    json!({
        "line": fault.line,
        "section": fault.section.as_str(),
        "id": fault.id,
        "code": status::of(fault.error.code).1,
        "message": fault.error.message,
    })
}

/// `GET`: the file, written as it is read from the store. One that breaks off was not finished.
pub(super) async fn export(State(services): State<Arc<Services>>, call: Call) -> Answer {
    let export = services.twins.export_graph(&call.caller, &call.instance)?;
    let parts = stream::try_unfold(export, |mut export| async move {
        let part = export.next().await?;
        Ok::<_, Error>(part.map(|part| (part, export)))
    });
    let mut response = Response::new(Body::from_stream(parts));
    response.headers_mut().insert(CONTENT_TYPE, NDJSON);
    Ok(response)
}

/// `GET`: how large the graph is.
pub(super) async fn count(State(services): State<Arc<Services>>, call: Call) -> Answer {
    let counts = services.twins.graph_counts(&call.caller, &call.instance).await?;
    let answer =
        json!({ "models": counts.models, "twins": counts.twins, "relationships": counts.relationships });
    Ok(answer::json(StatusCode::OK, &answer))
}
