//! Places that callers name: blobs over http(s), with the shared access signature in the URL; files of the folder that the
//! operator opened.

use std::fmt;
use std::path::{Component, PathBuf};

use pollux_model::Timestamp;
use pollux_model::resource::Setting;
use url::{Host, Url};

use super::guard::{Guard, is_public};
use super::{Account, BlobError, Reach};

/// Who named a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Named {
    /// Whoever may use a service's API: our network is not his.
    ByCaller,
    /// The operator.
    ByOperator,
}

/// Where a blob or container is, and what opens it.
#[derive(Clone)]
pub struct BlobUrl {
    /// Without what is signed anew for each request.
    url: Url,
    named: Named,
    /// Whose key signs requests; `None`: what opens the blob is in its URL.
    account: Option<Account>,
}

impl fmt::Debug for BlobUrl {
    /// Signatures and keys are secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BlobUrl(***)")
    }
}

impl BlobUrl {
    /// One that carries what opens it, if it needs anything.
    pub(super) const fn given(url: Url, named: Named) -> Self {
        Self { url, named, account: None }
    }

    /// One of an account of the operator's.
    pub(super) const fn of_account(url: Url, account: Account) -> Self {
        Self { url, named: Named::ByOperator, account: Some(account) }
    }

    /// Who named it.
    pub(super) const fn named(&self) -> Named {
        self.named
    }

    /// The URL of a request that begins now. What an account's key opens is good for an hour, and work may take longer: it is
    /// made anew for each request.
    pub(super) fn at(&self, now: Timestamp) -> Url {
        let mut url = self.url.clone();
        if let Some(account) = &self.account {
            url.set_query(Some(&account.own_query(now)));
        }
        url
    }

    /// As it was given.
    pub(super) fn into_given(self) -> (Url, Named) {
        (self.url, self.named)
    }
}

/// A URL as it may be shown: without what opens the place, be it a signature in its query or a user with a password. Nothing of what
/// is no URL.
#[must_use]
pub fn bare_url(text: &Setting) -> String {
    let Ok(mut url) = Url::parse(&text.0) else { return String::new() };
    url.set_query(None);
    url.set_fragment(None);
    // Where a scheme has no user, there is none to take away.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.into()
}

/// A blob, or a file.
#[derive(Clone)]
pub enum Location {
    /// By its URL, which may carry a signature.
    Blob(BlobUrl),
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
            return Ok(Self::Blob(BlobUrl::given(url, named)));
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
        Ok(Self::Blob(BlobUrl::given(url, named)))
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
    fn what_is_shown_of_a_url_opens_nothing() {
        for (text, shown) in [
            ("https://plant.blob.core.windows.net/c?sig=secret", "https://plant.blob.core.windows.net/c"),
            ("https://user:secret@blobs.plant.lan:8443/c/d#secret", "https://blobs.plant.lan:8443/c/d"),
            ("https://secret@blobs.plant.lan/c", "https://blobs.plant.lan/c"),
            ("file:///data/jobs/x", "file:///data/jobs/x"),
            ("secret", ""),
        ] {
            assert_eq!(bare_url(&Setting(text.to_owned())), shown);
        }
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
