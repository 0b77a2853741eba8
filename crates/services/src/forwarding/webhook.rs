//! Webhooks: `CloudEvents` 1.0 over HTTP, one event a POST in structured mode ("HTTP Protocol Binding for CloudEvents", 3.2),
//! after the web server said that it wants them ("HTTP 1.1 Web Hooks for Event Delivery", 4: the validation request).
//!
//! ```text
//!   OPTIONS <url>   WebHook-Request-Origin: <host name>    ─▶ 2xx, WebHook-Allowed-Origin: <host name> or *
//!   POST <url>      application/cloudevents+json           ─▶ 2xx: taken
//! ```

use std::time::Duration;

use pollux_model::resource::Setting;
use pollux_model::{Error, Result};
use reqwest::header::{CONTENT_TYPE, HeaderMap, RETRY_AFTER};
use reqwest::{Method, RequestBuilder, StatusCode};
use tokio::sync::Mutex;
use url::Url;

use super::forwarder::Refusal;
use crate::context::Context;

const CLOUD_EVENT: &str = "application/cloudevents+json; charset=utf-8";
/// Characters of an answer that a refusal repeats.
const SHOWN: usize = 200;

/// Sends to a webhook.
#[derive(Default)]
pub(super) struct Sender {
    /// The one that said it wants events.
    allowed: Mutex<Option<Setting>>,
}

impl Sender {
    /// Sends one event, a `CloudEvent` as JSON; `origin` is who sends.
    pub(super) async fn send(
        &self,
        context: &Context,
        (target, origin): (&Setting, &str),
        event: String,
    ) -> Result<(), Refusal> {
        let url = webhook_url(target).map_err(|error| Refusal::endpoint(error.message))?;
        self.ask_once(context, target, (&url, origin)).await?;
        let request = context.http.post(url).header(CONTENT_TYPE, CLOUD_EVENT).body(event);
        let answer = match answer(context, request).await {
            Ok(answer) => answer,
            Err(Failure::Away(why)) => return Err(Refusal::endpoint(why)),
            Err(Failure::Broken(why)) => return Err(Refusal::Attempt(why)),
        };
        let Answer { status, headers, text } = answer;
        let why = format!("the webhook answered {status} with body: {text}");
        match status {
            _ if status.is_success() => Ok(()),
            StatusCode::BAD_REQUEST
            | StatusCode::GONE
            | StatusCode::PAYLOAD_TOO_LARGE
            | StatusCode::UNSUPPORTED_MEDIA_TYPE
            | StatusCode::UNPROCESSABLE_ENTITY => Err(Refusal::Event(why)),
            StatusCode::UNAUTHORIZED
            | StatusCode::FORBIDDEN
            | StatusCode::NOT_FOUND
            | StatusCode::REQUEST_TIMEOUT
            | StatusCode::TOO_MANY_REQUESTS
            | StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT => Err(Refusal::Endpoint { why, pause: retry_after(&headers) }),
            _ => Err(Refusal::Attempt(why)),
        }
    }

    /// Asks a web server that was not asked yet, or was replaced: one declared in the configuration may not have been up.
    async fn ask_once(
        &self,
        context: &Context,
        target: &Setting,
        (url, origin): (&Url, &str),
    ) -> Result<(), Refusal> {
        let mut allowed = self.allowed.lock().await;
        if allowed.as_ref() != Some(target) {
            ask(context, url, origin).await.map_err(Refusal::endpoint)?;
            *allowed = Some(target.clone());
        }
        Ok(())
    }
}

