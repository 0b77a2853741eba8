//! What of the store a query has to look at: as little as its conditions allow, never less than they need.

use std::collections::BTreeSet;

use pollux_dtdl::Dtmi;
use pollux_model::{ResourceName, Result};
use pollux_query::twins::{Collection, Query};
use pollux_query::{Expr, ExprKind, Hints};
use pollux_store::Store;
use pollux_store::twins::{Direction, TwinFilter};
use serde_json::Value;

use super::super::models::Models;
use super::super::{relationship_document, twin_document};
use super::{BATCH, refusal};

/// Longer lists are not handed to the store; it is read more broadly instead.
const LONGEST_LIST: usize = 1000;

/// Where a query's candidates are.
pub(super) struct Plan {
    collection: Collection,
    /// For alias 0, if it is a twin.
    filter: TwinFilter,
    /// For each alias, the ids a match can have.
    ids: Vec<Option<BTreeSet<String>>>,
    counting: Counting,
}

/// Whether the store can count the matches by itself.
enum Counting {
    No,
    Of(Option<Vec<String>>),
}

/// Candidates for alias 0.
pub(super) struct Roots {
    /// With the key to go on after each, where it is known.
    pub(super) roots: Vec<(Option<String>, Value)>,
    /// The key to go on after all of them; `None` if there are no more.
    pub(super) next: Option<String>,
}

impl Plan {
    pub(super) async fn make(
        query: &Query,
        models: &Models,
        store: &dyn Store,
        instance: &ResourceName,
    ) -> Result<Self> {
        let hints = query.hints();
        let mut ids: Vec<Option<BTreeSet<String>>> =
            hints.iter().map(|hint| hint.ids.as_ref().map(|ids| ids.iter().cloned().collect())).collect();
        // A JOIN whose end is known is followed backwards, so that its beginning is known too.
        for join in query.joins().iter().rev() {
            let (source, target) = (usize::from(join.source), usize::from(join.target));
            let (Some(None), Some(Some(ends))) = (ids.get(source), ids.get(target)) else { continue };
            let beginnings = sources(store, instance, ends, &join.name).await?;
            ids[source] = beginnings;
        }
        let filter = TwinFilter {
            ids: ids
                .first()
                .and_then(Option::as_ref)
                .filter(|ids| ids.len() <= LONGEST_LIST)
                .map(|ids| ids.iter().cloned().collect()),
            models: hints.first().and_then(|hint| exact_models(hint, models)),
        };
        Ok(Self { collection: query.collection(), filter, ids, counting: counting(query, models) })
    }

    /// The number of matches, if the store can tell.
    pub(super) async fn count(&self, store: &dyn Store, instance: &ResourceName) -> Result<Option<u64>> {
        match &self.counting {
            Counting::No => Ok(None),
            Counting::Of(models) => {
                store.count_twins(instance, models.as_deref()).await.map(Some).map_err(refusal::store)
            }
        }
    }

    /// Candidates for alias 0 in key order.
    pub(super) async fn roots(
        &self,
        store: &dyn Store,
        instance: &ResourceName,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Roots> {
        match self.collection {
            Collection::DigitalTwins => {
                let page = store.twins(instance, &self.filter, after, limit).await.map_err(refusal::store)?;
                let roots =
                    page.items.iter().map(|twin| (Some(twin.id.clone()), twin_document(twin))).collect();
                Ok(Roots { roots, next: page.next })
            }
            Collection::Relationships => {
                let page = store.relationships(instance, after, limit).await.map_err(refusal::store)?;
                let roots = page.items.iter().map(|found| (None, relationship_document(found))).collect();
                Ok(Roots { roots, next: page.next })
            }
        }
    }

    /// Whether a twin of this id can be what an alias stands for.
    pub(super) fn admits(&self, alias: u16, id: &str) -> bool {
        self.ids.get(usize::from(alias)).and_then(Option::as_ref).is_none_or(|ids| ids.contains(id))
    }
}

/// The twins from which relationships of that name lead to one of `targets`; `None` if there are too many.
async fn sources(
    store: &dyn Store,
    instance: &ResourceName,
    targets: &BTreeSet<String>,
    name: &str,
) -> Result<Option<BTreeSet<String>>> {
    let mut found = BTreeSet::new();
    for target in targets {
        let mut after: Option<String> = None;
        loop {
            let direction = Direction::Incoming;
            let page = store
                .relationships_of(instance, target, direction, Some(name), after.as_deref(), BATCH)
                .await;
            let page = page.map_err(refusal::store)?;
            found.extend(page.items.into_iter().map(|relationship| relationship.source));
            if found.len() > LONGEST_LIST {
                return Ok(None);
            }
            match page.next {
                Some(next) => after = Some(next),
                None => break,
            }
        }
    }
    Ok(Some(found))
}

/// The models a match is exactly of; `None` if any, or too many to say.
fn exact_models(hint: &Hints, models: &Models) -> Option<Vec<String>> {
    let wanted = hint.models.as_ref()?;
    let mut all = BTreeSet::new();
    for (model, exact) in wanted {
        all.extend(of_model(models, model, *exact));
    }
    (all.len() <= LONGEST_LIST).then(|| all.into_iter().collect())
}

/// A model and, unless `exact`, all that are of it.
fn of_model(models: &Models, model: &str, exact: bool) -> Vec<String> {
    let mut all = vec![model.to_owned()];
    if let (false, Ok(id)) = (exact, Dtmi::parse(model)) {
        all.extend(
            models.set.descendants(&id).iter().map(ToString::to_string).filter(|other| other != model),
        );
    }
    all
}

fn counting(query: &Query, models: &Models) -> Counting {
    if !query.is_count() || query.collection() != Collection::DigitalTwins || !query.joins().is_empty() {
        return Counting::No;
    }
    match query.filter() {
        None => Counting::Of(None),
        Some(Expr { kind: ExprKind::IsOfModel { model, exact, .. }, .. }) => {
            let all = of_model(models, model, *exact);
            if all.len() <= LONGEST_LIST { Counting::Of(Some(all)) } else { Counting::No }
        }
        Some(_) => Counting::No,
    }
}
