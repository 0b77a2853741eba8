//! `/hub-files/{blob}`: blobs that the hub keeps itself, by URLs that it signed. Of the storage's REST API ("Blob service REST
//! API") what clients need to upload and read block blobs: npm's @azure/storage-blob, PyPI's azure-storage-blob.
//!
//! | request | |
//! |---|---|
//! | `PUT` | Put Blob; `?comp=block&blockid=`: Put Block; `?comp=blocklist`: Put Block List |
//! | `GET`, `HEAD` | Get Blob, with a range; Get Blob Properties |
//! | `DELETE` | Delete Blob |
//! | `PUT` of the container | Create Container, which is there: clients ask for it before they write |
//!
//! Who may: the signature in the query says it. A service may read and delete with the credential that it has for the hub.

mod answer;
mod blob_body;
mod block_list;

use std::sync::Arc;

use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use http::header::{AUTHORIZATION, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_UNMODIFIED_SINCE, RANGE};
use http::{HeaderMap, Method};
use pollux_services::hub::files::{
    BlobCondition, BlobGrant, BlobRange, BlobRefusal, BlobSignature, CONTAINER, Etags,
};
use pollux_services::{Caller, Services};

use self::answer::{Refused, deleted, read, read_etag, refusal, written};
use crate::http::body;
use crate::http::rest::Parameters;
use crate::http::target::Target;
use crate::peer::Peer;

/// Bytes of a list of blocks: 50,000 of them.
const LIST: usize = 8 * 1024 * 1024;
/// The type of what blobs are; who wants to be an append or page blob is told.
const BLOCK_BLOB: &str = "BlockBlob";
const UNKNOWN: &str = "this operation is none that the hub knows for its files";

/// What a path names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Named {
    /// All blobs.
    Container,
    /// One, by its name.
    Blob(String),
    /// Nothing: its bytes are no text, and no blob is called so.
    Nothing,
}

/// What a path names, decoded as a whole: clients may write the slashes in a blob's name as `%2F`. Which names there may be, and
/// that none leads out of its container, a service says.
pub(super) fn named(path: &str) -> Option<Named> {
    let rest = path.strip_prefix('/')?.strip_prefix(CONTAINER)?;
    if rest.is_empty() || rest == "/" {
        return Some(Named::Container);
    }
    let blob = percent_encoding::percent_decode_str(rest.strip_prefix('/')?).decode_utf8();
    Some(blob.map_or(Named::Nothing, |blob| Named::Blob(blob.into_owned())))
}

/// A request with what it is for.
struct Call {
    services: Arc<Services>,
    grant: BlobGrant,
    headers: HeaderMap,
    parameters: Parameters,
}

/// Answers a request about a blob.
pub(super) async fn answer(services: &Arc<Services>, request: Request, named: Named) -> Response {
    let (parts, body) = request.into_parts();
    let parameters = Parameters::of(&parts.uri);
    let done = async {
        let target = parts.extensions.get::<Target>().cloned().ok_or(BlobRefusal::Missing)?;
        let peer = parts.extensions.get::<Peer>().cloned().ok_or(BlobRefusal::Missing)?;
        let blob = match &named {
            Named::Blob(blob) => blob,
            Named::Nothing => return Err(Refused::Uri),
            Named::Container => {
                // A URL that the hub signed opens a blob: for the container a credential is needed.
                caller(services, &target, &parts.headers, &peer).await?;
                let is_container =
                    parameters.get("restype").is_some_and(|of| of.eq_ignore_ascii_case("container"));
                return Err(match (&parts.method, is_container) {
                    (&Method::PUT, true) => Refused::ContainerExists,
                    _ => Refused::Unsupported(UNKNOWN),
                });
            }
        };
        let grant = granted(services, &target, &parts.headers, &parameters, (&peer, blob)).await?;
        let services = Arc::clone(services);
        let call = Call { services, grant, headers: parts.headers, parameters };
        call.run(&parts.method, body).await
    };
    done.await.unwrap_or_else(|refused| refusal(services, &refused, parts.method == Method::HEAD))
}

async fn granted(
    services: &Services,
    Target(hub): &Target,
    headers: &HeaderMap,
    parameters: &Parameters,
    (peer, blob): (&Peer, &str),
) -> Result<BlobGrant, Refused> {
    if parameters.get("sig").is_none() && headers.contains_key(AUTHORIZATION) {
        let caller = caller(services, &Target(Arc::clone(hub)), headers, peer).await?;
        return Ok(services.hub.open_blob_for_service(&caller, hub, blob)?);
    }
    let get = |name: &str| parameters.get(name).unwrap_or_default().to_owned();
    let sas = BlobSignature {
        version: get("sv"),
        resource: get("sr"),
        permissions: get("sp"),
        expires: get("se"),
        signature: get("sig"),
    };
    Ok(services.hub.open_blob(hub, blob, &sas).await?)
}

/// A service, by its credential.
async fn caller(
    services: &Services,
    Target(hub): &Target,
    headers: &HeaderMap,
    peer: &Peer,
) -> Result<Caller, Refused> {
    let caller = crate::authenticate::service(services, hub, headers, peer.address).await;
    Ok(caller.map_err(|_| BlobRefusal::NotSigned("the credential does not hold for the hub"))?)
}

