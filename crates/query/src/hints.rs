//! What a store may filter on before a query is evaluated: conditions that every match fulfils. A hint
//! over-approximates: it never loses a match, and whoever uses it still asks `matches` for each document.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value as Json;

use crate::{
    expr::{CompareOp, Expr, ExprKind, Literal, Path},
    functions::Function,
};

/// Necessary conditions on the documents of one alias. The default says nothing.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Hints {
    /// The identities a match can have, sorted; `Some` of nothing if there can be no match. Identities are strings:
    /// a comparison of one with anything else counts as impossible.
    pub ids: Option<Vec<String>>,
    /// A match is of at least one of these models (`true`: exactly, `false`: of it or one that extends it).
    pub models: Option<Vec<(String, bool)>>,
    /// Each of these holds for a match.
    pub predicates: Vec<PropertyPredicate>,
}

/// A necessary condition on one property.
#[derive(Debug, Clone, PartialEq)]
pub struct PropertyPredicate {
    /// Names from the document's root down, such as `["Comp", "Temperature"]`.
    pub path: Vec<String>,
    /// The relation.
    pub op: PredicateOp,
    /// What the property is related to: a scalar; an array of scalars for `In`; null for `Defined`.
    pub value: Json,
}

/// The relation a [`PropertyPredicate`] states. Numbers relate to numbers by value whatever their JSON spelling;
/// values of different types never relate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PredicateOp {
    /// Equal.
    Eq,
    /// Less.
    Lt,
    /// Less or equal.
    Le,
    /// Greater.
    Gt,
    /// Greater or equal.
    Ge,
    /// Equal to one of the values.
    In,
    /// A string with this beginning.
    StartsWith,
    /// There at all, even if null.
    Defined,
}

/// Which properties are more than properties in a dialect.
pub(crate) struct Special {
    /// The identity.
    pub(crate) id: &'static str,
    /// The model id.
    pub(crate) model: &'static [&'static str],
}

/// The hints for each of `roots` documents.
pub(crate) fn collect(filter: Option<&Expr>, roots: usize, special: &Special) -> Vec<Hints> {
    let mut drafts = filter.map(|expr| of(expr, special)).unwrap_or_default();
    let root_of = |at: usize| u16::try_from(at).ok();
    (0..roots)
        .map(|at| root_of(at).and_then(|root| drafts.remove(&root)).unwrap_or_default().finish())
        .collect()
}

/// Hints while they are gathered; by root, only those that are constrained.
type Drafts = BTreeMap<u16, Draft>;

#[derive(Default)]
struct Draft {
    ids: Option<BTreeSet<String>>,
    models: Option<BTreeSet<(String, bool)>>,
    predicates: Vec<PropertyPredicate>,
}

impl Draft {
    fn finish(self) -> Hints {
        Hints {
            ids: self.ids.map(|ids| ids.into_iter().collect()),
            models: self.models.map(|models| models.into_iter().collect()),
            predicates: self.predicates,
        }
    }

    /// Both hold.
    fn and(&mut self, other: Self) {
        self.ids = match (self.ids.take(), other.ids) {
            (Some(left), Some(right)) => Some(left.intersection(&right).cloned().collect()),
            (left, right) => left.or(right),
        };
        // Either list is a necessary condition; the shorter one is the sharper.
        self.models = match (self.models.take(), other.models) {
            (Some(left), Some(right)) => Some(if right.len() < left.len() { right } else { left }),
            (left, right) => left.or(right),
        };
        self.predicates.extend(other.predicates);
    }

    /// At least one holds: only what both constrain remains.
    fn or(&mut self, other: Self) {
        self.ids = self.ids.take().zip(other.ids).map(|(mut left, right)| {
            left.extend(right);
            left
        });
        self.models = self.models.take().zip(other.models).map(|(mut left, right)| {
            left.extend(right);
            left
        });
        self.predicates.retain(|predicate| other.predicates.contains(predicate));
    }
}

