//! The twins client for a digital twins instance elsewhere: Azure's own, or another Pollux.
//!
//! Speaks the data plane's REST API (api-version 2023-10-31) with a token from the client credentials grant, as
//! azure-identity's `ClientSecretCredential` gets one.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use pollux_dtdl::ModelSet;
use pollux_model::resource::Setting;
use pollux_model::{Clock, Error, ErrorCode, Result, Timestamp};
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};
use url::Url;

use super::settings::{ADT_SERVICE_URL, CREDENTIAL};
use super::twins_client::{FoundRelationship, FoundTwin, TwinsClient};

const API_VERSION: &str = "2023-10-31";
/// What a token for Azure Digital Twins is asked for.
const SCOPE: &str = "https://digitaltwins.azure.net/.default";
/// Largest answer that is read: a page of models.
const ANSWER: usize = 4 << 20;
/// How long a request may take with its answer. Who waits is a partition of events: a service that says nothing must
/// not hold it for ever.
const TIMEOUT: Duration = Duration::from_secs(30);

/// A client of an instance elsewhere.
pub(super) struct RemoteTwins {
    http: reqwest::Client,
    clock: Arc<dyn Clock>,
    base: Url,
    credential: Credential,
    token: Mutex<Option<(String, Timestamp)>>,
    timeout: Duration,
}

struct Credential {
    token_url: String,
    client_id: String,
    client_secret: String,
}

impl std::fmt::Debug for Credential {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credential").field("client_id", &self.client_id).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for RemoteTwins {
    /// The token is a secret and stays out.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RemoteTwins").field("base", &self.base.as_str()).finish_non_exhaustive()
    }
}

impl RemoteTwins {
    pub(super) fn new(
        http: reqwest::Client,
        clock: Arc<dyn Clock>,
        base: Url,
        settings: &BTreeMap<String, Setting>,
    ) -> Result<Self> {
        let get = |name: &str| {
            settings.get(name).map(|setting| setting.0.clone()).ok_or_else(|| {
                Error::invalid(format!("{ADT_SERVICE_URL} leads elsewhere, so {name} must be set too"))
            })
        };
        let [tenant, client_id, client_secret, authority] = CREDENTIAL;
        let authority = get(authority).unwrap_or_else(|_| "https://login.microsoftonline.com".to_owned());
        let token_url = format!("{}/{}/oauth2/v2.0/token", authority.trim_end_matches('/'), get(tenant)?);
        let credential =
            Credential { token_url, client_id: get(client_id)?, client_secret: get(client_secret)? };
        Ok(Self { http, clock, base, credential, token: Mutex::new(None), timeout: TIMEOUT })
    }

    fn url(&self, segments: &[&str]) -> Url {
        let mut url = self.base.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.clear().extend(segments);
        }
        url.query_pairs_mut().append_pair("api-version", API_VERSION);
        url
    }

    async fn request(&self, method: Method, url: Url) -> Result<RequestBuilder> {
        Ok(self.http.request(method, url).timeout(self.timeout).bearer_auth(self.token().await?))
    }

    async fn token(&self) -> Result<String> {
        let now = self.clock.now();
        if let Some((token, until)) = &*self.token.lock()
            && *until > now
        {
            return Ok(token.clone());
        }
        let Credential { token_url, client_id, client_secret } = &self.credential;
        let form = url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs([
                ("grant_type", "client_credentials"),
                ("client_id", client_id),
                ("client_secret", client_secret),
                ("scope", SCOPE),
            ])
            .finish();
        let asked = self.http.post(token_url).timeout(self.timeout);
        let asked = asked.header("content-type", "application/x-www-form-urlencoded").body(form);
        let answer = answer(asked.send().await)
            .await?
            .ok_or_else(|| Error::new(ErrorCode::Unavailable, "the token endpoint is not there"))?;
        let Some(token) = answer.get("access_token").and_then(Value::as_str) else {
            return Err(Error::new(ErrorCode::Unauthorized, "the token endpoint gave no access_token"));
        };
        let seconds = answer.get("expires_in").and_then(Value::as_u64).unwrap_or(300);
        let until = now.plus(Duration::from_secs(seconds.saturating_sub(60)));
        *self.token.lock() = Some((token.to_owned(), until));
        Ok(token.to_owned())
    }

    async fn relationships(&self, id: &str, kind: &str) -> Result<Vec<FoundRelationship>> {
        let (mut all, mut next) = (Vec::new(), Some(self.url(&["digitaltwins", id, kind])));
        while let Some(url) = next.take() {
            let sent = self.request(Method::GET, url).await?.send().await;
            let Some(page) = answer(sent).await? else { return Ok(all) };
            for found in page.get("value").and_then(Value::as_array).into_iter().flatten() {
                let text = |name: &str| found.get(name).and_then(Value::as_str).map(str::to_owned);
                if let (Some(source), Some(id)) = (text("$sourceId"), text("$relationshipId")) {
                    all.push(FoundRelationship { source, id });
                }
            }
            // A link to another host would carry our token there: only its path and query are followed.
            next = page.get("nextLink").and_then(Value::as_str).and_then(|link| self.base.join(link).ok());
            if let Some(url) = &next
                && url.origin() != self.base.origin()
            {
                return Err(Error::new(
                    ErrorCode::Unavailable,
                    "the twins service sent a nextLink to another host",
                ));
            }
        }
        Ok(all)
    }
}

#[async_trait]
impl TwinsClient for RemoteTwins {
    async fn twin(&self, id: &str) -> Result<Option<FoundTwin>> {
        let sent = self.request(Method::GET, self.url(&["digitaltwins", id])).await?.send().await;
        Ok(answer(sent).await?.map(|document| {
            let etag = document.get("$etag").and_then(Value::as_str).unwrap_or("*").to_owned();
            FoundTwin { etag, document }
        }))
    }

