//! Answers in the words of the storage's REST API ("Common REST API error codes", "Blob service error codes"): a header with the
//! code, and XML.

use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use http::StatusCode;
use http::header::{
    ACCEPT_RANGES, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, HeaderValue, LAST_MODIFIED,
};
use pollux_model::Timestamp;
use pollux_services::Services;
use pollux_services::blobs::{BlobState, http_date};
use pollux_services::hub::files::BlobRefusal;

use crate::http::hub::properties::set;

/// The version whose answers these are.
const VERSION: &str = "2021-08-06";

/// Why a request is not carried out.
#[derive(Debug)]
pub(super) enum Refused {
    /// By a rule.
    Rule(BlobRefusal),
    /// Nobody here knows how.
    Unsupported(&'static str),
    /// The body is no list of blocks.
    Xml,
    /// No blob can be called so.
    Uri,
    /// The container is to be made, and there from the beginning.
    ContainerExists,
}

impl From<BlobRefusal> for Refused {
    fn from(refusal: BlobRefusal) -> Self {
        Self::Rule(refusal)
    }
}

/// 201.
pub(super) fn written(state: Option<BlobState>) -> Response {
    let mut response = empty(StatusCode::CREATED);
    if let Some(state) = state {
        describe(&mut response, state);
    }
    set(response.headers_mut(), "x-ms-request-server-encrypted", "false");
    response
}

/// 202.
pub(super) fn deleted() -> Response {
    empty(StatusCode::ACCEPTED)
}

/// 200, or 206 with a part: its first byte, and how many they are.
pub(super) fn read(state: BlobState, part: Option<(u64, u64)>, body: Body) -> Response {
    let mut response = empty(StatusCode::OK);
    *response.body_mut() = body;
    describe(&mut response, state);
    let length = part.map_or(state.size, |(_, length)| length);
    if let Some((first, length)) = part {
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
        let last = (first + length).saturating_sub(1);
        set(response.headers_mut(), CONTENT_RANGE.as_str(), &format!("bytes {first}-{last}/{}", state.size));
    }
    let headers = response.headers_mut();
    headers.insert(CONTENT_LENGTH, length.into());
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    set(headers, "x-ms-blob-type", "BlockBlob");
    set(headers, "x-ms-lease-status", "unlocked");
    set(headers, "x-ms-lease-state", "available");
    response
}

fn describe(response: &mut Response, state: BlobState) {
    let headers = response.headers_mut();
    set(headers, ETAG.as_str(), &format!("\"0x{:X}-{:X}\"", state.modified.as_micros(), state.size));
    set(headers, LAST_MODIFIED.as_str(), &http_date(state.modified));
}

/// The state behind an etag that was given out.
pub(super) fn read_etag(text: &str) -> Option<BlobState> {
    let (modified, size) = text.trim().trim_matches('"').strip_prefix("0x")?.split_once('-')?;
    let micros = u64::from_str_radix(modified, 16).ok()?;
    let modified = Timestamp::from_secs(0).plus(Duration::from_micros(micros));
    Some(BlobState { size: u64::from_str_radix(size, 16).ok()?, modified })
}

fn empty(status: StatusCode) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    set(response.headers_mut(), "x-ms-version", VERSION);
    response
}

/// The refusal; to a `HEAD` without a body.
pub(super) fn refusal(services: &Services, refused: &Refused, head: bool) -> Response {
    let (status, code, message) = words(refused);
    let mut response = empty(status);
    set(response.headers_mut(), "x-ms-error-code", code);
    if let Refused::Rule(BlobRefusal::NotModified(state)) = refused {
        // It has no body (RFC 9110).
        describe(&mut response, *state);
        return response;
    }
    if let Refused::Rule(BlobRefusal::Range(size)) = refused {
        set(response.headers_mut(), CONTENT_RANGE.as_str(), &format!("bytes */{size}"));
    }
    if !head {
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/xml"));
        let at = services.context.clock.now();
        let text = format!(
            "<?xml version=\"1.0\" encoding=\"utf-8\"?><Error><Code>{code}</Code><Message>{}\nTime:{at}</Message></Error>",
            escaped(&message)
        );
        *response.body_mut() = text.into();
    }
    response
}

fn words(refused: &Refused) -> (StatusCode, &'static str, String) {
    use BlobRefusal as R;
    let (status, code, message): (_, _, &str) = match refused {
        Refused::Unsupported(why) => (StatusCode::BAD_REQUEST, "UnsupportedHeader", why),
        Refused::Uri => (StatusCode::BAD_REQUEST, "InvalidUri", "The path is not UTF-8: it names no blob."),
        Refused::ContainerExists => {
            (StatusCode::CONFLICT, "ContainerAlreadyExists", "The container is there, as it is of each hub.")
        }
        Refused::Xml => (StatusCode::BAD_REQUEST, "InvalidXmlDocument", "The list of blocks is not XML."),
        Refused::Rule(rule) => match rule {
            R::NotSigned(why) => (StatusCode::FORBIDDEN, "AuthenticationFailed", why),
            R::NotAllowed => {
                let text = "What was signed does not allow this operation.";
                (StatusCode::FORBIDDEN, "AuthorizationPermissionMismatch", text)
            }
            R::Missing => (StatusCode::NOT_FOUND, "BlobNotFound", "There is no such blob."),
            R::Name(why) => (StatusCode::BAD_REQUEST, "InvalidResourceName", why),
            R::Exists => (StatusCode::CONFLICT, "BlobAlreadyExists", "There is a blob of this name."),
            R::Changed => {
                (StatusCode::PRECONDITION_FAILED, "ConditionNotMet", "The blob is not as the condition says.")
            }
            R::NotModified(_) => (StatusCode::NOT_MODIFIED, "ConditionNotMet", "The blob is as it was."),
            R::TooLarge(most) => {
                let text = format!("A file may have {most} bytes at most (limits.file, limits.file_block).");
                return (StatusCode::PAYLOAD_TOO_LARGE, "RequestBodyTooLarge", text);
            }
            R::Full(most) => {
                let text = format!("The hub has no room: its files may have {most} bytes (limits.files).");
                return (StatusCode::PAYLOAD_TOO_LARGE, "RequestBodyTooLarge", text);
            }
            R::BlockId => {
                (StatusCode::BAD_REQUEST, "InvalidQueryParameterValue", "blockid is no id of a block.")
            }
            R::BlockList => {
                (StatusCode::BAD_REQUEST, "InvalidBlockList", "A block of the list was never written.")
            }
            R::Range(_) => {
                (StatusCode::RANGE_NOT_SATISFIABLE, "InvalidRange", "The blob has no bytes in that range.")
            }
            R::BrokenOff => (StatusCode::BAD_REQUEST, "IncompleteBody", "The body broke off."),
            R::Failed(why) => {
                tracing::error!(why, "the folder of files fails");
                (StatusCode::INTERNAL_SERVER_ERROR, "InternalError", "The folder of files fails.")
            }
        },
    };
    (status, code, message.to_owned())
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_etag_is_read_as_it_is_written() {
        let state = BlobState { size: 11, modified: Timestamp::from_micros(1_700_000_000_123_456) };
        let written = written(Some(state));
        let etag = written.headers()[ETAG].to_str().unwrap();
        assert_eq!(read_etag(etag), Some(state));
        assert_eq!(read_etag("\"0x8D\""), None);
    }
}
