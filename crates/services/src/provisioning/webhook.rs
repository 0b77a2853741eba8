//! The custom allocation webhook: called, bounded, its answer checked.
//!
//! Azure article "Understand custom allocation policies". A webhook that leads to a function app of this deployment is
//! called in process, through the same door (function key included) as over HTTP.

use std::time::Duration;

use pollux_model::enrollment::{InitialTwin, Webhook};
use pollux_model::registration::Registration;
use pollux_model::resource::{Resource, ResourceKind};
use serde_json::{Map, Value};
use url::Url;

use super::Provisioning;
use super::allocate::{Allocated, Candidate};
use super::contract;
use super::operate::{Choice, Deciding, Outcome};
use crate::forwarding::cause;
use crate::steps::Step;

/// Characters of a webhook's body that a failure repeats.
const SHOWN: usize = 512;
/// Before the second attempt; before the third twice that, and so on.
const PAUSE: Duration = Duration::from_millis(100);
/// Names a request once and for all, however often it is sent (IETF draft "The Idempotency-Key HTTP Header Field").
const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// What a call is made of.
pub(super) struct Call<'a> {
    pub(super) webhook: &'a Webhook,
    pub(super) record: &'a Registration,
    pub(super) deciding: &'a Deciding,
    pub(super) current: Option<&'a Resource>,
    pub(super) candidates: &'a [Candidate],
}

/// Why nothing came back, and whether another attempt may help.
struct Unanswered {
    why: String,
    passes: bool,
}

/// What came back.
struct Answer {
    status: u16,
    body: Vec<u8>,
}

impl Provisioning {
    pub(super) async fn call_webhook(&self, call: Call<'_>) -> Choice {
        let url = Url::parse(&call.webhook.url).map_err(|error| {
            Outcome::failed(400_207, format!("the webhook's URL does not parse: {error}"))
        })?;
        let request =
            contract::webhook_request(&call.deciding.reference, call.record, call.current, call.candidates);
        Step::Allocating.reached();
        let answered = self.post_patiently(&url, &request, &call.record.operation.id).await;
        let answer = answered.map_err(|unanswered| {
            Outcome::failed(400_207, format!("custom allocation failed: {}", unanswered.why))
        })?;
        Step::Allocated.reached();
        if answer.status != 200 {
            let (status, body) = (answer.status, shown(&answer.body));
            let message =
                format!("custom allocation failed: the webhook answered {status} with body: {body}");
            return Err(Outcome::failed(400_207, message));
        }
        read(&answer.body, call.candidates)
    }

    /// Posts until there is an answer that another attempt would not change, or attempts are used up. Whoever takes too long
    /// is not asked again: a device waits. The key is the same each time, also after a crash, so that the webhook can tell
    /// a repeated request from a new one.
    async fn post_patiently(&self, url: &Url, request: &Value, key: &str) -> Result<Answer, Unanswered> {
        let (limit, most) = (self.context.limits.webhook_timeout(), self.context.limits.allocation_attempts);
        let mut attempt = 1;
        loop {
            let answered = tokio::time::timeout(limit, self.post(url, request, key)).await;
            let answered = answered.unwrap_or_else(|_| Err(Unanswered { why: slow(limit), passes: false }));
            let passes = match &answered {
                Ok(answer) => matches!(answer.status, 429 | 500..=599),
                Err(unanswered) => unanswered.passes,
            };
            if !passes || attempt >= most {
                return answered;
            }
            tracing::debug!(attempt, "the webhook is asked again");
            tokio::time::sleep(PAUSE * attempt).await;
            attempt += 1;
        }
    }

