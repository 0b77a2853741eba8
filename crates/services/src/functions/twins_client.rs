//! What the functions need of a digital twins service, wherever it runs.

use std::fmt::Debug;

use async_trait::async_trait;
use pollux_dtdl::ModelSet;
use pollux_model::Result;
use serde_json::Value;

/// A twin with its etag.
#[derive(Debug, Clone)]
pub struct FoundTwin {
    /// The etag, to be given back in `if_match`.
    pub etag: String,
    /// The document with `$metadata`.
    pub document: Value,
}

impl FoundTwin {
    /// The model's id.
    #[must_use]
    pub fn model(&self) -> &str {
        self.document.pointer("/$metadata/$model").and_then(Value::as_str).unwrap_or_default()
    }
}

/// A relationship as far as the functions care.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundRelationship {
    /// The twin it starts at.
    pub source: String,
    /// Its id there.
    pub id: String,
}

/// A client of one digital twins instance. Errors carry the service's code; `Unavailable` may be tried again.
#[async_trait]
pub trait TwinsClient: Send + Sync + Debug {
    /// A twin, `None` when there is none.
    async fn twin(&self, id: &str) -> Result<Option<FoundTwin>>;
    /// Creates a twin; `replace` overwrites one that is there, else that is `PreconditionFailed`.
    async fn put_twin(&self, id: &str, document: Value, replace: bool) -> Result<()>;
    /// Applies a JSON Patch if the etag is still the one given.
    async fn patch_twin(&self, id: &str, patch: Value, if_match: &str) -> Result<()>;
    /// Deletes a twin if the etag is still the one given.
    async fn delete_twin(&self, id: &str, if_match: &str) -> Result<()>;
    /// All relationships that start at the twin.
    async fn outgoing(&self, id: &str) -> Result<Vec<FoundRelationship>>;
    /// All relationships that end at the twin.
    async fn incoming(&self, id: &str) -> Result<Vec<FoundRelationship>>;
    /// Deletes a relationship; one that is gone already is no error.
    async fn delete_relationship(&self, relationship: &FoundRelationship) -> Result<()>;
    /// A set of models that holds this one and what it extends; `None` when there is no such model.
    async fn models_with(&self, model: &str) -> Result<Option<ModelSet>>;
}
