//! What was begun and not finished goes away: drafts that a crash left, and blocks that nobody listed. Of a storage account there
//! is nothing to sweep: it forgets blocks that are in no blob after a week ("Put Block"). Parts of objects the storage endpoint
//! itself removes ([`forwarding`](crate::forwarding)).

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use pollux_model::Timestamp;
use pollux_model::resource::ResourceKind;
use tokio_util::sync::CancellationToken;

use super::{CONTAINER, Hub};
use crate::blobs::DRAFT;
use crate::cluster::Holding;

/// How often is looked.
const PERIOD: Duration = Duration::from_secs(3600);
/// How long a URL may live, and some more: what is older belongs to no upload any more. A storage account keeps blocks for a week
/// ("Put Block").
const KEEP: Duration = Duration::from_secs(25 * 3600);

impl Hub {
    /// Looks from time to time until shutdown: one node at the folder that all share, each at the one that is open to its jobs.
    pub(crate) async fn run_file_sweep(self: Arc<Self>, shutdown: CancellationToken) {
        let shared = |holding: Holding| {
            let hub = Arc::clone(&self);
            async move { every(&holding.stop, || hub.sweep_files(KEEP)).await }
        };
        let shared = self.context.cluster.while_held("files", &shutdown, shared);
        tokio::join!(shared, every(&shutdown, || self.sweep_exports(KEEP)));
    }

    /// Removes what was not touched for so long and is no blob: of uploads, and of what storage endpoints write. What devices
    /// uploaded to a hub that is gone goes too: whoever deleted it was stopped before.
    pub(super) async fn sweep_files(&self, keep: Duration) {
        let Some(root) = self.files.blobs.root() else { return };
        self.remove_left(root).await;
        self.sweep_folder(root, keep).await;
    }

    /// Removes what exports did not finish.
    pub(super) async fn sweep_exports(&self, keep: Duration) {
        if let Some(folder) = &self.files.blobs.reach().folder {
            self.sweep_folder(folder, keep).await;
        }
    }

    async fn sweep_folder(&self, folder: &Path, keep: Duration) {
        let age = self.context.clock.now().minus(keep).since(Timestamp::from_secs(0));
        let (folder, before) = (folder.to_owned(), SystemTime::UNIX_EPOCH + age);
        if let Err(error) = tokio::task::spawn_blocking(move || sweep(&folder, before)).await {
            tracing::warn!(%error, "files that were not finished cannot be swept");
        }
    }

    async fn remove_left(&self, root: &Path) {
        let Ok(mut entries) = tokio::fs::read_dir(root).await else { return };
        let mut names = Vec::new();
        while let Ok(Some(entry)) = entries.next_entry().await {
            if let Ok(name) = entry.file_name().into_string()
                && !name.starts_with(DRAFT)
            {
                names.push(name);
            }
        }
        // Of the store, and after the names: another node may have made a hub that is not known here yet.
        let Ok(stored) = self.context.store.resources().await else { return };
        let is_hub =
            |name: &str| stored.iter().any(|one| one.kind() == ResourceKind::Hub && &*one.name == name);
        for left in names.iter().filter(|name| !is_hub(name)) {
            self.files.blobs.remove_own(left, CONTAINER).await;
        }
    }
}

/// Does something now and every hour.
async fn every<F: Future<Output = ()>>(stop: &CancellationToken, work: impl Fn() -> F) {
    loop {
        work().await;
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(PERIOD) => {}
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
