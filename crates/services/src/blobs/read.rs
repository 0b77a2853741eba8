//! Reading a blob or file, from any byte on.

use bytes::Bytes;
use pollux_model::Timestamp;
use reqwest::header::{CONTENT_LENGTH, ETAG, IF_MATCH, LAST_MODIFIED, RANGE};
use reqwest::{Method, StatusCode};
use tokio::fs::File;
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _};

use super::{BlobError, Blobs, Location, WHOLE, folder, lost, read_http_date, refused};

/// Bytes read of a file at once.
const PORTION: usize = 256 * 1024;

/// An input being read.
#[derive(Debug)]
pub struct Input {
    source: Source,
    /// Of a blob.
    pub etag: Option<String>,
}

#[derive(Debug)]
enum Source {
    Blob(reqwest::Response),
    File(File),
    Nothing,
}

impl Blobs {
    /// Opens an input from a byte on; `etag`: that of the input it was begun with.
    ///
    /// # Errors
    /// [`BlobError::Missing`]: it is not there; [`BlobError::No`]: it is another one by now, or not ours to read.
    pub async fn open(
        &self,
        location: &Location,
        offset: u64,
        etag: Option<&str>,
    ) -> Result<Input, BlobError> {
        let url = match location {
            Location::File { folder, path } => {
                let path = folder::inside(folder, path, false).await?;
                let failed = |error| BlobError::io("read", &error);
                let mut file = File::open(path).await.map_err(failed)?;
                file.seek(std::io::SeekFrom::Start(offset)).await.map_err(failed)?;
                return Ok(Input { source: Source::File(file), etag: None });
            }
            Location::Blob(url) => url,
        };
        let mut request = self.request(Method::GET, url, &[])?;
        if offset > 0 {
            request = request.header(RANGE, format!("bytes={offset}-"));
        }
        if let Some(etag) = etag {
            request = request.header(IF_MATCH, etag);
        }
        let answer = request.send().await.map_err(|error| lost(&error))?;
        match answer.status() {
            StatusCode::OK if offset == 0 => {}
            StatusCode::PARTIAL_CONTENT => {}
            // Nothing is behind its end: all of it was read before.
            StatusCode::RANGE_NOT_SATISFIABLE => {
                return Ok(Input { source: Source::Nothing, etag: None });
            }
            StatusCode::PRECONDITION_FAILED => {
                return Err(BlobError::No("the input was changed while it was imported".to_owned()));
            }
            status => return Err(refused("the input cannot be read", status)),
        }
        let text = |name| answer.headers().get(name).and_then(|value| value.to_str().ok());
        let etag = text(ETAG).map(str::to_owned);
        Ok(Input { source: Source::Blob(answer), etag })
    }
}

/// What is known of a blob.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlobState {
    /// In bytes.
    pub size: u64,
    /// When it was last written.
    pub modified: Timestamp,
}

impl BlobState {
    /// Of a file.
    #[must_use]
    pub fn of(file: &std::fs::Metadata) -> Self {
        let since = file.modified().ok().and_then(|at| at.duration_since(std::time::UNIX_EPOCH).ok());
        Self { size: file.len(), modified: Timestamp::from_secs(0).plus(since.unwrap_or_default()) }
    }
}

impl Blobs {
    /// Looks at a blob without reading it.
    ///
    /// # Errors
    /// [`BlobError::Missing`]: it is not there.
    pub async fn state(&self, location: &Location) -> Result<BlobState, BlobError> {
        let url = match location {
            Location::File { folder, path } => {
                let path = folder::inside(folder, path, false).await?;
                let found = tokio::fs::metadata(path).await.map_err(|error| BlobError::io("read", &error))?;
                if found.is_dir() {
                    return Err(BlobError::Missing("there is no such blob".to_owned()));
                }
                return Ok(BlobState::of(&found));
            }
            Location::Blob(url) => url,
        };
        let answer = self.request(Method::HEAD, url, &[])?.timeout(WHOLE).send().await;
        let answer = answer.map_err(|error| lost(&error))?;
        if !answer.status().is_success() {
            return Err(refused("the blob cannot be looked at", answer.status()));
        }
        let text = |name| answer.headers().get(name).and_then(|value| value.to_str().ok());
        let size = text(CONTENT_LENGTH).and_then(|text| text.parse().ok()).unwrap_or_default();
        let modified = text(LAST_MODIFIED).and_then(read_http_date);
        Ok(BlobState { size, modified: modified.unwrap_or_else(|| self.context.clock.now()) })
    }
}

impl Input {
    /// The next bytes; `None` at the end.
    pub async fn next(&mut self) -> Result<Option<Bytes>, BlobError> {
        match &mut self.source {
            Source::Nothing => Ok(None),
            Source::File(file) => {
                let mut bytes = Vec::with_capacity(PORTION);
                file.take(PORTION as u64)
                    .read_to_end(&mut bytes)
                    .await
                    .map_err(|error| BlobError::io("read", &error))?;
                Ok((!bytes.is_empty()).then(|| bytes.into()))
            }
            Source::Blob(answer) => {
                // One that ends before its length is an error.
                answer.chunk().await.map_err(|error| lost(&error))
            }
        }
    }
}
