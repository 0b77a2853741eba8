//! How many bytes of files a hub has here. What is written is added at once; what is not there any more is found when it is counted
//! anew, which is when there seems to be no room, and from time to time.

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use parking_lot::Mutex;
use pollux_model::ResourceName;
use tokio::time::Instant;

use super::{BlobGrant, BlobRefusal, Hub};
use crate::blobs::Container;

/// How long a count is good for.
const GOOD: Duration = Duration::from_secs(300);
/// How long it is good for where there is no room: to count takes a while.
const GOOD_IF_FULL: Duration = Duration::from_secs(5);

/// By hub: when it was counted, and how much there is.
#[derive(Debug, Default)]
pub(super) struct Usage(Mutex<HashMap<ResourceName, (Instant, u64)>>);

impl Usage {
    /// Adds bytes if there is room; `None`: it must be counted first.
    fn add(&self, hub: &ResourceName, bytes: u64, most: u64) -> Option<Result<(), BlobRefusal>> {
        let mut all = self.0.lock();
        let (counted, used) = all.get_mut(hub)?;
        let room = *used + bytes <= most;
        if counted.elapsed() > if room { GOOD } else { GOOD_IF_FULL } {
            return None;
        }
        if !room {
            return Some(Err(BlobRefusal::Full(most)));
        }
        *used += bytes;
        Some(Ok(()))
    }
}

impl Hub {
    /// Takes room for bytes that are about to be written.
    pub(super) async fn reserve(&self, grant: &BlobGrant, bytes: u64) -> Result<(), BlobRefusal> {
        let (hub, most) = (&grant.hub.name, self.context.limits.files);
        if let Some(added) = self.files.usage.add(hub, bytes, most) {
            return added;
        }
        let Container::Folder { path, .. } = self.folder(grant)? else { return Err(BlobRefusal::Missing) };
        let used = tokio::task::spawn_blocking(move || size_of(&path)).await;
        let used = used.map_err(|error| BlobRefusal::Failed(error.to_string()))?;
        self.files.usage.0.lock().insert(hub.clone(), (Instant::now(), used));
        self.files.usage.add(hub, bytes, most).unwrap_or(Err(BlobRefusal::Full(most)))
    }
}

/// Of all files below; those that go away meanwhile do not count.
fn size_of(folder: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(folder) else { return 0 };
    entries
        .flatten()
        .map(|entry| match entry.file_type() {
            Ok(kind) if kind.is_dir() => size_of(&entry.path()),
            Ok(kind) if kind.is_file() => entry.metadata().map_or(0, |file| file.len()),
            _ => 0,
        })
        .sum()
}
