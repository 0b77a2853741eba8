//! Storage accounts: connection strings, and shared access signatures made with their keys (articles "Configure Azure Storage
//! connection strings", "Create a service SAS" and "Create an account SAS" of the storage REST API).

use std::fmt;
use std::time::Duration;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use pollux_model::Timestamp;
use pollux_model::resource::Setting;
use url::Url;

use super::{BlobError, STORAGE_VERSION};

/// How long a signature is good that we make for a request of our own.
const OWN_LIFE: Duration = Duration::from_secs(3600);
/// How much a clock of the storage may be behind ours.
const SKEW: Duration = Duration::from_secs(300);
/// The emulator's account and its key, which are published.
const EMULATOR: (&str, &str) = (
    "devstoreaccount1",
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==",
);

/// An account whose key we have, or what somebody with the key has signed.
#[derive(Clone)]
pub struct Account {
    /// Such as `https://account.blob.core.windows.net`, or with the account in its path as emulators have it.
    endpoint: Url,
    name: String,
    secret: Secret,
}

#[derive(Clone)]
enum Secret {
    Key(Vec<u8>),
    /// A shared access signature, as a query.
    Signature(String),
}

/// What a signature allows, in the letters and the order of `sp`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Permissions(pub &'static str);

impl Permissions {
    /// What a device gets for its blob (article "Upload files with IoT Hub").
    pub const READ_AND_WRITE: Self = Self("rw");
}

impl fmt::Debug for Account {
    /// Signatures and keys are secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Account(***)")
    }
}

impl Account {
    /// Reads a connection string.
    ///
    /// # Errors
    /// [`BlobError::No`] says what is missing, and shows nothing of it.
    pub fn read(text: &Setting) -> Result<Self, BlobError> {
        let no = |why: &str| BlobError::No(format!("the storage connection string {why}"));
        let parts: Vec<(&str, &str)> =
            text.0.split(';').filter_map(|part| part.trim().split_once('=')).collect();
        let get = |name: &str| {
            parts
                .iter()
                .find(|(given, _)| given.trim().eq_ignore_ascii_case(name))
                .map(|(_, value)| value.trim())
        };
        if get("UseDevelopmentStorage").is_some_and(|value| value.eq_ignore_ascii_case("true")) {
            let (name, key) = EMULATOR;
            let endpoint = format!("http://127.0.0.1:10000/{name}");
            let text = format!("BlobEndpoint={endpoint};AccountName={name};AccountKey={key}");
            return Self::read(&Setting(text));
        }
        let protocol = get("DefaultEndpointsProtocol").unwrap_or("https");
        let endpoint = match (get("BlobEndpoint"), get("AccountName")) {
            (Some(endpoint), _) => endpoint.to_owned(),
            (None, Some(name)) => {
                let suffix = get("EndpointSuffix").unwrap_or("core.windows.net");
                format!("{protocol}://{name}.blob.{suffix}")
            }
            (None, None) => return Err(no("names neither AccountName nor BlobEndpoint")),
        };
        let endpoint = Url::parse(&endpoint).map_err(|_| no("has an endpoint that is no URL"))?;
        if !matches!(endpoint.scheme(), "https" | "http") || endpoint.host_str().is_none() {
            return Err(no("must lead to http or https"));
        }
        let secret = match (get("AccountKey"), get("SharedAccessSignature")) {
            (Some(key), _) => {
                Secret::Key(BASE64.decode(key).map_err(|_| no("has an AccountKey that is not base64"))?)
            }
            (None, Some(sas)) => Secret::Signature(sas.trim_start_matches('?').to_owned()),
            (None, None) => return Err(no("has neither AccountKey nor SharedAccessSignature")),
        };
        let name = match get("AccountName") {
            Some(name) => name.to_owned(),
            None => named_by(&endpoint),
        };
        Ok(Self { endpoint, name, secret })
    }

    /// Where it is, without a secret.
    #[must_use]
    pub const fn endpoint(&self) -> &Url {
        &self.endpoint
    }

    /// Whether URLs can be signed for others.
    #[must_use]
    pub const fn has_key(&self) -> bool {
        matches!(self.secret, Secret::Key(_))
    }

    /// Where clients find it: host and port, and the account where it is in the path.
    #[must_use]
    pub fn host(&self) -> String {
        let port = self.endpoint.port().map(|port| format!(":{port}")).unwrap_or_default();
        let host = self.endpoint.host_str().unwrap_or_default();
        format!("{host}{port}{}", self.endpoint.path().trim_end_matches('/'))
    }

    /// What opens it for a request of our own.
    pub(super) fn own_query(&self, now: Timestamp) -> String {
        match &self.secret {
            Secret::Signature(query) => query.clone(),
            Secret::Key(key) => {
                let (starts, expires) = (moment(now.minus(SKEW)), moment(now.plus(OWN_LIFE)));
                // All that may be done to blobs (b) of containers and objects (c, o).
                let (permissions, services, types) = ("rwdlac", "b", "co");
                let name = &self.name;
                let text = format!(
                    "{name}\n{permissions}\n{services}\n{types}\n{starts}\n{expires}\n\n\n{STORAGE_VERSION}\n\n"
                );
                let mut query = url::form_urlencoded::Serializer::new(String::new());
                query
                    .append_pair("sv", STORAGE_VERSION)
                    .append_pair("ss", services)
                    .append_pair("srt", types);
                query.append_pair("st", &starts).append_pair("se", &expires).append_pair("sp", permissions);
                query.append_pair("sig", &signature(key, &text)).finish()
            }
        }
    }

