//! The clauses of a twins query. Names are resolved to alias numbers; conditions are [`crate::Expr`].

use crate::{expr::Path, totals::Aggregate};

/// What a count is called in its row.
pub(super) const COUNT: &str = "COUNT";

/// What a row shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SelectList {
    /// `*`: the document as it is; with a pattern, an object with a member for each alias of the pattern.
    All,
    /// `COUNT()` alone: how many rows there are, under this name.
    Count { name: String },
    /// Columns.
    Items(Vec<Projection>),
    /// One row for each group, or one row in all where nothing is grouped by.
    Groups(Vec<GroupItem>),
}

/// One column: an alias' document or a property of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Projection {
    /// The alias and the property; no segments for the whole document.
    pub path: Path,
    /// The column's name: after `AS`, else the property's last name, else the alias.
    pub name: String,
}

/// One column of a grouped answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupItem {
    /// The column's name: after `AS`, else the property's last name or the function's.
    pub name: String,
    /// What stands in it.
    pub what: GroupColumn,
}

/// What stands in a column of a grouped answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GroupColumn {
    /// What the rows of the group have in common: this place of `GROUP BY`.
    Key(usize),
    /// What is computed over the rows of the group.
    Aggregate(Aggregate),
}

/// One term of `ORDER BY`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderItem {
    /// By what.
    pub by: OrderBy,
    /// `DESC`: the greatest first.
    pub descending: bool,
}

/// What rows are ordered by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OrderBy {
    /// A property of what the row binds.
    Path(Path),
    /// A column of a grouped answer.
    Column(usize),
}

/// A moment as the text names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moment {
    /// What was written; whoever knows how times are written reads it.
    pub text: String,
    /// Its line, from 1.
    pub line: u32,
    /// Its column in Unicode characters, from 1.
    pub column: u32,
}

/// What `FROM` names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Collection {
    /// All twins of the instance.
    DigitalTwins,
    /// All relationships of the instance.
    Relationships,
}

/// Something a row binds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alias {
    /// How the query calls it. A relationship of a `JOIN` without an alias is called like the relationship; the
    /// collection of `FROM`, and what a pattern leaves empty, may have no name at all.
    pub name: Option<String>,
    /// What it stands for.
    pub kind: AliasKind,
    /// Whether the name was written as an alias.
    pub declared: bool,
}

/// What an alias stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AliasKind {
    /// A twin's document.
    Twin,
    /// A relationship's document (`$relationshipId`, `$sourceId`, `$targetId`, `$relationshipName`, properties).
    Relationship,
}

/// One relationship of the query, or several in a row: `JOIN to RELATED from.name [relationship]`, or a part
/// `(from)-[relationship:names*min..max]->(to)` of a pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// Number of the twin it begins with. All steps together connect all twins of the query.
    pub from: u16,
    /// Number of the twin it ends with. In a pattern both ends may be aliases that earlier steps have, too.
    pub to: u16,
    /// Number of the relationship that was followed, if it has one; then it is one hop.
    pub relationship: Option<u16>,
    /// The names a relationship can have; any if empty.
    pub names: Vec<String>,
    /// Which end is the source.
    pub direction: StepDirection,
    /// Fewest hops, from 1.
    pub min_hops: u32,
    /// Most hops.
    pub max_hops: u32,
}

/// Which end of a step is the source of its relationships.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StepDirection {
    /// `from` is: `(from)-[]->(to)`.
    Forward,
    /// `to` is: `(from)<-[]-(to)`.
    Backward,
    /// Either, at each hop anew: `(from)-[]-(to)`.
    Either,
}
