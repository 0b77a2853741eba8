//! `/digitaltwins/{id}/components/{path}`.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use pollux_services::Services;
use pollux_services::twins::PatchComponent;

use super::answer::{self, Answer};
use super::body;
use super::call::{Call, Ids};

/// `GET`: the component, with the twin's etag.
pub(super) async fn get(
    State(services): State<Arc<Services>>,
    call: Call,
    Ids((id, path)): Ids<(String, String)>,
) -> Answer {
    let component = services.twins.component(&call.caller, &call.instance, &id, &path).await?;
    Ok(answer::tagged(&call.version.show(component.document), &component.etag))
}

/// `PATCH`: changes it.
pub(super) async fn update(
    State(services): State<Arc<Services>>,
    call: Call,
    Ids((twin, component)): Ids<(String, String)>,
    body: Body,
) -> Answer {
    let patch = body::patch(&services, body).await?;
    call.version.check_patch(&patch)?;
    let patch = PatchComponent { twin, component, patch, if_match: call.if_match() };
    let etag = services.twins.patch_component(&call.caller, &call.instance, patch).await?;
    Ok(answer::changed(&etag))
}
