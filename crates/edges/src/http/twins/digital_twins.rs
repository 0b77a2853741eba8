//! `/digitaltwins/{id}`.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use http::StatusCode;
use pollux_services::Services;
use pollux_services::twins::{PatchTwin, PutTwin, twin_document};

use super::answer::{self, Answer};
use super::body;
use super::call::{Call, Ids};

/// `GET`: the twin.
pub(super) async fn get(State(services): State<Arc<Services>>, call: Call, Ids(id): Ids<String>) -> Answer {
    let (etag, twin) = services.twins.show_twin(&call.caller, &call.instance, &id).await?;
    Ok(answer::with_etag(answer::text(StatusCode::OK, call.version.text(twin)), &etag))
}

/// `PUT`: creates or replaces it, with `If-None-Match: *` only creates it.
pub(super) async fn put(
    State(services): State<Arc<Services>>,
    call: Call,
    Ids(id): Ids<String>,
    body: Body,
) -> Answer {
    let (if_none_match, document) = (call.if_none_match()?, body::small(&services, body).await?);
    let put = PutTwin { id, document: call.version.read(document), if_none_match };
    let twin = services.twins.put_twin(&call.caller, &call.instance, put).await?;
    Ok(answer::tagged(&call.version.show(twin_document(&twin)), &twin.etag))
}

/// `PATCH`: changes it.
pub(super) async fn update(
    State(services): State<Arc<Services>>,
    call: Call,
    Ids(id): Ids<String>,
    body: Body,
) -> Answer {
    let patch = body::patch(&services, body).await?;
    call.version.check_patch(&patch)?;
    let patch = PatchTwin { id, patch, if_match: call.if_match() };
    let etag = services.twins.patch_twin(&call.caller, &call.instance, patch).await?;
    Ok(answer::changed(&etag))
}

/// `DELETE`: removes it; with `deleteRelationships=true`, which Azure does not have, together with all relationships that
/// start or end at it.
pub(super) async fn delete(
    State(services): State<Arc<Services>>,
    call: Call,
    Ids(id): Ids<String>,
) -> Answer {
    let (twins, caller, instance, if_match) =
        (&services.twins, &call.caller, &call.instance, call.if_match());
    if call.flag("deleteRelationships")? {
        twins.delete_twin_with_relationships(caller, instance, &id, if_match).await?;
    } else {
        twins.delete_twin(caller, instance, &id, if_match).await?;
    }
    Ok(answer::nothing())
}
