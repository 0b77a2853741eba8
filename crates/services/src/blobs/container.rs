//! Containers, and the places in them.

use std::fmt;
use std::path::PathBuf;

use pollux_model::Timestamp;
use pollux_model::resource::Setting;
use reqwest::Method;
use reqwest::header::CONTENT_LENGTH;
use url::Url;

use super::{
    Account, BlobError, BlobUrl, Blobs, Location, Named, Permissions, Reach, WHOLE, check_name, file_path,
    lost, refused, sent,
};

/// Where blobs are by their names.
#[derive(Clone)]
pub enum Container {
    /// Of an account whose secret the operator gave.
    Account {
        /// With its secret.
        account: Account,
        /// The container's name.
        name: String,
    },
    /// By a URL that carries a signature for it.
    Url {
        /// Where it is.
        url: Url,
        /// Who says so.
        named: Named,
    },
    /// A folder; what is written must not lead out of the outer one.
    Folder {
        /// What is open.
        folder: PathBuf,
        /// The container.
        path: PathBuf,
    },
}

/// A blob that whoever has this may use: `https://{host}/{container}/{blob}{token}` is its URL.
#[derive(Clone, PartialEq, Eq)]
pub struct SignedPlace {
    /// With a port, and whatever is in the path before the container.
    pub host: String,
    /// The container's name.
    pub container: String,
    /// The blob's, as it is.
    pub blob: String,
    /// A query: what opens it.
    pub token: String,
}

impl fmt::Debug for SignedPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignedPlace").field("blob", &self.blob).finish_non_exhaustive()
    }
}

impl fmt::Debug for Container {
    /// Signatures and keys are secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Container(***)")
    }
}

impl Container {
    /// What the operator configured: a connection string and the container's name, or the container's URL with a shared
    /// access signature, which names it itself.
    ///
    /// # Errors
    /// [`BlobError::No`] says what is wrong, and shows no secret.
    pub fn of(text: &Setting, name: &str) -> Result<Self, BlobError> {
        if text.0.starts_with("https://") || text.0.starts_with("http://") {
            let url = Url::parse(&text.0)
                .map_err(|error| BlobError::No(format!("the container's URL is none ({error})")))?;
            return Ok(Self::Url { url, named: Named::ByOperator });
        }
        check_container(name)?;
        Ok(Self::Account { account: Account::read(text)?, name: name.to_owned() })
    }

    /// A container of the operator's account, by its URL without a signature: who names it has no right to it of his own.
    ///
    /// # Errors
    /// [`BlobError::No`]: it is none of this account.
    pub fn of_account_at(text: &Setting, uri: &str) -> Result<Self, BlobError> {
        let account = Account::read(text)?;
        let foreign = || BlobError::No("the container is not in the hub's own storage account".to_owned());
        let given = Url::parse(uri).map_err(|_| foreign())?;
        let own = account.endpoint();
        if (given.host_str(), given.port_or_known_default()) != (own.host_str(), own.port_or_known_default())
        {
            return Err(foreign());
        }
        let name = given.path().strip_prefix(own.path().trim_end_matches('/')).ok_or_else(foreign)?;
        let name = name.trim_matches('/').to_owned();
        check_container(&name)?;
        Ok(Self::Account { account, name })
    }

    /// What a caller gives: the container's URL with a shared access signature, or a folder of that which is open to callers.
    /// `field` is for messages.
    ///
    /// # Errors
    /// As of [`Location::read`].
    pub fn given(field: &str, text: &Setting, reach: &Reach) -> Result<Self, BlobError> {
        Ok(match Location::read(field, text, reach)? {
            Location::Blob(given) => {
                let (url, named) = given.into_given();
                Self::Url { url, named }
            }
            Location::File { folder, path } => Self::Folder { folder, path },
        })
    }

