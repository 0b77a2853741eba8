//! Tokens that say where a list goes on. They are signed, so that nobody can make one: what comes back can be trusted
//! to be a position that was handed out, for the same list of the same instance.
//!
//! The key is made at first use and kept in the store (scope `continuation`), so that every node and every later start
//! understands the tokens.

use std::sync::Arc;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use pollux_model::{Error, ErrorCode, Result};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::OnceCell;

use crate::Context;
use crate::stored_key::stored_key;

const SCOPE: &str = "continuation";
/// A position in a query has the relationships that lead to it: a thousand at most, each with the ids of a twin and its
/// own. In any letters but those of Latin they may come to more than a request may carry back.
const LONGEST: usize = 1000 * 1024;
const DEFAULT_LIMIT: usize = 100;
const GREATEST_LIMIT: usize = 1000;

/// Which part of a list is wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Paging {
    /// The token that came with the part before; `None` for the beginning.
    pub continuation: Option<String>,
    /// Most items wanted; 100 when `None`, never more than 1000.
    pub limit: Option<usize>,
}

impl Paging {
    pub(super) fn limit(&self) -> usize {
        self.limit.unwrap_or(DEFAULT_LIMIT).clamp(1, GREATEST_LIMIT)
    }
}

/// A part of a list.
#[derive(Debug, Clone, PartialEq)]
pub struct Listing<T> {
    /// The items, in order.
    pub items: Vec<T>,
    /// Where the list goes on; `None` at its end.
    pub continuation: Option<String>,
}

/// Makes and reads tokens.
#[derive(Debug)]
pub(super) struct Continuation {
    context: Arc<Context>,
    key: OnceCell<hmac::Key>,
}

impl Continuation {
    pub(super) fn new(context: Arc<Context>) -> Self {
        Self { context, key: OnceCell::new() }
    }

    /// A token for a position in the list that `scope` names.
    ///
    /// # Errors
    /// [`ErrorCode::QuotaExceeded`]: it would be longer than one that can be sent back.
    pub(super) async fn seal<T: Serialize>(&self, scope: &str, position: &T) -> Result<String> {
        let payload = serde_json::to_vec(position).map_err(|_| Error::internal())?;
        let tag = hmac::sign(self.key().await?, &signed(scope, &payload));
        let token = format!("{}.{}", URL_SAFE_NO_PAD.encode(payload), URL_SAFE_NO_PAD.encode(tag.as_ref()));
        if token.len() > LONGEST {
            let message = "The answer cannot be continued: too many relationships lead to where its page ends. Allow \
                           fewer hops, or ask for larger pages.";
            return Err(Error::new(ErrorCode::QuotaExceeded, message));
        }
        Ok(token)
    }

    /// The position in a token that was made for the same `scope`.
    ///
    /// # Errors
    /// [`ErrorCode::ContinuationInvalid`].
    pub(super) async fn open<T: DeserializeOwned>(&self, scope: &str, token: &str) -> Result<T> {
        let key = self.key().await?;
        let opened = || {
            let (payload, tag) = token.get(..LONGEST.min(token.len()))?.split_once('.')?;
            let payload = URL_SAFE_NO_PAD.decode(payload).ok()?;
            let tag = URL_SAFE_NO_PAD.decode(tag).ok()?;
            hmac::verify(key, &signed(scope, &payload), &tag).ok()?;
            serde_json::from_slice(&payload).ok()
        };
        opened().ok_or_else(|| {
            Error::new(
                ErrorCode::ContinuationInvalid,
                "The continuation token is invalid. Use the token exactly as the previous page gave it.",
            )
        })
    }

    async fn key(&self) -> Result<&hmac::Key> {
        self.key.get_or_try_init(|| self.load_key()).await
    }

    async fn load_key(&self) -> Result<hmac::Key> {
        let bytes = stored_key(&self.context, SCOPE).await?;
        Ok(hmac::Key::new(hmac::HMAC_SHA256, &bytes))
    }
}

/// JSON text holds no zero byte, so the last one always ends the scope.
fn signed(scope: &str, payload: &[u8]) -> Vec<u8> {
    [scope.as_bytes(), &[0], payload].concat()
}
