//! Blobs: where files come from and where they go. A place is a blob of Azure Blob Storage, or of what speaks its REST API
//! ("Blob service REST API"), or a file of a folder.
//!
//! ```text
//!   a URL that a caller gives ──── Location::read ───┐
//!                            └──── Container::given ─┤
//!   what the operator configured ─ Container::of ────┼─▶ Location ─▶ Blobs: open (Input), put, begin (Upload), append (Output)
//!   a folder of this deployment ── Blobs::own ───────┘
//! ```
//!
//! What is written by `put` or an [`Upload`] has its name when all of it is there, and not before. What a [`Log`](Output) is given
//! is there at once.
//!
//! | file | concern |
//! |---|---|
//! | `location` | places that a caller names, and whether they may be reached; `guard`: which hosts may be |
//! | `container` | containers, and the places in them; `account`: connection strings and signatures |
//! | `read`, `write`, `log` | what is done there |
//! | `folder` | safe names of files, drafts |
//!
//! Nothing of an answer's body is shown to anyone, and redirects are not followed: what we are pointed at stays unseen.

mod account;
mod container;
mod error;
mod folder;
mod guard;
mod http_date;
mod location;
mod log;
mod read;
mod write;

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde::Deserialize;

pub use account::{Account, Permissions, service_text, signed_query};
pub use container::{Container, SignedPlace, below, check_container};
pub use error::BlobError;
pub use folder::{DRAFT, Draft, check_name, file_path};
pub use http_date::{http_date, read_http_date};
pub use location::{BlobUrl, Location, Named, bare_url};
pub use log::Output;
pub use read::{BlobState, Input};
pub use write::Upload;

use crate::Context;
use guard::Guard;

/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(10);
/// How long nothing may come.
const SILENCE: Duration = Duration::from_secs(30);
/// How long a request with a body may take as a whole.
const WHOLE: Duration = Duration::from_secs(300);
/// The version of the storage API; a shared access signature names its own.
const STORAGE_VERSION: &str = "2021-08-06";

/// What a caller's URLs may reach (section `jobs` of the configuration).
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Reach {
    /// Hosts, by name or address, that may be reached without TLS, and although they are this machine or in a private
    /// network. All others must be public and are reached over https.
    pub hosts: Vec<String>,
    /// A folder whose files may be read and written as `file:` URLs. Without: none.
    pub folder: Option<PathBuf>,
}

/// What reads and writes blobs; shared by all services.
#[derive(Debug)]
pub struct Blobs {
    context: Arc<Context>,
    reach: Reach,
    /// Where the deployment keeps files itself: `<root>/<hub>/<container>/…`.
    root: Option<PathBuf>,
    /// For places that callers name, and for those that the operator names. Made when there is the first: the system's
    /// certificates take a while to read.
    clients: [OnceLock<reqwest::Client>; 2],
}

impl Blobs {
    /// `root`: a folder of the deployment's own, the same on each node; `None`: it has none.
    #[must_use]
    pub const fn new(context: Arc<Context>, reach: Reach, root: Option<PathBuf>) -> Self {
        Self { context, reach, root, clients: [OnceLock::new(), OnceLock::new()] }
    }

    /// What callers may name.
    #[must_use]
    pub const fn reach(&self) -> &Reach {
        &self.reach
    }

    /// Where the deployment keeps files itself.
    #[must_use]
    pub fn root(&self) -> Option<&Path> {
        self.root.as_deref()
    }

    fn client(&self, named: Named) -> Result<reqwest::Client, BlobError> {
        let [guarded, plain] = &self.clients;
        let kept = match named {
            Named::ByCaller => guarded,
            Named::ByOperator => plain,
        };
        if let Some(client) = kept.get() {
            return Ok(client.clone());
        }
        let failed = |error: &dyn std::fmt::Display| BlobError::No(format!("TLS cannot be set up: {error}"));
        let tls = self.context.trust.config().map_err(|error| failed(&error))?;
        let mut builder = reqwest::Client::builder()
            .tls_backend_preconfigured(tls.as_ref().clone())
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT)
            .read_timeout(SILENCE)
            .user_agent(concat!("pollux/", env!("CARGO_PKG_VERSION")));
        if named == Named::ByCaller {
            // A proxy would resolve names itself.
            builder = builder.dns_resolver(Arc::new(Guard::new(&self.reach.hosts))).no_proxy();
        }
        let client = builder.build().map_err(|error| failed(&error))?;
        Ok(kept.get_or_init(|| client).clone())
    }

    /// A request that begins now, with more in its query.
    fn request(
        &self,
        method: Method,
        of: &BlobUrl,
        query: &[(&str, &str)],
    ) -> Result<reqwest::RequestBuilder, BlobError> {
        let mut url = of.at(self.context.clock.now());
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        Ok(self.client(of.named())?.request(method, url).header("x-ms-version", STORAGE_VERSION))
    }
}

/// Sends what is to be taken.
async fn sent(request: reqwest::RequestBuilder, what: &str) -> Result<(), BlobError> {
    let answer = request.timeout(WHOLE).send().await.map_err(|error| lost(&error))?;
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
    } else if status == StatusCode::NOT_FOUND {
        BlobError::Missing(text)
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
