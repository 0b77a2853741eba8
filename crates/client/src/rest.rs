//! A JSON client for the REST interfaces of hub, DPS and digital twins, with SAS or bearer tokens.
//!
//! It knows no routes: the caller names path, query and headers. What it knows is how to prove who it is, how answers
//! come in pages, and how each service says no.

mod auth;
mod error;
mod pages;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, StatusCode};
use serde_json::Value;
use url::Url;

use crate::connection_string::ConnectionString;
use auth::Auth;
pub use auth::TokenSource;
pub use error::{RestError, ServiceError};
pub use pages::{Pages, Paging};

/// Longest answer taken, in bytes.
const MAX_BODY: usize = 64 * 1024 * 1024;

/// How to reach a service.
#[derive(Debug, Clone)]
pub struct RestOptions {
    /// Certificates to trust; see [`crate::tls::client_config`]. None: no https.
    pub tls: Option<Arc<rustls::ClientConfig>>,
    /// Host names (of the service, of the token issuer) that are somewhere else than the name service says.
    pub addresses: Vec<(String, SocketAddr)>,
    /// Added as `api-version` to every request that does not name one.
    pub api_version: Option<String>,
    /// For one request.
    pub timeout: Duration,
}

impl Default for RestOptions {
    fn default() -> Self {
        Self { tls: None, addresses: Vec::new(), api_version: None, timeout: Duration::from_secs(60) }
    }
}

/// A client of one service. Clones share connections and tokens.
#[derive(Debug, Clone)]
pub struct Rest {
    http: reqwest::Client,
    base: Url,
    auth: Arc<Auth>,
    api_version: Option<String>,
}

impl Rest {
    /// Signs with the policy key of a connection string (hub, DPS, Event Hubs).
    ///
    /// # Errors
    /// [`RestError::Setup`] for a bad address or key.
    pub fn sas(base: &str, policy: &ConnectionString, options: RestOptions) -> Result<Self, RestError> {
        let key = policy.key_bytes().map_err(|error| RestError::Setup(error.to_string()))?;
        Self::new(base, Auth::sas(policy.host(), policy.key_name.as_deref(), key), options)
    }

    /// Sends a bearer token (digital twins, administration).
    ///
    /// # Errors
    /// [`RestError::Setup`] for a bad address.
    pub fn bearer(base: &str, source: TokenSource, options: RestOptions) -> Result<Self, RestError> {
        Self::new(base, Auth::bearer(source), options)
    }

    /// Sends no credentials: for what is open to all, and to see that the rest is not.
    ///
    /// # Errors
    /// [`RestError::Setup`] for a bad address.
    pub fn anonymous(base: &str, options: RestOptions) -> Result<Self, RestError> {
        Self::new(base, Auth::Nobody, options)
    }

    fn new(base: &str, auth: Auth, options: RestOptions) -> Result<Self, RestError> {
        let setup = |what: String| RestError::Setup(what);
        let base = Url::parse(base).map_err(|error| setup(format!("'{base}' is not an address: {error}")))?;
        let mut builder = reqwest::Client::builder()
            .timeout(options.timeout)
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("pollux-client/", env!("CARGO_PKG_VERSION")));
        // Without a configuration of ours, reqwest would look for a provider of the process, and panic.
        let tls = match &options.tls {
            Some(tls) => tls.as_ref().clone(),
            None if base.scheme() == "https" => {
                return Err(setup("https needs the CA's certificate".to_owned()));
            }
            None => crate::tls::trusting_nobody().map_err(|error| setup(error.to_string()))?,
        };
        builder = builder.tls_backend_preconfigured(tls);
        if !options.addresses.is_empty() {
            // Who names the address wants to go there, not to a proxy.
            builder = builder.no_proxy();
        }
        for (host, address) in &options.addresses {
            builder = builder.resolve(host, *address);
        }
        let http = builder.build().map_err(|error| setup(error.to_string()))?;
        Ok(Self { http, base, auth: Arc::new(auth), api_version: options.api_version })
    }

    /// A GET of `path`, which may carry a query.
    pub fn get(&self, path: &str) -> Request<'_> {
        self.request(Method::GET, path)
    }

    /// A PUT.
    pub fn put(&self, path: &str) -> Request<'_> {
        self.request(Method::PUT, path)
    }

    /// A POST.
    pub fn post(&self, path: &str) -> Request<'_> {
        self.request(Method::POST, path)
    }

    /// A PATCH.
    pub fn patch(&self, path: &str) -> Request<'_> {
        self.request(Method::PATCH, path)
    }

    /// A DELETE.
    pub fn delete(&self, path: &str) -> Request<'_> {
        self.request(Method::DELETE, path)
    }

    /// Rows of a query, or of a list, page by page.
    #[must_use]
    pub fn pages(&self, paging: Paging) -> Pages<'_> {
        Pages::new(self, paging)
    }

    fn request(&self, method: Method, path: &str) -> Request<'_> {
        Request {
            rest: self,
            method,
            path: path.to_owned(),
            query: Vec::new(),
            headers: HeaderMap::new(),
            body: None,
            timeout: None,
            problem: None,
        }
    }

    /// The address of `path`, which must stay with this service: credentials go along.
    fn address(&self, path: &str) -> Result<Url, RestError> {
        let elsewhere = || RestError::Setup(format!("'{path}' does not belong to {}", self.base));
        let url = self.base.join(path).map_err(|_| elsewhere())?;
        if url.origin() == self.base.origin() { Ok(url) } else { Err(elsewhere()) }
    }
}

/// A request being put together.
#[derive(Debug)]
#[must_use = "a request does nothing until it is sent"]
pub struct Request<'a> {
    rest: &'a Rest,
    method: Method,
    path: String,
    query: Vec<(String, String)>,
    headers: HeaderMap,
    body: Option<(Bytes, &'static str)>,
    timeout: Option<Duration>,
    problem: Option<String>,
}