    async fn put_twin(&self, id: &str, document: Value, replace: bool) -> Result<()> {
        let mut request = self.request(Method::PUT, self.url(&["digitaltwins", id])).await?.json(&document);
        if !replace {
            request = request.header("if-none-match", "*");
        }
        answer(request.send().await).await.map(|_| ())
    }

    async fn patch_twin(&self, id: &str, patch: Value, if_match: &str) -> Result<()> {
        let request = self.request(Method::PATCH, self.url(&["digitaltwins", id])).await?;
        let request =
            request.header("content-type", "application/json-patch+json").header("if-match", if_match);
        found(answer(request.body(patch.to_string()).send().await).await?, id)
    }

    async fn delete_twin(&self, id: &str, if_match: &str) -> Result<()> {
        let request =
            self.request(Method::DELETE, self.url(&["digitaltwins", id])).await?.header("if-match", if_match);
        found(answer(request.send().await).await?, id)
    }

    async fn outgoing(&self, id: &str) -> Result<Vec<FoundRelationship>> {
        self.relationships(id, "relationships").await
    }

    async fn incoming(&self, id: &str) -> Result<Vec<FoundRelationship>> {
        self.relationships(id, "incomingrelationships").await
    }

    async fn delete_relationship(&self, relationship: &FoundRelationship) -> Result<()> {
        let FoundRelationship { source, id } = relationship;
        let url = self.url(&["digitaltwins", source, "relationships", id]);
        answer(self.request(Method::DELETE, url).await?.send().await).await.map(|_| ())
    }

    async fn models_with(&self, model: &str) -> Result<Option<ModelSet>> {
        let mut url = self.url(&["models"]);
        url.query_pairs_mut()
            .append_pair("dependenciesFor", model)
            .append_pair("includeModelDefinition", "true");
        let Some(page) = answer(self.request(Method::GET, url).await?.send().await).await? else {
            return Ok(None);
        };
        let listed = page.get("value").and_then(Value::as_array).into_iter().flatten();
        let documents: Vec<Value> = listed.filter_map(|entry| entry.get("model").cloned()).collect();
        // That service has accepted them, so every version that is understood here is right.
        let limits = pollux_dtdl::Limits::language();
        let parsed = pollux_dtdl::parse(&documents, &limits);
        let set = parsed.and_then(|models| ModelSet::new().with_limits(models, &limits));
        set.map(Some)
            .map_err(|_| Error::invalid(format!("the twins service's model '{model}' does not parse")))
    }
}

fn found(answer: Option<Value>, id: &str) -> Result<()> {
    answer.map(|_| ()).ok_or_else(|| Error::new(ErrorCode::TwinNotFound, format!("there is no twin '{id}'")))
}

/// The body of a good answer (`null` when empty), `None` for 404, the neutral error for the rest.
async fn answer(sent: reqwest::Result<Response>) -> Result<Option<Value>> {
    let mut response = sent.map_err(|error| away(&error.without_url()))?;
    let (status, mut body) = (response.status(), Vec::new());
    while let Some(chunk) = response.chunk().await.map_err(|error| away(&error.without_url()))? {
        body.extend_from_slice(&chunk);
        if body.len() > ANSWER {
            return Err(Error::new(
                ErrorCode::TooLarge,
                format!("the twins service's answer is larger than {ANSWER} bytes"),
            ));
        }
    }
    let document = serde_json::from_slice(&body).unwrap_or(Value::Null);
    if status.is_success() {
        return Ok(Some(document));
    }
    let message = document.pointer("/error/message").and_then(Value::as_str).unwrap_or_default();
    let code = match status {
        StatusCode::NOT_FOUND => return Ok(None),
        StatusCode::PRECONDITION_FAILED => ErrorCode::PreconditionFailed,
        StatusCode::UNAUTHORIZED => ErrorCode::Unauthorized,
        StatusCode::FORBIDDEN => ErrorCode::Forbidden,
        StatusCode::TOO_MANY_REQUESTS => ErrorCode::Unavailable,
        status if status.is_server_error() => ErrorCode::Unavailable,
        _ => ErrorCode::ValidationFailed,
    };
    Err(Error::new(
        code,
        format!(
            "the twins service answered {}: {}",
            json!(status.as_u16()),
            pollux_model::ids::shown(message)
        ),
    ))
}

fn away(error: &reqwest::Error) -> Error {
    Error::new(ErrorCode::Unavailable, format!("the twins service cannot be reached: {error}"))
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use pollux_model::SystemClock;

    use super::*;

    #[tokio::test]
    async fn a_service_that_says_nothing_is_not_waited_for_for_ever() {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        // Takes connections (its backlog does) and never answers.
        let silent = TcpListener::bind("127.0.0.1:0").unwrap();
        let authority = format!("http://{}", silent.local_addr().unwrap());
        let values = ["tenant", "client", "secret", &authority];
        let settings = CREDENTIAL
            .iter()
            .zip(values)
            .map(|(name, value)| ((*name).to_owned(), Setting(value.to_owned())));
        let (http, clock) = (reqwest::Client::new(), Arc::new(SystemClock));
        let base = Url::parse("https://adt.example").unwrap();
        let twins = RemoteTwins::new(http, clock, base, &settings.collect()).unwrap();
        let twins = RemoteTwins { timeout: Duration::from_millis(50), ..twins };
        let asked = tokio::time::timeout(Duration::from_secs(10), twins.twin("t")).await;
        let later = asked.expect("it is waited for for ever");
        assert_eq!(later.unwrap_err().code, ErrorCode::Unavailable);
    }
}