    async fn post(&self, url: &Url, request: &Value, key: &str) -> Result<Answer, Unanswered> {
        if let Some(app) = self.own_function_app(url) {
            let code = url.query_pairs().find(|(name, _)| name == "code").map(|(_, code)| code.into_owned());
            let function = url.path().trim_start_matches("/api/");
            let (status, body) = self.functions.invoke(&app, function, code.as_deref(), request).await;
            return Ok(Answer { status, body: body.into_bytes() });
        }
        let passing = |why: String| Unanswered { why, passes: true };
        let sent =
            self.context.http.post(url.clone()).header(IDEMPOTENCY_KEY, key).json(request).send().await;
        let mut response =
            sent.map_err(|error| passing(format!("the webhook cannot be reached: {}", cause(error))))?;
        let (status, mut body) = (response.status().as_u16(), Vec::new());
        let limit = self.context.limits.webhook_answer;
        while let Some(chunk) = response
            .chunk()
            .await
            .map_err(|error| passing(format!("the webhook broke off: {}", cause(error))))?
        {
            body.extend_from_slice(&chunk);
            if body.len() > limit {
                let why = format!("the webhook's answer is larger than {limit} bytes");
                return Err(Unanswered { why, passes: false });
            }
        }
        Ok(Answer { status, body })
    }

    /// The function app of this deployment that a URL leads to, if it leads to one.
    fn own_function_app(&self, url: &Url) -> Option<std::sync::Arc<Resource>> {
        let ours = self.context.https_ports.get()?.contains(&url.port_or_known_default()?);
        if url.scheme() != "https" || !ours || !url.path().starts_with("/api/") {
            return None;
        }
        self.context.table.own(ResourceKind::Functions, url.host_str()?)
    }
}

fn read(body: &[u8], candidates: &[Candidate]) -> Choice {
    let wrong = |what: String| {
        Outcome::failed(400_207, format!("custom allocation failed: the webhook answered 200 but {what}"))
    };
    let answer: Value = serde_json::from_slice(body)
        .map_err(|error| wrong(format!("its body is no JSON ({error}): {}", shown(body))))?;
    let Some(host) = answer.get("iotHubHostName").and_then(Value::as_str) else {
        return Err(wrong(format!("iotHubHostName is missing: {}", shown(body))));
    };
    let hub = candidates.iter().find(|(hub, _)| hub.host_name.eq_ignore_ascii_case(host));
    let Some((hub, _)) = hub else {
        let linked: Vec<_> = candidates.iter().map(|(hub, _)| hub.host_name.as_str()).collect();
        return Err(wrong(format!(
            "the hub '{}' is not among linkedHubs ({}): {}",
            pollux_model::ids::shown(host),
            linked.join(", "),
            shown(body)
        )));
    };
    let initial_twin = initial_twin(&answer).map_err(wrong)?;
    let payload = answer.get("payload").filter(|payload| !payload.is_null()).cloned();
    Ok(Allocated { hub: std::sync::Arc::clone(hub), initial_twin, payload })
}

fn initial_twin(answer: &Value) -> Result<Option<InitialTwin>, String> {
    let Some(twin) = answer.get("initialTwin").filter(|twin| !twin.is_null()) else { return Ok(None) };
    let tags = object(twin.get("tags"), "initialTwin.tags")?;
    let desired = object(twin.pointer("/properties/desired"), "initialTwin.properties.desired")?;
    Ok(Some(InitialTwin { tags, desired }))
}

fn object(value: Option<&Value>, name: &str) -> Result<Map<String, Value>, String> {
    match value {
        None | Some(Value::Null) => Ok(Map::new()),
        // Microsoft's TwinCollection writes $version and $metadata along; they are not the service's to set.
        Some(Value::Object(map)) => Ok(map
            .iter()
            .filter(|(key, _)| !key.starts_with('$'))
            .map(|(k, v)| (k.clone(), v.clone()))
            .collect()),
        Some(_) => Err(format!("{name} is no object")),
    }
}

fn slow(limit: Duration) -> String {
    format!("the webhook did not answer within {} seconds", limit.as_secs())
}

fn shown(body: &[u8]) -> String {
    String::from_utf8_lossy(body).chars().take(SHOWN).collect()
}
