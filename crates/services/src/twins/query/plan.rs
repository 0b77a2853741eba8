//! How a query is answered: from which twin the walk starts, along which steps it goes, what is decided where.
//!
//! The walk starts at the twin with the fewest candidates: the one whose `$dtId` is known, else the one whose models
//! have the fewest twins. Steps are then taken from what is bound, those first that can end least often. A step may be
//! taken against the direction it was written in. Each condition of `WHERE` is decided as soon as all it looks at is
//! bound. None of this changes which rows there are; it decides their order where the query does not.

use std::collections::{BTreeMap, BTreeSet};

use pollux_dtdl::Dtmi;
use pollux_model::Result;
use pollux_query::twins::{AliasKind, Collection, Condition, Need, Query, Step, StepDirection};
use pollux_query::{Expr, ExprKind, Hints, PredicateOp, PropertyPredicate};
use pollux_store::twins::TwinFilter;

use super::super::models::Models;
use super::source::Source;

/// Longer lists are not handed to the store; it is read more broadly instead.
pub(in crate::twins) const LONGEST_LIST: usize = 1000;

/// A plan for one query. What it looks at in the store beforehand is only how many twins there are.
#[derive(Debug)]
pub(super) struct Plan<'q> {
    /// The twin, or the relationship, that is read first.
    pub(super) start: u16,
    pub(super) roots: Roots,
    /// The steps in the order they are taken.
    pub(super) legs: Vec<Leg>,
    pub(super) conditions: Vec<Condition<'q>>,
    /// Those of the conditions that can be decided at the start.
    pub(super) at_start: Vec<usize>,
    pub(super) needs: Vec<Need>,
    /// For each alias, the ids a match can have.
    pub(super) ids: Vec<Option<BTreeSet<String>>>,
    /// For each alias, the models a match is exactly of.
    pub(super) models: Vec<Option<Vec<String>>>,
    /// How many twins were thought to be candidates for the start.
    pub(super) estimate: Option<u64>,
    pub(super) counting: Counting,
    /// What holds for a property of each match of the start.
    pub(super) predicates: Vec<PropertyPredicate>,
}

/// Candidates for the start.
#[derive(Debug)]
pub(super) enum Roots {
    Twins(TwinFilter),
    Relationships(Edges),
}

/// Which relationships.
#[derive(Debug, Clone, Default)]
pub(super) struct Edges {
    /// Only those that leave these twins.
    pub(super) sources: Option<BTreeSet<String>>,
    /// Only those that lead to this twin.
    pub(super) target: Option<String>,
    /// Only those of this name, where one of the above is known.
    pub(super) name: Option<String>,
}

/// A step as it is walked.
#[derive(Debug)]
pub(super) struct Leg {
    pub(super) from: u16,
    pub(super) to: u16,
    pub(super) relationship: Option<u16>,
    pub(super) names: Vec<String>,
    /// As walked: `Forward` goes along the relationships.
    pub(super) direction: StepDirection,
    pub(super) min: u32,
    pub(super) max: u32,
    /// Whether `to` is bound before: then it must be the same twin.
    pub(super) closes: bool,
    /// The conditions that can be decided behind it.
    pub(super) conditions: Vec<usize>,
}

/// Whether the store can count the matches by itself.
#[derive(Debug)]
pub(super) enum Counting {
    No,
    Of(Option<Vec<String>>),
}

impl<'q> Plan<'q> {
    /// Plans a query; with the `start` of an earlier page, the same again.
    pub(super) async fn make(
        query: &'q Query,
        models: &Models,
        source: &mut Source<'_>,
        start: Option<u16>,
    ) -> Result<Self> {
        let hints = query.hints();
        let ids: Vec<Option<BTreeSet<String>>> =
            hints.iter().map(|hint| hint.ids.as_ref().map(|ids| ids.iter().cloned().collect())).collect();
        let (start, estimate) = match start {
            Some(start) => (start, None),
            None => choose(query, &hints, models, source).await?,
        };
        let hint = hints.get(usize::from(start)).cloned().unwrap_or_default();
        let roots = match query.collection() {
            Collection::DigitalTwins => Roots::Twins(TwinFilter {
                ids: hint.ids.clone().filter(|ids| ids.len() <= LONGEST_LIST),
                models: exact_models(&hint, models),
            }),
            Collection::Relationships => Roots::Relationships(edges(&hint)),
        };
        let conditions = query.conditions();
        let looks: Vec<BTreeSet<u16>> = conditions.iter().map(Condition::aliases).collect();
        let mut open: Vec<usize> = (0..conditions.len()).collect();
        let mut bound = BTreeSet::from([start]);
        let at_start = decided(&mut open, &looks, &bound);
        let mut legs = Vec::new();
        for (at, backwards) in order(query.steps(), start, &ids) {
            let leg = Leg::walk(&query.steps()[at], backwards, &bound);
            bound.extend([leg.to]);
            bound.extend(leg.relationship);
            legs.push(Leg { conditions: decided(&mut open, &looks, &bound), ..leg });
        }
        let counting = counting(query, models);
        let models = hints.iter().map(|hint| exact_models(hint, models)).collect();
        let needs = query.needs();
        Ok(Self {
            start,
            roots,
            legs,
            conditions,
            at_start,
            needs,
            ids,
            models,
            estimate,
            counting,
            predicates: hint.predicates,
        })
    }

