//! How a query was answered, as a row.

use pollux_query::twins::{Query, StepDirection};
use serde_json::{Value, json};

use super::super::graph::Presence;
use super::answer::Ordered;
use super::memory::Access;
use super::plan::{Edges, Leg, Plan, Roots};
use super::source::Spent;

/// What was seen when the query was answered.
pub(super) struct Seen<'s> {
    /// Rows bound behind the start and behind each leg.
    pub(super) bound: &'s [u64],
    /// Rows of the answer before `TOP` and `OFFSET`.
    pub(super) rows: u64,
    pub(super) spent: Spent,
    /// How the start was found, where the graph is in memory.
    pub(super) memory: Option<Access>,
    /// The property by whose index it was found, where it was read from the store.
    pub(super) index: Option<String>,
    /// Why it is not.
    pub(super) presence: Presence,
    /// Whether the time was enough for all of it.
    pub(super) complete: bool,
}

pub(super) fn row(query: &Query, plan: &Plan<'_>, seen: &Seen<'_>) -> Value {
    let mut steps = vec![start(query, plan, seen)];
    let bound = seen.bound.iter().skip(1);
    steps.extend(plan.legs.iter().zip(bound).map(|(leg, bound)| step(query, leg, *bound)));
    if Ordered::wants(query) {
        let what = if query.is_grouped() { "group" } else { "order" };
        steps.push(json!({ "step": what, "access": "all rows, for each page" }));
    }
    let charge = (seen.spent.charge() * 1000.0).round() / 1000.0;
    json!({
        "plan": steps,
        "source": source(seen),
        "rows": seen.rows,
        "read": { "twins": seen.spent.twins, "relationships": seen.spent.relationships },
        "combinations": seen.spent.combinations,
        "charge": charge,
        "complete": seen.complete,
    })
}

fn start(query: &Query, plan: &Plan<'_>, seen: &Seen<'_>) -> Value {
    let access = match &plan.roots {
        _ if seen.memory.is_some() => seen.memory.as_ref().map(found).unwrap_or_default(),
        Roots::Twins(filter) => match (&filter.ids, &filter.models) {
            (None, _) if seen.index.is_some() => {
                found(&Access::Index(seen.index.clone().unwrap_or_default()))
            }
            (Some(ids), _) => format!("key: {} ids", ids.len()),
            (None, Some(models)) => format!("index on model: {} models", models.len()),
            (None, None) => "all twins".to_owned(),
        },
        Roots::Relationships(Edges { sources: Some(sources), .. }) => {
            format!("key: {} sources", sources.len())
        }
        Roots::Relationships(Edges { target: Some(_), .. }) => "index on target".to_owned(),
        Roots::Relationships(_) => "all relationships".to_owned(),
    };
    let mut step = json!({
        "step": "start",
        "alias": name(query, plan.start),
        "access": access,
        "conditions": plan.at_start.len(),
        "rows": seen.bound.first(),
    });
    if let Some(estimate) = plan.estimate {
        step["estimate"] = estimate.into();
    }
    step
}

/// Where twins and relationships were read.
fn source(seen: &Seen<'_>) -> &'static str {
    match (&seen.memory, seen.presence) {
        (Some(_), _) => "memory",
        (None, Presence::Loading) => "store: the graph is being read into memory",
        (None, Presence::TooLarge) => "store: the graph does not fit into limits.graph_memory",
        (None, Presence::Whole | Presence::Off) => "store",
    }
}

fn found(access: &Access) -> String {
    match access {
        Access::Ids(ids) => format!("key: {ids} ids"),
        Access::Index(property) => format!("index on {property}"),
        Access::Models(models) => format!("index on model: {models} models"),
        Access::Scan { .. } => "all twins".to_owned(),
    }
}

fn step(query: &Query, leg: &Leg, rows: u64) -> Value {
    let access = match leg.direction {
        StepDirection::Forward => "key: source",
        StepDirection::Backward => "index on target",
        StepDirection::Either => "key: source, index on target",
    };
    json!({
        "step": if leg.closes { "close" } else { "follow" },
        "from": name(query, leg.from),
        "to": name(query, leg.to),
        "relationships": if leg.names.is_empty() { "any".to_owned() } else { leg.names.join("|") },
        "hops": [leg.min, leg.max],
        "access": access,
        "conditions": leg.conditions.len(),
        "rows": rows,
    })
}

fn name(query: &Query, alias: u16) -> Option<&str> {
    query.aliases().get(usize::from(alias))?.name.as_deref()
}
