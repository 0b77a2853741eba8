//! What blobs are made of, part by part as it comes and goes: nothing of them is held.

use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use futures_util::Stream;
use futures_util::stream::unfold;
use http_body_util::BodyExt as _;
use pollux_model::{Error, Result};
use pollux_services::hub::files::{BlobContent, BlobRefusal};

/// How long nothing may come.
const SILENCE: Duration = Duration::from_secs(60);

/// A body's bytes. Who sends nothing for too long has broken off.
pub(super) fn content(body: Body) -> impl Stream<Item = Result<Bytes>> + Send + Unpin {
    Box::pin(unfold(Some(body), |body| async {
        let mut body = body?;
        loop {
            match tokio::time::timeout(SILENCE, body.frame()).await {
                Ok(None) => return None,
                Ok(Some(Ok(frame))) => {
                    // What is no data says nothing here.
                    if let Ok(bytes) = frame.into_data() {
                        return Some((Ok(bytes), Some(body)));
                    }
                }
                Ok(Some(Err(_))) | Err(_) => return Some((Err(Error::invalid("the body broke off")), None)),
            }
        }
    }))
}

/// A body of a blob's bytes.
pub(super) fn stream(content: BlobContent) -> Body {
    let parts = unfold(Some(content), |content| async {
        let mut content = content?;
        match content.next().await {
            Ok(None) => None,
            Ok(Some(bytes)) => Some((Ok(bytes), Some(content))),
            Err(refusal) => Some((Err(broken(&refusal)), None)),
        }
    });
    Body::from_stream(parts)
}

fn broken(refusal: &BlobRefusal) -> std::io::Error {
    std::io::Error::other(format!("a file cannot be read to its end: {refusal:?}"))
}
