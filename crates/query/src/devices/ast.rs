//! The clauses of a device query.

use crate::{expr::Path, totals::Aggregate};

/// What a row shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SelectList {
    /// `*`: the document as it is.
    All,
    /// Columns: properties, or of groups what their matches have in common and aggregates.
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
    /// Something computed from all matches of a group.
    Aggregate(Aggregate),
}

/// What `FROM` names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Collection {
    /// Device twins.
    Devices,
    /// Module twins of all devices.
    Modules,
    /// What became of scheduled jobs at each device.
    Jobs,
}
