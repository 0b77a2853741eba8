//! Credentials to callers: what a request carries is taken apart here and judged by `services::authority`.

use std::net::SocketAddr;

use http::HeaderMap;
use http::header::AUTHORIZATION;
use pollux_model::resource::{Resource, ResourceKind};
use pollux_model::sas::SasToken;
use pollux_model::{DeviceId, Error, ErrorCode, Result};
use pollux_services::{Caller, Services};

use crate::peer::Peer;

/// The caller of a service's API: a shared access signature of one of the resource's policies, or a bearer token.
pub(crate) async fn service(
    services: &Services,
    target: &Resource,
    headers: &HeaderMap,
    peer: SocketAddr,
) -> Result<Caller> {
    let credential = authorization(headers)?;
    let caller = if let Some(token) = bearer(credential) {
        services.authority.bearer(token, target.kind()).await?
    } else if credential.starts_with("SharedAccessSignature ") {
        let token = SasToken::parse(credential).map_err(|error| unauthorized(&error.to_string()))?;
        services.authority.service_sas(target, &token, services.context.clock.now())?
    } else {
        return Err(unauthorized("the Authorization header must be 'SharedAccessSignature …' or 'Bearer …'"));
    };
    Ok(caller.from_address(peer.ip()))
}

/// The device of that id: by a shared access signature of its own or of a policy that may act for devices, or, where none is
/// sent, by the certificate that the connection began with.
pub(crate) async fn device(
    services: &Services,
    hub: &Resource,
    id: &DeviceId,
    headers: &HeaderMap,
    peer: &Peer,
) -> Result<Caller> {
    let believed = match peer.chain() {
        Some(chain) if !headers.contains_key(AUTHORIZATION) => {
            let chain = chain.as_ref().map_err(|error| unauthorized(&error.to_string()))?;
            services.hub.authenticate_device_by_certificate(hub, id, chain).await?
        }
        _ => {
            let token = SasToken::parse(authorization(headers)?);
            let token = token.map_err(|error| unauthorized(&error.to_string()))?;
            services.hub.authenticate_device(hub, id, &token).await?
        }
    };
    Ok(believed.0.from_address(peer.address.ip()))
}

/// The caller of a digital twins instance: a bearer token.
pub(crate) async fn twins(services: &Services, headers: &HeaderMap, peer: SocketAddr) -> Result<Caller> {
    let token = bearer(authorization(headers)?)
        .ok_or_else(|| unauthorized("digital twins take a bearer token: 'Authorization: Bearer …'"))?;
    Ok(services.authority.bearer(token, ResourceKind::Twins).await?.from_address(peer.ip()))
}

/// The operator: `Authorization: Bearer <admin key>`.
pub(crate) fn admin(services: &Services, headers: &HeaderMap) -> Result<Caller> {
    let key = bearer(authorization(headers)?)
        .ok_or_else(|| unauthorized("the admin API takes the admin key: 'Authorization: Bearer …'"))?;
    services.authority.admin_key(key)
}

fn authorization(headers: &HeaderMap) -> Result<&str> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    match (values.next(), values.next()) {
        (None, _) => Err(unauthorized("the request carries no Authorization header")),
        (Some(_), Some(_)) => Err(unauthorized("the request carries more than one Authorization header")),
        (Some(value), None) => {
            value.to_str().map_err(|_| unauthorized("the Authorization header is not plain ASCII"))
        }
    }
}

fn bearer(credential: &str) -> Option<&str> {
    let (scheme, token) = credential.split_once(' ')?;
    scheme.eq_ignore_ascii_case("Bearer").then(|| token.trim())
}

fn unauthorized(message: &str) -> Error {
    Error::new(ErrorCode::Unauthorized, message)
}
