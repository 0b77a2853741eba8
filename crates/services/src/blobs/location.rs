//! Places that callers name: blobs over http(s), with the shared access signature in the URL; files of the folder that the
//! operator opened.

use std::fmt;
use std::path::{Component, PathBuf};

use pollux_model::resource::Setting;
use url::{Host, Url};

use super::guard::{Guard, is_public};
use super::{BlobError, Reach};

/// Who named a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Named {
    /// Whoever may use a service's API: our network is not his.
    ByCaller,
    /// The operator.
    ByOperator,
}

/// A blob, or a file.
#[derive(Clone)]
pub enum Location {
    /// By its URL, which may carry a signature.
    Blob {
        /// Where it is.
        url: Url,
        /// Who says so.
        named: Named,
    },
    /// By its path, which must not lead out of the folder.
    File {
        /// What is open.
        folder: PathBuf,
        /// The file.
        path: PathBuf,
    },
}

impl fmt::Debug for Location {
    /// Signatures and keys are secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Location(***)")
    }
}

impl Location {
    /// Reads a URL of a caller's; `field` is for messages. Names are not resolved yet.
    ///
    /// # Errors
    /// [`BlobError::No`]: it is no place that may be reached, and what would be one.
    pub fn read(field: &str, text: &Setting, reach: &Reach) -> Result<Self, BlobError> {
        let url = Url::parse(&text.0).map_err(|error| {
            BlobError::No(format!(
                "{field} is not a URL ({error}). Give the URL of a blob with its shared access signature."
            ))
        })?;
        match url.scheme() {
            "http" | "https" => Self::blob(field, url, reach),
            "file" => Self::file(field, &url, reach),
            other => Err(BlobError::No(format!(
                "{field} has the scheme '{other}'; use https, or file where the operator allows it."
            ))),
        }
    }

    fn blob(field: &str, url: Url, reach: &Reach) -> Result<Self, BlobError> {
        let host = url.host_str().unwrap_or_default().to_owned();
        let named = Named::ByCaller;
        if Guard::new(&reach.hosts).is_named(&host) {
            return Ok(Self::Blob { url, named });
        }
        if url.scheme() == "http" {
            return Err(BlobError::No(format!(
                "{field} must begin with https: its signature is a secret. The operator can name '{host}' in jobs.hosts."
            )));
        }
        let address = match url.host() {
            Some(Host::Ipv4(address)) => Some(address.into()),
            Some(Host::Ipv6(address)) => Some(address.into()),
            Some(Host::Domain(_)) | None => None,
        };
        if address.is_some_and(|address| !is_public(address)) {
            return Err(BlobError::No(format!(
                "{field} leads to '{host}', which is this machine or in a private network. The operator can name it in \
                 jobs.hosts."
            )));
        }
        Ok(Self::Blob { url, named })
    }

    fn file(field: &str, url: &Url, reach: &Reach) -> Result<Self, BlobError> {
        let Some(folder) = &reach.folder else {
            return Err(BlobError::No(format!(
                "{field} is a file, and no files are open to jobs here. The operator can name a folder in jobs.folder."
            )));
        };
        let path =
            url.to_file_path().map_err(|()| BlobError::No(format!("{field} is no path of this machine.")))?;
        let plain = path.components().all(|part| matches!(part, Component::RootDir | Component::Normal(_)));
        if !plain || !path.starts_with(folder) || path == *folder {
            return Err(BlobError::No(format!(
                "{field} is not in the folder '{}', which is open to jobs.",
                folder.display()
            )));
        }
        Ok(Self::File { folder: folder.clone(), path })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, reach: &Reach) -> Result<Location, String> {
        Location::read("inputBlobUri", &Setting(text.to_owned()), reach).map_err(BlobError::message)
    }

    #[test]
    fn urls_that_may_not_be_reached_say_what_may() {
        let none = Reach::default();
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
        let named = Reach { hosts: vec!["127.0.0.1".to_owned()], folder: Some("/data/jobs".into()) };
        assert!(read("http://127.0.0.1:10000/c/b", &named).is_ok());
        assert!(read("file:///data/jobs/a/b.ndjson", &named).is_ok());
        for url in
            ["file:///data/jobs/../x", "file:///data/jobsx/a", "file:///etc/passwd", "file:///data/jobs"]
        {
            assert!(read(url, &named).is_err(), "{url}");
        }
    }
}
