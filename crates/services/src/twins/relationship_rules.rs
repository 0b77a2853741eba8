//! What a model says of a relationship: its name, its target, its properties.

use pollux_dtdl::{Dtmi, Link};
use pollux_model::Result;
use serde_json::{Map, Value};

use super::models::Models;
use super::{refusal, sizes};
use crate::Limits;

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
    limits: &Limits,
) -> Result<()> {
    let invalid = |findings: Vec<String>| refusal::invalid("relationship", findings);
    let Ok(source) = Dtmi::parse(model) else {
        return Err(invalid(vec![format!("{model} or one of its dependencies does not exist.")]));
    };
    let target = target.map(Dtmi::parse).transpose();
    let Ok(target) = target else {
        return Err(invalid(vec![format!("The model of the target of {name} is no identifier.")]));
    };
    // ADT does not enforce multiplicity.
    let link = Link { name, properties, target: target.as_ref(), others: None };
    let violations = models.set.check_relationship(&source, &link);
    let findings: Vec<String> = violations.into_iter().map(|violation| violation.message).collect();
    if !findings.is_empty() {
        return Err(invalid(findings));
    }
    sizes::check("relationship", properties, limits)
}
