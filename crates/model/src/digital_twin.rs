//! Digital twins, their relationships and their models, as stored.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{Etag, Timestamp};

/// A digital twin.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DigitalTwin {
    /// `$dtId`: up to 128 characters; case matters.
    pub id: String,
    /// `$metadata.$model`.
    pub model: String,
    /// `$etag`, without `W/"…"`.
    pub etag: Etag,
    /// The document as the API shows it, less `$dtId` and `$etag`: properties, components, `$metadata` with
    /// `$model` and a `lastUpdateTime` (and `sourceTime`) for each property.
    pub document: Value,
    /// When it last changed.
    pub updated: Timestamp,
}

/// An edge of the twin graph.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Relationship {
    /// `$relationshipId`: unique among those of its source.
    pub id: String,
    /// `$sourceId`.
    pub source: String,
    /// `$targetId`.
    pub target: String,
    /// `$relationshipName`.
    pub name: String,
    /// `$etag`, without `W/"…"`.
    pub etag: Etag,
    /// Its own properties, without the `$` members.
    pub properties: Value,
    /// When it last changed; the epoch where that was not kept yet.
    #[serde(default)]
    pub updated: Timestamp,
}

/// What a twin or a relationship was, from its own `updated` until it changed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PastVersion {
    /// As it was.
    #[serde(flatten)]
    pub was: Past,
    /// When that ended; not part of it any more. Never before it began.
    pub until: Timestamp,
    /// Whether it ended by being deleted; otherwise another version came.
    pub deleted: bool,
}

/// The state in a [`PastVersion`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Past {
    /// Of a twin.
    Twin(DigitalTwin),
    /// Of a relationship.
    Relationship(Relationship),
}

impl PastVersion {
    /// When it began.
    #[must_use]
    pub const fn since(&self) -> Timestamp {
        match &self.was {
            Past::Twin(twin) => twin.updated,
            Past::Relationship(relationship) => relationship.updated,
        }
    }

    /// The twin it is of, or the source of the relationship; and the relationship's id.
    #[must_use]
    pub fn of(&self) -> (&str, Option<&str>) {
        match &self.was {
            Past::Twin(twin) => (&twin.id, None),
            Past::Relationship(relationship) => (&relationship.source, Some(&relationship.id)),
        }
    }
}

/// A DTDL interface, kept as it was uploaded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StoredModel {
    /// Its DTMI.
    pub id: String,
    /// The document as it was uploaded.
    pub document: Value,
    /// When.
    pub uploaded: Timestamp,
    /// A decommissioned model has no new twins.
    pub decommissioned: bool,
}
