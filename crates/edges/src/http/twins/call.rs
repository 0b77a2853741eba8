//! What every request is asked before its handler: who calls, which instance is meant, which API version it speaks.

use std::sync::Arc;

use axum::extract::rejection::PathRejection;
use axum::extract::{FromRequestParts, Path};
use http::request::Parts;
use http::{HeaderMap, StatusCode};
use pollux_model::{Error, ErrorCode, Etag, ResourceName};
use pollux_services::trace::Trace;
use pollux_services::twins::{Paging, Row};
use pollux_services::{Caller, Services};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::answer::{self, Failure, Link};
use crate::http::target::Target;
use crate::peer::Peer;

/// The query parameter that carries a continuation token in a `nextLink`.
pub(super) const CONTINUATION: &str = "continuationToken";

/// The versions of the API that clients of today and yesterday ask for.
const VERSIONS: [(&str, Version); 6] = [
    ("2020-10-31", Version::First),
    ("2021-06-30-preview", Version::First),
    ("2022-05-31", Version::WithTimes),
    ("2023-02-27-preview", Version::WithTimes),
    ("2023-06-30", Version::WithTimes),
    ("2023-10-31", Version::WithTimes),
];

/// What differs between versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Version {
    /// As recorded in 2020: `$metadata` tells when a property was written and nothing else of times.
    First,
    /// `$metadata` of twins and components has `$lastUpdateTime` (the SDKs' `lastUpdatedOn`), and that of a property may
    /// have a `sourceTime` (article "Digital twins and their twin graph": since 2022-05-31).
    WithTimes,
}

impl Version {
    /// The document as this version shows it. Any part of a query's row may be a twin.
    pub(super) fn show(self, mut document: Value) -> Value {
        if self == Self::First {
            without_times(&mut document);
        }
        document
    }

    /// The text of a row of a query, or of a twin, as this version shows it.
    pub(super) fn text(self, row: Row) -> String {
        match self {
            Self::WithTimes => row.into_text(),
            Self::First => self.show(row.into_value()).to_string(),
        }
    }

    /// The twin or component as this version lets a client say it.
    pub(super) fn read(self, document: Value) -> Value {
        // What this version does not show, it does not take either.
        self.show(document)
    }

    /// That a patch asks for nothing that this version does not have.
    pub(super) fn check_patch(self, patch: &Value) -> Result<(), Error> {
        let paths = patch.as_array().into_iter().flatten().filter_map(|operation| operation["path"].as_str());
        let sets_time = |path: &str| path.contains("$metadata/") && path.ends_with("/sourceTime");
        if self == Self::First && paths.into_iter().any(sets_time) {
            return Err(Error::new(
                ErrorCode::JsonPatchInvalid,
                "sourceTime can be written in the API version 2022-05-31 and later.",
            ));
        }
        Ok(())
    }
}

/// Documents nest no deeper than JSON that was read may (128).
fn without_times(document: &mut Value) {
    let Value::Object(members) = document else { return };
    if let Some(Value::Object(metadata)) = members.get_mut("$metadata") {
        metadata.shift_remove("$lastUpdateTime");
        for property in metadata.values_mut().filter_map(Value::as_object_mut) {
            property.shift_remove("sourceTime");
        }
    }
    members.values_mut().for_each(without_times);
}

/// A request whose caller is known.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) caller: Caller,
    pub(super) instance: ResourceName,
    pub(super) version: Version,
    pub(super) headers: HeaderMap,
    pub(super) link: Link,
    query: Vec<(String, String)>,
}

impl FromRequestParts<Arc<Services>> for Call {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, services: &Arc<Services>) -> Result<Self, Failure> {
        let Some(Target(resource)) = parts.extensions.get::<Target>().cloned() else {
            let error =
                Error::new(ErrorCode::ResourceNotFound, "No digital twins instance has this host name.");
            return Err(error.into());
        };
        let peer = parts.extensions.get::<Peer>().ok_or_else(Error::internal)?.address;
        let caller = crate::authenticate::twins(services, &parts.headers, peer).await;
        let caller = caller.map_err(|error| Failure::with_challenge(error, &challenge(services)))?;
        let caller = caller.within(trace(&parts.headers));
        let query: Vec<(String, String)> =
            url::form_urlencoded::parse(parts.uri.query().unwrap_or_default().as_bytes())
                .into_owned()
                .collect();
        let version = version(&query)?;
        let link = Link::new(&parts.headers, &parts.uri, &resource.host_name);
        // Nobody behind this looks at them in the request.
        let (instance, headers) = (resource.name.clone(), std::mem::take(&mut parts.headers));
        Ok(Self { caller, instance, version, headers, link, query })
    }
}

impl Call {
    /// The first query parameter of that name.
    pub(super) fn parameter(&self, name: &'static str) -> Option<&str> {
        self.parameters(name).next()
    }

