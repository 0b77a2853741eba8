//! What happens to the graph: the one form in which changes are committed, and in which whoever must be told of them sees
//! them, each with what was before and what is after it, as far as anybody asks.
//!
//! ```text
//!   a verb ─▶ Change ─▶ commit ─▶ the write, held to what was before ─┐
//!                           ├───▶ history: what was before            ├─ one batch
//!                           └───▶ event routes: outbox entries        ┘
//! ```

use pollux_model::digital_twin::{DigitalTwin, Past, PastVersion, Relationship};
use pollux_model::{Etag, ResourceName, Timestamp};
use pollux_store::{Expect, Write};

use super::json_patch::Operation;

/// A change of one twin or relationship.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Change {
    /// There was none of this id.
    TwinCreated(Box<DigitalTwin>),
    /// Patched or replaced.
    TwinUpdated {
        /// The etag of what was before.
        was: Etag,
        /// All of it, where the instance keeps its history.
        before: Option<Box<DigitalTwin>>,
        after: Box<DigitalTwin>,
        /// From the one to the other: as it was asked for, or what a replacement comes to.
        patch: Vec<Operation>,
    },
    /// As it was last.
    TwinDeleted(Box<DigitalTwin>),
    /// There was none of this id on its source.
    RelationshipCreated(Box<Relationship>),
    /// Patched or replaced.
    RelationshipUpdated {
        before: Box<Relationship>,
        after: Box<Relationship>,
        /// The model of its source.
        model: String,
        /// As for a twin.
        patch: Vec<Operation>,
    },
    /// As it was last.
    RelationshipDeleted(Box<Relationship>),
}

impl Change {
    /// The write that makes it so; refused if what is stored is no more what was before.
    pub(super) fn into_write(self, instance: &ResourceName) -> Write {
        let twins = instance.clone();
        match self {
            Self::TwinCreated(twin) => Write::PutTwin { twins, twin, expect: Expect::Absent },
            Self::TwinUpdated { was, after, .. } => {
                Write::PutTwin { twins, twin: after, expect: Expect::Etag(was) }
            }
            Self::TwinDeleted(twin) => {
                let DigitalTwin { id, etag, .. } = *twin;
                Write::DeleteTwin { twins, id, expect: Expect::Etag(etag) }
            }
            Self::RelationshipCreated(relationship) => {
                Write::PutRelationship { twins, relationship, expect: Expect::Absent }
            }
            Self::RelationshipUpdated { before, after, .. } => {
                Write::PutRelationship { twins, relationship: after, expect: Expect::Etag(before.etag) }
            }
            Self::RelationshipDeleted(relationship) => {
                let Relationship { source, id, etag, .. } = *relationship;
                Write::DeleteRelationship { twins, source, id, expect: Expect::Etag(etag) }
            }
        }
    }

    /// The write that keeps what this ends, for the instance's history; `None` where nothing ends. A deletion ends it `now`.
    pub(super) fn ended(&self, instance: &ResourceName, now: Timestamp) -> Option<Write> {
        let (was, until, deleted) = match self {
            Self::TwinCreated(_) | Self::RelationshipCreated(_) => return None,
            Self::TwinUpdated { before, after, .. } => {
                (Past::Twin(DigitalTwin::clone(before.as_ref()?)), after.updated, false)
            }
            Self::TwinDeleted(twin) => (Past::Twin(DigitalTwin::clone(twin)), now, true),
            Self::RelationshipUpdated { before, after, .. } => {
                (Past::Relationship(Relationship::clone(before)), after.updated, false)
            }
            Self::RelationshipDeleted(relationship) => {
                (Past::Relationship(Relationship::clone(relationship)), now, true)
            }
        };
        let mut version = PastVersion { was, until, deleted };
        // Where the clocks of nodes differ it may seem to end before it began.
        version.until = version.until.max(version.since());
        Some(Write::PutVersion { twins: instance.clone(), version: Box::new(version) })
    }

    /// The twin whose changes it is to be told in order with: itself, or the source of a relationship.
    pub(super) fn twin(&self) -> &str {
        match self {
            Self::TwinCreated(twin) | Self::TwinDeleted(twin) => &twin.id,
            Self::TwinUpdated { after, .. } => &after.id,
            Self::RelationshipCreated(relationship) | Self::RelationshipDeleted(relationship) => {
                &relationship.source
            }
            Self::RelationshipUpdated { after, .. } => &after.source,
        }
    }
}
