//! `GET /audit?registrationId=&enrollmentGroupId=&since=&after=&top=`: the audit record. `POST /audit`: a tool's note that
//! it has deprovisioned. Ours: Azure has no such paths.

use axum::response::Response;
use pollux_model::{Error, Result, Timestamp, ids};
use pollux_services::provisioning::AuditQuery;
use serde::Deserialize;
use serde_json::{Value, json};

use super::call::Call;
use super::{json as document, nothing};
use crate::http::rest::count;

/// Records of an answer when nothing is said.
const TOP: usize = 100;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Note {
    registration_id: Option<String>,
    enrollment_group_id: Option<String>,
    detail: String,
}

/// `GET`: `{"value": [record…], "next": number, "more": bool}`; `next` goes into `after`.
pub(super) async fn query(call: Call) -> Result<Response> {
    let said = |name: &str| call.parameters.get(name);
    let since = said("since").map(|text| {
        let wrong = || Error::invalid(format!("since '{}' is no moment of ISO 8601", ids::shown(text)));
        Timestamp::parse(text).ok_or_else(wrong)
    });
    let after = said("after").map(|text| text.parse().map_err(|_| Error::invalid("after must be a number")));
    let query = AuditQuery {
        registration_id: said("registrationId").map(str::to_owned),
        enrollment_group_id: said("enrollmentGroupId").map(str::to_owned),
        since: since.transpose()?,
        after: after.transpose()?,
    };
    let top = said("top").map_or(Some(TOP), count);
    let top = top.ok_or_else(|| Error::invalid("top must be a number above 0"))?;
    let found = call.services.provisioning.audit_records(&call.caller, &call.dps, &query, top).await?;
    let row = |(number, record): &(i64, _)| {
        let mut row = json!(record);
        row["sequenceNumber"] = json!(number);
        row
    };
    let rows: Vec<Value> = found.records.iter().map(row).collect();
    Ok(document(&json!({ "value": rows, "next": found.next, "more": found.more })))
}

/// `POST`.
pub(super) async fn note(mut call: Call) -> Result<Response> {
    let Note { registration_id, enrollment_group_id, detail } = call.json().await?;
    let whom = (registration_id.as_deref(), enrollment_group_id.as_deref());
    call.services.provisioning.note_deprovisioned(&call.caller, &call.dps, whom, &detail).await?;
    Ok(nothing())
}
