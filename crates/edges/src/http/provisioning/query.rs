//! Queries of the service API: a list, page by page. The query language knows no conditions here.

use axum::response::Response;
use http::HeaderValue;
use pollux_model::{Error, Result, ids};
use serde::Deserialize;
use serde_json::Value;

use super::call::Call;
use super::json;
use crate::http::rest::{CONTINUATION, ITEM_TYPE, Paging, seal};

#[derive(Debug, Deserialize)]
struct QueryBody {
    query: String,
}

/// Which part of which list is asked for.
pub(super) struct Asked {
    pub(super) paging: Paging,
    list: String,
}

impl Asked {
    /// Reads the query, which must be `*` or `SELECT * FROM` one of `nouns`.
    pub(super) async fn of(call: &mut Call, list: &str, nouns: &[&str]) -> Result<Self> {
        let QueryBody { query } = call.json().await?;
        if !selects_all(&query, nouns) {
            let shown = ids::shown(&query);
            return Err(Error::invalid(format!(
                "the query '{shown}' is not understood: use * or SELECT * FROM {}",
                nouns[0]
            )));
        }
        let list = format!("dps/{}/{list}", call.dps.name);
        Ok(Self { paging: Paging::of(&call.headers, &list)?, list })
    }
}

fn selects_all(query: &str, nouns: &[&str]) -> bool {
    let words: Vec<_> = query.split_whitespace().collect();
    let is = |word: &str, wanted: &str| word.eq_ignore_ascii_case(wanted);
    match words.as_slice() {
        ["*"] => true,
        [select, "*"] => is(select, "select"),
        [select, "*", from, noun] => {
            is(select, "select") && is(from, "from") && nouns.iter().any(|wanted| is(noun, wanted))
        }
        _ => false,
    }
}

/// A page of rows with the token that leads on.
pub(super) fn page(asked: &Asked, kind: &'static str, rows: Vec<Value>, next: Option<&str>) -> Response {
    let mut response = json(&Value::Array(rows));
    let headers = response.headers_mut();
    headers.insert(ITEM_TYPE, HeaderValue::from_static(kind));
    if let Some(token) = next.and_then(|next| seal(&asked.list, next)) {
        headers.insert(CONTINUATION, token);
    }
    response
}