impl Call {
    async fn run(self, method: &Method, body: Body) -> Result<Response, Refused> {
        let comp = self.parameters.get("comp").unwrap_or_default().to_ascii_lowercase();
        match (method, comp.as_str()) {
            (&Method::PUT, "") => self.put(body).await,
            (&Method::PUT, "block") => self.put_block(body).await,
            (&Method::PUT, "blocklist") => self.put_block_list(body).await,
            (&Method::GET, "") => self.get().await,
            (&Method::HEAD, "") => {
                let state = self.services.hub.blob_state(&self.grant, &self.condition()?).await?;
                Ok(read(state, None, Body::empty()))
            }
            (&Method::DELETE, "") => {
                self.services.hub.delete_blob(&self.grant, &self.condition()?).await?;
                Ok(deleted())
            }
            _ => Err(Refused::Unsupported(UNKNOWN)),
        }
    }

    async fn put(self, body: Body) -> Result<Response, Refused> {
        let kind = self.headers.get("x-ms-blob-type").and_then(|kind| kind.to_str().ok());
        if !kind.is_some_and(|kind| kind.eq_ignore_ascii_case(BLOCK_BLOB)) {
            return Err(Refused::Unsupported("x-ms-blob-type must be BlockBlob"));
        }
        let condition = self.condition()?;
        let content = blob_body::content(body);
        let state = self.services.hub.put_blob(&self.grant, &condition, content).await?;
        Ok(written(Some(state)))
    }

    async fn put_block(self, body: Body) -> Result<Response, Refused> {
        let id = self.parameters.get("blockid").unwrap_or_default();
        self.services.hub.put_block(&self.grant, id, blob_body::content(body)).await?;
        Ok(written(None))
    }

    async fn put_block_list(self, body: Body) -> Result<Response, Refused> {
        let condition = self.condition()?;
        let text = body::read(body, LIST).await.map_err(|_| BlobRefusal::TooLarge(LIST as u64))?;
        let ids = block_list::read(&text).ok_or(Refused::Xml)?;
        let state = self.services.hub.put_block_list(&self.grant, &condition, &ids).await?;
        Ok(written(Some(state)))
    }

    async fn get(self) -> Result<Response, Refused> {
        let said = ["x-ms-range", RANGE.as_str()].into_iter().find_map(|name| self.headers.get(name));
        // A range of another form is as if there were none (RFC 9110, "Range").
        let range = said.and_then(|range| range.to_str().ok()).and_then(range);
        let content = self.services.hub.read_blob(&self.grant, &self.condition()?, range).await?;
        let part = range.map(|_| (content.first, content.length));
        Ok(read(content.state, part, blob_body::stream(content)))
    }

    /// What the headers say must be so. Conditions by time are refused and not passed over: the client counts on them.
    fn condition(&self) -> Result<BlobCondition, Refused> {
        if [IF_MODIFIED_SINCE, IF_UNMODIFIED_SINCE].iter().any(|name| self.headers.contains_key(name)) {
            return Err(Refused::Unsupported("of conditions If-Match and If-None-Match are known"));
        }
        let of = |name: http::HeaderName| {
            let said = self.headers.get(name)?;
            Some(said.to_str().map_or_else(|_| Etags::These(Vec::new()), etags))
        };
        Ok(BlobCondition { matches: of(IF_MATCH), differs: of(IF_NONE_MATCH) })
    }
}

/// `*`, or etags with commas between them. One that was never given out here is nobody's.
fn etags(text: &str) -> Etags {
    match text.trim() {
        "*" => Etags::Any,
        some => Etags::These(some.split(',').filter_map(read_etag).collect()),
    }
}

/// `bytes=0-99`, `bytes=100-`.
fn range(text: &str) -> Option<BlobRange> {
    let (first, last) = text.trim().strip_prefix("bytes=")?.split_once('-')?;
    let last = if last.is_empty() { None } else { Some(last.parse().ok()?) };
    Some(BlobRange { first: first.parse().ok()?, last })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_names_a_blob_however_it_is_written() {
        for (path, blob) in [
            ("/hub-files/d1/a.txt", Some(Named::Blob("d1/a.txt".to_owned()))),
            ("/hub-files/d1%2Fa%20b.txt", Some(Named::Blob("d1/a b.txt".to_owned()))),
            ("/hub-files/d1%2F..%2Fx", Some(Named::Blob("d1/../x".to_owned()))),
            ("/hub-files/d1%252Fx", Some(Named::Blob("d1%2Fx".to_owned()))),
            ("/hub-files/%C3%A4", Some(Named::Blob("ä".to_owned()))),
            // Two names that are no text would both become the same one.
            ("/hub-files/d1/%FF", Some(Named::Nothing)),
            ("/hub-files/d1/%FE", Some(Named::Nothing)),
            ("/hub-files/", Some(Named::Container)),
            ("/hub-files", Some(Named::Container)),
            ("/hub-filesx/d1", None),
            ("/devices/d1", None),
        ] {
            assert_eq!(named(path), blob, "{path}");
        }
    }

    #[test]
    fn ranges_are_read_as_clients_write_them() {
        assert_eq!(range("bytes=0-99"), Some(BlobRange { first: 0, last: Some(99) }));
        assert_eq!(range("bytes=100-"), Some(BlobRange { first: 100, last: None }));
        for wrong in ["", "bytes=", "bytes=-5", "bytes=a-b", "items=0-1", "bytes=0-1,3-4"] {
            assert_eq!(range(wrong), None, "{wrong}");
        }
    }
}
