//! Where a deployment's events are, written down in its state: so that it is not started where they are not.
//!
//! Checkpoints are sequence numbers of one log. On another log consumers would pass over events, or wait for numbers
//! that come much later; and a node of its own log would have events that no other node sees.
//!
//! With SQLite and segment files nothing is written down: both are in the one data folder.

use pollux_model::{Etag, Random, Timestamp};
use pollux_store::secrets::Secret;
use pollux_store::store::DynStore;
use pollux_store::{Batch, CommitError, Expect, StoreError, Write};
use serde::{Deserialize, Serialize};

use crate::config::Config;
use crate::data_dir::DataDir;
use crate::error::ServeError;

const SCOPE: &str = "deployment";
const ID: &str = "events";
/// The data folder's own id, in the folder.
const FOLDER_ID: &str = "events.id";

/// Where events are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Place {
    /// In the data folder with this id.
    Embedded(String),
    /// In NATS, under this prefix.
    Nats(String),
}

/// Compares where the events are with where the configuration says they are; the first start decides.
pub(crate) async fn bind_events(
    config: &Config,
    data: &DataDir,
    store: &DynStore,
    random: &dyn Random,
    now: Timestamp,
) -> Result<(), ServeError> {
    let known = known(store).await?;
    let in_folder = config.state.url.is_none();
    let place = match (&config.events.url, &known) {
        (Some(_), None) if in_folder && data.file("events").exists() => {
            let text = format!(
                "the events of this deployment are in {}, and events.url names NATS, where they are not; {MOVE}",
                data.file("events").display()
            );
            return Err(ServeError::Stored(text));
        }
        (Some(_), _) => Place::Nats(config.events.prefix.clone()),
        (None, None | Some(Place::Embedded(_))) if in_folder => return Ok(()),
        (None, _) => Place::Embedded(folder_id(data, random)?),
    };
    let known = match known {
        Some(known) => known,
        None => keep(store, place.clone(), random, now).await?,
    };
    if known == place { Ok(()) } else { Err(ServeError::Stored(refusal(&known, &place))) }
}

const MOVE: &str = "remove events.url, or move the deployment: `pollux admin export` from it as it is, \
    `pollux admin import` into an empty one";

fn refusal(known: &Place, wanted: &Place) -> String {
    match (known, wanted) {
        (Place::Embedded(folder), Place::Embedded(own)) => format!(
            "the events of this deployment are in another data folder: its {FOLDER_ID} says {folder}, the one here \
             says {own}. While events are kept in files a deployment has one node: start it with that folder. For \
             several nodes keep the events in NATS (events.url)"
        ),
        (Place::Embedded(folder), Place::Nats(_)) => format!(
            "the events of this deployment are in a data folder (its {FOLDER_ID} says {folder}), and events.url names \
             NATS, where they are not; {MOVE}"
        ),
        (Place::Nats(prefix), Place::Embedded(_)) => format!(
            "the events of this deployment are in NATS under the prefix '{prefix}', and events.url is not set: set \
             it, in the file or as POLLUX_EVENTS__URL"
        ),
        (Place::Nats(prefix), Place::Nats(own)) => format!(
            "the events of this deployment are in NATS under the prefix '{prefix}', and events.prefix is '{own}': \
             set it to '{prefix}'"
        ),
    }
}

async fn known(store: &DynStore) -> Result<Option<Place>, ServeError> {
    let secrets = store.secrets(SCOPE).await.map_err(|error| failed(&error))?;
    let Some(secret) = secrets.into_iter().find(|secret| secret.id == ID) else { return Ok(None) };
    let place = serde_json::from_str(&secret.value);
    place
        .map(Some)
        .map_err(|error| ServeError::Stored(format!("the secret {SCOPE}/{ID} cannot be read: {error}")))
}

/// Writes it down, unless another node was first: then what that one wrote.
async fn keep(
    store: &DynStore,
    place: Place,
    random: &dyn Random,
    now: Timestamp,
) -> Result<Place, ServeError> {
    let value = serde_json::to_string(&place).map_err(|error| ServeError::System(error.to_string()))?;
    match put_first(store, SCOPE, ID, value, random, now).await? {
        true => Ok(place),
        false => Ok(known(store).await?.unwrap_or(place)),
    }
}

/// Puts a secret that is not there yet; `false` where it is: another node was first.
pub(crate) async fn put_first(
    store: &DynStore,
    scope: &str,
    id: &str,
    value: String,
    random: &dyn Random,
    now: Timestamp,
) -> Result<bool, ServeError> {
    let (scope, id, etag) = (scope.to_owned(), id.to_owned(), Etag::fresh(random));
    let secret = Box::new(Secret { scope, id, value, etag, created: now });
    match store.commit(Batch::from(Write::PutSecret { secret, expect: Expect::Absent })).await {
        Ok(()) => Ok(true),
        Err(CommitError::Expectation { .. }) => Ok(false),
        Err(CommitError::Store(error)) => Err(failed(&error)),
    }
}

/// What the store said at start.
pub(crate) fn failed(error: &StoreError) -> ServeError {
    ServeError::Stored(error.to_string())
}

fn folder_id(data: &DataDir, random: &dyn Random) -> Result<String, ServeError> {
    if let Some(id) = data.read(FOLDER_ID)? {
        return Ok(id.trim().to_owned());
    }
    let mut bytes = [0; 16];
    random.fill(&mut bytes);
    let id = uuid::Builder::from_random_bytes(bytes).into_uuid().to_string();
    data.write(FOLDER_ID, &format!("{id}\n"))?;
    Ok(id)
}

#[cfg(test)]
mod tests;
