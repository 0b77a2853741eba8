//! The outbox relay: events that were committed with their cause move to the event log.
//!
//! An entry is appended under its idempotency key and forgotten after that. A crash in between appends it once more,
//! and the log answers with the first one's place: nothing is lost and nothing is there twice.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use pollux_eventlog::{IdempotencyKey, LogError, NewRecord, StreamName};
use pollux_model::event::OutboxEntry;
use pollux_model::partition_key::partition_of;
use pollux_model::resource::{Properties, ResourceKind};
use pollux_model::{Error, ErrorCode, Result};
use tokio_util::sync::CancellationToken;

use super::Events;
use crate::hub::stream;

/// Entries moved at once.
const BATCH: usize = 512;
/// How long to wait when the store or the log is away.
const PAUSE: Duration = Duration::from_millis(500);

/// Where an entry goes.
type Place = (StreamName, u32);

impl Events {
    /// Moves entries until shutdown.
    pub async fn run_relay(self: Arc<Self>, shutdown: CancellationToken) {
        loop {
            let moved = tokio::select! {
                () = shutdown.cancelled() => return,
                moved = self.relay() => moved,
            };
            let next = async {
                match moved {
                    Ok(0) => self.context.store.outbox_changed().await,
                    Ok(_) => {}
                    Err(error) => {
                        tracing::warn!(%error, "the outbox relay pauses");
                        tokio::time::sleep(PAUSE).await;
                    }
                }
            };
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = next => {}
            }
        }
    }

    /// Moves what is there, at most [`BATCH`] entries; how many it dealt with. Also called once at shutdown's end.
    pub async fn relay(&self) -> Result<usize> {
        let entries = self.context.store.outbox(BATCH).await?;
        let mut places: Vec<(Place, Vec<NewRecord>, Vec<i64>)> = Vec::new();
        let (mut done, mut moved) = (Vec::new(), 0);
        for (row, entry) in entries {
            moved += 1;
            let Some(place) = self.place(&entry) else {
                tracing::warn!(event_hub = %entry.event_hub, "an event is dropped: its event hub was deleted");
                done.push(row);
                continue;
            };
            let record = record(entry);
            match places.iter_mut().find(|(known, ..)| *known == place) {
                Some((_, records, rows)) => {
                    records.push(record);
                    rows.push(row);
                }
                None => places.push((place, vec![record], vec![row])),
            }
        }
        let mut gone = HashSet::new();
        for ((stream, partition), records, rows) in places {
            match self.context.log.append(&stream, partition, records).await {
                Ok(_) => done.extend(rows),
                Err(LogError::UnknownStream(_) | LogError::UnknownPartition { .. }) => {
                    gone.insert(stream);
                    done.extend(rows);
                }
                Err(error) => {
                    // What was moved so far is forgotten first, so that it need not be moved again.
                    self.context.store.outbox_done(&done).await?;
                    return Err(Error::new(ErrorCode::Unavailable, format!("the event log: {error}")));
                }
            }
        }
        if !gone.is_empty() {
            tracing::warn!(?gone, "events are dropped: their event hubs were deleted");
        }
        if !done.is_empty() {
            self.context.store.outbox_done(&done).await?;
        }
        Ok(moved)
    }

    fn place(&self, entry: &OutboxEntry) -> Option<Place> {
        let namespace = self.context.table.named(ResourceKind::Events, &entry.namespace)?;
        let Properties::Events(events) = &namespace.properties else { return None };
        let hub = events.event_hubs.iter().find(|hub| hub.name == entry.event_hub)?;
        let stream = stream(&entry.namespace, &entry.event_hub).ok()?;
        Some((stream, partition_of(&entry.partition_key, hub.partitions)))
    }
}

fn record(entry: OutboxEntry) -> NewRecord {
    NewRecord {
        partition_key: Some(entry.partition_key.into()),
        payload: entry.payload.into(),
        idempotency_key: Some(IdempotencyKey(entry.idempotency_key)),
    }
}
