//! The clauses of a twins query. Names are resolved to alias numbers; conditions are [`crate::Expr`].

use crate::expr::Path;

/// What a count is called in its row.
pub(super) const COUNT: &str = "COUNT";

/// What a row shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SelectList {
    /// `*`: the document as it is.
    All,
    /// `COUNT()`: how many rows there are, under this name.
    Count { name: String },
    /// Columns.
    Items(Vec<Projection>),
}

/// One column: an alias' document or a property of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Projection {
    /// The alias and the property; no segments for the whole document.
    pub path: Path,
    /// The column's name: after `AS`, else the property's last name, else the alias.
    pub name: String,
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
    /// How the query calls it. A relationship without an alias is called like the relationship; the collection of
    /// `FROM` may have no name at all.
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

/// `JOIN target RELATED source.relationship [relationship alias]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Join {
    /// Number of the twin the relationships leave from; bound earlier in the query.
    pub source: u16,
    /// The relationship's name in the source's model.
    pub name: String,
    /// Number of the relationship that was followed.
    pub relationship: u16,
    /// Number of the twin it leads to.
    pub target: u16,
}
