//! How a query was answered, as a row.

use pollux_query::twins::{Query, StepDirection};
use serde_json::{Value, json};

use super::answer::Ordered;
use super::plan::{Edges, Leg, Plan, Roots};
use super::source::Spent;

/// What was seen when the query was answered.
pub(super) struct Seen<'s> {
    /// Rows bound behind the start and behind each leg.
    pub(super) bound: &'s [u64],
    /// Rows of the answer before `TOP` and `OFFSET`.
    pub(super) rows: u64,
    pub(super) spent: Spent,
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
        "rows": seen.rows,
        "read": { "twins": seen.spent.twins, "relationships": seen.spent.relationships },
        "combinations": seen.spent.combinations,
        "charge": charge,
        "complete": seen.complete,
    })
}

fn start(query: &Query, plan: &Plan<'_>, seen: &Seen<'_>) -> Value {
    let access = match &plan.roots {
        Roots::Twins(filter) => match (&filter.ids, &filter.models) {
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