    /// A place in it.
    ///
    /// # Errors
    /// [`BlobError::No`]: a blob cannot have that name.
    pub fn blob(&self, name: &str) -> Result<Location, BlobError> {
        check_name(name)?;
        match self {
            Self::Account { account, name: container } => {
                let parts = std::iter::once(container.as_str()).chain(name.split('/'));
                Ok(Location::Blob(BlobUrl::of_account(below(account.endpoint(), parts), account.clone())))
            }
            Self::Url { url, named } => {
                Ok(Location::Blob(BlobUrl::given(below(url, name.split('/')), *named)))
            }
            Self::Folder { folder, path } => {
                Ok(Location::File { folder: folder.clone(), path: file_path(path, name)? })
            }
        }
    }

    /// Signs a place in it for somebody who has no right of his own. The storage must know the key: a folder's are signed by
    /// who serves them.
    ///
    /// # Errors
    /// [`BlobError::No`]: the name cannot be, or there is no key.
    pub fn sign(
        &self,
        name: &str,
        permissions: Permissions,
        expires: Timestamp,
    ) -> Result<SignedPlace, BlobError> {
        check_name(name)?;
        let Self::Account { account, name: container } = self else {
            let text = "URLs can be signed only with the key of a storage account";
            return Err(BlobError::No(text.to_owned()));
        };
        let token = format!("?{}", account.sign((container, name), permissions, expires)?);
        Ok(SignedPlace { host: account.host(), container: container.clone(), blob: name.to_owned(), token })
    }
}

/// 3 to 63 small letters, digits and single hyphens ("Naming and Referencing Containers, Blobs, and Metadata"). What it is for a
/// folder's name as well.
pub fn check_container(name: &str) -> Result<(), BlobError> {
    let known = name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    let hyphens = name.starts_with('-') || name.ends_with('-') || name.contains("--");
    if (3..=63).contains(&name.len()) && known && !hyphens {
        return Ok(());
    }
    Err(BlobError::No(format!(
        "'{}' is no name of a container: use 3 to 63 small letters, digits and single hyphens between them",
        pollux_model::ids::shown(name)
    )))
}

/// The URL with more parts of a path; its query stays.
pub fn below<'p>(url: &Url, parts: impl Iterator<Item = &'p str>) -> Url {
    let mut url = url.clone();
    if let Ok(mut path) = url.path_segments_mut() {
        path.pop_if_empty().extend(parts);
    }
    url
}

impl Blobs {
    /// A container that this deployment keeps itself, in a folder of its own for each hub.
    ///
    /// # Errors
    /// [`BlobError::No`]: the deployment has no folder that all its nodes share.
    pub fn own(&self, hub: &str, container: &str) -> Result<Container, BlobError> {
        check_container(container)?;
        let Some(root) = &self.root else {
            let text = "this deployment has no folder for files that all its nodes share: name one in files.folder, or \
                        give the hub a storage account";
            return Err(BlobError::No(text.to_owned()));
        };
        // Both are names of one part: a hub's has letters, digits and hyphens.
        Ok(Container::Folder { folder: root.clone(), path: root.join(hub).join(container) })
    }

