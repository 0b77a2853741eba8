//! ADT's sentences. Clients match on codes, people read these; they are kept as the real service words them.
//!
//! An error about the contents of a twin, relationship or model set may carry several findings: the first line of its
//! message sums up, each further line is one finding.

use pollux_model::ids::shown;
use pollux_model::{Error, ErrorCode, Etag};
use pollux_store::{CommitError, StoreError};

pub(super) const NO_HISTORY: &str = "This instance keeps no history. An operator switches it on with `pollux twins \
                                     update --name <instance> --history-hours 168`; it then knows of all that changes \
                                     from there on.";

pub(super) fn twin_not_found(id: &str) -> Error {
    let id = shown(id);
    Error::new(
        ErrorCode::TwinNotFound,
        format!(
            "There is no digital twin instance that exists with the ID {id}. Please verify that the twin id is valid and \
             ensure that the twin is not deleted. See section on querying the twins http://aka.ms/adtv2query."
        ),
    )
}

pub(super) fn target_not_found() -> Error {
    Error::new(
        ErrorCode::TargetTwinNotFound,
        "The target digital twin is invalid or does not exist. Please validate that the target twin is valid and ensure \
         that the target twin is not deleted. See section on querying the twins http://aka.ms/adtv2query.",
    )
}

pub(super) fn component_not_found(twin: &str, component: &str) -> Error {
    let (twin, component) = (shown(twin), shown(component));
    Error::new(
        ErrorCode::ComponentNotFound,
        format!(
            "{twin} does not have component {component}. Please verify that the component path is correct. You can get \
             components by getting the twin, See example http://aka.ms/TwinGetSwSmpl."
        ),
    )
}

pub(super) fn relationship_not_found(twin: &str, id: &str) -> Error {
    let (twin, id) = (shown(twin), shown(id));
    Error::new(
        ErrorCode::RelationshipNotFound,
        format!(
            "Relationship {id} not found on twin {twin}. Please verify that the relationship id is valid and ensure that \
             the relationship is not deleted. See section on listing relationships in the documentation \
             http://aka.ms/adtv2twins."
        ),
    )
}

pub(super) fn relationships_not_deleted(twin: &str) -> Error {
    let twin = shown(twin);
    Error::new(
        ErrorCode::RelationshipsNotDeleted,
        format!(
            "The twin {twin} contains incoming or outgoing relationships. Please delete all incoming and outgoing \
             relationships before deleting the twin."
        ),
    )
}

pub(super) fn model_not_found(id: &str) -> Error {
    Error::new(
        ErrorCode::ModelNotFound,
        format!(
            "There is no Model(s) available that matches the provided id(s) {}. Check that the Model ID provided is \
             valid by doing a Model_List API call.",
            // A DTMI may be longer than `shown` shows and must be whole to be of use.
            id.chars().take(2048).flat_map(char::escape_default).collect::<String>()
        ),
    )
}

pub(super) fn etag_mismatch(given: &Etag) -> Error {
    let given = shown(given);
    Error::new(
        ErrorCode::PreconditionFailed,
        format!(
            "The provided etag W/\"{given}\" doesn't match the current etag for the resource. Please obtain and provide \
             the latest etag by getting the resource. See section on get apis in the documentation \
             http://aka.ms/adtv2twins."
        ),
    )
}

pub(super) fn already_there(noun: &str, id: &str) -> Error {
    let id = shown(id);
    Error::new(
        ErrorCode::PreconditionFailed,
        format!(
            "If-None-Match: * header was specified but a {noun} with the id {id} was found. Please specify a different \
             {noun} id."
        ),
    )
}

/// Contents that do not hold by the model: `noun` is `twin` or `relationship`.
pub(super) fn invalid(noun: &str, findings: impl IntoIterator<Item = String>) -> Error {
    let mut message = format!("Invalid {noun} specified");
    for finding in findings {
        message.push('\n');
        // A finding may quote what was sent: it must stay on its line.
        message.extend(finding.chars().map(|c| if c.is_control() { ' ' } else { c }));
    }
    Error::new(ErrorCode::ValidationFailed, message)
}

pub(crate) fn event_route_not_found() -> Error {
    Error::new(
        ErrorCode::EventRouteNotFound,
        "There is no route available that matches the provided input. Check for all valid event routes by calling \
         EventRoute_List. See Swagger example (http://aka.ms/RouteSwSmpl).",
    )
}

pub(super) fn patch(what: impl std::fmt::Display) -> Error {
    Error::new(
        ErrorCode::JsonPatchInvalid,
        format!(
            "{what}. Please provide a valid patch document. See section on update apis in the documentation \
             http://aka.ms/adtv2twins."
        ),
    )
}

pub(super) fn too_large(noun: &str, limit: usize) -> Error {
    Error::new(ErrorCode::TooLarge, format!("The {noun} is larger than {limit} bytes."))
}

/// An id of a twin or relationship that cannot be one (article "Azure Digital Twins service limits").
pub(super) fn check_id(noun: &str, id: &str) -> Result<(), Error> {
    let good = |c: char| c.is_alphanumeric() || "-:.+%_#*?!(),=@;$'~ ".contains(c);
    if (1..=128).contains(&id.chars().count()) && id.chars().all(good) {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "'{}' is no {noun} id: use 1 to 128 letters, digits, spaces and - : . + % _ # * ? ! ( ) , = @ ; $ ' ~",
        shown(id)
    )))
}

pub(super) fn store(error: StoreError) -> Error {
    match error {
        StoreError::Unavailable(cause) => {
            tracing::warn!(%cause, "the store is unavailable");
            Error::new(ErrorCode::Unavailable, "The service is temporarily unavailable. Please try again.")
        }
        StoreError::Corrupt(cause) => {
            tracing::error!(%cause, "the store holds what it should not");
            Error::internal()
        }
    }
}

/// A commit that failed for another reason than those its caller expects.
pub(super) fn commit(error: CommitError) -> Error {
    match error {
        CommitError::Store(error) => store(error),
        CommitError::Expectation { index, mismatch } => {
            tracing::error!(index, ?mismatch, "a write was refused for a reason that cannot be");
            Error::internal()
        }
    }
}
