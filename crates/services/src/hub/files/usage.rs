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

/// What a file or folder takes beside its bytes: an empty one takes room, and names.
pub(super) const LEAST: u64 = 4096;
/// How long a count is good for.
const GOOD: Duration = Duration::from_secs(300);
/// How long it is good for where there is no room: to count takes a while.
const GOOD_IF_FULL: Duration = Duration::from_secs(5);

/// What is known of the room that files take.
#[derive(Debug, Default)]
pub(super) struct Usage {
    /// By hub: when it was counted, and how much there is.
    counts: Mutex<HashMap<ResourceName, (Instant, u64)>>,
    /// Held by whoever counts: others wait for what he finds, for each count reads the whole folder.
    counting: tokio::sync::Mutex<()>,
}

impl Usage {
    /// Adds bytes if there is room; `None`: it must be counted first.
    fn add(&self, hub: &ResourceName, bytes: u64, most: u64) -> Option<Result<(), BlobRefusal>> {
        let mut all = self.counts.lock();
        let (counted, used) = all.get_mut(hub)?;
        let room = used.saturating_add(bytes) <= most;
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
        let (hub, most, usage) = (&grant.hub.name, self.context.limits.files, &self.files.usage);
        if let Some(added) = usage.add(hub, bytes, most) {
            return added;
        }
        let Container::Folder { path, .. } = self.folder(grant)? else { return Err(BlobRefusal::Missing) };
        let _alone = usage.counting.lock().await;
        // Somebody counted meanwhile.
        if let Some(added) = usage.add(hub, bytes, most) {
            return added;
        }
        let used = tokio::task::spawn_blocking(move || size_of(&path)).await;
        let used = used.map_err(|error| BlobRefusal::Failed(error.to_string()))?;
        usage.counts.lock().insert(hub.clone(), (Instant::now(), used));
        usage.add(hub, bytes, most).unwrap_or(Err(BlobRefusal::Full(most)))
    }
}

/// Of all files and folders below; those that go away meanwhile do not count.
fn size_of(folder: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(folder) else { return 0 };
    entries
        .flatten()
        .map(|entry| match entry.file_type() {
            Ok(kind) if kind.is_dir() => LEAST + size_of(&entry.path()),
            Ok(kind) if kind.is_file() => LEAST + entry.metadata().map_or(0, |file| file.len()),
            _ => 0,
        })
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_file_takes_room() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(size_of(folder.path()), 0);
        std::fs::create_dir(folder.path().join("d1")).unwrap();
        std::fs::write(folder.path().join("d1/empty"), "").unwrap();
        std::fs::write(folder.path().join("ten"), "0123456789").unwrap();
        assert_eq!(size_of(folder.path()), 3 * LEAST + 10);
    }
}
