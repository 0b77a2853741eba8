//! The clauses of a device query.

use crate::expr::Path;

/// What a row shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SelectList {
    /// `*`: the document as it is.
    All,
    /// Columns: all of them properties, or all of them aggregates.
    Columns(Vec<Column>),
}

/// One column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// What it shows.
    pub value: ColumnValue,
    /// Its name: after `AS`, else the property's last name or the aggregate's.
    pub name: String,
}

/// What a column shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ColumnValue {
    /// A property of the document.
    Path(Path),
    /// Something computed from all matches.
    Aggregate(Aggregate),
}

/// What is computed from all matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Aggregate {
    /// `COUNT()`: how many there are.
    Count,
}

/// What `FROM` names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Collection {
    /// Device twins.
    Devices,
}
