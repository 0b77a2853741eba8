//! Reading what twins and relationships were.
//!
//! A version is kept when it ends, in the batch that ends it, so what never changed costs nothing. What stood at a
//! moment is a version that had begun and not ended then, or else what stands now and had begun then. A reader that
//! asks for what stands now first, and for the versions after that, misses nothing that changes in between.

use async_trait::async_trait;
use pollux_model::digital_twin::{DigitalTwin, Past, PastVersion, Relationship};
use pollux_model::{ResourceName, Timestamp};

use crate::error::StoreError;
use crate::store::Page;
use crate::twins::Direction;

/// Versions that ended.
#[async_trait]
pub trait History {
    /// Versions of a twin, or of a relationship of it, in the order they ended, after `after`.
    async fn versions(
        &self,
        twins: &ResourceName,
        twin: &str,
        relationship: Option<&str>,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Page<PastVersion>, StoreError>;
    /// Twins (of these ids, if any are given) as versions say that they stood at a moment, in order of id, after `after`
    /// and not behind `last`.
    async fn twins_at(
        &self,
        twins: &ResourceName,
        at: Timestamp,
        ids: Option<&[String]>,
        span: Span<'_>,
        limit: usize,
    ) -> Result<Page<DigitalTwin>, StoreError>;
    /// Relationships (of one twin, if it is given) as versions say that they stood at a moment, in order of (source, id),
    /// after `after` and not behind `last`, which are marks as [`Twins::relationships`](crate::twins::Twins) gives them.
    async fn relationships_at(
        &self,
        twins: &ResourceName,
        at: Timestamp,
        end: Option<(&str, Direction)>,
        span: Span<'_>,
        limit: usize,
    ) -> Result<Page<Relationship>, StoreError>;
    /// Whether a version ended before that moment.
    async fn ended_before(&self, twins: &ResourceName, before: Timestamp) -> Result<bool, StoreError>;
}

/// Part of a list.
#[derive(Debug, Clone, Copy, Default)]
pub struct Span<'s> {
    /// It begins behind this key.
    pub after: Option<&'s str>,
    /// It ends with this key.
    pub last: Option<&'s str>,
}

/// Where a page of versions ends.
pub(crate) fn mark(version: &PastVersion) -> String {
    let etag = match &version.was {
        Past::Twin(twin) => &twin.etag,
        Past::Relationship(relationship) => &relationship.etag,
    };
    serde_json::json!([version.until.as_micros(), etag.as_str()]).to_string()
}

/// The moment and etag such a mark stands for; what is before all when there is none.
pub(crate) fn place(after: Option<&str>) -> Result<(i64, String), StoreError> {
    let foreign = |_| StoreError::Corrupt("a page of versions is asked for with a foreign mark".to_owned());
    after.map_or_else(|| Ok((i64::MIN, String::new())), |mark| serde_json::from_str(mark).map_err(foreign))
}

/// A version's state as a twin.
pub(crate) fn twin(version: PastVersion) -> Result<DigitalTwin, StoreError> {
    match version.was {
        Past::Twin(twin) => Ok(twin),
        Past::Relationship(_) => Err(other_kind()),
    }
}

/// A version's state as a relationship.
pub(crate) fn relationship(version: PastVersion) -> Result<Relationship, StoreError> {
    match version.was {
        Past::Relationship(relationship) => Ok(relationship),
        Past::Twin(_) => Err(other_kind()),
    }
}

fn other_kind() -> StoreError {
    StoreError::Corrupt("a row of twin_history holds another kind of document".to_owned())
}