    /// Removes a container that this deployment keeps itself, with all that is in it: its hub is deleted.
    pub async fn remove_own(&self, hub: &str, container: &str) {
        let Ok(Container::Folder { path, .. }) = self.own(hub, container) else { return };
        match tokio::fs::remove_dir_all(&path).await {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                tracing::warn!(hub, %error, "files of a hub that is deleted cannot be removed");
            }
            _ => {}
        }
    }

    /// Makes a container of an account if it is not there. Others are there, or are made with their first blob.
    pub async fn ensure(&self, container: &Container) -> Result<(), BlobError> {
        const OF_CONTAINER: &[(&str, &str)] = &[("restype", "container")];
        let Container::Account { account, name } = container else { return Ok(()) };
        let url = below(account.endpoint(), std::iter::once(name.as_str()));
        let url = BlobUrl::of_account(url, account.clone());
        let there = self.request(Method::HEAD, &url, OF_CONTAINER)?;
        match sent(there, "the container cannot be looked at").await {
            Err(BlobError::Missing(_)) => {}
            looked => return looked,
        }
        let make = self.request(Method::PUT, &url, OF_CONTAINER)?.header(CONTENT_LENGTH, 0);
        let answer = make.timeout(WHOLE).send().await.map_err(|error| lost(&error))?;
        let code = answer.headers().get("x-ms-error-code").and_then(|code| code.to_str().ok());
        // Another node made it since it was looked for.
        if answer.status().is_success() || code == Some("ContainerAlreadyExists") {
            return Ok(());
        }
        Err(refused("the container cannot be made", answer.status()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(location: Result<Location, BlobError>) -> String {
        match location {
            Ok(Location::Blob(url)) => url.at(Timestamp::from_secs(0)).into(),
            Ok(Location::File { path, .. }) => path.display().to_string(),
            Err(error) => error.message(),
        }
    }

    #[test]
    fn places_are_below_their_container() {
        let now = Timestamp::from_secs(0);
        let by_url =
            Container::of(&Setting("https://plant.blob.example/uploads?sv=1&sig=a%2Bb".to_owned()), "")
                .ok()
                .unwrap();
        assert_eq!(
            url(by_url.blob("d1/a b?.txt")),
            "https://plant.blob.example/uploads/d1/a%20b%3F.txt?sv=1&sig=a%2Bb"
        );
        assert!(url(by_url.blob("d1/../x")).contains("must not"));
        assert!(by_url.sign("d1/x", Permissions::READ_AND_WRITE, now).is_err());
        let emulator =
            Container::of(&Setting("UseDevelopmentStorage=true".to_owned()), "uploads").ok().unwrap();
        let place = url(emulator.blob("d1/x"));
        assert!(place.starts_with("http://127.0.0.1:10000/devstoreaccount1/uploads/d1/x?sv="), "{place}");
        let signed = emulator.sign("d1/x", Permissions::READ_AND_WRITE, now).ok().unwrap();
        assert_eq!(signed.host, "127.0.0.1:10000/devstoreaccount1");
        let reach = Reach { hosts: Vec::new(), folder: Some("/jobs".into()) };
        let folder = Container::given("x", &Setting("file:///jobs/out".to_owned()), &reach).ok().unwrap();
        assert_eq!(url(folder.blob("devices.txt")), "/jobs/out/devices.txt");
    }

    /// What an account's key opens ends after an hour: a job that lives longer asks under a signature of its own moment.
    #[test]
    fn what_an_accounts_key_opens_is_signed_for_each_request() {
        let text = Setting("BlobEndpoint=https://blobs.plant.lan/acc;AccountKey=a2V5".to_owned());
        let Ok(Location::Blob(blob)) = Container::of(&text, "jobs").and_then(|of| of.blob("devices.txt"))
        else {
            panic!("it is a blob of an account")
        };
        for (now, ends) in
            [(1_700_000_000, "2023-11-14T23%3A13%3A20Z"), (1_700_010_000, "2023-11-15T02%3A00%3A00Z")]
        {
            let url = blob.at(Timestamp::from_secs(now)).to_string();
            assert!(url.starts_with("https://blobs.plant.lan/acc/jobs/devices.txt?sv="), "{url}");
            assert!(url.contains(&format!("&se={ends}&")), "{url}");
        }
    }

    #[test]
    fn containers_have_azures_names() {
        for name in ["abc", "hub-files", "0a1"] {
            assert!(check_container(name).is_ok(), "{name}");
        }
        let long = "x".repeat(64);
        for name in ["", "ab", "Abc", "a--b", "-abc", "abc-", "a/b", "..", "a.b", &long] {
            assert!(check_container(name).is_err(), "{name}");
        }
    }
}