/// Asks a web server whether it wants events from `origin`; why not, where it does not.
pub(crate) async fn ask(context: &Context, url: &Url, origin: &str) -> Result<(), String> {
    let request = context.http.request(Method::OPTIONS, url.clone()).header("WebHook-Request-Origin", origin);
    let answer = match answer(context, request).await {
        Ok(answer) => answer,
        Err(Failure::Away(why) | Failure::Broken(why)) => return Err(why),
    };
    let allowed = answer.headers.get("webhook-allowed-origin").and_then(|value| value.to_str().ok());
    let ours = |one: &str| one == "*" || one.eq_ignore_ascii_case(origin);
    match allowed {
        Some(allowed) if answer.status.is_success() && allowed.split(',').map(str::trim).any(ours) => Ok(()),
        allowed => Err(format!(
            "the webhook does not allow events from {origin}: it answered OPTIONS with {} and {}; it must answer 200 with \
             WebHook-Allowed-Origin: {origin} or *",
            answer.status,
            allowed.map_or("no WebHook-Allowed-Origin".to_owned(), |text| format!(
                "WebHook-Allowed-Origin: {}",
                pollux_model::ids::shown(text)
            )),
        )),
    }
}

/// The URL of a webhook. It may carry a key: errors do not repeat it.
pub(crate) fn webhook_url(text: &Setting) -> Result<Url> {
    let wrong = |what: &str| Error::invalid(format!("the URL of the webhook {what}"));
    let url = Url::parse(&text.0).map_err(|error| wrong(&format!("does not parse: {error}")))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(wrong("must begin with https:// or http://"));
    }
    if url.host_str().is_none_or(str::is_empty) {
        return Err(wrong("names no host"));
    }
    Ok(url)
}

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    /// The beginning of the body.
    text: String,
}

enum Failure {
    /// There was no connection.
    Away(String),
    /// There was no whole answer, in time or at all.
    Broken(String),
}

/// Redirects are an answer like others. Of the body no more is read than the bound.
async fn answer(context: &Context, request: RequestBuilder) -> Result<Answer, Failure> {
    let time = context.limits.event_webhook_timeout();
    let asked = async {
        let mut response = request.send().await.map_err(|error| match error.is_connect() {
            true => Failure::Away(format!("the webhook cannot be reached: {}", cause(error))),
            false => Failure::Broken(format!("the webhook broke off: {}", cause(error))),
        })?;
        let (status, headers) = (response.status(), response.headers().clone());
        let (mut body, limit) = (Vec::new(), context.limits.webhook_answer);
        while body.len() <= limit {
            match response.chunk().await {
                Ok(Some(chunk)) => body.extend_from_slice(&chunk),
                // The status is all that counts.
                Ok(None) | Err(_) => break,
            }
        }
        Ok(Answer { status, headers, text: shown(&body) })
    };
    let slow = || Failure::Broken(format!("the webhook did not answer within {} seconds", time.as_secs()));
    tokio::time::timeout(time, asked).await.unwrap_or_else(|_| Err(slow()))
}

/// Seconds; dates are not looked at.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?;
    text.trim().parse().ok().map(Duration::from_secs)
}

/// The innermost cause without the URL, which may carry a key.
pub(crate) fn cause(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut source: &dyn std::error::Error = &error;
    while let Some(inner) = source.source() {
        source = inner;
    }
    source.to_string()
}

fn shown(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    text.chars().take(SHOWN).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_must_lead_somewhere_and_is_not_repeated() {
        let read = |text: &str| webhook_url(&Setting(text.to_owned()));
        for good in ["https://example.com/events?code=k", "http://127.0.0.1:8080/"] {
            assert_eq!(read(good).unwrap().as_str(), good);
        }
        for bad in ["", "events?code=k", "ftp://example.com/?code=k", "https://", "file:///etc/passwd"] {
            let error = read(bad).unwrap_err();
            assert!(!error.message.contains("code=k"), "{}", error.message);
        }
    }

    #[test]
    fn what_an_answer_says_is_bounded() {
        assert_eq!(shown(&[b'x'; 4096]).len(), SHOWN);
        assert_eq!(shown(b"a\nb\xff"), "a b\u{fffd}");
        let mut headers = HeaderMap::new();
        assert_eq!(retry_after(&headers), None);
        headers.insert(RETRY_AFTER, reqwest::header::HeaderValue::from_static(" 7 "));
        assert_eq!(retry_after(&headers), Some(Duration::from_secs(7)));
    }
}
