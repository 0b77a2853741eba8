//! Function apps over HTTP: `GET` and `POST /api/{function}`, opened by the function key in `?code=` or in the header
//! `x-functions-key`. Rules are in `services::functions`; statuses are those of Azure Functions' HTTP trigger.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use http::{HeaderMap, StatusCode};
use pollux_model::ErrorCode;
use pollux_services::Services;
use serde_json::Value;

use super::body;
use super::rest::Parameters;
use super::target::Target;

const KEY: HeaderName = HeaderName::from_static("x-functions-key");

/// All routes of a function app. Requests must carry the extension [`Target`].
pub(crate) fn router(services: Arc<Services>) -> Router {
    Router::new()
        .route("/api/{function}", get(invoke).post(invoke))
        .fallback(async || {
            text(StatusCode::NOT_FOUND, "a function app answers to /api/{function} only".to_owned())
        })
        .with_state(services)
}

async fn invoke(
    State(services): State<Arc<Services>>,
    Path(function): Path<String>,
    request: Request,
) -> Response {
    let Some(Target(app)) = request.extensions().get::<Target>().cloned() else {
        return text(StatusCode::NOT_FOUND, "no function app has this host name".to_owned());
    };
    let parameters = Parameters::of(request.uri());
    let code = code(&parameters, request.headers()).map(str::to_owned);
    // Nobody's body is read before the key is known to hold.
    if services.authority.function_key(&app, code.as_deref().unwrap_or_default()).is_err() {
        let message =
            "the function key is missing or wrong: call with ?code=<key> or the header x-functions-key";
        return text(StatusCode::UNAUTHORIZED, message.to_owned());
    }
    let document = match body::read(request.into_body(), services.context.limits.request_body).await {
        Ok(bytes) if bytes.is_empty() => Ok(Value::Null),
        Ok(bytes) => serde_json::from_slice(&bytes).map_err(|error| format!("the body is no JSON: {error}")),
        Err(error) if error.code == ErrorCode::TooLarge => {
            return text(StatusCode::PAYLOAD_TOO_LARGE, error.message);
        }
        Err(error) => Err(error.message),
    };
    let document = match document {
        Ok(document) => document,
        Err(message) => return text(StatusCode::BAD_REQUEST, message),
    };
    let (status, answer) = services.functions.invoke(&app, &function, code.as_deref(), &document).await;
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = text(status, answer);
    if status == StatusCode::OK {
        let json = HeaderValue::from_static("application/json; charset=utf-8");
        response.headers_mut().insert(CONTENT_TYPE, json);
    }
    response
}

fn code<'a>(parameters: &'a Parameters, headers: &'a HeaderMap) -> Option<&'a str> {
    parameters.get("code").or_else(|| headers.get(KEY).and_then(|value| value.to_str().ok()))
}

fn text(status: StatusCode, message: String) -> Response {
    (status, message).into_response()
}

#[cfg(test)]
mod tests;
