//! From a CONNECT to a session: who is it, with what credential, and of which service.

use std::sync::Arc;

use pollux_model::sas::SasToken;
use pollux_model::{DeviceAddress, Result};
use pollux_mqtt::{Connect, ConnectRefusal};
use pollux_services::Caller;
use pollux_x509::Chain;

use super::mailbox::Mailbox;
use super::session::Session;
use super::user_name::UserName;
use super::{Mqtt, hub, provisioning, status};
use crate::peer::Peer;

/// Longest model id: that of a DTDL identifier (DTDL v3, "Digital Twin Model Identifier"), in bytes.
const MODEL_ID: usize = 4096;

/// Decides about a CONNECT. Commands of the service side come to `mailbox`.
pub(super) async fn open(
    edge: Arc<Mqtt>,
    connect: Box<Connect>,
    peer: Peer,
    mailbox: Arc<Mailbox>,
) -> Result<Box<dyn Session>, ConnectRefusal> {
    let name = connect.username.as_deref().and_then(UserName::parse);
    match name.ok_or(ConnectRefusal::BadUserNameOrPassword)? {
        UserName::Registration { id_scope, registration_id, version } => {
            registration(&edge, &connect, &peer, (id_scope, registration_id, &version)).await
        }
        UserName::Device { host, device_id, module_id, model_id } => {
            let id = DeviceAddress::of(device_id, module_id);
            let id = id.map_err(|error| refused(&peer, device_id, &error))?;
            device(&edge, &connect, &peer, (host, id, model_id), mailbox).await
        }
    }
}

async fn registration(
    edge: &Arc<Mqtt>,
    connect: &Connect,
    peer: &Peer,
    (id_scope, registration_id, version): (&str, &str, &str),
) -> Result<Box<dyn Session>, ConnectRefusal> {
    // Registration ids compare without case.
    if !connect.client_id.eq_ignore_ascii_case(registration_id) {
        return Err(ConnectRefusal::IdentifierRejected);
    }
    let credential = credential(connect, peer)?;
    let services = &edge.services;
    let dps = services.context.table.with_id_scope(id_scope).ok_or(ConnectRefusal::NotAuthorized)?;
    let (provisioning, from) = (&services.provisioning, Some(peer.address.ip()));
    let caller = match &credential {
        Credential::Token(token) => provisioning.attest_by_token(&dps, registration_id, token, from).await,
        Credential::Certificate(chain) => {
            provisioning.attest_by_certificate(&dps, registration_id, chain, from).await
        }
    };
    let caller = caller.map_err(|error| refused(peer, registration_id, &error))?;
    provisioning::ProvisioningSession::open(Arc::clone(services), dps, caller, version)
}

async fn device(
    edge: &Arc<Mqtt>,
    connect: &Connect,
    peer: &Peer,
    (host, id, model_id): (&str, DeviceAddress, Option<String>),
    mailbox: Arc<Mailbox>,
) -> Result<Box<dyn Session>, ConnectRefusal> {
    let name = id.to_string();
    if connect.client_id != *name {
        return Err(ConnectRefusal::IdentifierRejected);
    }
    if model_id.as_ref().is_some_and(|id| id.len() > MODEL_ID || !id.starts_with("dtmi:")) {
        return Err(ConnectRefusal::BadUserNameOrPassword);
    }
    let credential = credential(connect, peer)?;
    let services = &edge.services;
    let kind = pollux_model::resource::ResourceKind::Hub;
    let found = services.context.table.serving(kind, host).ok_or(ConnectRefusal::NotAuthorized)?;
    let refused = |error| refused(peer, &name, &error);
    let believed = match &credential {
        Credential::Token(token) => services.hub.authenticate_device(&found, &id, token).await,
        Credential::Certificate(chain) => {
            services.hub.authenticate_device_by_certificate(&found, &id, chain).await
        }
    };
    let (caller, device) = believed.map_err(refused)?;
    let caller: Caller = caller.from_address(peer.address.ip());
    if let Some(model_id) = model_id.as_ref().filter(|id| **id != device.twin.model_id) {
        services.hub.announce_model(&caller, &found, &id, model_id).await.map_err(refused)?;
    }
    let clean = connect.clean_session;
    let own = hub::Own { services: Arc::clone(services), hub: found, caller, id, model_id, clean };
    let session = hub::HubSession::enter(own, connect.will.as_ref(), mailbox).await.map_err(refused)?;
    Ok(Box::new(session))
}

/// What a device proves itself with.
enum Credential<'p> {
    /// The token in the password.
    Token(SasToken),
    /// The certificate that the connection began with, where there is no password (WIRE.md 4.2).
    Certificate(&'p Chain),
}

fn credential<'p>(connect: &Connect, peer: &'p Peer) -> Result<Credential<'p>, ConnectRefusal> {
    let Some(password) = connect.password.as_deref().filter(|password| !password.is_empty()) else {
        return match peer.chain() {
            Some(Ok(chain)) => Ok(Credential::Certificate(chain)),
            Some(Err(error)) => {
                tracing::info!(%peer, %error, "CONNECT refused: what was shown is no certificate");
                Err(ConnectRefusal::NotAuthorized)
            }
            None => Err(ConnectRefusal::NotAuthorized),
        };
    };
    let text = std::str::from_utf8(password).map_err(|_| ConnectRefusal::BadUserNameOrPassword)?;
    SasToken::parse(text).map(Credential::Token).map_err(|_| ConnectRefusal::BadUserNameOrPassword)
}

fn refused(peer: &Peer, id: &str, error: &pollux_model::Error) -> ConnectRefusal {
    let refusal = status::refusal(error.code);
    tracing::info!(%peer, id = %pollux_model::ids::shown(id), ?refusal, "CONNECT refused: {error}");
    refusal
}
