//! What of its documents a query looks at, so that an executor neither reads nor waits for more.

use std::collections::BTreeSet;

use super::{
    Query,
    ast::{GroupColumn, OrderBy, SelectList},
};
use crate::expr::{Expr, ExprKind, Path};

/// How much of an alias' document a query looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Need {
    /// Nothing: it is enough that it is there.
    Nothing,
    /// `$dtId` only: `{"$dtId": ..}` will do for the document.
    Id,
    /// All of it.
    Document,
}

/// One of the conditions that `WHERE` joins with `AND`.
#[derive(Debug, Clone, Copy)]
pub struct Condition<'q> {
    pub(super) expr: &'q Expr,
}

impl Condition<'_> {
    /// The numbers of the aliases it looks at. It can be decided as soon as these are bound.
    pub fn aliases(&self) -> BTreeSet<u16> {
        let mut found = BTreeSet::new();
        walk(self.expr, &mut |root, _| found.extend([root]));
        found
    }
}

impl Query {
    /// Conditions that all hold for a row if, and only if, the row matches.
    pub fn conditions(&self) -> Vec<Condition<'_>> {
        match self.filter.as_ref() {
            None => Vec::new(),
            Some(Expr { kind: ExprKind::And(terms), .. }) => {
                terms.iter().map(|expr| Condition { expr }).collect()
            }
            Some(expr) => vec![Condition { expr }],
        }
    }

    /// How much of its document is looked at, for each alias.
    pub fn needs(&self) -> Vec<Need> {
        let mut needs = vec![Need::Nothing; self.aliases.len()];
        let mut note = |root: u16, need: Need| {
            if let Some(known) = needs.get_mut(usize::from(root)) {
                *known = need.max(*known);
            }
        };
        if let Some(filter) = &self.filter {
            walk(filter, &mut note);
        }
        let mut paths: Vec<&Path> = self.group_by.iter().collect();
        match &self.select {
            SelectList::All => {
                for (root, alias) in (0..).zip(&self.aliases) {
                    if !self.pattern || alias.declared {
                        note(root, Need::Document);
                    }
                }
            }
            SelectList::Count { .. } => {}
            SelectList::Items(items) => paths.extend(items.iter().map(|item| &item.path)),
            SelectList::Groups(items) => paths.extend(items.iter().filter_map(|item| match &item.what {
                GroupColumn::Key(_) => None,
                GroupColumn::Aggregate(aggregate) => aggregate.path(),
            })),
        }
        paths.extend(self.order.iter().filter_map(|item| match &item.by {
            OrderBy::Path(path) => Some(path),
            OrderBy::Column(_) => None,
        }));
        for path in paths {
            note(path.root, of(path));
        }
        needs
    }
}

fn of(path: &Path) -> Need {
    if path.names().is_some_and(|names| names == ["$dtId"]) { Need::Id } else { Need::Document }
}

/// Tells `note` of every place where an expression looks at an alias.
fn walk(expr: &Expr, note: &mut dyn FnMut(u16, Need)) {
    match &expr.kind {
        ExprKind::Literal(_) => {}
        ExprKind::Path(path) => note(path.root, of(path)),
        ExprKind::IsOfModel { root, .. } => note(*root, Need::Document),
        ExprKind::Compare { left, right, .. } => {
            walk(left, note);
            walk(right, note);
        }
        ExprKind::In { value: inner, .. } | ExprKind::Not(inner) | ExprKind::Negate(inner) => {
            walk(inner, note)
        }
        ExprKind::And(terms) | ExprKind::Or(terms) | ExprKind::Call { args: terms, .. } => {
            for term in terms {
                walk(term, note);
            }
        }
        ExprKind::Arithmetic { first, rest } => {
            walk(first, note);
            for (_, term) in rest {
                walk(term, note);
            }
        }
    }
}
