//! Lists models: all, or some with everything they depend on.

use std::collections::BTreeSet;
use std::ops::Bound;

use pollux_dtdl::Dtmi;
use pollux_model::{Error, ErrorCode, ResourceName, Result};

use super::continuation::{Listing, Paging};
use super::get_model::describe;
use super::models::Models;
use super::rates::Kind;
use super::{ModelDescription, Twins, refusal};
use crate::{Caller, Right};

/// Most models in one page ("Azure Digital Twins service limits").
const PER_PAGE: usize = 100;
/// Most ids in one request.
const MOST_ROOTS: usize = 100;

/// Which models are wanted.
#[derive(Debug, Clone, Default)]
pub struct ListModels {
    /// These and all they extend or have as components, through any number of steps; all models when empty.
    pub dependencies_for: Vec<String>,
    /// Which part of the list.
    pub paging: Paging,
}

impl Twins {
    /// Models in order of id.
    ///
    /// # Errors
    /// [`ErrorCode::ModelNotFound`] for an id in `dependencies_for`, [`ErrorCode::QuotaExceeded`] for too many of them.
    pub async fn models(
        &self,
        caller: &Caller,
        instance: &ResourceName,
        list: ListModels,
    ) -> Result<Listing<ModelDescription>> {
        let resource = self.admit(caller, instance, Right::TwinsRead, (Kind::Models, &[]))?;
        let models = self.models.get(&resource).await?;
        let wanted = (!list.dependencies_for.is_empty())
            .then(|| closure(&models, &list.dependencies_for))
            .transpose()?;
        let scope = format!("{instance}/models");
        let after: Option<String> = match &list.paging.continuation {
            Some(token) => Some(self.continuation.open(&scope, token).await?),
            None => None,
        };
        let start = after.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        let mut ids = models
            .stored
            .range::<str, _>((start, Bound::Unbounded))
            .map(|(id, _)| id)
            .filter(|id| wanted.as_ref().is_none_or(|wanted| wanted.contains(*id)));
        let page: Vec<&String> = ids.by_ref().take(list.paging.limit().min(PER_PAGE)).collect();
        let continuation = match (page.last(), ids.next()) {
            (Some(last), Some(_)) => Some(self.continuation.seal(&scope, last).await?),
            _ => None,
        };
        let items = page.into_iter().filter_map(|id| describe(&models, id)).collect();
        Ok(Listing { items, continuation })
    }
}

fn closure(models: &Models, roots: &[String]) -> Result<BTreeSet<String>> {
    if roots.len() > MOST_ROOTS {
        let message = format!("Dependencies may be asked for up to {MOST_ROOTS} models at once.");
        return Err(Error::new(ErrorCode::QuotaExceeded, message));
    }
    let mut open = Vec::new();
    for root in roots {
        let id = Dtmi::parse(root)
            .map_err(|error| Error::invalid(format!("The model id is invalid: {error}.")))?;
        models.set.model(&id).ok_or_else(|| refusal::model_not_found(root))?;
        open.push(id);
    }
    let mut wanted = BTreeSet::new();
    while let Some(id) = open.pop() {
        if wanted.insert(id.to_string())
            && let Some(model) = models.set.model(&id)
        {
            open.extend(model.dependencies());
        }
    }
    Ok(wanted)
}