    /// Whether a twin of this id can be what an alias stands for.
    pub(super) fn admits(&self, alias: u16, id: &str) -> bool {
        self.ids.get(usize::from(alias)).and_then(Option::as_ref).is_none_or(|ids| ids.contains(id))
    }

    /// The models that what an alias stands for must be exactly of, if there are any such.
    pub(super) fn models(&self, alias: u16) -> Option<&[String]> {
        self.models.get(usize::from(alias))?.as_deref()
    }

    pub(super) fn need(&self, alias: u16) -> Need {
        self.needs.get(usize::from(alias)).copied().unwrap_or(Need::Nothing)
    }
}

impl Leg {
    fn walk(step: &Step, backwards: bool, bound: &BTreeSet<u16>) -> Self {
        let (from, to) = if backwards { (step.to, step.from) } else { (step.from, step.to) };
        let direction = match (step.direction, backwards) {
            (StepDirection::Forward, true) => StepDirection::Backward,
            (StepDirection::Backward, true) => StepDirection::Forward,
            (direction, _) => direction,
        };
        let names: BTreeSet<&String> = step.names.iter().collect();
        Self {
            from,
            to,
            relationship: step.relationship,
            names: names.into_iter().cloned().collect(),
            direction,
            min: step.min_hops,
            max: step.max_hops,
            closes: bound.contains(&to),
            conditions: Vec::new(),
        }
    }
}

/// Takes those conditions out of `open` that look at nothing that is not bound.
fn decided(open: &mut Vec<usize>, looks: &[BTreeSet<u16>], bound: &BTreeSet<u16>) -> Vec<usize> {
    let (now, later) = open.iter().partition(|&&at| looks[at].is_subset(bound));
    *open = later;
    now
}

/// The steps in the order they are taken, and whether against the direction they are written in: first those whose
/// ends are both bound, then those whose end is known, then those of fewest hops.
fn order(steps: &[Step], start: u16, ids: &[Option<BTreeSet<String>>]) -> Vec<(usize, bool)> {
    let known = |alias: u16| ids.get(usize::from(alias)).is_some_and(Option::is_some);
    let mut bound = BTreeSet::from([start]);
    let mut left: Vec<usize> = (0..steps.len()).collect();
    let mut ordered = Vec::new();
    while !left.is_empty() {
        let reachable = left.iter().filter_map(|&at| {
            let step = &steps[at];
            let (from, to) = (bound.contains(&step.from), bound.contains(&step.to));
            let end = if from { step.to } else { step.from };
            (from || to).then_some(((!(from && to), !known(end), step.max_hops, at), !from))
        });
        // All steps are connected, so there always is one.
        let Some(((_, _, _, at), backwards)) = reachable.min() else { break };
        bound.extend([steps[at].from, steps[at].to]);
        left.retain(|&other| other != at);
        ordered.push((at, backwards));
    }
    ordered
}

/// The alias with the fewest candidates, and how many that are if it was asked.
async fn choose(
    query: &Query,
    hints: &[Hints],
    models: &Models,
    source: &mut Source<'_>,
) -> Result<(u16, Option<u64>)> {
    let twins = |(number, alias): &(u16, &pollux_query::twins::Alias)| {
        (alias.kind == AliasKind::Twin).then_some(*number)
    };
    let aliases: Vec<u16> = (0..).zip(query.aliases()).filter_map(|pair| twins(&pair)).collect();
    let hint = |alias: u16| hints.get(usize::from(alias));
    let known = aliases.iter().filter_map(|&alias| Some((hint(alias)?.ids.as_ref()?.len(), alias)));
    if let Some((count, alias)) = known.min() {
        return Ok((alias, Some(count as u64)));
    }
    if aliases.len() < 2 {
        return Ok((0, None));
    }
    let mut counted: BTreeMap<Option<Vec<String>>, u64> = BTreeMap::new();
    let mut best: Option<(u64, u16)> = None;
    for alias in aliases {
        let wanted = hint(alias).and_then(|hint| exact_models(hint, models));
        let count = match counted.get(&wanted) {
            Some(count) => *count,
            None => source.estimate_twins(wanted.as_deref()).await?,
        };
        counted.insert(wanted, count);
        best = Some(best.map_or((count, alias), |best| best.min((count, alias))));
    }
    Ok(best.map_or((0, None), |(count, alias)| (alias, Some(count))))
}

/// What the conditions say of the ends of relationships.
fn edges(hint: &Hints) -> Edges {
    let strings = |name: &str| {
        hint.predicates.iter().filter(|predicate| predicate.path == [name]).find_map(|predicate| {
            let values = match predicate.op {
                PredicateOp::Eq => std::slice::from_ref(&predicate.value),
                PredicateOp::In => predicate.value.as_array()?.as_slice(),
                _ => return None,
            };
            // What is no string is equal to no id.
            Some(
                values
                    .iter()
                    .filter_map(|value| value.as_str().map(ToOwned::to_owned))
                    .collect::<BTreeSet<_>>(),
            )
        })
    };
    let single = |values: BTreeSet<String>| (values.len() == 1).then(|| values.into_iter().next()).flatten();
    Edges {
        sources: strings("$sourceId"),
        target: strings("$targetId").and_then(single),
        name: strings("$relationshipName").and_then(single),
    }
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
    let twins = query.collection() == Collection::DigitalTwins && query.steps().is_empty();
    if !query.is_count() || !twins || query.is_explain() {
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
