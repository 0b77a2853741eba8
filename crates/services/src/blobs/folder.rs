//! Files of a folder: names that stay in it, and drafts that are seen when they are whole.

use std::path::{Path, PathBuf};

use pollux_model::Random;
use tokio::fs::File;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::BlobError;

/// What files and folders begin with that are no blobs: those that are not whole, and blocks. No blob's name has it.
pub const DRAFT: &str = ".pollux-";
/// Characters of a blob's name at most ("Naming and Referencing Containers, Blobs, and Metadata").
const LONGEST: usize = 1024;
/// Bytes that are copied at once.
const COPIED: usize = 1024 * 1024;
/// Bytes of a file's name at most.
const LONGEST_FILE: usize = 255;

/// Checks the name of a blob: 1 to 1024 characters, parts divided by slashes, none empty and none that leads elsewhere.
///
/// # Errors
/// [`BlobError::No`] says what is wrong with it.
pub fn check_name(name: &str) -> Result<(), BlobError> {
    let no = |why: &str| Err(BlobError::No(format!("the blob's name {why}")));
    if name.is_empty() || name.chars().count() > LONGEST {
        return no("must have 1 to 1024 characters");
    }
    if name.chars().any(char::is_control) {
        return no("has a control character");
    }
    for part in name.split('/') {
        if part.is_empty() || part == "." || part == ".." {
            return no("must not have a part that is empty, '.' or '..'");
        }
        if part.starts_with(DRAFT) {
            return no("must not have a part that begins with '.pollux-'");
        }
    }
    Ok(())
}

/// The file of a blob in a folder.
///
/// # Errors
/// [`BlobError::No`]: as of [`check_name`], or a part is too long for a file's name.
pub fn file_path(folder: &Path, name: &str) -> Result<PathBuf, BlobError> {
    check_name(name)?;
    let mut path = folder.to_owned();
    for part in name.split('/') {
        if part.len() > LONGEST_FILE {
            let text = format!("a part of the blob's name has more than {LONGEST_FILE} bytes");
            return Err(BlobError::No(text));
        }
        path.push(part);
    }
    Ok(path)
}

/// The path with its links followed: it must still be in the folder.
pub(super) async fn inside(folder: &Path, path: &Path, may_be_new: bool) -> Result<PathBuf, BlobError> {
    let outside = || BlobError::No("the path leads out of the folder that is open".to_owned());
    let failed = |verb: &'static str| move |error: std::io::Error| BlobError::io(verb, &error);
    let folder = tokio::fs::canonicalize(folder).await.map_err(failed("read"))?;
    let real = match tokio::fs::canonicalize(path).await {
        Ok(real) => real,
        Err(error) if may_be_new && error.kind() == std::io::ErrorKind::NotFound => {
            let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
                return Err(outside());
            };
            let parent = tokio::fs::canonicalize(parent).await.map_err(failed("written"))?;
            // A link that leads nowhere is not followed into being.
            if tokio::fs::symlink_metadata(path).await.is_ok() {
                return Err(outside());
            }
            parent.join(name)
        }
        // What is below a file is not there.
        Err(error) if !may_be_new && error.kind() == std::io::ErrorKind::NotADirectory => {
            return Err(BlobError::io("read", &std::io::ErrorKind::NotFound.into()));
        }
        Err(error) => return Err(BlobError::io("read", &error)),
    };
    if real.starts_with(&folder) { Ok(real) } else { Err(outside()) }
}

/// Makes the folders that lead to one and are not there; a link on the way must not lead out of the outer one. They are durable
/// when this returns: a file in a folder that a power failure takes away is no file.
pub(super) async fn make_folders(folder: &Path, wanted: &Path) -> Result<(), BlobError> {
    let failed = |error| BlobError::io("written", &error);
    let mut missing = Vec::new();
    for there in wanted.ancestors().filter(|path| !path.as_os_str().is_empty()) {
        let Ok(found) = tokio::fs::symlink_metadata(there).await else {
            missing.push(there);
            continue;
        };
        if there.starts_with(folder) {
            inside(folder, there, false).await?;
        }
        if found.is_file() {
            let taken = std::io::Error::from(std::io::ErrorKind::NotADirectory);
            return Err(BlobError::io("written", &taken));
        }
        break;
    }
    for new in missing.into_iter().rev() {
        match tokio::fs::create_dir(new).await {
            Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => return Err(failed(error)),
            // Somebody else made it just now: whether it is durable yet is not known here.
            _ => sync_folder(new.parent().unwrap_or(new)).await?,
        }
    }
    Ok(())
}

/// Makes the names in a folder durable.
pub(super) async fn sync_folder(folder: &Path) -> Result<(), BlobError> {
    let failed = |error| BlobError::io("written", &error);
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    File::open(folder).await.map_err(failed)?.sync_all().await.map_err(failed)
}

/// A file that is being written, beside the place that it will have. Dropped unfinished, it is gone.
#[derive(Debug)]
pub struct Draft {
    file: File,
    path: PathBuf,
    /// Removed unless it was moved to its place.
    draft: Option<PathBuf>,
}

impl Draft {
    /// Begins one for a path in a folder; what is between the two is made.
    pub async fn begin(folder: &Path, path: &Path, random: &dyn Random) -> Result<Self, BlobError> {
        let failed = |error| BlobError::io("written", &error);
        let parent = path.parent().unwrap_or(folder);
        make_folders(folder, parent).await?;
        let path = inside(folder, path, true).await?;
        if tokio::fs::metadata(&path).await.is_ok_and(|found| found.is_dir()) {
            let taken = std::io::Error::from(std::io::ErrorKind::IsADirectory);
            return Err(BlobError::io("written", &taken));
        }
        let draft = path.with_file_name(format!("{DRAFT}{}", random.uuid().simple()));
        let file = File::options().write(true).create_new(true).open(&draft).await.map_err(failed)?;
        Ok(Self { file, path, draft: Some(draft) })
    }

