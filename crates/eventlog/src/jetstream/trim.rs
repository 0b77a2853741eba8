//! Retention: frames whose records have all expired go. The numbers live in the newest frame, so a partition that
//! is to become empty gets an empty frame first.

use std::sync::Arc;

use pollux_model::Timestamp;
use tokio::time::Instant;

use super::catalog::unavailable;
use super::lane::Work;
use super::partition::{ATTEMPTS, Fetch, Known, Mark, Partition, removed_meanwhile};
use crate::log::{LogError, Retention, Trimmed};

impl Partition {
    /// Removes what the retention no longer covers.
    pub(crate) async fn trim(
        self: &Arc<Self>,
        retention: &Retention,
        now: Timestamp,
    ) -> Result<Trimmed, LogError> {
        let horizon = now.minus(retention.time).as_micros();
        for _ in 0..ATTEMPTS {
            let deadline = self.shared.wire.deadline();
            let known = self.fresh(Instant::now(), deadline).await?;
            match self.try_trim(&known, retention, horizon, deadline).await {
                Ok(Some(trimmed)) => return Ok(trimmed),
                Ok(None) | Err(Fetch::Missing) => {}
                Err(Fetch::Failed(error)) => return Err(error),
            }
        }
        Err(removed_meanwhile())
    }

    /// `None`: an empty frame was appended, look again.
    async fn try_trim(
        self: &Arc<Self>,
        known: &Known,
        retention: &Retention,
        horizon: i64,
        deadline: Instant,
    ) -> Result<Option<Trimmed>, Fetch> {
        let Some(oldest) = self.oldest(known, deadline).await? else { return Ok(Some(Trimmed::default())) };
        let all_expired = known.tip.last_enqueued < horizon;
        if all_expired && oldest.base_sequence < known.tip.next_sequence {
            let newest = self.frame(known.life, &known.place, known.last, deadline).await?;
            if newest.len() > 0 {
                self.perform(Work::Seal { last: known.last }, 0).await.map_err(Fetch::Failed)?;
                return Ok(None);
            }
        }
        let first = match self.first_kept(known, oldest, retention, horizon, deadline).await? {
            Some(js) => js,
            None => return Ok(Some(Trimmed::default())),
        };
        let kept = self.frame(known.life, &known.place, first, deadline).await?;
        let purged = self.shared.wire.purge_before(&known.place.js_stream, first, deadline).await;
        purged.map_err(|failure| Fetch::Failed(unavailable(&failure)))?;
        self.dropped(known, Mark::of(&kept));
        Ok(Some(Trimmed {
            records: u64::try_from(kept.head.base_sequence - oldest.base_sequence).unwrap_or(0),
            bytes: kept.head.bytes_before.saturating_sub(oldest.bytes_before),
        }))
    }

    /// The oldest frame to keep; `None`: all of them.
    async fn first_kept(
        &self,
        known: &Known,
        oldest: Mark,
        retention: &Retention,
        horizon: i64,
        deadline: Instant,
    ) -> Result<Option<u64>, Fetch> {
        let mut first = known.first;
        if known.first < known.last && oldest.last_enqueued < horizon {
            // The newest expired frame, then the one after it. The last frame stays in any case.
            let expired = self.search(known, |frame| frame.last_enqueued() < horizon, deadline).await?;
            first = first.max((expired + 1).min(known.last));
        }
        if let Some(keep) = retention.bytes {
            let total = known.tip.bytes;
            if total - oldest.bytes_before > keep {
                let holds =
                    |frame: &super::frame::Frame| total.saturating_sub(frame.head.bytes_before) >= keep;
                first = first.max(self.search(known, holds, deadline).await?);
            }
        }
        Ok((first > known.first).then_some(first))
    }

    /// What was purged is not read any more, here at once and elsewhere as soon as they hear of it.
    fn dropped(&self, known: &Known, oldest: Mark) {
        let mut view = self.view.lock();
        if let Some(now) = view.known.as_mut().filter(|now| now.life == known.life) {
            now.first = now.first.max(oldest.js);
            now.oldest = Some(oldest);
            view.memory.drop_before(oldest.js);
        }
        drop(view);
        self.notify_trimmed(&known.place);
    }
}
