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
