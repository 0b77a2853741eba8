//! Where inputs come from and logs go to: blobs over http(s), with the shared access signature in the URL; files of the
//! folder that the operator opened.
//!
//! Nothing of an answer's body is shown to anyone, and redirects are not followed: what a job is pointed at stays unseen.

use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use pollux_model::job::JobError;
use pollux_model::resource::Setting;
use pollux_model::{Error, Result};
use reqwest::header::{CONTENT_LENGTH, ETAG, IF_MATCH, RANGE};
use reqwest::{Method, StatusCode};
use tokio::fs::File;
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _, AsyncWriteExt as _};
use url::{Host, Url};

use super::guard::{Guard, is_public};
use super::{JobSettings, Jobs, refuse};
use crate::Context;

/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(10);
/// How long nothing may come.
const SILENCE: Duration = Duration::from_secs(30);
/// The version of the storage API; a shared access signature names its own.
const STORAGE_VERSION: &str = "2021-08-06";
/// Bytes read of a file at once.
const PORTION: usize = 256 * 1024;

/// A place of a job's input or log.
#[derive(Clone)]
pub(super) enum Location {
    Blob(Url),
    File(PathBuf),
}

/// Why a place cannot be read or written.
#[derive(Debug)]
pub(super) enum BlobError {
    /// Trying again may help.
    Away(String),
    /// It will not.
    No(String),
}

impl BlobError {
    /// As a job's error.
    pub(super) fn job(self, code: &str) -> JobError {
        let (Self::Away(message) | Self::No(message)) = self;
        JobError { code: code.to_owned(), message }
    }
}

impl Location {
    /// Reads a URL; `field` is for messages. Names are not resolved yet.
    ///
    /// # Errors
    /// [`pollux_model::ErrorCode::ValidationFailed`]: it is no place that a job may reach, and what would be one.
    pub(super) fn read(field: &str, text: &Setting, settings: &JobSettings) -> Result<Self> {
        let url = Url::parse(&text.0).map_err(|error| {
            refuse(format!(
                "{field} is not a URL ({error}). Give the URL of a blob with its shared access signature."
            ))
        })?;
        match url.scheme() {
            "http" | "https" => Self::blob(field, url, settings),
            "file" => Self::file(field, &url, settings).map(Self::File),
            other => Err(refuse(format!(
                "{field} has the scheme '{other}'; use https, or file where the operator allows it."
            ))),
        }
    }

    fn blob(field: &str, url: Url, settings: &JobSettings) -> Result<Self> {
        let host = url.host_str().unwrap_or_default().to_owned();
        if Guard::new(&settings.hosts).is_named(&host) {
            return Ok(Self::Blob(url));
        }
        if url.scheme() == "http" {
            return Err(refuse(format!(
                "{field} must begin with https: its signature is a secret. The operator can name '{host}' in jobs.hosts."
            )));
        }
        let address = match url.host() {
            Some(Host::Ipv4(address)) => Some(address.into()),
            Some(Host::Ipv6(address)) => Some(address.into()),
            Some(Host::Domain(_)) | None => None,
        };
        if address.is_some_and(|address| !is_public(address)) {
            return Err(refuse(format!(
                "{field} leads to '{host}', which is this machine or in a private network. The operator can name it in \
                 jobs.hosts."
            )));
        }
        Ok(Self::Blob(url))
    }

    fn file(field: &str, url: &Url, settings: &JobSettings) -> Result<PathBuf> {
        let Some(folder) = &settings.folder else {
            return Err(refuse(format!(
                "{field} is a file, and no files are open to jobs here. The operator can name a folder in jobs.folder."
            )));
        };
        let path = url.to_file_path().map_err(|()| refuse(format!("{field} is no path of this machine.")))?;
        let plain = path.components().all(|part| matches!(part, Component::RootDir | Component::Normal(_)));
        if !plain || !path.starts_with(folder) || path == *folder {
            return Err(refuse(format!(
                "{field} is not in the folder '{}', which is open to jobs.",
                folder.display()
            )));
        }
        Ok(path)
    }
}