fn of(expr: &Expr, special: &Special) -> Drafts {
    match &expr.kind {
        ExprKind::And(terms) => terms.iter().fold(Drafts::new(), |mut all, term| {
            for (root, draft) in of(term, special) {
                all.entry(root).or_default().and(draft);
            }
            all
        }),
        ExprKind::Or(terms) => any(terms, special),
        ExprKind::Compare { op, left, right } => comparison(*op, left, right, special),
        ExprKind::In { negated: false, value, list } => match &value.kind {
            ExprKind::Path(path) => membership(path, list, special),
            _ => Drafts::new(),
        },
        ExprKind::IsOfModel { root, model, exact } => {
            let models = Some(BTreeSet::from([(model.clone(), *exact)]));
            Drafts::from([(*root, Draft { models, ..Draft::default() })])
        }
        ExprKind::Call { function, args } => call(*function, args),
        ExprKind::Path(path) => predicate(path, PredicateOp::Eq, Json::Bool(true)),
        ExprKind::In { .. }
        | ExprKind::Not(_)
        | ExprKind::Literal(_)
        | ExprKind::Arithmetic { .. }
        | ExprKind::Negate(_) => Drafts::new(),
    }
}

fn any(terms: &[Expr], special: &Special) -> Drafts {
    let mut terms = terms.iter();
    let mut all = terms.next().map(|first| of(first, special)).unwrap_or_default();
    for term in terms {
        if all.is_empty() {
            break; // nothing left that every side constrains
        }
        let mut other = of(term, special);
        all.retain(|root, _| other.contains_key(root));
        for (root, draft) in &mut all {
            draft.or(other.remove(root).unwrap_or_default());
        }
    }
    all
}

fn comparison(op: CompareOp, left: &Expr, right: &Expr, special: &Special) -> Drafts {
    let (path, op, literal) = match (&left.kind, &right.kind) {
        (ExprKind::Path(path), ExprKind::Literal(literal)) => (path, op, literal),
        (ExprKind::Literal(literal), ExprKind::Path(path)) => (path, op.flipped(), literal),
        _ => return Drafts::new(),
    };
    let op = match op {
        CompareOp::Eq => return equality(path, literal, special),
        CompareOp::Ne => return Drafts::new(),
        CompareOp::Lt => PredicateOp::Lt,
        CompareOp::Le => PredicateOp::Le,
        CompareOp::Gt => PredicateOp::Gt,
        CompareOp::Ge => PredicateOp::Ge,
    };
    literal.to_json().map_or_else(Drafts::new, |value| predicate(path, op, value))
}

fn equality(path: &Path, literal: &Literal, special: &Special) -> Drafts {
    if is_id(path, special) || is_model(path, special) {
        return membership(path, std::slice::from_ref(literal), special);
    }
    literal.to_json().map_or_else(Drafts::new, |value| predicate(path, PredicateOp::Eq, value))
}

fn membership(path: &Path, list: &[Literal], special: &Special) -> Drafts {
    let strings = || {
        list.iter().filter_map(|literal| match literal {
            Literal::String(text) => Some(text.clone()),
            _ => None,
        })
    };
    let draft = if is_id(path, special) {
        Draft { ids: Some(strings().collect()), ..Draft::default() }
    } else if is_model(path, special) {
        Draft { models: Some(strings().map(|model| (model, true)).collect()), ..Draft::default() }
    } else {
        let values: Option<Vec<Json>> = list.iter().map(Literal::to_json).collect();
        return values.map_or_else(Drafts::new, |values| predicate(path, PredicateOp::In, values.into()));
    };
    Drafts::from([(path.root, draft)])
}

fn call(function: Function, args: &[Expr]) -> Drafts {
    match (function, args) {
        (Function::IsDefined, [Expr { kind: ExprKind::Path(path), .. }]) => {
            predicate(path, PredicateOp::Defined, Json::Null)
        }
        (
            Function::StartsWith,
            [
                Expr { kind: ExprKind::Path(path), .. },
                Expr { kind: ExprKind::Literal(Literal::String(beginning)), .. },
            ],
        ) => predicate(path, PredicateOp::StartsWith, beginning.as_str().into()),
        _ => Drafts::new(),
    }
}

fn predicate(path: &Path, op: PredicateOp, value: Json) -> Drafts {
    let Some(names) = path.names().filter(|names| !names.is_empty()) else {
        return Drafts::new();
    };
    let path_names = names.into_iter().map(str::to_owned).collect();
    let predicates = vec![PropertyPredicate { path: path_names, op, value }];
    Drafts::from([(path.root, Draft { predicates, ..Draft::default() })])
}

fn is_id(path: &Path, special: &Special) -> bool {
    path.names().is_some_and(|names| names == [special.id])
}

fn is_model(path: &Path, special: &Special) -> bool {
    !special.model.is_empty() && path.names().is_some_and(|names| names == special.model)
}
