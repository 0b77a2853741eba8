//! `POST /registrations/{id}/explain`: which entry would let a device in or refuse it. `POST /enrollmentGroups/{id}/explain`:
//! which groups would let its devices in if it were gone, and whether there may be more of them. Ours: Azure has no such paths.

use axum::response::Response;
use pollux_model::sas::SasToken;
use pollux_model::{Error, Result};
use pollux_services::provisioning::{Changes, ExplainRequest, contract};
use pollux_x509::Chain;
use serde::Deserialize;
use serde_json::{Value, json as document};

use super::call::Call;
use super::json;

/// What the device would show, and what would be changed; all of it may be left out.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
struct ExplainBody {
    /// PEM, the device's own first, or base64 of DER.
    certificate: Option<String>,
    /// A shared access signature for `{idScope}/registrations/{id}`, so that no key need be sent.
    token: Option<String>,
    without_enrollment: bool,
    disable_enrollment: bool,
    without_groups: Vec<String>,
    disable_groups: Vec<String>,
}

pub(super) async fn explain(mut call: Call, id: String) -> Result<Response> {
    let body: ExplainBody = call.json().await?;
    let chain = body.certificate.as_deref().map(Chain::from_text).transpose();
    let token = body.token.as_deref().map(SasToken::parse).transpose();
    let request = ExplainRequest {
        registration_id: id,
        chain: chain.map_err(|error| Error::invalid(format!("certificate: {error}")))?,
        token: token.map_err(|error| Error::invalid(format!("token: {error}")))?,
        changes: Changes {
            without_enrollment: body.without_enrollment,
            disable_enrollment: body.disable_enrollment,
            without_groups: body.without_groups,
            disable_groups: body.disable_groups,
        },
    };
    let said = call.services.provisioning.explain(&call.caller, &call.dps, request).await?;
    Ok(json(&contract::explanation(&said)))
}

pub(super) async fn explain_group(call: Call, id: &str) -> Result<Response> {
    let (above, uncertain) = call.services.provisioning.explain_group(&call.caller, &call.dps, id).await?;
    let above: Vec<Value> = above.iter().map(contract::vouching).collect();
    Ok(json(&document!({ "enrollmentGroupId": id, "above": above, "uncertain": uncertain })))
}
