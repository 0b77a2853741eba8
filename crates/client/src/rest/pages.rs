//! Lists and query results that come in pages, in the ways the services have.

use reqwest::Method;
use serde_json::{Value, json};

use super::{Rest, RestError};

/// How a service hands out pages.
#[derive(Debug, Clone)]
pub enum Paging {
    /// Hub and DPS: POST `{"query": …}`, rows as an array, `x-ms-continuation` in a header both ways.
    Header {
        /// `/devices/query`, `/enrollments/query`, …
        path: String,
        /// The query.
        query: String,
    },
    /// Hub: GET, pages as of [`Paging::Header`].
    List {
        /// `/jobs/v2/query` with its query.
        path: String,
    },
    /// Digital twins' query: POST `{"query": …}` or `{"continuationToken": …}`, rows under `value`.
    Token {
        /// `/query`.
        path: String,
        /// The query.
        query: String,
    },
    /// Digital twins' lists: GET, rows under `value`, the next page's address under `nextLink`.
    Link {
        /// `/models`, `/digitaltwins/{id}/relationships`, … with its query.
        path: String,
    },
}

/// The pages still to come.
#[derive(Debug)]
pub struct Pages<'a> {
    rest: &'a Rest,
    paging: Paging,
    page_size: Option<u32>,
    /// Continuation or address of the next page.
    next: Option<String>,
    started: bool,
}

impl<'a> Pages<'a> {
    pub(super) const fn new(rest: &'a Rest, paging: Paging) -> Self {
        Self { rest, paging, page_size: None, next: None, started: false }
    }

    /// Asks for at most this many rows a page.
    #[must_use]
    pub const fn page_size(mut self, rows: u32) -> Self {
        self.page_size = Some(rows);
        self
    }

    /// The rows of the next page (there may be none on it); none after the last.
    ///
    /// # Errors
    /// See [`RestError`].
    pub async fn next(&mut self) -> Result<Option<Vec<Value>>, RestError> {
        if self.started && self.next.is_none() {
            return Ok(None);
        }
        self.started = true;
        let next = self.next.take();
        let (mut request, size_header) = match &self.paging {
            Paging::Header { path, .. } | Paging::List { path } => {
                let request = match &self.paging {
                    Paging::Header { query, .. } => {
                        self.rest.request(Method::POST, path).json(json!({ "query": query }))
                    }
                    _ => self.rest.request(Method::GET, path),
                };
                let request = match &next {
                    Some(next) => request.header("x-ms-continuation", next),
                    None => request,
                };
                (request, "x-ms-max-item-count")
            }
            Paging::Token { path, query } => {
                let body = next
                    .map_or_else(|| json!({ "query": query }), |next| json!({ "continuationToken": next }));
                (self.rest.request(Method::POST, path).json(body), "max-items-per-page")
            }
            Paging::Link { path } => {
                (self.rest.request(Method::GET, next.as_deref().unwrap_or(path)), "max-items-per-page")
            }
        };
        if let Some(rows) = self.page_size {
            request = request.header(size_header, &rows.to_string());
        }
        let mut answer = request.send().await?;
        let text = |value: &Value| value.as_str().filter(|text| !text.is_empty()).map(str::to_owned);
        let rows = match &self.paging {
            Paging::Header { .. } | Paging::List { .. } => {
                self.next =
                    answer.header("x-ms-continuation").filter(|text| !text.is_empty()).map(str::to_owned);
                answer.body
            }
            Paging::Token { .. } => {
                self.next = text(&answer.body["continuationToken"]);
                answer.body.get_mut("value").map(Value::take).unwrap_or_default()
            }
            Paging::Link { .. } => {
                self.next = text(&answer.body["nextLink"]);
                answer.body.get_mut("value").map(Value::take).unwrap_or_default()
            }
        };
        match rows {
            Value::Array(rows) => Ok(Some(rows)),
            Value::Null => Ok(Some(Vec::new())),
            _ => Err(RestError::Setup("the service answered without a list of rows".to_owned())),
        }
    }

    /// All rows, up to `max`; fewer when there are no more.
    ///
    /// # Errors
    /// See [`RestError`].
    pub async fn collect(mut self, max: usize) -> Result<Vec<Value>, RestError> {
        let mut all = Vec::new();
        while all.len() < max
            && let Some(rows) = self.next().await?
        {
            all.extend(rows);
        }
        all.truncate(max);
        Ok(all)
    }
}
