//! What every request is asked before its handler: who calls, which hub is meant, whether it names an API version.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::Request;
use bytes::Bytes;
use http::{HeaderMap, Method};
use pollux_model::resource::Resource;
use pollux_model::{DeviceId, Error, ErrorCode, Result};
use pollux_services::{Caller, Services};
use serde::de::DeserializeOwned;

use crate::http::body;
use crate::http::rest::Parameters;
use crate::http::target::Target;
use crate::peer::Peer;

/// A request whose caller is known.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) services: Arc<Services>,
    pub(super) caller: Caller,
    pub(super) hub: Arc<Resource>,
    pub(super) method: Method,
    pub(super) headers: HeaderMap,
    pub(super) parameters: Parameters,
    body: Body,
}

impl Call {
    /// Of a service.
    pub(super) async fn of(services: &Arc<Services>, request: Request) -> Result<Self> {
        Self::by(services, request, None).await
    }

    /// Of the device of that id.
    pub(super) async fn of_device(services: &Arc<Services>, request: Request, id: &str) -> Result<Self> {
        // Whoever has such an id is as unknown as any other that is not there.
        let known = DeviceId::parse(id).map_err(|error| Error::new(ErrorCode::Unauthorized, error.message));
        Self::by(services, request, Some(&known?)).await
    }

    async fn by(services: &Arc<Services>, request: Request, device: Option<&DeviceId>) -> Result<Self> {
        let (parts, body) = request.into_parts();
        let Some(Target(hub)) = parts.extensions.get::<Target>().cloned() else {
            return Err(Error::new(ErrorCode::ResourceNotFound, "no hub has this host name"));
        };
        let peer = parts.extensions.get::<Peer>().ok_or_else(Error::internal)?;
        let caller = match device {
            None => crate::authenticate::service(services, &hub, &parts.headers, peer.address).await?,
            Some(id) => crate::authenticate::device(services, &hub, id, &parts.headers, peer).await?,
        };
        let parameters = Parameters::of(&parts.uri);
        parameters.check_version()?;
        let services = Arc::clone(services);
        Ok(Self { services, caller, hub, method: parts.method, headers: parts.headers, parameters, body })
    }

    /// Reads a body of at most `limit` bytes.
    pub(super) async fn bytes(&mut self, limit: usize) -> Result<Bytes> {
        body::read(std::mem::take(&mut self.body), limit).await
    }

    /// Reads the body, which must be JSON of this form.
    pub(super) async fn json<T: DeserializeOwned>(&mut self) -> Result<T> {
        body::json(std::mem::take(&mut self.body), self.services.context.limits.request_body).await
    }
}
