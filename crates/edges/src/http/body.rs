//! Bodies are read here only: bounded in size and time.

use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http_body_util::{BodyExt, Limited};
use pollux_model::{Error, ErrorCode, Result};
use serde::de::DeserializeOwned;

/// How long a body may take to arrive.
const PATIENCE: Duration = Duration::from_secs(30);

/// Reads a body of at most `limit` bytes. [`ErrorCode::TooLarge`] beyond it.
pub(crate) async fn read(body: Body, limit: usize) -> Result<Bytes> {
    let collected = tokio::time::timeout(PATIENCE, Limited::new(body, limit).collect()).await;
    match collected {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => {
            Err(Error::new(ErrorCode::TooLarge, format!("the body is larger than {limit} bytes")))
        }
        Ok(Err(_)) => Err(Error::invalid("the body broke off")),
        Err(_) => {
            Err(Error::invalid(format!("the body did not arrive within {} seconds", PATIENCE.as_secs())))
        }
    }
}

/// Reads a JSON body of at most `limit` bytes.
pub(crate) async fn json<T: DeserializeOwned>(body: Body, limit: usize) -> Result<T> {
    let bytes = read(body, limit).await?;
    serde_json::from_slice(&bytes)
        .map_err(|error| Error::invalid(format!("the body is not the JSON expected: {error}")))
}
