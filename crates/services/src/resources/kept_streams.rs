//! The event log's streams follow the resources that keep them.

use std::sync::Arc;

use pollux_eventlog::LogError;
use pollux_model::resource::Resource;
use pollux_model::{Error, ErrorCode, OwnerName, Result};
use pollux_store::{Batch, Write};

use super::Resources;
use crate::streams::{self, Stream};

impl Resources {
    /// Makes every stream that there is not; adopts changed retentions.
    pub(super) async fn ensure_streams(&self) -> Result<()> {
        for resource in self.context.table.all().iter() {
            for stream in Stream::all_of(resource) {
                self.make_stream(&stream).await?;
            }
        }
        Ok(())
    }

    /// Makes or changes the streams of a resource that is about to be stored. What an earlier one of the same name may
    /// have left behind goes first.
    pub(super) async fn make_streams(&self, resource: &Resource, before: Option<&Resource>) -> Result<()> {
        let known = before.map(Stream::all_of).unwrap_or_default();
        for stream in Stream::all_of(resource) {
            let known = known.iter().find(|one| one.event_hub == stream.event_hub);
            if known.is_none() {
                self.forget_stream(&stream.owner, &stream.event_hub).await?;
            }
            if known != Some(&stream) {
                self.make_stream(&stream).await?;
            }
        }
        Ok(())
    }

    /// Deletes the streams that a resource keeps no more.
    pub(super) async fn forget_left(&self, before: &Resource, now: &Resource) -> Result<()> {
        let kept = Stream::all_of(now);
        for left in Stream::all_of(before) {
            if !kept.iter().any(|one| one.event_hub == left.event_hub) {
                self.forget_stream(&left.owner, &left.event_hub).await?;
            }
        }
        Ok(())
    }

    /// Deletes the streams of resources that are gone.
    pub(super) async fn drop_streams(&self, gone: &[Arc<Resource>]) -> Result<()> {
        for stream in gone.iter().flat_map(|resource| Stream::all_of(resource)) {
            self.context.log.delete(&stream.name()?).await.map_err(log_failed)?;
        }
        Ok(())
    }

    /// Deletes a stream's events and where consumers stood in them.
    async fn forget_stream(&self, owner: &OwnerName, event_hub: &str) -> Result<()> {
        self.context.log.delete(&streams::name(owner, event_hub)?).await.map_err(log_failed)?;
        let forgotten = Write::DeleteCheckpoints {
            namespace: owner.clone(),
            event_hub: event_hub.to_owned(),
            consumer_group: None,
        };
        Ok(self.context.store.commit(Batch::from(forgotten)).await?)
    }

    async fn make_stream(&self, stream: &Stream) -> Result<()> {
        self.context.log.create(&stream.name()?, &stream.config()).await.map_err(log_failed)
    }
}

#[expect(clippy::needless_pass_by_value, reason = "made for map_err")]
fn log_failed(error: LogError) -> Error {
    tracing::error!(%error, "the event log refused");
    Error::new(ErrorCode::Unavailable, "the event log is unavailable; try again")
}
