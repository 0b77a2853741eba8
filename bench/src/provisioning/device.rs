//! One device that registers: what it shows, and how it speaks.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use pollux_client::provisioning_device::{Registration, register};
use pollux_client::rest::{Request, RestOptions};
use pollux_client::{Credential, Rest, tls};
use pollux_model::{Clock as _, Key, SystemClock, sas};
use rustls::ClientConfig;
use serde_json::{Value, json};

use super::Transport;
use crate::pki::Authority;
use crate::subject::{MODEL, Subject};

/// Such as the npm client names.
const VERSION: &str = "2019-03-31";
/// Longest wait for the end of one registration.
const PATIENCE: Duration = Duration::from_secs(60);

/// How devices prove who they are.
#[derive(Debug)]
pub(super) enum Proof {
    /// By keys derived from their group's.
    Keys(Key),
    /// By certificates that their group's authority signed; each is made when it is needed.
    Certificates {
        /// Their group's.
        authority: Box<Authority>,
        /// Whom devices trust.
        ca_pem: String,
    },
}

impl Proof {
    /// Makes the group.
    pub(super) async fn keys(subject: &Subject) -> Result<Self> {
        let key = Key::generate(&pollux_model::SystemRandom);
        let attestation = json!({ "type": "symmetricKey", "symmetricKey": { "primaryKey": key.reveal() } });
        subject.with_group("bench", attestation).await?;
        Ok(Self::Keys(key))
    }

    /// Makes the group.
    pub(super) async fn certificates(subject: &Subject) -> Result<Self> {
        let authority = Authority::new()?;
        let trusted = json!({ "primary": { "certificate": authority.pem() } });
        let attestation = json!({ "type": "x509", "x509": { "signingCertificates": trusted } });
        subject.with_group("bench-x509", attestation).await?;
        Ok(Self::Certificates { authority: Box::new(authority), ca_pem: subject.ca_pem()? })
    }

    pub(super) const fn is_certificate(&self) -> bool {
        matches!(self, Self::Certificates { .. })
    }

    /// Registers the device of that number, to its end.
    pub(super) async fn register(
        &self,
        subject: &Subject,
        transport: Transport,
        turn: usize,
        number: u64,
    ) -> Result<()> {
        let (id, scope) = (
            format!("{}-{number:08}", if self.is_certificate() { "x509" } else { "device" }),
            subject.id_scope()?,
        );
        let own = match self {
            Self::Keys(_) => None,
            Self::Certificates { authority, ca_pem } => {
                let (chain, key) = authority.leaf(&id)?;
                Some(tls::client_config_with_identity(ca_pem, &chain, &key)?)
            }
        };
        match transport {
            Transport::Mqtt => {
                let mut endpoint = subject.mqtt(turn)?;
                let credential = match self {
                    Self::Keys(key) => Credential::Key(key.derive(&id).bytes()),
                    Self::Certificates { .. } => Credential::Certificate,
                };
                endpoint.tls = own.unwrap_or(endpoint.tls);
                let registration =
                    Registration::new(scope, &id, credential).payload(json!({ "modelId": MODEL }));
                register(&endpoint, &registration).await?;
                Ok(())
            }
            Transport::Https => self.over_https(subject, scope, &id, own).await,
        }
    }

    async fn over_https(
        &self,
        subject: &Subject,
        scope: &str,
        id: &str,
        own: Option<Arc<ClientConfig>>,
    ) -> Result<()> {
        let (address, trusting) = subject.https()?;
        let options = RestOptions {
            tls: Some(own.unwrap_or(trusting)),
            addresses: vec![("localhost".to_owned(), address)],
            api_version: Some(VERSION.to_owned()),
            ..RestOptions::default()
        };
        let rest = Rest::anonymous(&format!("https://localhost:{}", address.port()), options)?;
        let path = format!("/{scope}/registrations/{id}");
        let token = match self {
            Self::Certificates { .. } => None,
            Self::Keys(key) => {
                let expiry = SystemClock.now().as_secs() + 3600;
                let key = key.derive(id).bytes();
                Some(sas::sign(&path[1..], &key, expiry, Some("registration")))
            }
        };
        let body = json!({ "registrationId": id, "payload": { "modelId": MODEL } });
        let token = token.as_deref();
        let begun = authorized(rest.put(&format!("{path}/register")), token).json(body).send().await?.body;
        let operation = begun["operationId"].as_str().context("no operation")?;
        let look = format!("{path}/operations/{operation}");
        let polling = async {
            loop {
                let found = authorized(rest.get(&look), token).send().await?.body;
                match found["status"].as_str() {
                    Some("assigning") => {}
                    Some("assigned") => return Ok(()),
                    other => bail!("the registration is {other:?}: {}", Value::to_string(&found)),
                }
            }
        };
        tokio::time::timeout(PATIENCE, polling).await.context("the registration takes too long")?
    }
}

fn authorized<'r>(request: Request<'r>, token: Option<&str>) -> Request<'r> {
    match token {
        Some(token) => request.header("authorization", token),
        None => request,
    }
}
