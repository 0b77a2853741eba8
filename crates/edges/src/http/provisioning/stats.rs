//! `GET /stats`: what a provisioning service holds, beside what it may. Ours: Azure has no such path.

use axum::response::Response;
use pollux_model::Result;
use serde_json::{Value, json};

use super::call::Call;
use super::json as document;

pub(super) async fn stats(call: Call) -> Result<Response> {
    let found = call.services.provisioning.stats(&call.caller, &call.dps).await?;
    let limits = &call.services.context.limits;
    let row = |count: u64, limit: Value| json!({ "count": count, "limit": limit });
    Ok(document(&json!({
        "enforced": limits.provisioning_quotas,
        "registrations": row(found.registrations, json!(limits.registrations)),
        "individualEnrollments": row(found.enrollments, json!(limits.individual_enrollments)),
        "x509EnrollmentGroups": row(found.x509_groups, json!(limits.enrollment_groups)),
        "symmetricKeyEnrollmentGroups": row(found.symmetric_key_groups, json!(limits.enrollment_groups)),
        "caCertificates": row(found.ca_certificates, json!(limits.ca_certificates)),
        "linkedHubs": row(found.linked_hubs, json!(limits.linked_hubs)),
        "polls": {
            "limit": limits.registration_polls,
            "seconds": limits.registration_poll_seconds,
        },
    })))
}
