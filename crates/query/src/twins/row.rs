//! One row of a twins query: the documents its aliases are bound to, and the model tree `IS_OF_MODEL` asks.

use std::cell::Cell;

use serde_json::Value as Json;

use crate::{
    eval::{Scope, walk},
    expr::Path,
    value::Value,
};

/// The models' inheritance, as far as a query asks for it.
pub trait ModelTree {
    /// Whether a twin of `model` is of `ancestor`: the same, or, unless `exact`, extending it directly or through
    /// others. Both are model ids such as `dtmi:example:Room;1`. An unknown id is only of itself.
    fn is_of_model(&self, model: &str, ancestor: &str, exact: bool) -> bool;
}

/// The documents of one row, by alias number (see [`super::Query::aliases`]). Cheap to make for a single alias and
/// to reuse from row to row.
#[derive(Debug, Clone, Default)]
pub struct Bindings<'a> {
    first: Option<&'a Json>,
    rest: Vec<Option<&'a Json>>,
}

impl<'a> Bindings<'a> {
    /// A row of a query without `JOIN`. Allocates nothing.
    pub fn one(document: &'a Json) -> Self {
        Self { first: Some(document), rest: Vec::new() }
    }

    /// Binds an alias, anew if it was bound.
    pub fn bind(&mut self, alias: u16, document: &'a Json) {
        match usize::from(alias).checked_sub(1) {
            None => self.first = Some(document),
            Some(at) => {
                if self.rest.len() <= at {
                    self.rest.resize(at + 1, None);
                }
                self.rest[at] = Some(document);
            }
        }
    }

    /// The document of an alias, if it is bound.
    pub fn get(&self, alias: u16) -> Option<&'a Json> {
        match usize::from(alias).checked_sub(1) {
            None => self.first,
            Some(at) => self.rest.get(at).copied().flatten(),
        }
    }
}

/// What the aliases of a row are bound to, as far as that can be told without their documents.
pub trait Columns {
    /// The value at a path; `None` if only the document can tell.
    fn value<'s>(&'s self, path: &'s Path) -> Option<Value<'s>>;

    /// Whether the twin an alias is bound to is of a model, as [`ModelTree::is_of_model`]; `None` if it is bound to none.
    fn is_of_model(&self, root: u16, model: &str, exact: bool) -> Option<bool>;
}

/// A row of columns, to the evaluator.
pub(super) struct ColumnScope<'r> {
    columns: &'r dyn Columns,
    /// Whether something could not be told.
    missed: Cell<bool>,
}

impl<'r> ColumnScope<'r> {
    pub(super) fn new(columns: &'r dyn Columns) -> Self {
        Self { columns, missed: Cell::new(false) }
    }

    pub(super) fn missed(&self) -> bool {
        self.missed.get()
    }
}

impl Scope for ColumnScope<'_> {
    fn lookup<'s>(&'s self, path: &'s Path) -> Value<'s> {
        self.columns.value(path).unwrap_or_else(|| {
            self.missed.set(true);
            Value::Undefined
        })
    }

    fn is_of_model(&self, root: u16, model: &str, exact: bool) -> Option<bool> {
        self.columns.is_of_model(root, model, exact)
    }
}

/// A row, to the evaluator.
pub(super) struct RowScope<'r> {
    pub(super) bindings: &'r Bindings<'r>,
    pub(super) models: &'r dyn ModelTree,
}

impl Scope for RowScope<'_> {
    fn lookup<'s>(&'s self, path: &'s Path) -> Value<'s> {
        self.bindings.get(path.root).and_then(|document| walk(document, &path.segments, false)).into()
    }

    fn is_of_model(&self, root: u16, model: &str, exact: bool) -> Option<bool> {
        let actual = self.bindings.get(root)?.get("$metadata")?.get("$model")?.as_str()?;
        Some(self.models.is_of_model(actual, model, exact))
    }
}
