//! Which twins a walk starts from, found the cheapest way.

use pollux_store::twins::TwinFilter;

use super::super::super::graph::{Graph, Wanted};

/// Roots looked up at once where they come in their order.
const BATCH: usize = 512;
/// Roots of an index that are put in order of their ids at most; more are found by looking at all.
const SORTED: usize = 4096;
/// With more models than this, looking at all twins is no worse.
const MODELS: usize = 64;

/// How they were found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Access {
    Ids(usize),
    /// An index on this property.
    Index(String),
    /// By so many models.
    Models(usize),
    /// Each was looked at. An index on this property would have told which.
    Scan {
        missed: Option<String>,
    },
}

/// The next roots behind `after`, how they were found, and whether there may be more.
pub(super) fn find(
    graph: &Graph,
    filter: &TwinFilter,
    predicates: &[(&str, Wanted)],
    after: Option<&str>,
) -> (Vec<u32>, Access, bool) {
    if let Some(ids) = &filter.ids {
        let mut behind: Vec<&str> =
            ids.iter().map(String::as_str).filter(|id| after.is_none_or(|after| *id > after)).collect();
        behind.sort_unstable();
        behind.dedup();
        let nodes = behind.into_iter().filter_map(|id| graph.find(id)).map(|(node, _)| node).collect();
        return (nodes, Access::Ids(ids.len()), false);
    }
    let models = filter.models.as_deref().filter(|models| models.len() <= MODELS);
    let of_models = graph.count(models);
    let indexed = predicates.iter().filter_map(|(property, wanted)| {
        let index = graph.index(property)?;
        let count = index.count(wanted, SORTED);
        (wanted.single || count < SORTED).then_some((count, *property, index, wanted))
    });
    if let Some((count, property, index, wanted)) = indexed.min_by_key(|(count, ..)| *count)
        && count <= of_models
    {
        let nodes = index.nodes(wanted, after, SORTED);
        let more = wanted.single && nodes.len() == SORTED;
        return (nodes, Access::Index(property.to_owned()), more);
    }
    let nodes = graph.twins(models, after, BATCH);
    let more = nodes.len() == BATCH;
    let missed = || {
        let without = |property: &&str| graph.index(property).is_none();
        let single = predicates.iter().find(|(_, wanted)| wanted.single).or(predicates.first());
        single.map(|(property, _)| *property).filter(without).map(ToOwned::to_owned)
    };
    let access = match models {
        Some(models) if of_models <= BATCH => Access::Models(models.len()),
        Some(models) if predicates.is_empty() => Access::Models(models.len()),
        _ => Access::Scan { missed: missed() },
    };
    (nodes, access, more)
}
