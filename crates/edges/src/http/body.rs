//! Bodies are read here only: bounded in size and time.

use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http_body_util::BodyExt;
use pollux_model::{Error, ErrorCode, Result};
use serde::de::DeserializeOwned;

/// How long a body may take to arrive.
const PATIENCE: Duration = Duration::from_secs(30);

/// Of a body that is too large, how much more is taken and thrown away: a client that is answered while it still sends may
/// see a broken connection instead of the answer.
const THROWN_AWAY: usize = 8 * 1024 * 1024;

/// Reads a body of at most `limit` bytes. [`ErrorCode::TooLarge`] beyond it.
pub(crate) async fn read(body: Body, limit: usize) -> Result<Bytes> {
    within(body, limit, THROWN_AWAY).await
}

/// The same of somebody who has proved nothing yet: nothing is taken beyond the limit.
pub(crate) async fn of_stranger(body: Body, limit: usize) -> Result<Bytes> {
    within(body, limit, 0).await
}

async fn within(body: Body, limit: usize, thrown_away: usize) -> Result<Bytes> {
    match tokio::time::timeout(PATIENCE, collect(body, limit, thrown_away)).await {
        Ok(collected) => collected,
        Err(_) => {
            Err(Error::invalid(format!("the body did not arrive within {} seconds", PATIENCE.as_secs())))
        }
    }
}

async fn collect(mut body: Body, limit: usize, thrown_away: usize) -> Result<Bytes> {
    // Most bodies come in one part, which need not be copied; many small ones must not take more than their bytes.
    let (mut first, mut whole, mut size) = (None, Vec::new(), 0_usize);
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|_| Error::invalid("the body broke off"))?.into_data() else { continue };
        size = size.saturating_add(data.len());
        if size > limit {
            (first, whole) = (None, Vec::new());
            if size - limit > thrown_away {
                break;
            }
        } else if first.is_none() && whole.is_empty() {
            first = Some(data);
        } else {
            whole.extend_from_slice(&first.take().unwrap_or_default());
            whole.extend_from_slice(&data);
        }
    }
    if size > limit {
        return Err(Error::new(ErrorCode::TooLarge, format!("the body is larger than {limit} bytes")));
    }
    Ok(first.unwrap_or_else(|| whole.into()))
}

/// Reads a JSON body of at most `limit` bytes.
pub(crate) async fn json<T: DeserializeOwned>(body: Body, limit: usize) -> Result<T> {
    let bytes = read(body, limit).await?;
    serde_json::from_slice(&bytes)
        .map_err(|error| Error::invalid(format!("the body is not the JSON expected: {error}")))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// A body of parts, and how many of them were taken.
    fn body(parts: Vec<Vec<u8>>) -> (Body, Arc<AtomicUsize>) {
        let taken = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&taken);
        let parts = parts.into_iter().map(move |part| {
            counter.fetch_add(1, Ordering::Relaxed);
            Ok::<_, std::io::Error>(part)
        });
        (Body::from_stream(futures_util::stream::iter(parts)), taken)
    }

    #[tokio::test]
    async fn a_body_is_what_its_parts_are() {
        for parts in
            [vec![], vec![b"abc".to_vec()], vec![b"a".to_vec(), vec![], b"bc".to_vec(), b"de".to_vec()]]
        {
            let (sent, _) = body(parts.clone());
            assert_eq!(read(sent, 5).await.unwrap(), parts.concat());
        }
    }

    #[tokio::test]
    async fn what_is_too_large_is_taken_to_its_end_but_not_for_ever() {
        let (sent, taken) = body(vec![vec![0; 4]; 100]);
        assert_eq!(read(sent, 399).await.unwrap_err().code, ErrorCode::TooLarge);
        assert_eq!(taken.load(Ordering::Relaxed), 100);
        let (sent, taken) = body(vec![vec![0; 1024 * 1024]; 100]);
        assert_eq!(read(sent, 10).await.unwrap_err().code, ErrorCode::TooLarge);
        assert!(taken.load(Ordering::Relaxed) < 15);
        let (sent, taken) = body(vec![vec![0; 4]; 100]);
        assert_eq!(of_stranger(sent, 10).await.unwrap_err().code, ErrorCode::TooLarge);
        assert_eq!(taken.load(Ordering::Relaxed), 3, "of a stranger no more than shows that it is too much");
    }
}
