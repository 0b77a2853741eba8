//! The twins client for an instance of this deployment: the same rules as over HTTP, without the way there.

use std::sync::Arc;

use async_trait::async_trait;
use pollux_dtdl::ModelSet;
use pollux_model::{Error, ErrorCode, Etag, ResourceName, Result};
use serde_json::Value;

use super::twins_client::{FoundRelationship, FoundTwin, TwinsClient};
use crate::caller::Caller;
use crate::twins::{Paging, PatchTwin, PutTwin, Twins};

/// Relationships read at once.
const PAGE: usize = 500;

/// A client that acts as the function app's own identity.
#[derive(Debug)]
pub(super) struct LocalTwins {
    twins: Arc<Twins>,
    caller: Caller,
    instance: ResourceName,
}

impl LocalTwins {
    pub(super) fn new(twins: Arc<Twins>, app: ResourceName, instance: ResourceName) -> Self {
        Self { twins, caller: Caller::function(app), instance }
    }
}

#[async_trait]
impl TwinsClient for LocalTwins {
    async fn twin(&self, id: &str) -> Result<Option<FoundTwin>> {
        match self.twins.get_twin(&self.caller, &self.instance, id).await {
            Ok(twin) => Ok(Some(FoundTwin { etag: twin.etag.to_string(), document: twin.document })),
            Err(error) if error.code == ErrorCode::TwinNotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn put_twin(&self, id: &str, document: Value, replace: bool) -> Result<()> {
        let put = PutTwin { id: id.to_owned(), document, if_none_match: !replace };
        self.twins.put_twin(&self.caller, &self.instance, put).await.map(|_| ())
    }

    async fn patch_twin(&self, id: &str, patch: Value, if_match: &str) -> Result<()> {
        let patch = PatchTwin { id: id.to_owned(), patch, if_match: Some(Etag::new(if_match)) };
        self.twins.patch_twin(&self.caller, &self.instance, patch).await.map(|_| ())
    }

    async fn delete_twin(&self, id: &str, if_match: &str) -> Result<()> {
        self.twins.delete_twin(&self.caller, &self.instance, id, Some(Etag::new(if_match))).await
    }

    async fn outgoing(&self, id: &str) -> Result<Vec<FoundRelationship>> {
        let (mut all, mut after) = (Vec::new(), None);
        loop {
            let paging = Paging { continuation: after, limit: Some(PAGE) };
            let page = self.twins.relationships(&self.caller, &self.instance, id, None, paging).await?;
            all.extend(
                page.items.into_iter().map(|found| FoundRelationship { source: found.source, id: found.id }),
            );
            after = page.continuation;
            if after.is_none() {
                return Ok(all);
            }
        }
    }

    async fn incoming(&self, id: &str) -> Result<Vec<FoundRelationship>> {
        let (mut all, mut after) = (Vec::new(), None);
        loop {
            let paging = Paging { continuation: after, limit: Some(PAGE) };
            let page = self.twins.incoming_relationships(&self.caller, &self.instance, id, paging).await?;
            all.extend(
                page.items.into_iter().map(|found| FoundRelationship { source: found.source, id: found.id }),
            );
            after = page.continuation;
            if after.is_none() {
                return Ok(all);
            }
        }
    }

    async fn delete_relationship(&self, relationship: &FoundRelationship) -> Result<()> {
        let FoundRelationship { source, id } = relationship;
        match self.twins.delete_relationship(&self.caller, &self.instance, source, id, None).await {
            Err(error) if error.code != ErrorCode::RelationshipNotFound => Err(error),
            _ => Ok(()),
        }
    }

    async fn models_with(&self, model: &str) -> Result<Option<ModelSet>> {
        let models = self.twins.model_set(&self.caller, &self.instance).await?;
        let id = pollux_dtdl::Dtmi::parse(model).map_err(|error| {
            Error::invalid(format!("'{}' is no model id: {error}", pollux_model::ids::shown(model)))
        })?;
        Ok(models.get(&id).is_some().then_some(models))
    }
}
