//! The idempotency keys of a partition, read back from its frames: every frame names the newest one before it that
//! has a keyed record, so the keys are found by walking from the newest frame towards the oldest.

use std::collections::HashMap;
use std::sync::Arc;

use futures_util::future::join_all;
use tokio::time::Instant;

use super::JETSTREAM_KEYS;
use super::frame::Frame;
use super::lane::Writer;
use super::partition::{Fetch, Known, Partition};
use crate::keys::KeyWindow;
use crate::log::LogError;

/// Frames of others up to this many are read one after the other; beyond it the keys are loaded anew.
const FEW: u64 = 256;
/// Frames asked for at once where keyed frames stand close together.
const AT_ONCE: u64 = 64;
/// How close that is.
const CLOSE: u64 = 4;

impl Partition {
    /// Makes sure that the writer knows all keys up to the last known frame. False: frames were removed meanwhile,
    /// what is known is out of date.
    pub(crate) async fn load_keys(
        &self,
        writer: &mut Writer,
        known: &Known,
        deadline: Instant,
    ) -> Result<bool, LogError> {
        if let Some(window) = &mut writer.keys {
            if writer.keys_upto == known.last {
                return Ok(true);
            }
            if known.last - writer.keys_upto <= FEW
                && self.follow_keys(window, writer.keys_upto + 1, known, deadline).await?
            {
                writer.keys_upto = known.last;
                return Ok(true);
            }
        }
        writer.keys = None;
        let Some(window) = self.walk_back(known).await? else { return Ok(false) };
        writer.keys = Some(window);
        writer.keys_upto = known.last;
        Ok(true)
    }

    /// Takes in the frames from `from` on; false: one of them is gone.
    async fn follow_keys(
        &self,
        window: &mut KeyWindow,
        from: u64,
        known: &Known,
        deadline: Instant,
    ) -> Result<bool, LogError> {
        for js in from..=known.last {
            match self.frame(known.life, &known.place, js, deadline).await {
                Ok(frame) => learn(window, frame.keys()),
                Err(Fetch::Missing) => return Ok(false),
                Err(Fetch::Failed(error)) => return Err(error),
            }
        }
        Ok(true)
    }

    /// Reads the keys from the newest to the oldest; `None`: the stream is another one.
    async fn walk_back(&self, known: &Known) -> Result<Option<KeyWindow>, LogError> {
        let mut found = Vec::new();
        let mut fetched: HashMap<u64, Arc<Frame>> = HashMap::new();
        let (mut js, mut step) = (known.tip.keyed, 1);
        while js >= known.first && js > 0 && found.len() < JETSTREAM_KEYS {
            if !fetched.contains_key(&js) {
                fetched = self.fetch_back(known, js, step).await?;
            }
            let Some(frame) = fetched.get(&js) else {
                if self.view.lock().known.as_ref().is_none_or(|now| now.life != known.life) {
                    return Ok(None);
                }
                // Trimmed while it was looked for: what came before it is gone as well.
                break;
            };
            found.extend(frame.keys().rev());
            step = js - frame.head.keyed_before;
            js = frame.head.keyed_before;
        }
        let mut window = KeyWindow::new(JETSTREAM_KEYS);
        learn(&mut window, found.into_iter().rev());
        Ok(Some(window))
    }

    /// Frame `js`, and where keyed frames stand close together also those before it. However many there are, each
    /// gets the time of one call: loading goes on though the first caller may have given up.
    async fn fetch_back(
        &self,
        known: &Known,
        js: u64,
        step: u64,
    ) -> Result<HashMap<u64, Arc<Frame>>, LogError> {
        let many = if step <= CLOSE { (self.chunk(known) as u64).min(AT_ONCE) } else { 1 };
        let from = js.saturating_sub(many - 1).max(known.first);
        let deadline = self.shared.wire.deadline();
        let wanted = (from..=js).map(|js| self.frame(known.life, &known.place, js, deadline));
        let mut frames = HashMap::new();
        for got in join_all(wanted).await {
            match got {
                Ok(frame) => drop(frames.insert(frame.js, frame)),
                Err(Fetch::Missing) => {}
                Err(Fetch::Failed(error)) => return Err(error),
            }
        }
        Ok(frames)
    }
}

fn learn(
    window: &mut KeyWindow,
    keys: impl Iterator<Item = (crate::log::IdempotencyKey, crate::log::Position)>,
) {
    for (key, position) in keys {
        window.stage(key, position);
        window.settle([key]);
    }
}
