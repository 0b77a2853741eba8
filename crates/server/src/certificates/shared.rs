//! The development CA of a deployment that several nodes share: in the store's secrets.
//!
//! The first node makes it, or offers the one of its data folder (a laptop's that was moved here, whose devices trust
//! it). Others find it. Each writes a copy of the certificate, which is public, to its data folder; the key stays where
//! it is.

use pollux_model::{Random, Timestamp};
use pollux_store::store::DynStore;

use super::{Ca, Certificates, broken, half, make_ca};
use crate::data_dir::DataDir;
use crate::deployment::{failed, put_first};
use crate::error::ServeError;

const SCOPE: &str = "ca";
const ID: &str = "development";

/// The deployment's CA; its certificate is in the data folder afterwards.
pub(super) async fn ca(
    data: &DataDir,
    store: &DynStore,
    random: &dyn Random,
    now: Timestamp,
) -> Result<Ca, ServeError> {
    let ca = match known(store).await? {
        Some(ca) => ca,
        None => offer(data, store, random, now).await?,
    };
    if data.read("ca.pem")?.as_ref() != Some(&ca.certificate) {
        set_aside(data)?;
        data.write("ca.pem", &ca.certificate)?;
    }
    Ok(ca)
}

async fn known(store: &DynStore) -> Result<Option<Ca>, ServeError> {
    let secrets = store.secrets(SCOPE).await.map_err(|error| failed(&error))?;
    let Some(secret) = secrets.into_iter().find(|secret| secret.id == ID) else { return Ok(None) };
    // What it cannot read it may not quote: the value is a key.
    let unreadable = |_| broken("the deployment's CA", &"it is not what this version stores");
    serde_json::from_str(&secret.value).map(Some).map_err(unreadable)
}

/// Puts a CA into the store, unless another node was first: then that one's.
async fn offer(
    data: &DataDir,
    store: &DynStore,
    random: &dyn Random,
    now: Timestamp,
) -> Result<Ca, ServeError> {
    let ca = match (data.read("ca.pem")?, data.read("ca.key")?) {
        (Some(certificate), Some(key)) => Ca { certificate, key },
        (Some(_), None) => return Err(half(data, "ca.pem", "ca.key")),
        (None, _) => make_ca(random, now)?,
    };
    // One that is of no use must not be stored.
    Certificates::own(ca.clone())?;
    let value = serde_json::to_string(&ca).map_err(|error| ServeError::System(error.to_string()))?;
    if put_first(store, SCOPE, ID, value, random, now).await? {
        return Ok(ca);
    }
    Ok(known(store).await?.unwrap_or(ca))
}

/// A CA that this folder had for itself, with its key: kept, but not in use.
fn set_aside(data: &DataDir) -> Result<(), ServeError> {
    let (Some(certificate), Some(key)) = (data.read("ca.pem")?, data.read("ca.key")?) else { return Ok(()) };
    tracing::warn!(
        "the data folder had a CA of its own: the deployment's is used, the other is in ca.old.pem"
    );
    data.write("ca.old.key", &key)?;
    data.write("ca.old.pem", &certificate)?;
    data.remove("ca.key")
}
