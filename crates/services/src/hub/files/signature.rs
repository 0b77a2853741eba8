//! URLs of blobs that are kept here: made as the storage makes its own ("Create a service SAS"), with a key of the hub's, and
//! believed by the same.

use std::sync::Arc;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use pollux_model::resource::{PolicyRight, Resource, ResourceKind};
use pollux_model::{Result, Timestamp};

use super::{BlobRefusal, CONTAINER, Hub};
use crate::blobs::{Permissions, check_name, service_text, signed_query};
use crate::caller::{Caller, Right};
use crate::stored_key::stored_key;

/// Whose key is the beginning of all hubs' keys.
const SCOPE: &str = "hub-files";

const EXPIRED: &str = "the signature has expired";

/// What a URL says of itself, decoded.
#[derive(Clone, Default)]
pub struct BlobSignature {
    /// `sv`.
    pub version: String,
    /// `sr`: `b` for a blob.
    pub resource: String,
    /// `sp`.
    pub permissions: String,
    /// `se`.
    pub expires: String,
    /// `sig`.
    pub signature: String,
}

impl std::fmt::Debug for BlobSignature {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BlobSignature").field("expires", &self.expires).finish_non_exhaustive()
    }
}

/// That somebody may do something with one blob.
#[derive(Debug, Clone)]
pub struct BlobGrant {
    pub(super) hub: Arc<Resource>,
    pub(super) blob: String,
    permissions: String,
    /// Of a URL; `None`: of a caller whose credential is looked at with each request.
    expires: Option<Timestamp>,
}

impl BlobGrant {
    /// # Errors
    /// [`BlobRefusal::NotAllowed`] unless the letter of the permission is there.
    pub(super) fn require(&self, permission: char) -> Result<(), BlobRefusal> {
        if self.permissions.contains(permission) { Ok(()) } else { Err(BlobRefusal::NotAllowed) }
    }

    /// # Errors
    /// [`BlobRefusal::NotSigned`] when its time is over: nothing comes of what is sent from then on, for the upload is forgotten.
    pub(super) fn require_time(&self, now: Timestamp) -> Result<(), BlobRefusal> {
        match self.expires {
            Some(expires) if expires <= now => Err(BlobRefusal::NotSigned(EXPIRED)),
            _ => Ok(()),
        }
    }
}

impl Hub {
    /// A query that opens the blob, with its question mark.
    pub(super) async fn sign_blob(
        &self,
        hub: &Resource,
        blob: &str,
        permissions: Permissions,
        expires: Timestamp,
    ) -> Result<String> {
        let key = self.key_of(hub).await?;
        Ok(format!("?{}", signed_query(&key, &resource(hub, blob), permissions, expires)))
    }

    /// Believes a URL, or does not. Takes the same time whatever the signature.
    ///
    /// # Errors
    /// [`BlobRefusal::NotSigned`], [`BlobRefusal::Name`], [`BlobRefusal::Failed`].
    pub async fn open_blob(
        &self,
        hub: &Arc<Resource>,
        blob: &str,
        sas: &BlobSignature,
    ) -> Result<BlobGrant, BlobRefusal> {
        let key = self.key_of(hub).await.map_err(|error| BlobRefusal::Failed(error.message))?;
        let text = service_text(&sas.permissions, &sas.expires, &resource(hub, blob), &sas.version);
        let signature = BASE64.decode(&sas.signature).unwrap_or_default();
        let signed =
            hmac::verify(&hmac::Key::new(hmac::HMAC_SHA256, &key), text.as_bytes(), &signature).is_ok();
        // Of a container nothing is signed here.
        if !signed || sas.resource != "b" {
            return Err(BlobRefusal::NotSigned("the signature is not this hub's for this blob"));
        }
        let expires = Timestamp::parse(&sas.expires).ok_or(BlobRefusal::NotSigned(EXPIRED))?;
        let grant = granted(hub, blob, sas.permissions.clone(), Some(expires))?;
        grant.require_time(self.context.clock.now())?;
        Ok(grant)
    }

    /// A service may read and delete what devices uploaded.
    ///
    /// # Errors
    /// [`BlobRefusal::NotAllowed`]: it lacks the right `ServiceConnect`.
    pub fn open_blob_for_service(
        &self,
        caller: &Caller,
        hub: &Arc<Resource>,
        blob: &str,
    ) -> Result<BlobGrant, BlobRefusal> {
        let right = Right::Policy(PolicyRight::ServiceConnect);
        caller.require(ResourceKind::Hub, &hub.name, right).map_err(|_| BlobRefusal::NotAllowed)?;
        granted(hub, blob, "rd".to_owned(), None)
    }

    /// The hub's own: a hub that is made again under the same name has another.
    async fn key_of(&self, hub: &Resource) -> Result<Vec<u8>> {
        let all = self.files.key.get_or_try_init(|| stored_key(&self.context, SCOPE)).await?;
        let text = format!("{}\n{}", hub.name, hub.created.as_micros());
        let key = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, all), text.as_bytes());
        Ok(key.as_ref().to_vec())
    }
}

fn granted(
    hub: &Arc<Resource>,
    blob: &str,
    permissions: String,
    expires: Option<Timestamp>,
) -> Result<BlobGrant, BlobRefusal> {
    check_name(blob).map_err(|error| BlobRefusal::Name(error.message()))?;
    Ok(BlobGrant { hub: Arc::clone(hub), blob: blob.to_owned(), permissions, expires })
}

fn resource(hub: &Resource, blob: &str) -> String {
    format!("/blob/{}/{CONTAINER}/{blob}", hub.name)
}