    /// All query parameters of that name. Names compare without case, as the real service compares them.
    pub(super) fn parameters(&self, name: &'static str) -> impl Iterator<Item = &str> {
        self.query
            .iter()
            .filter(move |(given, _)| given.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// A header's text.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// `If-Match`: an etag, or `None` for "any" and for no condition. What is no text is an etag that nothing has: a
    /// condition that is not understood must not count as none.
    pub(super) fn if_match(&self) -> Option<Etag> {
        let given = String::from_utf8_lossy(self.headers.get("if-match")?.as_bytes());
        let given = given.trim();
        let bare = given.strip_prefix("W/").unwrap_or(given);
        let bare = bare.strip_prefix('"').and_then(|inner| inner.strip_suffix('"')).unwrap_or(bare);
        (given != "*").then(|| Etag::new(bare))
    }

    /// Whether `If-None-Match: *` was given.
    ///
    /// # Errors
    /// Any other value of the header.
    pub(super) fn if_none_match(&self) -> Result<bool, Error> {
        match self.headers.get("if-none-match").map(|value| value.as_bytes().trim_ascii()) {
            None => Ok(false),
            Some(b"*" | b"\"*\"") => Ok(true),
            Some(_) => Err(Error::invalid("The If-None-Match header can only be *.")),
        }
    }

    /// Whether a query parameter is `true`; `false` where it is not given.
    ///
    /// # Errors
    /// It is neither `true` nor `false`.
    pub(super) fn flag(&self, name: &'static str) -> Result<bool, Error> {
        match self.parameter(name) {
            None => Ok(false),
            Some(text) if text.eq_ignore_ascii_case("true") => Ok(true),
            Some(text) if text.eq_ignore_ascii_case("false") => Ok(false),
            Some(_) => Err(Error::invalid(format!("{name} must be true or false."))),
        }
    }

    /// Which part of a list is wanted: `continuationToken` and `max-items-per-page`.
    ///
    /// # Errors
    /// A number of items that is none.
    pub(super) fn paging(&self) -> Result<Paging, Error> {
        let limit = match self.headers.get("max-items-per-page") {
            None => None,
            Some(text) => {
                let limit =
                    text.to_str().ok().and_then(|text| text.trim().parse().ok()).filter(|limit| *limit > 0);
                Some(limit.ok_or_else(|| {
                    Error::invalid("The max-items-per-page header must be a number above 0.")
                })?)
            }
        };
        Ok(Paging { continuation: self.parameter(CONTINUATION).map(str::to_owned), limit })
    }
}

fn version(query: &[(String, String)]) -> Result<Version, Failure> {
    let Some((_, given)) = query.iter().find(|(name, _)| name.eq_ignore_ascii_case("api-version")) else {
        let message = "An API version is required, but was not specified: add ?api-version=2023-10-31.";
        return Err(answer::error(StatusCode::BAD_REQUEST, "ApiVersionUnspecified", message).into());
    };
    VERSIONS
        .iter()
        .find(|(name, _)| given.eq_ignore_ascii_case(name))
        .map(|(_, version)| *version)
        .ok_or_else(|| {
            let known: Vec<&str> = VERSIONS.iter().map(|(name, _)| *name).collect();
            let message = format!(
                "The API version '{}' is not supported. Use one of: {}.",
                pollux_model::ids::shown(given),
                known.join(", ")
            );
            answer::error(StatusCode::BAD_REQUEST, "UnsupportedApiVersion", &message).into()
        })
}

fn challenge(services: &Services) -> String {
    let issuer = &services.issuer;
    format!(
        "Bearer authorization=\"{}/{}\", resource=\"https://digitaltwins.azure.net\"",
        issuer.authority().trim_end_matches('/'),
        issuer.tenant()
    )
}

/// The trace that the request is part of. More than one `traceparent` is none; a `tracestate` may come in parts (W3C "Trace
/// Context").
fn trace(headers: &HeaderMap) -> Option<Trace> {
    let mut parents = headers.get_all("traceparent").iter();
    let (Some(parent), None) = (parents.next(), parents.next()) else { return None };
    let states: Vec<&str> =
        headers.get_all("tracestate").iter().filter_map(|value| value.to_str().ok()).collect();
    Trace::read(parent.to_str().ok()?.trim(), Some(&states.join(",")))
}

/// The ids in a path, percent-decoded.
#[derive(Debug)]
pub(super) struct Ids<T>(pub(super) T);

impl<T: DeserializeOwned + Send> FromRequestParts<Arc<Services>> for Ids<T> {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, services: &Arc<Services>) -> Result<Self, Failure> {
        let read: Result<Path<T>, PathRejection> = Path::from_request_parts(parts, services).await;
        read.map(|Path(ids)| Self(ids))
            .map_err(|_| Failure::from(Error::invalid("An id in the path is not percent-encoded UTF-8.")))
    }
}
