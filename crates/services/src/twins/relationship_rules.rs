//! What a model says of a relationship: its name, its target, its properties.

use pollux_dtdl::Dtmi;
use pollux_model::Result;
use serde_json::{Map, Value};

use super::models::Models;
use super::{document, refusal};

/// Checks a relationship of a twin of `model`; `target` is the target's model if that is to be checked too.
///
/// # Errors
/// [`pollux_model::ErrorCode::ValidationFailed`] with every violation, [`pollux_model::ErrorCode::TooLarge`].
pub(super) fn check(
    models: &Models,
    model: &str,
    target: Option<&str>,
    name: &str,
    properties: &Map<String, Value>,
    limit: usize,
) -> Result<()> {
    let invalid = |findings: Vec<String>| refusal::invalid("relationship", findings);
    let interface = Dtmi::parse(model).ok().and_then(|id| models.set.get(&id));
    let Some(interface) = interface else {
        return Err(invalid(vec![format!("{model} or one of its dependencies does not exist.")]));
    };
    let Some(relationship) = interface.relationships.get(name) else {
        return Err(invalid(vec![format!("{name} is not a relationship on the DTDL for {model}.")]));
    };
    let mut findings: Vec<String> =
        relationship.check_body(properties).into_iter().map(|violation| violation.message).collect();
    if let (Some(wanted), Some(target)) = (&relationship.target, target)
        && !Dtmi::parse(target).is_ok_and(|target| models.set.is_of(&target, wanted, false))
    {
        findings.push(format!("The target of {name} must be of the model {wanted}; it is of {target}."));
    }
    if !findings.is_empty() {
        return Err(invalid(findings));
    }
    if document::size(properties) > limit {
        return Err(refusal::too_large("relationship", limit));
    }
    Ok(())
}
