//! What every request of the service API is asked before its handler: who calls, which provisioning service is meant,
//! whether it names an API version.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::Request;
use http::{HeaderMap, Method};
use pollux_model::resource::Resource;
use pollux_model::{Error, ErrorCode, Result};
use pollux_services::provisioning::Expect;
use pollux_services::{Caller, Services};
use serde::de::DeserializeOwned;

use crate::http::body;
use crate::http::rest::{IfMatch, Parameters};
use crate::http::target::Target;
use crate::peer::Peer;

/// A request of the service API whose caller is known.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) services: Arc<Services>,
    pub(super) caller: Caller,
    pub(super) dps: Arc<Resource>,
    pub(super) method: Method,
    pub(super) headers: HeaderMap,
    pub(super) parameters: Parameters,
    body: Body,
}

impl Call {
    pub(super) async fn of(services: &Arc<Services>, request: Request) -> Result<Self> {
        let (parts, body) = request.into_parts();
        let Some(Target(dps)) = parts.extensions.get::<Target>().cloned() else {
            return Err(Error::new(
                ErrorCode::ResourceNotFound,
                "no provisioning service has this host name",
            ));
        };
        let peer = parts.extensions.get::<Peer>().ok_or_else(Error::internal)?.address;
        let caller = crate::authenticate::service(services, &dps, &parts.headers, peer).await?;
        let parameters = Parameters::of(&parts.uri);
        parameters.check_version()?;
        Ok(Self {
            services: Arc::clone(services),
            caller,
            dps,
            method: parts.method,
            headers: parts.headers,
            parameters,
            body,
        })
    }

    /// What a `PUT` expects: without `If-Match` it creates, and what is there already is a conflict.
    pub(super) fn expected_by_put(&self) -> Result<Expect> {
        Ok(match IfMatch::of(&self.headers)? {
            IfMatch::Absent => Expect::Absent,
            IfMatch::Any => Expect::Present,
            IfMatch::Etag(etag) => Expect::Etag(etag),
        })
    }

    /// What a `DELETE` expects: `If-Match` or anything.
    pub(super) fn expected_by_delete(&self) -> Result<Expect> {
        Ok(IfMatch::of(&self.headers)?.etag().map_or(Expect::Any, Expect::Etag))
    }

    /// Reads the body, which must be JSON of this form.
    pub(super) async fn json<T: DeserializeOwned>(&mut self) -> Result<T> {
        body::json(std::mem::take(&mut self.body), self.services.context.limits.request_body).await
    }
}
