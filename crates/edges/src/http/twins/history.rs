//! `/digitaltwins/{id}/history` and `…/relationships/{relationship}/history`, an extension of ours: what they were.
//!
//! ```json
//! { "value": [ { "validFrom": "…", "validTo": "…", "deleted": false, "twin": { "$dtId": "…" } } ], "nextLink": null }
//! ```
//!
//! The oldest comes first; of what stands still `validTo` is null. `relationship` is there instead of `twin` where that
//! was asked for.

use std::sync::Arc;

use axum::extract::State;
use pollux_services::Services;
use pollux_services::twins::Version;
use serde_json::{Value, json};

use super::answer::{self, Answer};
use super::call::{Call, Ids};

/// `GET`: versions of a twin.
pub(super) async fn of_twin(
    State(services): State<Arc<Services>>,
    call: Call,
    Ids(id): Ids<String>,
) -> Answer {
    let listing = services.twins.versions(&call.caller, &call.instance, (&id, None), call.paging()?).await?;
    Ok(answer::page(listing, &call.link, |version| shown(version, "twin")))
}

/// `GET`: versions of a relationship.
pub(super) async fn of_relationship(
    State(services): State<Arc<Services>>,
    call: Call,
    Ids((source, id)): Ids<(String, String)>,
) -> Answer {
    let of = (&*source, Some(&*id));
    let listing = services.twins.versions(&call.caller, &call.instance, of, call.paging()?).await?;
    Ok(answer::page(listing, &call.link, |version| shown(version, "relationship")))
}

fn shown(version: Version, what: &str) -> Value {
    let Version { since, until, deleted, document } = version;
    json!({ "validFrom": since, "validTo": until, "deleted": deleted, what: document })
}
