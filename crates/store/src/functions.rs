//! Reading checkpoints and dead letters of function apps and other consumers.

use async_trait::async_trait;
use pollux_model::OwnerName;
use pollux_model::event::Checkpoint;
use pollux_model::function::DeadLetter;

use crate::error::StoreError;
use crate::store::Page;

/// Who reads what: the key of a set of checkpoints.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ConsumerKey {
    /// The reader, such as `functions/<app>/<function>`.
    pub owner: String,
    /// The namespace.
    pub namespace: OwnerName,
    /// The event hub in it.
    pub event_hub: String,
    /// The consumer group.
    pub consumer_group: String,
}

/// Checkpoints and dead letters.
#[async_trait]
pub trait Functions {
    /// Where a consumer stands in each partition it has a checkpoint for.
    async fn checkpoints(&self, key: &ConsumerKey) -> Result<Vec<(u32, Checkpoint)>, StoreError>;
    /// Dead letters of an app (optionally of one function) in order of id, after `after`.
    async fn dead_letters(
        &self,
        app: &OwnerName,
        function: Option<&str>,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Page<DeadLetter>, StoreError>;
    /// One dead letter.
    async fn dead_letter(&self, app: &OwnerName, id: i64) -> Result<Option<DeadLetter>, StoreError>;
}
