//! What was begun and not finished goes away: drafts that a crash left, and blocks that nobody listed.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use pollux_model::Timestamp;
use pollux_model::resource::ResourceKind;
use tokio_util::sync::CancellationToken;

use super::{CONTAINER, Hub};
use crate::blobs::{Container, DRAFT};
use crate::cluster::Holding;

/// How often is looked.
const PERIOD: Duration = Duration::from_secs(3600);
/// How long a URL may live, and some more: what is older belongs to no upload any more. A storage account keeps blocks for a week
/// ("Put Block").
const KEEP: Duration = Duration::from_secs(25 * 3600);

impl Hub {
    /// Looks from time to time until shutdown; one node does it for all.
    pub(crate) async fn run_file_sweep(self: Arc<Self>, shutdown: CancellationToken) {
        let work = |holding: Holding| Arc::clone(&self).sweep_until(holding.stop);
        self.context.cluster.while_held("files", &shutdown, work).await;
    }

    async fn sweep_until(self: Arc<Self>, stop: CancellationToken) {
        loop {
            self.sweep_files(KEEP).await;
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(PERIOD) => {}
            }
        }
    }

    /// Removes the files of a hub that is deleted, where they are in a folder.
    pub(crate) async fn remove_files(&self, hub: &str) {
        let Ok(Container::Folder { path, .. }) = self.files.blobs.own(hub, CONTAINER) else { return };
        match tokio::fs::remove_dir_all(&path).await {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                tracing::warn!(hub, %error, "files of a hub that is deleted cannot be removed");
            }
            _ => {}
        }
    }

    /// Removes what was not touched for so long and is no blob.
    pub(super) async fn sweep_files(&self, keep: Duration) {
        let age = self.context.clock.now().minus(keep).since(Timestamp::from_secs(0));
        let before = SystemTime::UNIX_EPOCH + age;
        for hub in self.context.table.all().iter().filter(|one| one.kind() == ResourceKind::Hub) {
            let Ok(Container::Folder { path, .. }) = self.files.blobs.own(&hub.name, CONTAINER) else {
                return;
            };
            if let Err(error) = tokio::task::spawn_blocking(move || sweep(&path, before)).await {
                tracing::warn!(%error, "files that were not finished cannot be swept");
            }
        }
    }
}

fn sweep(folder: &Path, before: SystemTime) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let (path, draft) = (entry.path(), entry.file_name().to_string_lossy().starts_with(DRAFT));
        let Ok(found) = entry.metadata() else { continue };
        if found.is_dir() {
            if draft { sweep_blocks(&path, before) } else { sweep(&path, before) }
        } else if draft {
            remove_old(&path, &found, before);
        }
    }
}

/// Blocks, in a folder for each blob.
fn sweep_blocks(folder: &Path, before: SystemTime) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let Ok(found) = entry.metadata() else { continue };
        if found.is_dir() {
            sweep_blocks(&entry.path(), before);
            // One that is not empty stays.
            let _ = std::fs::remove_dir(entry.path());
        } else {
            remove_old(&entry.path(), &found, before);
        }
    }
}

fn remove_old(path: &Path, found: &std::fs::Metadata, before: SystemTime) {
    if found.modified().is_ok_and(|modified| modified <= before) {
        // Another node, or its writer, was faster.
        let _ = std::fs::remove_file(path);
    }
}
