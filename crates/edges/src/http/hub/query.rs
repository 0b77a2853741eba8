//! `POST /devices/query`: pages of twins, of jobs at devices, or of columns.

use axum::response::Response;
use http::HeaderValue;
use pollux_model::Result;
use pollux_services::hub::DeviceRow;
use serde::Deserialize;
use serde_json::Value;

use super::call::Call;
use super::json;
use crate::http::rest::{CONTINUATION, ITEM_TYPE, Paging, seal};

#[derive(Debug, Deserialize)]
struct QueryBody {
    query: String,
}

pub(super) async fn run(mut call: Call) -> Result<Response> {
    let QueryBody { query } = call.json().await?;
    let list = format!("hub/{}/devices/{query}", call.hub.name);
    let Paging { after, limit } = Paging::of(&call.headers, &list)?;
    let page = call.services.hub.query(&call.caller, &call.hub, &query, after.as_deref(), limit).await?;
    let kind = item_type(&query, &page.items);
    let rows = page.items.into_iter().map(|row| match row {
        DeviceRow::Twin(row) | DeviceRow::Job(row) | DeviceRow::Raw(row) => row,
    });
    let mut response = json(&Value::Array(rows.collect()));
    response.headers_mut().insert(ITEM_TYPE, HeaderValue::from_static(kind));
    if let Some(token) = page.next.and_then(|next| seal(&list, &next)) {
        response.headers_mut().insert(CONTINUATION, token);
    }
    Ok(response)
}

/// What the rows are; a page without rows is what the query's words say.
fn item_type(query: &str, rows: &[DeviceRow]) -> &'static str {
    match rows.first() {
        Some(DeviceRow::Twin(_)) => "twin",
        Some(DeviceRow::Job(_)) => "deviceJob",
        Some(DeviceRow::Raw(_)) => "raw",
        None => {
            let mut words = query.split_whitespace().skip(1);
            let whole = words.next().is_some_and(|word| word.starts_with('*'));
            let of_jobs = words.any(|word| word.eq_ignore_ascii_case("devices.jobs"));
            match (whole, of_jobs) {
                (true, true) => "deviceJob",
                (true, false) => "twin",
                (false, _) => "raw",
            }
        }
    }
}
