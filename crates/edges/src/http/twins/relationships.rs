//! `/digitaltwins/{id}/relationships[/{relationship}]` and `/digitaltwins/{id}/incomingrelationships`.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use pollux_model::digital_twin::Relationship;
use pollux_services::Services;
use pollux_services::twins::{PatchRelationship, PutRelationship, relationship_document};
use serde_json::{Value, json};

use super::answer::{self, Answer};
use super::body;
use super::call::{Call, Ids};

/// `GET` of the list: those that start at the twin; `relationshipName` chooses.
pub(super) async fn list(State(services): State<Arc<Services>>, call: Call, Ids(id): Ids<String>) -> Answer {
    let (name, paging) = (call.parameter("relationshipName"), call.paging()?);
    let listing = services.twins.relationships(&call.caller, &call.instance, &id, name, paging).await?;
    Ok(answer::page(listing, &call.link, |relationship| relationship_document(&relationship)))
}

/// `GET` of the list of those that end at the twin.
pub(super) async fn list_incoming(
    State(services): State<Arc<Services>>,
    call: Call,
    Ids(id): Ids<String>,
) -> Answer {
    let listing =
        services.twins.incoming_relationships(&call.caller, &call.instance, &id, call.paging()?).await?;
    Ok(answer::page(listing, &call.link, |relationship| incoming(&relationship)))
}

/// `GET`: the relationship.
pub(super) async fn get(
    State(services): State<Arc<Services>>,
    call: Call,
    Ids((source, id)): Ids<(String, String)>,
) -> Answer {
    let relationship = services.twins.relationship(&call.caller, &call.instance, &source, &id).await?;
    Ok(answer::tagged(&relationship_document(&relationship), &relationship.etag))
}

/// `PUT`: creates or replaces it, with `If-None-Match: *` only creates it.
pub(super) async fn put(
    State(services): State<Arc<Services>>,
    call: Call,
    Ids((source, id)): Ids<(String, String)>,
    body: Body,
) -> Answer {
    let (if_none_match, document) = (call.if_none_match()?, body::small(&services, body).await?);
    let put = PutRelationship { source, id, document, if_none_match };
    let relationship = services.twins.put_relationship(&call.caller, &call.instance, put).await?;
    Ok(answer::tagged(&relationship_document(&relationship), &relationship.etag))
}

/// `PATCH`: changes its properties.
pub(super) async fn update(
    State(services): State<Arc<Services>>,
    call: Call,
    Ids((source, id)): Ids<(String, String)>,
    body: Body,
) -> Answer {
    let patch = body::patch(&services, body).await?;
    let patch = PatchRelationship { source, id, patch, if_match: call.if_match() };
    let etag = services.twins.patch_relationship(&call.caller, &call.instance, patch).await?;
    Ok(answer::changed(&etag))
}

/// `DELETE`: removes it.
pub(super) async fn delete(
    State(services): State<Arc<Services>>,
    call: Call,
    Ids((source, id)): Ids<(String, String)>,
) -> Answer {
    services.twins.delete_relationship(&call.caller, &call.instance, &source, &id, call.if_match()).await?;
    Ok(answer::nothing())
}

/// An incoming relationship is shown by where it comes from; the link is for deleting it.
fn incoming(relationship: &Relationship) -> Value {
    let encoded = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    let (source, id) = (encoded(&relationship.source), encoded(&relationship.id));
    json!({
        "$relationshipId": relationship.id,
        "$sourceId": relationship.source,
        "$relationshipName": relationship.name,
        "$relationshipLink": format!("/digitaltwins/{source}/relationships/{id}"),
    })
}
