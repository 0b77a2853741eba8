//! Configurations of a hub: what all devices or modules that a condition matches are to desire (Azure article "Automatic
//! device and module management using the Azure portal").

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{Etag, Timestamp};

/// A configuration as it is kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Configuration {
    /// Unique in the hub.
    pub id: String,
    /// What the client said the form is; nothing depends on it.
    pub schema_version: String,
    /// In the operator's words; nothing depends on them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// What it sets. It never changes.
    pub content: ConfigurationContent,
    /// Whom it is for: empty: nobody; `*`: all devices; a condition; `FROM devices.modules WHERE …`.
    pub target_condition: String,
    /// The greater one wins; of two that are equal the one created later.
    pub priority: i32,
    /// The operator's own queries, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metrics: BTreeMap<String, String>,
    /// When it was made.
    pub created: Timestamp,
    /// When it was last changed.
    pub last_updated: Timestamp,
    /// Changes with every change.
    pub etag: Etag,
    /// It changed, and not all twins follow it yet.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub pending: bool,
    /// It was deleted, and goes when no twin follows it any more. Whoever asks for it is told that there is none.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub deleted: bool,
}

/// What a configuration sets, each part by path: `properties.desired.…` and its JSON. One part alone is used.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ConfigurationContent {
    /// Of devices' twins.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub device: Map<String, Value>,
    /// Of modules' twins.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub module: Map<String, Value>,
    /// Of the twins of an edge device's modules: by module, then by path.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub modules: Map<String, Value>,
}

/// What configurations made of a twin.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Configured {
    /// Those that match it, by id.
    pub by: BTreeMap<String, ConfigurationStatus>,
    /// Which desired properties they hold: paths below `properties.desired` with `.` between names, which have none.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub settings: BTreeSet<String>,
}

impl Configured {
    /// Whether no configuration has to do with the twin.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by.is_empty() && self.settings.is_empty()
    }
}

/// How a twin stands to a configuration that matches it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ConfigurationStatus {
    /// Others of higher priority set all that it would.
    Targeted,
    /// It sets something.
    Applied,
}

impl ConfigurationStatus {
    /// As queries compare it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Targeted => "Targeted",
            Self::Applied => "Applied",
        }
    }
}
