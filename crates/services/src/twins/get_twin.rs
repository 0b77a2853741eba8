//! One twin.

use std::sync::Arc;

use pollux_model::digital_twin::DigitalTwin;
use pollux_model::{Etag, ResourceName, Result};

use super::document::shown_text;
use super::rates::Kind;
use super::{Row, Twins, refusal};
use crate::{Caller, Right};

impl Twins {
    /// One twin as text, with its etag: what [`twin_document`](super::twin_document) shows.
    ///
    /// # Errors
    /// [`pollux_model::ErrorCode::TwinNotFound`].
    pub async fn show_twin(&self, caller: &Caller, instance: &ResourceName, id: &str) -> Result<(Etag, Row)> {
        self.admit(caller, instance, Right::TwinsRead, (Kind::Read, &[]))?;
        if let Some(graph) = self.graphs.read(instance) {
            let (_, twin) = graph.find(id).ok_or_else(|| refusal::twin_not_found(id))?;
            return Ok((twin.etag.clone(), Row::Shared(Arc::clone(&twin.text))));
        }
        let twin = self.read_twin(instance, id).await?;
        Ok((twin.etag.clone(), Row::Text(shown_text(&twin).0)))
    }

    /// One twin.
    ///
    /// # Errors
    /// [`pollux_model::ErrorCode::TwinNotFound`].
    pub async fn get_twin(&self, caller: &Caller, instance: &ResourceName, id: &str) -> Result<DigitalTwin> {
        self.admit(caller, instance, Right::TwinsRead, (Kind::Read, &[]))?;
        self.read_twin(instance, id).await
    }
}