impl Request<'_> {
    /// Adds `name=value` to the query.
    pub fn query(mut self, name: &str, value: &str) -> Self {
        self.query.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Sets a header.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        match (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            (Ok(name), Ok(value)) => {
                self.headers.insert(name, value);
            }
            _ => self.problem = Some(format!("'{name}: {value}' is not a header")),
        }
        self
    }

    /// Sends `If-Match`: an etag as it was received, or `*`.
    pub fn if_match(self, etag: &str) -> Self {
        self.header("if-match", etag)
    }

    /// Sends `If-None-Match: *`: only if there is none yet.
    pub fn if_none_match(self) -> Self {
        self.header("if-none-match", "*")
    }

    /// The body, as `application/json`.
    pub fn json(mut self, body: Value) -> Self {
        self.body = Some((body.to_string().into(), "application/json"));
        self
    }

    /// The body, a list of operations, as `application/json-patch+json`.
    pub fn json_patch(mut self, operations: Value) -> Self {
        self.body = Some((operations.to_string().into(), "application/json-patch+json"));
        self
    }

    /// The body, one JSON document a line, as `application/x-ndjson`.
    pub fn ndjson(mut self, lines: Bytes) -> Self {
        self.body = Some((lines, "application/x-ndjson"));
        self
    }

    /// The body, as `application/octet-stream`.
    pub fn bytes(mut self, body: impl Into<Bytes>) -> Self {
        self.body = Some((body.into(), "application/octet-stream"));
        self
    }

    /// How long it may take, in place of [`RestOptions::timeout`].
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Sends it.
    ///
    /// # Errors
    /// [`RestError::Service`] with what the service said, when it answers with 400 or more; see [`RestError`].
    pub async fn send(self) -> Result<Response, RestError> {
        let answer = self.send_any().await?;
        if answer.status < 400 {
            return Ok(answer);
        }
        Err(RestError::Service(Box::new(ServiceError::read(answer))))
    }

    /// Sends it and hands out the answer whatever its status.
    ///
    /// # Errors
    /// See [`RestError`].
    pub async fn send_any(self) -> Result<Response, RestError> {
        let (answer, url) = self.begin().await?;
        Response::read(answer, &url).await
    }

    /// Sends it and gives the answer's body part by part, however long it is.
    ///
    /// # Errors
    /// As [`Self::send`].
    pub async fn download(self) -> Result<Download, RestError> {
        let (answer, url) = self.begin().await?;
        if answer.status().as_u16() < 400 {
            return Ok(Download { answer, url });
        }
        Err(RestError::Service(Box::new(ServiceError::read(Response::read(answer, &url).await?))))
    }

    async fn begin(self) -> Result<(reqwest::Response, Url), RestError> {
        if let Some(problem) = self.problem {
            return Err(RestError::Setup(problem));
        }
        let mut url = self.rest.address(&self.path)?;
        for (name, value) in &self.query {
            url.query_pairs_mut().append_pair(name, value);
        }
        if let Some(version) = &self.rest.api_version
            && !url.query_pairs().any(|(name, _)| name == "api-version")
        {
            url.query_pairs_mut().append_pair("api-version", version);
        }
        let mut request = self.rest.http.request(self.method, url.clone()).headers(self.headers);
        if let Some(token) = self.rest.auth.token(&self.rest.http).await? {
            request = request.header("authorization", token);
        }
        if let Some((body, content_type)) = self.body {
            request = request.header("content-type", content_type).body(body);
        }
        if let Some(timeout) = self.timeout {
            request = request.timeout(timeout);
        }
        let answer = request.send().await.map_err(|error| RestError::transport(&url, &error))?;
        Ok((answer, url))
    }
}

/// An answer that is read part by part.
#[derive(Debug)]
pub struct Download {
    answer: reqwest::Response,
    url: Url,
}

impl Download {
    /// The next part; `None` behind the last.
    ///
    /// # Errors
    /// [`RestError::Transport`]: it broke off, and what came is not the whole.
    pub async fn next(&mut self) -> Result<Option<Bytes>, RestError> {
        self.answer.chunk().await.map_err(|error| RestError::transport(&self.url, &error))
    }
}

/// What a service answered.
#[derive(Debug, Clone)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body; null when it is empty, a string when it is not JSON.
    pub body: Value,
}

impl Response {
    /// A header's text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The etag of the header, else of the body.
    #[must_use]
    pub fn etag(&self) -> Option<&str> {
        let in_body = || self.body.get("etag").or_else(|| self.body.get("$etag"))?.as_str();
        self.header("etag").or_else(in_body)
    }

    async fn read(mut answer: reqwest::Response, url: &Url) -> Result<Self, RestError> {
        let (status, headers) = (answer.status(), std::mem::take(answer.headers_mut()));
        let mut bytes = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(|error| RestError::transport(url, &error))? {
            if bytes.len() + chunk.len() > MAX_BODY {
                return Err(RestError::TooLong { url: url.to_string(), max: MAX_BODY });
            }
            bytes.extend_from_slice(&chunk);
        }
        let text = |bytes: &[u8]| Value::String(String::from_utf8_lossy(bytes).into_owned());
        let body = match &bytes[..] {
            [] => Value::Null,
            bytes => serde_json::from_slice(bytes).unwrap_or_else(|_| text(bytes)),
        };
        Ok(Self { status: status.as_u16(), headers, body })
    }
}

/// The status with its name: `404 Not Found`.
fn status_text(status: u16) -> String {
    StatusCode::from_u16(status).map_or_else(|_| status.to_string(), |status| status.to_string())
}