    /// A query that opens one blob to whoever has it.
    ///
    /// # Errors
    /// [`BlobError::No`] where the key is not ours to sign with.
    pub(super) fn sign(
        &self,
        (container, blob): (&str, &str),
        permissions: Permissions,
        expires: Timestamp,
    ) -> Result<String, BlobError> {
        let Secret::Key(key) = &self.secret else {
            let text =
                "URLs can be signed only with the account's key: give a connection string with AccountKey";
            return Err(BlobError::No(text.to_owned()));
        };
        let resource = format!("/blob/{}/{container}/{blob}", self.name);
        Ok(signed_query(key, &resource, permissions, expires))
    }
}

/// The account in the host's first label, or in the path where emulators have it.
fn named_by(endpoint: &Url) -> String {
    let path = endpoint.path().trim_matches('/');
    if path.is_empty() {
        let host = endpoint.host_str().unwrap_or_default();
        return host.split('.').next().unwrap_or_default().to_owned();
    }
    path.split('/').next().unwrap_or_default().to_owned()
}

/// A service SAS of one blob, as a query. Clients take it as it is.
#[must_use]
pub fn signed_query(key: &[u8], resource: &str, permissions: Permissions, expires: Timestamp) -> String {
    let expires = moment(expires);
    let text = service_text(permissions.0, &expires, resource, STORAGE_VERSION);
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    query.append_pair("sv", STORAGE_VERSION).append_pair("se", &expires).append_pair("sr", "b");
    query.append_pair("sp", permissions.0).append_pair("sig", &signature(key, &text)).finish()
}

/// What is signed of a service SAS of one blob that says nothing more than permissions and expiry ("Create a service SAS",
/// version 2020-12-06 and later).
#[must_use]
pub fn service_text(permissions: &str, expires: &str, resource: &str, version: &str) -> String {
    // Behind the start, which is empty; then identifier, addresses and protocol; then snapshot, encryption scope and the five
    // headers of answers.
    format!("{permissions}\n\n{expires}\n{resource}\n\n\n\n{version}\nb\n\n\n\n\n\n\n")
}

fn signature(key: &[u8], text: &str) -> String {
    BASE64.encode(hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text.as_bytes()))
}

/// To the second, as signatures have it.
fn moment(at: Timestamp) -> String {
    let text = Timestamp::from_secs(at.as_secs()).to_string();
    let seconds = text.split(['.', 'Z']).next().unwrap_or_default();
    format!("{seconds}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Account, String> {
        Account::read(&Setting(text.to_owned())).map_err(BlobError::message)
    }

    #[test]
    fn connection_strings_are_read_as_azure_writes_them() {
        let azure = "DefaultEndpointsProtocol=https;AccountName=plant;AccountKey=a2V5;EndpointSuffix=core.windows.net";
        assert_eq!(read(azure).ok().unwrap().host(), "plant.blob.core.windows.net");
        assert_eq!(
            read("UseDevelopmentStorage=true").ok().unwrap().host(),
            "127.0.0.1:10000/devstoreaccount1"
        );
        let signed =
            read("BlobEndpoint=https://blobs.plant.lan/acc/;SharedAccessSignature=sv=1&sig=x").ok().unwrap();
        assert_eq!((signed.host().as_str(), &*signed.name), ("blobs.plant.lan/acc", "acc"));
        assert!(signed.sign(("c", "b"), Permissions::READ_AND_WRITE, Timestamp::from_secs(0)).is_err());
        for (text, why) in [
            ("", "neither AccountName"),
            ("AccountName=a", "neither AccountKey"),
            ("AccountName=a;AccountKey=§", "base64"),
            ("BlobEndpoint=ftp://x;AccountKey=a2V5", "http or https"),
            ("BlobEndpoint=nonsense;AccountKey=a2V5", "no URL"),
        ] {
            let refused = read(text).err().unwrap();
            assert!(refused.contains(why) && !refused.contains('§'), "{text}: {refused}");
        }
    }

    /// Figures of npm's @azure/storage-blob, `generateBlobSASQueryParameters`.
    #[test]
    fn signatures_are_those_of_microsofts_client() {
        let account = read("AccountName=plant;AccountKey=a2V5").ok().unwrap();
        let expires = Timestamp::from_secs(1_700_000_000);
        let query =
            account.sign(("uploads", "d1/log 1.txt"), Permissions::READ_AND_WRITE, expires).ok().unwrap();
        assert_eq!(
            query,
            "sv=2021-08-06&se=2023-11-14T22%3A13%3A20Z&sr=b&sp=rw&sig=A8AGBSsn0Zim3YkeQvyOdd8pVfiqj6j0UxMzd0kJYec%3D"
        );
        let own = account.own_query(expires);
        assert!(own.contains("sp=rwdlac&sig=MYCqPkueg44KI%2FI8XmsvAJWXO44Ms3BuR7dh%2BoqZWwg%3D"), "{own}");
    }
}