    /// Adds to it.
    pub async fn write(&mut self, bytes: &[u8]) -> Result<(), BlobError> {
        self.file.write_all(bytes).await.map_err(|error| BlobError::io("written", &error))
    }

    /// Adds what is in another file.
    pub async fn write_file(&mut self, path: &Path) -> Result<u64, BlobError> {
        let mut other = File::open(path).await.map_err(|error| BlobError::io("read", &error))?;
        let mut buffer = vec![0; COPIED];
        let mut all = 0;
        loop {
            let count = other.read(&mut buffer).await.map_err(|error| BlobError::io("read", &error))?;
            if count == 0 {
                return Ok(all);
            }
            self.write(&buffer[..count]).await?;
            all += count as u64;
        }
    }

    /// Puts it into its place, durably, whatever is there.
    pub async fn finish(mut self) -> Result<(), BlobError> {
        self.sync().await?;
        if let Some(draft) = &self.draft {
            let moved = tokio::fs::rename(draft, &self.path).await;
            moved.map_err(|error| BlobError::io("written", &error))?;
        }
        self.draft = None;
        sync_folder(self.path.parent().unwrap_or(&self.path)).await
    }

    /// Puts it into its place, durably, if nothing is there; says whether it did. Of several who try at the same moment, on any
    /// node, one does.
    pub async fn finish_new(mut self) -> Result<bool, BlobError> {
        self.sync().await?;
        let Some(draft) = &self.draft else { return Ok(false) };
        match tokio::fs::hard_link(draft, &self.path).await {
            Ok(()) => {}
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => return Ok(false),
            // A file system without links: of those who try here, their caller lets one do so at a time.
            Err(error) if error.kind() == std::io::ErrorKind::Unsupported => {
                if tokio::fs::symlink_metadata(&self.path).await.is_ok() {
                    return Ok(false);
                }
                return self.finish().await.map(|()| true);
            }
            Err(error) => return Err(BlobError::io("written", &error)),
        }
        let parent = self.path.parent().unwrap_or(&self.path).to_owned();
        // It has two names now: that of the draft goes.
        drop(self);
        sync_folder(&parent).await?;
        Ok(true)
    }

    async fn sync(&mut self) -> Result<(), BlobError> {
        let failed = |error| BlobError::io("written", &error);
        self.file.flush().await.map_err(failed)?;
        self.file.sync_all().await.map_err(failed)
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if let Some(draft) = &self.draft {
            // Nobody sees it, and what cannot be removed now is not in the way.
            let _ = std::fs::remove_file(draft);
        }
    }
}

#[cfg(test)]
mod tests {
    use pollux_model::SystemRandom;

    use super::*;

    #[test]
    fn names_stay_in_their_folder() {
        for name in ["a", "d1/log.txt", "d1/2026/11/a b.bin", "ä/ö", "..a/b..", "a?b#c%2f"] {
            let path = file_path(Path::new("/files/c"), name).unwrap();
            assert_eq!(path, Path::new("/files/c").join(name), "{name}");
        }
        let long = "x".repeat(256);
        for name in
            ["", "/", "/a", "a/", "a//b", "..", "a/../b", "./a", "a/.", "a\0b", "a\nb", ".pollux-1", &long]
        {
            assert!(file_path(Path::new("/files/c"), name).is_err(), "{name:?}");
        }
        assert!(check_name(&"x/".repeat(511)).is_err());
        assert!(check_name(&"xy".repeat(512)).is_ok() && check_name(&"xy".repeat(513)).is_err());
    }

    #[tokio::test]
    async fn a_draft_is_seen_when_it_is_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("d1/log.txt");
        let begin = || Draft::begin(folder.path(), &path, &SystemRandom);
        let mut draft = begin().await.unwrap();
        draft.write(b"half").await.unwrap();
        assert!(!path.exists());
        drop(draft);
        assert_eq!(std::fs::read_dir(folder.path().join("d1")).unwrap().count(), 0);
        let mut draft = begin().await.unwrap();
        draft.write(b"whole").await.unwrap();
        draft.finish().await.unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"whole");
        // A folder is no file, and a file no folder.
        for taken in ["d1", "d1/log.txt/x", "d1/log.txt/x/y"] {
            let begun = Draft::begin(folder.path(), &folder.path().join(taken), &SystemRandom).await;
            assert!(matches!(begun, Err(BlobError::Conflict(_))), "{taken}: {begun:?}");
        }
    }

    /// Two who both saw that nothing is there.
    #[tokio::test]
    async fn one_of_two_drafts_is_new() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/deep/log.txt");
        let begin = || Draft::begin(folder.path(), &path, &SystemRandom);
        let (mut one, mut two) = (begin().await.unwrap(), begin().await.unwrap());
        one.write(b"one").await.unwrap();
        two.write(b"two").await.unwrap();
        assert!(two.finish_new().await.unwrap());
        assert!(!one.finish_new().await.unwrap());
        assert_eq!(std::fs::read(&path).unwrap(), b"two");
        assert_eq!(std::fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "no draft stays");
    }

    #[tokio::test]
    async fn a_link_does_not_lead_out() {
        let (folder, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        std::os::unix::fs::symlink(elsewhere.path(), folder.path().join("out")).unwrap();
        let path = folder.path().join("out/x");
        assert!(Draft::begin(folder.path(), &path, &SystemRandom).await.is_err());
        assert!(!elsewhere.path().join("x").exists());
        std::fs::write(elsewhere.path().join("secret"), "s").unwrap();
        assert!(inside(folder.path(), &folder.path().join("out/secret"), false).await.is_err());
    }
}