impl Jobs {
    fn client(&self, context: &Context) -> Result<reqwest::Client, BlobError> {
        if let Some(client) = self.client.get() {
            return Ok(client.clone());
        }
        let failed = |error: &dyn std::fmt::Display| BlobError::No(format!("TLS cannot be set up: {error}"));
        let tls = context.trust.config().map_err(|error| failed(&error))?;
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(tls.as_ref().clone())
            .dns_resolver(std::sync::Arc::new(Guard::new(&self.settings.hosts)))
            // A proxy would resolve names itself.
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT)
            .read_timeout(SILENCE)
            .user_agent(concat!("pollux/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| failed(&error))?;
        Ok(self.client.get_or_init(|| client).clone())
    }

    fn request(
        &self,
        context: &Context,
        method: Method,
        url: &Url,
    ) -> Result<reqwest::RequestBuilder, BlobError> {
        Ok(self.client(context)?.request(method, url.clone()).header("x-ms-version", STORAGE_VERSION))
    }

    /// Opens an input from a byte on; `etag`: that of the input it was begun with.
    pub(super) async fn open(
        &self,
        context: &Context,
        location: &Location,
        offset: u64,
        etag: Option<&str>,
    ) -> Result<Input, BlobError> {
        match location {
            Location::File(path) => {
                let mut file =
                    File::open(self.inside(path, false).await?).await.map_err(|error| io("read", &error))?;
                file.seek(std::io::SeekFrom::Start(offset)).await.map_err(|error| io("read", &error))?;
                Ok(Input { source: Source::File(file), etag: None })
            }
            Location::Blob(url) => {
                let mut request = self.request(context, Method::GET, url)?;
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
    }

    /// Makes the log; one that is there already only where the job goes on.
    pub(super) async fn begin_log(
        &self,
        context: &Context,
        location: Location,
        goes_on: bool,
    ) -> Result<Output, BlobError> {
        match &location {
            Location::File(path) => {
                let path = self.inside(path, true).await?;
                let mut options = File::options();
                let opened = options.create(true).append(true).open(&path).await;
                let file = opened.map_err(|error| io("write", &error))?;
                if !goes_on {
                    file.set_len(0).await.map_err(|error| io("write", &error))?;
                }
                Ok(Output::File(file))
            }
            Location::Blob(url) => {
                if !goes_on {
                    let request = self.request(context, Method::PUT, url)?;
                    let request = request.header("x-ms-blob-type", "AppendBlob").header(CONTENT_LENGTH, 0);
                    sent(request, "the log cannot be made").await?;
                }
                Ok(Output::Blob(url.clone()))
            }
        }
    }

    /// Adds to the log.
    pub(super) async fn append(
        &self,
        context: &Context,
        output: &mut Output,
        bytes: Bytes,
    ) -> Result<(), BlobError> {
        match output {
            Output::File(file) => {
                file.write_all(&bytes).await.map_err(|error| io("write", &error))?;
                file.flush().await.map_err(|error| io("write", &error))
            }
            Output::Blob(url) => {
                let mut url = url.clone();
                url.query_pairs_mut().append_pair("comp", "appendblock");
                let request = self.request(context, Method::PUT, &url)?.body(bytes);
                sent(request, "the log cannot be written").await
            }
        }
    }

    /// The path with its links followed: it must still be in the folder.
    async fn inside(&self, path: &Path, may_be_new: bool) -> Result<PathBuf, BlobError> {
        let outside = || BlobError::No("the path leads out of the folder that is open to jobs".to_owned());
        let folder = self.settings.folder.as_ref().ok_or_else(outside)?;
        let folder = tokio::fs::canonicalize(folder).await.map_err(|error| io("read", &error))?;
        let real = match tokio::fs::canonicalize(path).await {
            Ok(real) => real,
            Err(error) if may_be_new && error.kind() == std::io::ErrorKind::NotFound => {
                let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
                    return Err(outside());
                };
                let parent = tokio::fs::canonicalize(parent).await.map_err(|error| io("write", &error))?;
                // A link that leads nowhere is not followed into being.
                if tokio::fs::symlink_metadata(path).await.is_ok() {
                    return Err(outside());
                }
                parent.join(name)
            }
            Err(error) => return Err(io("read", &error)),
        };
        if real.starts_with(&folder) { Ok(real) } else { Err(outside()) }
    }
}

/// An input being read.
#[derive(Debug)]
pub(super) struct Input {
    source: Source,
    /// Of a blob.
    pub(super) etag: Option<String>,
}

#[derive(Debug)]
enum Source {
    Blob(reqwest::Response),
    File(File),
    Nothing,
}

impl Input {
    /// The next bytes; `None` at the end.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, BlobError> {
        match &mut self.source {
            Source::Nothing => Ok(None),
            Source::File(file) => {
                let mut bytes = Vec::with_capacity(PORTION);
                file.take(PORTION as u64)
                    .read_to_end(&mut bytes)
                    .await
                    .map_err(|error| io("read", &error))?;
                Ok((!bytes.is_empty()).then(|| bytes.into()))
            }
            Source::Blob(answer) => {
                // One that ends before its length is an error.
                answer.chunk().await.map_err(|error| lost(&error))
            }
        }
    }
}

/// A log being written.
#[derive(Debug)]
pub(super) enum Output {
    Blob(Url),
    File(File),
}

async fn sent(request: reqwest::RequestBuilder, what: &str) -> Result<(), BlobError> {
    let answer = request.send().await.map_err(|error| lost(&error))?;
    if answer.status().is_success() { Ok(()) } else { Err(refused(what, answer.status())) }
}

fn refused(what: &str, status: StatusCode) -> BlobError {
    let hint = match status {
        StatusCode::NOT_FOUND => ": there is no such blob or container",
        StatusCode::FORBIDDEN | StatusCode::UNAUTHORIZED => {
            ": is its shared access signature good, and not expired?"
        }
        StatusCode::CONFLICT => ": there is a blob of another type",
        _ => "",
    };
    let text = format!("{what}: the storage answers {status}{hint}");
    if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS {
        BlobError::Away(text)
    } else {
        BlobError::No(text)
    }
}

/// The causes, without the URL: its signature is a secret.
fn lost(error: &reqwest::Error) -> BlobError {
    let mut text = "the storage does not answer".to_owned();
    let mut next = std::error::Error::source(error);
    while let Some(cause) = next {
        text = format!("{text}: {cause}");
        next = cause.source();
    }
    BlobError::Away(text)
}

fn io(verb: &str, error: &std::io::Error) -> BlobError {
    BlobError::No(format!("the file cannot be {}: {error}", if verb == "read" { "read" } else { "written" }))
}

impl From<BlobError> for Error {
    fn from(error: BlobError) -> Self {
        let (BlobError::Away(message) | BlobError::No(message)) = error;
        refuse(message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, settings: &JobSettings) -> Result<Location, String> {
        Location::read("inputBlobUri", &Setting(text.to_owned()), settings).map_err(|error| error.message)
    }

    #[test]
    fn urls_that_may_not_be_reached_say_what_may() {
        let none = JobSettings::default();
        for (url, what) in [
            ("nonsense", "not a URL"),
            ("ftp://example.com/x", "scheme"),
            ("http://account.blob.core.windows.net/c/b", "must begin with https"),
            ("https://127.0.0.1/c/b", "private network"),
            ("https://2130706433/c/b", "private network"),
            ("https://[::1]/c/b", "private network"),
            ("https://169.254.169.254/latest/meta-data", "private network"),
            ("file:///etc/passwd", "no files are open"),
        ] {
            let refused = read(url, &none).err().unwrap();
            assert!(refused.contains(what), "{url}: {refused}");
        }
        assert!(read("https://account.blob.core.windows.net/c/b?sig=x", &none).is_ok());
        let named = JobSettings { hosts: vec!["127.0.0.1".to_owned()], folder: Some("/data/jobs".into()) };
        assert!(read("http://127.0.0.1:10000/c/b", &named).is_ok());
        assert!(read("file:///data/jobs/a/b.ndjson", &named).is_ok());
        for url in
            ["file:///data/jobs/../x", "file:///data/jobsx/a", "file:///etc/passwd", "file:///data/jobs"]
        {
            assert!(read(url, &named).is_err(), "{url}");
        }
    }
}
