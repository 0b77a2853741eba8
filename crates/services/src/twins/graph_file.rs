//! Whole graphs as files: models, twins and relationships, one JSON document a line.
//!
//! ```text
//!   {"Section":"Header"}
//!   {"fileVersion":"1.0.0", …}
//!   {"Section":"Models"}          one Interface a line; all of them are one set
//!   {"Section":"Twins"}           {"$dtId":…, "$metadata":{"$model":…}, properties and components}
//!   {"Section":"Relationships"}   {"$dtId": source, "$relationshipId":…, "$targetId":…, "$relationshipName":…, properties}
//! ```
//!
//! The form is that of ADT's import jobs (article "Azure Digital Twins APIs and SDKs", "Format data"); what is exported
//! here can be imported there. An import makes what is not there. An item that is there already and equal is left as it
//! is, so an import can be repeated; one that differs is a fault of its own, and so is every item that does not hold.
//!
//! Like ADT's, an import tells no event routes: it fills an instance, nothing in the world has changed.
//!
//! | file | concern |
//! |---|---|
//! | `lines` | bytes to blocks of lines, and where they end |
//! | `read` | lines to twins and relationships that hold by their models |
//! | `apply` | these to batches |
//! | `models` | the models of a file as one set |
//! | `portable` | items as a file has them |
//! | `import`, `export`, `count` | the verbs |

mod apply;
mod count;
mod export;
mod import;
mod lines;
mod models;
mod portable;
mod read;

use pollux_model::Error;
use pollux_model::job::Section;

use crate::Limits;
pub(super) use apply::{Applied, NotApplied};
pub(super) use lines::{Block, Lines, Place};
pub(super) use models::Models;
pub(super) use read::Ready;

pub use count::GraphCounts;
pub use export::GraphExport;
pub use import::{Fragment, Imported};

/// An item of a file that could not be imported; all others can.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ItemFault {
    /// Its line.
    pub line: u64,
    /// The section it is in.
    pub section: Section,
    /// Its id, where it has one; of a relationship `source/id`.
    pub id: Option<String>,
    /// What is wrong.
    pub error: Error,
}

/// The longest line that can be an item: a model with what surrounds it.
pub(super) fn longest(limits: &Limits) -> usize {
    limits.model.max(limits.digital_twin).saturating_add(limits.digital_twin)
}

/// Where nothing goes along with the items, nothing of it can be refused.
fn refused_along(error: NotApplied) -> Error {
    match error {
        NotApplied::Failed(error) => error,
        NotApplied::Along(_) => Error::internal(),
    }
}
